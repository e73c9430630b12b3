"""Stochastic gradient descent of teacher and student: its slow twin, the theory, what is kept when it is interrupted."""

from functools import partial

import numpy as np
import pytest

from modes_online_cases import drawn, reference, slow_training
from modescope.errors import Interrupted, UsageError
from modescope.modes.online import sgd as online_sgd
from modescope.modes.online.equations import in_factors, integrate
from modescope.modes.online.sgd import deviation, patterns, simulate
from modescope.modes.online.theory import ModeTheory
from modescope.seeds import generator


@pytest.mark.parametrize("slow", [0.0, 0.8])
def test_a_run_is_training_with_the_weights_formed(slow):
    theory = drawn(0)
    found = simulate(theory, 12, [0, 3, 10], runs=2, seed=5, slow=slow)
    student, teacher = patterns(theory, 12)
    samples = generator(5, "online", "1").standard_normal((120, 12))
    for place, count in enumerate((0, 36, 120)):
        own, across, gains = slow_training(theory.xi_out, theory.s, student, teacher, theory.eta, samples[:count], slow)
        assert found.student[1, place] == pytest.approx(own, abs=1e-11)
        assert found.overlap[1, place] == pytest.approx(across, abs=1e-11)
        assert found.gains[1, place] == pytest.approx(gains, abs=1e-11)


def test_a_run_depends_neither_on_others_nor_on_how_inputs_are_drawn(monkeypatch):
    theory = drawn(1)
    one = simulate(theory, 10, [1, 7], runs=1, seed=3)
    three = simulate(theory, 10, [1, 7], runs=3, seed=3)
    monkeypatch.setattr(online_sgd, "BATCH", 130)
    pieces = simulate(theory, 10, [1, 7], runs=1, seed=3)
    assert three.student[0] == pytest.approx(one.student[0], abs=1e-13)
    assert np.array_equal(pieces.student, one.student)
    assert abs(three.student[0] - three.student[1]).max() > 1e-3
    assert abs(simulate(theory, 10, [1, 7], runs=1, seed=4).student - one.student).max() > 1e-3


@pytest.mark.parametrize("inputs", [6, 7, 50])
def test_patterns_have_the_overlaps_of_the_theory_in_any_dimension(inputs):
    theory = drawn(2)
    both = np.vstack(patterns(theory, inputs))
    assert both.shape == (6, inputs)
    assert both @ both.T / inputs == pytest.approx(theory.patterns, abs=1e-13)


def test_runs_of_four_hundred_inputs_follow_the_theory():
    """The mean of four runs: 10 % of the error, 0.02 of Q, up to t = 15."""
    theory = drawn(0, inputs=400, eta=5.0)
    runs = simulate(theory, 400, np.geomspace(0.1, 15, 16), runs=4)
    expected = integrate(theory, runs.times)
    assert runs.error.mean(axis=0) == pytest.approx(expected.error, rel=0.1)
    assert abs(runs.fields.mean(axis=0) - expected.fields).max() < 0.02


def test_a_run_escapes_from_the_plateau_when_the_theory_does():
    errors = simulate(reference(), 30, [35.1, 81.1, 187.4], runs=1).error[0]
    assert errors[0] > 5e-4
    assert errors[1] > 50 * errors[2]


def test_deviations_fall_with_the_root_of_the_inputs():
    """Root mean squares of 12 runs of 9 overlaps, each uncertain by about 0.2: the exponent by 0.1, of which this is nearly 3."""
    theory = drawn(3)
    sizes, apart = (40, 640), []
    for inputs in sizes:
        runs = simulate(theory, inputs, [4.0], runs=12, seed=1)
        apart.append(np.sqrt(((runs.overlap - integrate(theory, [4.0]).overlap) ** 2).mean()))
    assert np.log(apart[1] / apart[0]) / np.log(sizes[1] / sizes[0]) == pytest.approx(-0.5, abs=0.28)


def test_slow_factors_follow_their_own_theory_and_not_the_frozen_one():
    theory, slow, sizes, apart = drawn(4), 2.0, (50, 800), []
    for inputs in sizes:
        runs = simulate(theory, inputs, [8.0], runs=6, slow=slow)
        joint = integrate(theory, [8.0], form=partial(in_factors, slow=slow))
        apart.append(np.sqrt(((runs.gains - joint.gains) ** 2).mean()))
    moved = np.sqrt(((joint.gains - theory.gains) ** 2).mean())
    assert apart[1] < 0.1 * moved
    assert apart[1] < apart[0] / 2
    assert runs.error.mean() == pytest.approx(joint.error[0], rel=0.1)


def test_the_deviation_is_the_largest_over_times():
    theory = drawn(5)
    runs = simulate(theory, 20, [1, 2, 3], runs=2)
    expected = integrate(theory, runs.times)
    found = deviation(runs, expected)
    for run in range(2):
        assert found.fields[run] == max(abs(runs.fields[run, n] - expected.fields[n]).max() for n in range(3))
        assert found.taught[run] == max(abs(runs.taught[run, n] - expected.taught[n]).max() for n in range(3))
        assert found.error[run] == pytest.approx(max(abs(runs.error[run, n] / expected.error[n] - 1) for n in range(3)))


def test_times_are_rounded_to_samples_and_compared_only_where_they_are_equal():
    theory = drawn(5)
    runs = simulate(theory, 20, [0.98, 2.01], runs=1)
    assert runs.times == pytest.approx([1, 2])
    with pytest.raises(UsageError, match=r"runs\.times"):
        deviation(runs, integrate(theory, [0.98, 2.01]))
    with pytest.raises(UsageError, match=r"runs\.times"):
        deviation(runs, integrate(theory, [1.0]))


def test_what_was_reached_is_kept_when_it_is_interrupted(monkeypatch):
    monkeypatch.setattr(online_sgd, "BATCH", 200)  # ten samples at once
    theory = drawn(6)

    def stop(_, done, __):
        if done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        simulate(theory, 20, [1, 4, 6, 9], runs=1, progress=stop)
    partial_course = caught.value.partial
    assert partial_course.status == "interrupted after 2 of 4 times"
    assert np.array_equal(partial_course.student, simulate(theory, 20, [1, 4, 6, 9], runs=1).student[:, :2])


def test_an_interrupt_at_once_leaves_an_empty_course():
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        simulate(drawn(6), 20, [1.0], runs=2, progress=stop)
    assert caught.value.partial.error.shape == (2, 0)


def test_a_zero_student_learns():
    theory = drawn(7)
    none = ModeTheory(theory.xi_out, theory.s, np.zeros((3, 3)), np.zeros((3, 3)), theory.teacher, theory.eta)
    course = simulate(none, 20, [0, 40], runs=1)
    assert course.error[0, 1] < course.error[0, 0] / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 5}, "at least 6 inputs"),
        ({"inputs": 0}, "at least 6 inputs, .*, got 0"),
        ({"runs": 0}, "at least 1 run, got 0"),
        ({"times": [1, 1.01]}, r"one sample \(1/20\) apart"),
        ({"times": []}, "ascending"),
        ({"slow": -1.0}, "slow"),
    ],
)
def test_runs_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        simulate(drawn(0), **({"inputs": 20, "times": [1, 2]} | arguments))
