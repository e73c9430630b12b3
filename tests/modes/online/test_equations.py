"""The equations of online learning: published numbers, equal forms, and the mean step that they stand for."""

from functools import partial

import numpy as np
import pytest

from modes_online_cases import TIMES, drawn, reference, reference_course, slow_noise, slow_signal, whole
from modescope.errors import UsageError
from modescope.modes.online.equations import METHODS, in_factors, in_fields, in_modes, integrate
from modescope.modes.online.theory import ModeTheory, Trajectory

# e_g at TIMES, computed apart from this code for the draw of `reference`
KNOWN = [6.03e-2, 5.69e-2, 2.95e-2, 2.72e-3, 1.375e-3, 9.48e-4, 3.16e-4, 2.95e-6, 3.99e-7, 3.98e-7]


def test_the_known_course_of_the_error_is_found():
    course = reference_course()
    assert course.status == "ok"
    assert course.error[np.isin(course.times, TIMES)] == pytest.approx(KNOWN, rel=0.02)


def test_the_error_escapes_from_its_plateau():
    course = reference_course()
    error = dict(zip(course.times.tolist(), course.error.tolist(), strict=True))
    assert error[15.2] < 2 * error[35.1]
    assert error[81.1] > 50 * error[187.4]


def test_modes_are_learnt_the_better_the_larger_their_gain():
    last, gains = reference_course().correlations[-1], reference().strengths
    assert gains == pytest.approx([3.51, 2.38, 0.167], rel=2e-3)
    assert last == pytest.approx([1.000, 0.995, 0.208], abs=2e-3)
    assert np.array_equal(np.argsort(-last), np.argsort(-gains))


@pytest.mark.parametrize("theory", [drawn(0), drawn(1, hidden=6, p=2), drawn(2, hidden=1, p=1), reference()])
def test_both_forms_make_the_same_steps(theory):
    """Ten steps of Euler in the space of modes, and of hidden fields."""
    modes, fields = in_modes(theory), in_fields(theory)
    own, other = modes.start, fields.start
    for _ in range(10):
        own, other = own + 0.05 * modes.derivative(own), other + 0.05 * fields.derivative(other)
    gains = theory.gains
    (r, t, _), (r_back, t_back, _) = modes.read(own), fields.read(other)
    rows, columns = np.triu_indices(theory.hidden)
    assert np.concatenate([(gains @ r @ gains.T)[rows, columns], (gains @ t @ gains.T).ravel()]) == pytest.approx(
        other, rel=1e-12, abs=1e-12
    )
    assert (r_back, t_back) == (pytest.approx(r, abs=1e-10), pytest.approx(t, abs=1e-10))


def test_the_derivative_is_the_mean_step_of_the_published_formulas():
    theory = drawn(4)
    c, e, k = whole(theory), theory.signs, theory.hidden
    signal, kick = slow_signal(c, e, k), slow_noise(c, e, k)
    spread, eta = theory.gains @ theory.gains.T, theory.eta
    own = -eta * (spread @ signal[:, :k] + (spread @ signal[:, :k]).T) + eta**2 * spread @ kick @ spread
    across = -eta * spread @ signal[:, k:]
    fields = in_fields(theory)
    expected = np.concatenate([own[np.triu_indices(k)], across.ravel()])
    assert fields.derivative(fields.start) == pytest.approx(expected, abs=1e-13)


def test_a_student_that_is_its_teacher_stays():
    theory = drawn(0)
    learnt = ModeTheory(theory.xi_out, theory.s, theory.teacher, theory.teacher, theory.teacher, theory.eta)
    course = integrate(learnt, [0, 1, 100])
    assert abs(course.error).max() < 1e-14
    assert course.student[-1] == pytest.approx(theory.teacher, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_all_integrators_agree(method):
    theory = drawn(6)
    expected = integrate(theory, [0, 1, 5], rtol=1e-10).error
    assert integrate(theory, [0, 1, 5], method=method).error == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", [in_modes, in_fields, partial(in_factors, slow=0.0)])
def test_forms_have_one_course(form):
    theory = drawn(7)
    found, expected = integrate(theory, [0.5, 4, 30], form=form), integrate(theory, [0.5, 4, 30])
    assert found.error == pytest.approx(expected.error, rel=1e-5)
    assert found.student == pytest.approx(expected.student, abs=1e-6)
    assert np.array_equal(found.gains[-1], theory.gains)


def test_slow_factors_follow_the_gradient_of_the_error():
    """At fixed patterns, the drift of the factors is minus the gradient of the generalisation error by them."""
    theory, rate, step = drawn(8), 0.7, 1e-6
    equations = in_factors(theory, slow=rate)
    moved = equations.derivative(equations.start)[15:]
    start = np.concatenate([theory.xi_out.ravel(), theory.s])

    def error(factors):
        state = np.concatenate([equations.start[:15], factors])
        own, across, gains = equations.read(state)
        return Trajectory(theory, np.zeros(1), own[None], across[None], gains[None]).error[0]

    gradient = [(error(start + step * unit) - error(start - step * unit)) / (2 * step) for unit in np.eye(start.size)]
    assert moved == pytest.approx(-rate * np.array(gradient), abs=1e-8)


def test_fields_of_dependent_gains_are_refused_and_modes_are_not():
    theory = drawn(0)
    dead = ModeTheory(theory.xi_out, [1, 1, 0], theory.student, theory.overlap, theory.teacher, 2.0)
    with pytest.raises(UsageError, match=r"rank 3, got rank 2\. Use the form in_modes"):
        integrate(dead, [1.0], form=in_fields)
    course = integrate(dead, [0, 10])
    assert course.student[-1][2, 2] == dead.student[2, 2]
    assert course.overlap[-1][2] == pytest.approx(dead.overlap[2], abs=1e-15)


@pytest.mark.parametrize("times", [[], [1, 1], [2, 1], [-1, 2], [0, np.nan], [[1, 2]]])
def test_times_that_do_not_ascend_are_refused(times):
    with pytest.raises(UsageError, match="ascending"):
        integrate(drawn(0), times)


def test_unknown_methods_and_negative_rates_are_refused():
    with pytest.raises(UsageError, match=r"LSODA, BDF.*got 'Euler'"):
        integrate(drawn(0), [1.0], method="Euler")
    with pytest.raises(UsageError, match="not negative and finite, got -1"):
        integrate(drawn(0), [1.0], form=partial(in_factors, slow=-1))


def test_an_integrator_that_gives_up_says_where(monkeypatch):
    from scipy import integrate as scipy_integrate

    true = scipy_integrate.solve_ivp

    def short(function, span, start, method, times, **options):
        found = true(function, span, start, method, times, **options)
        found.y, found.success, found.message = found.y[:, :2], False, "too much work."
        return found

    monkeypatch.setattr(scipy_integrate, "solve_ivp", short)
    course = integrate(drawn(0), [0, 1, 2])
    assert (course.times.size, len(course.error)) == (2, 2)
    assert "after 2 of 3 times: too much work." in course.status


def test_progress_is_told_in_order_and_ends_whole():
    said = []
    integrate(drawn(0), [0, 3], progress=lambda *one: said.append(one))
    assert said == sorted(said)
    assert said[-1] == ("theory", 1000, 1000)


def test_the_first_time_may_be_the_start_alone():
    theory = drawn(0)
    assert np.array_equal(integrate(theory, [0.0]).student[0], theory.student)
