"""The published search: right gradients, never below the closed form, near it on easy data, and lost on hard ones."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from modescope.descrambling import operators, optimiser
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.diagonal import max_diag_normsq, max_diag_sum_rotation
from modescope.errors import UsageError
from rotation_cases import haar, with_eigenvalues

OPERATORS = [operators.forward_difference, operators.fourier_second]


def white(m: int, seed: int = 0) -> np.ndarray:
    """Second moment of a Gaussian layer (m, 2 m) on 20 m white samples."""
    rng = np.random.default_rng([m, seed])
    samples = rng.standard_normal((20 * m, 2 * m)) @ rng.standard_normal((2 * m, m))
    return samples.T @ samples


@pytest.mark.parametrize("m", [2, 5, 8])
def test_all_three_gradients_are_those_of_central_differences(m: int) -> None:
    rng = np.random.default_rng(m)
    second, weight = white(m), rng.standard_normal((m, m))
    d = operators.forward_difference(m).matrix()
    entries = rng.standard_normal(m * (m - 1) // 2)
    criteria = [optimiser.smooth(d.T @ d, second), optimiser.diagonal_sum(weight), optimiser.diagonal_normsq(weight)]
    for criterion in criteria:
        value, gradient = optimiser.value_in_skew(entries, criterion, m)
        steps = 1e-6 * np.eye(entries.size)
        slow = [
            (optimiser.value_in_skew(entries + h, criterion, m)[0] - optimiser.value_in_skew(entries - h, criterion, m)[0]) / 2e-6
            for h in steps
        ]
        assert gradient == pytest.approx(slow, rel=1e-6, abs=1e-6 * np.abs(gradient).max())
        forward = approx_fprime(entries, lambda x, f=criterion: optimiser.value_in_skew(x, f, m)[0])
        assert gradient == pytest.approx(forward, rel=1e-3, abs=1e-3 * np.abs(gradient).max())
        assert np.isfinite(value)


def test_criteria_are_what_they_are_called() -> None:
    m = 6
    p, weight, second = haar(m, 0), np.random.default_rng(1).standard_normal((m, m)), white(m)
    d = operators.fourier_second(m).matrix()
    root = np.linalg.cholesky(second)
    assert optimiser.smooth(d.T @ d, second)(p)[0] == pytest.approx(np.linalg.norm(d @ p @ root) ** 2)
    assert optimiser.diagonal_sum(weight)(p)[0] == pytest.approx(-np.trace(p @ weight))
    assert optimiser.diagonal_normsq(weight)(p)[0] == pytest.approx(-np.sum(np.diag(p @ weight) ** 2))


def test_the_cayley_transform_is_a_rotation_and_comes_back() -> None:
    rng = np.random.default_rng(0)
    half = rng.standard_normal((7, 7))
    q = half - half.T
    p = optimiser.cayley(q)
    assert p.T @ p == pytest.approx(np.eye(7), abs=1e-13)
    assert np.linalg.det(p) == pytest.approx(1)
    eye = np.eye(7)
    assert p == pytest.approx(np.linalg.inv(eye + q) @ (eye - q), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_signs_of_rows_give_any_orthogonal_matrix_a_small_skew_form(seed: int) -> None:
    """Reflections and matrices with the eigenvalue -1 too: entries at most 1 in the basis, and only rows in it turned round."""
    m = 6 + seed % 2
    modes = haar(m, 50 + seed)
    given = haar(m, seed)
    if seed >= 4:
        given = modes @ np.diag([*[-1.0] * (seed - 3), *[1.0] * (m - seed + 3)]) @ modes.T
    q = optimiser.skew_of(given, modes=modes)
    assert q == pytest.approx(-q.T, abs=1e-12)
    assert np.abs(modes.T @ q @ modes).max() <= 1 + 1e-8
    change = modes.T @ optimiser.cayley(q) @ given.T @ modes
    assert np.abs(change) == pytest.approx(np.eye(m), abs=1e-10)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("m", [8, 16])
def test_from_the_identity_it_comes_near_the_closed_form_on_white_data_and_never_below(operator, m: int) -> None:
    second, smoothness = white(m), operator(m)
    exact = smoothest(second, smoothness)
    found = optimiser.optimised(second, smoothness, iterations=2000, checkpoints=(10, 100))
    assert found.optimal == pytest.approx(exact.optimal, rel=1e-12)
    assert found.value >= exact.optimal * (1 - 1e-12)
    assert found.excess == pytest.approx(found.value / exact.optimal - 1, abs=1e-12)
    assert found.excess < 1e-3
    assert found.p.T @ found.p == pytest.approx(np.eye(m), abs=1e-13)
    d = smoothness.matrix()
    assert found.value == pytest.approx(np.trace(found.p.T @ d.T @ d @ found.p @ second), rel=1e-9)
    assert [point.iteration for point in found.checkpoints] == [10, 100]
    assert found.checkpoints[0].value > found.checkpoints[1].value >= found.value * (1 - 1e-9)
    assert found.checkpoints[0].excess == pytest.approx(found.checkpoints[0].value / exact.optimal - 1)


def test_starting_at_the_closed_form_it_stays_there() -> None:
    second, smoothness = white(12), operators.forward_difference(12)
    exact = smoothest(second, smoothness)
    found = optimiser.optimised(second, smoothness, start=exact.p, iterations=50)
    assert abs(found.excess) < 1e-10
    assert np.abs(smoothness.modes.T @ found.p @ exact.u) == pytest.approx(np.eye(12), abs=1e-6)


def test_no_steps_give_the_value_of_the_start_itself() -> None:
    second, smoothness = white(9), operators.forward_difference(9)
    start = haar(9, 3)
    d = smoothness.matrix()
    for given in (start, -start, start[::-1]):
        found = optimiser.optimised(second, smoothness, start=given, iterations=0)
        assert found.value == pytest.approx(np.trace(given.T @ d.T @ d @ given @ second), rel=1e-9)
        assert not found.converged
        assert "0 iterations" in found.status


def test_steep_data_leave_it_far_from_the_minimum_and_it_says_so() -> None:
    """Eigenvalues from 1 down to 1e-6, as hidden data have: a few hundred steps are not enough."""
    m = 32
    second = with_eigenvalues(np.logspace(0, -6, m), 0)
    found = optimiser.optimised(second, operators.fourier_second(m), iterations=100)
    assert found.excess > 0.1
    assert not found.converged
    assert "100 iterations" in found.status


def test_what_was_noted_at_the_last_iteration_is_the_value_itself() -> None:
    second, smoothness = white(9), operators.fourier_second(9)
    found = optimiser.optimised(second, smoothness, iterations=7, checkpoints=(7,))
    assert found.checkpoints[0].value == pytest.approx(found.value, rel=1e-9)


def test_a_zero_optimum_has_no_excess() -> None:
    line = np.arange(1.0, 6.0)
    found = optimiser.optimised(np.outer(line, line), operators.of_matrix(np.diff(np.eye(5), axis=0)), iterations=200)
    assert found.optimal == pytest.approx(0, abs=1e-9)
    assert found.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_diagonal_searches_meet_the_best_rotation(seed: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((7, 7))
    best = max_diag_sum_rotation(weight)
    found = optimiser.optimised_diagonal_sum(weight, iterations=3000, checkpoints=(5,))
    assert found.optimal == pytest.approx(best.value, rel=1e-12)
    assert found.value <= best.value * (1 + 1e-12)
    assert found.excess == pytest.approx(0, abs=1e-6)
    assert found.checkpoints[0].value <= found.value
    short = optimiser.optimised_diagonal_sum(weight, iterations=2)
    assert short.excess == pytest.approx(1 - short.value / best.value)
    assert short.excess > 1e-4
    squares = optimiser.optimised_diagonal_normsq(weight, iterations=3000)
    assert squares.value == pytest.approx(np.sum(np.diag(squares.p @ weight) ** 2))
    assert squares.optimal is None
    assert squares.excess is None
    # Signs of rows do not change squares, so rotations reach what orthogonal matrices do.
    assert squares.value <= max_diag_normsq(weight).value * (1 + 1e-9)


def test_bad_input_is_refused_with_its_shape() -> None:
    smoothness = operators.forward_difference(4)
    with pytest.raises(UsageError, match=r"square matrix, got shape \(4, 3\)"):
        optimiser.optimised(np.ones((4, 3)), smoothness)
    with pytest.raises(UsageError, match="operator on 5 neurons"):
        optimiser.optimised(np.eye(5), smoothness)
    with pytest.raises(UsageError, match=r"shape \(4, 4\), got \(3, 3\)"):
        optimiser.optimised(np.eye(4), smoothness, start=np.eye(3))
    with pytest.raises(UsageError, match="orthogonal matrix"):
        optimiser.optimised(np.eye(4), smoothness, start=2 * np.eye(4))
    with pytest.raises(UsageError, match="0 or more"):
        optimiser.optimised(np.eye(4), smoothness, iterations=-1)
    with pytest.raises(UsageError, match="not finite"):
        optimiser.optimised_diagonal_sum(np.full((2, 2), np.nan))
    with pytest.raises(UsageError, match="eigenvalue -1"):
        optimiser.optimised_diagonal_sum(np.eye(3), start=-np.eye(3))


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_squares_that_leave_float64_are_refused(size: float) -> None:
    with pytest.raises(UsageError, match=r"weight \(4, 4\): .*another unit"):
        optimiser.optimised_diagonal_normsq(size * np.eye(4))
