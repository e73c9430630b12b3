import numpy as np
import pytest

from modescope.laws.fixed_aspect import eigenvalues, upper_half_exponent
from tail_cases import pareto


def gaussian(rows, columns, seed):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def test_pooled_values_are_those_of_every_window():
    w = gaussian(20, 31, 0)
    starts = [(i, j) for i in (0, 5, 10) for j in (0, 10, 21)]  # 21 / 2 rounds to even
    windows = [np.linalg.svd(w[i : i + 10, j : j + 10], compute_uv=False) ** 2 for i, j in starts]
    np.testing.assert_allclose(eigenvalues(w, 3), np.sort(np.concatenate(windows)), rtol=1e-9, atol=1e-12)


def test_windows_reach_both_ends_of_both_sides():
    w = np.zeros((12, 40))
    w[0, 0], w[-1, -1], w[0, -1], w[-1, 0] = 1.0, 2.0, 3.0, 4.0
    np.testing.assert_allclose(eigenvalues(w, 2)[-4:], [1, 4, 9, 16])


def test_transposition_changes_nothing():
    w = gaussian(16, 50, 1)
    np.testing.assert_allclose(eigenvalues(w, 4), eigenvalues(w.T, 4), atol=1e-10)


def test_exponent_above_the_median_equals_its_formula():
    values = np.sort(pareto(1001, 2.5, 2))
    tail = values[500:]
    assert upper_half_exponent(values) == pytest.approx(1 + tail.size / np.sum(np.log(tail / tail[0])), rel=1e-13)


def test_exponent_of_pareto_values_is_the_planted_one():
    assert upper_half_exponent(np.sort(pareto(20_000, 3.0, 3))) == pytest.approx(3.0, abs=4 * 2 / np.sqrt(10_000))


def test_noise_of_any_shape_has_one_exponent_in_windows_and_many_without():
    shapes = [(128, 128), (128, 256), (128, 768)]
    inside = [upper_half_exponent(eigenvalues(gaussian(*shape, 4), 5)) for shape in shapes]
    whole = [upper_half_exponent(np.linalg.svd(gaussian(*shape, 4), compute_uv=False)[::-1] ** 2) for shape in shapes]
    assert max(inside) / min(inside) < 1.1
    assert max(whole) / min(whole) > 1.5


@pytest.mark.parametrize("values", [np.ones(50), np.arange(1.0, 20.0), np.concatenate([np.zeros(30), np.arange(1.0, 21.0)])])
def test_flat_few_or_half_zero_values_have_no_exponent(values):
    assert upper_half_exponent(values) is None
