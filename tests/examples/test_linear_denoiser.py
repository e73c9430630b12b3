"""What `examples/linear_denoiser.py` claims, with its own settings and seeds."""

import numpy as np
import pytest

from example_cases import example

denoiser = example("linear_denoiser")


@pytest.fixture(scope="module")
def found():
    return [denoiser.look(seed) for seed in range(5)]


@pytest.fixture(scope="module")
def course():
    return denoiser.development()


def test_the_layers_together_are_the_wiener_filter(found):
    assert max(one.product for one in found) < 1e-10


def test_descrambled_rows_are_the_modes_of_the_signal_strongest_first(found):
    for one in found:
        assert (np.diff(one.power) < 0).all()
        assert one.cosine.min() > 0.999
        assert one.law == pytest.approx(np.ones(denoiser.SIZE), abs=1e-3)


def test_the_order_that_training_left_is_more_than_three_times_as_rough(found):
    assert min(one.gain for one in found) > 3


def test_the_stronger_of_two_modes_is_learnt_first(found):
    for one in found:
        assert np.isfinite(one.learnt).all()
        apart = one.power[:, None] > 1.5 * one.power
        assert (one.learnt[:, None] < one.learnt)[apart].all()


def test_strengths_follow_the_closed_form(course):
    assert course.found.shape == (10, denoiser.STRENGTHS.size)
    assert np.abs(course.found - course.law).max() < 1e-10
    assert (np.diff(course.found, axis=0) > 0).all()


def test_the_closed_form_solves_the_differential_equation_of_the_strengths():
    def strength(t):
        growth = np.exp(2 * denoiser.STRENGTHS * t)
        return denoiser.STRENGTHS * growth / (growth - 1 + denoiser.STRENGTHS / denoiser.SMALL)

    assert strength(0.0) == pytest.approx(np.full(denoiser.STRENGTHS.size, denoiser.SMALL))
    for t in (0.2, 0.6, 1.0):  # a' = 2 a (s - a), by central differences of second order
        slope = (strength(t + 1e-5) - strength(t - 1e-5)) / 2e-5
        assert slope == pytest.approx(2 * strength(t) * (denoiser.STRENGTHS - strength(t)), rel=1e-8)


def test_the_table_has_a_line_for_every_mode_and_every_snapshot(found, course):
    lines = denoiser.table(found[:2], course).splitlines()
    assert len(lines) == 1 + 2 * denoiser.SIZE + 2 + len(course.time)
