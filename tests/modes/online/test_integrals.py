"""Gaussian averages of online learning against formulas as published, quadrature, and samples."""

import math

import numpy as np
import pytest

from modes_online_cases import drawn, sampled, slow_error, slow_noise, slow_signal, whole
from modescope.modes.online import integrals as online_integrals
from modescope.modes.online.integrals import error, noise, slopes

THEORIES = [drawn(0), drawn(1, hidden=6, p=2), drawn(2, hidden=1, p=1), drawn(3, inputs=4, hidden=3, p=3)]


@pytest.mark.parametrize("theory", THEORIES)
def test_averages_are_those_of_the_published_formulas(theory):
    c, e, k = whole(theory), theory.signs, theory.hidden
    size = 1e-13 * (1 + abs(c).max())
    assert error(c, e) == pytest.approx(slow_error(c, e), abs=size)
    assert slopes(c, e, k) @ c == pytest.approx(slow_signal(c, e, k), abs=size)
    assert noise(c, e, k) == pytest.approx(slow_noise(c, e, k), abs=size)


@pytest.mark.parametrize("hidden", [1, 3])
def test_averages_of_one_mode_are_integrals_over_a_plane(hidden):
    """With one mode all fields are multiples of two normal numbers, and an average is a sum over a grid of Gauss-Hermite nodes."""
    theory = drawn(5, hidden=hidden, p=1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(160)
    at, weight = np.stack(np.meshgrid(nodes, nodes)).reshape(2, -1), np.outer(weights, weights).ravel() / (2 * math.pi)
    fields = np.kron(np.eye(2), theory.gains) @ np.linalg.cholesky(theory.patterns) @ at
    wrong, delta = sampled(fields, theory.signs, hidden)
    c, e = whole(theory), theory.signs
    assert error(c, e) == pytest.approx(wrong**2 @ weight / 2, rel=1e-9)
    assert slopes(c, e, hidden) @ c == pytest.approx(delta * weight @ fields.T, abs=1e-10)
    assert noise(c, e, hidden) == pytest.approx(delta * weight @ delta.T, abs=1e-10)


@pytest.mark.parametrize(("seed", "hidden"), [(11, 4), (12, 8)])
def test_averages_agree_with_four_hundred_thousand_samples(seed, hidden):
    """Bound: 5e-4; entries scatter by the standard deviation of their products over 632, well below."""
    theory = drawn(seed, hidden=hidden)
    c, e, count = whole(theory), theory.signs, 400_000
    patterns = np.linalg.cholesky(theory.patterns) @ np.random.default_rng(seed).standard_normal((6, count))
    fields = np.kron(np.eye(2), theory.gains) @ patterns
    wrong, delta = sampled(fields, e, hidden)
    assert abs(error(c, e) - (wrong**2).mean() / 2) < 5e-4
    assert abs(slopes(c, e, hidden) @ c - delta @ fields.T / count).max() < 5e-4
    assert abs(noise(c, e, hidden) - delta @ delta.T / count).max() < 5e-4


def test_a_student_that_is_its_teacher_has_no_error_no_drift_and_no_noise():
    gains = np.random.default_rng(0).standard_normal((5, 2))
    c = np.tile(gains @ gains.T, (2, 2))
    e = np.repeat([0.2, -0.2], 5)
    assert abs(error(c, e)) < 1e-15
    assert abs(slopes(c, e, 5) @ c).max() < 1e-15
    assert abs(noise(c, e, 5)).max() < 1e-15


def test_many_hidden_units_are_taken_in_batches_with_the_same_result(monkeypatch):
    theory = drawn(1, hidden=6, p=2)
    c, e = whole(theory), theory.signs
    at_once = noise(c, e, 6)
    monkeypatch.setattr(online_integrals, "BATCH", 1)
    assert noise(c, e, 6) == pytest.approx(at_once, rel=1e-12)


def test_errors_of_many_times_are_those_of_each():
    many = np.stack([whole(drawn(seed)) for seed in range(3)])
    e = drawn(0).signs
    assert error(many, e) == pytest.approx([error(one, e) for one in many], rel=1e-12)
