import numpy as np
import pytest

from modescope.laws import wishart
from spectrum_cases import gaussian


def test_draws_without_a_matrix_have_the_means_of_dense_draws():
    random = np.random.default_rng(0)
    drawn = np.array([wishart.sample(96, 48, random) for _ in range(400)])
    dense = np.array([np.linalg.svd(gaussian(96, 48, seed), compute_uv=False)[::-1] ** 2 for seed in range(400)])
    for at in (0, 24, 47):
        error = np.hypot(drawn[:, at].std(), dense[:, at].std()) / np.sqrt(400)
        assert abs(drawn[:, at].mean() - dense[:, at].mean()) <= 3 * error
        assert drawn[:, at].std() == pytest.approx(dense[:, at].std(), rel=0.15)  # 400 draws: sd of the ratio 5 %


def test_eigenvalues_ascend_are_not_negative_and_sum_to_the_energy():
    random = np.random.default_rng(1)
    values = np.array([wishart.sample(50, 50, random) for _ in range(200)])
    assert (np.diff(values, axis=1) >= 0).all()
    assert (values >= 0).all()
    assert values.sum(axis=1).mean() == pytest.approx(2500, rel=4 * np.sqrt(2 / 2500 / 200))


def test_one_row_has_a_chi_square():
    random = np.random.default_rng(2)
    values = np.array([wishart.sample(30, 1, random)[0] for _ in range(2000)])
    assert values.mean() == pytest.approx(30, abs=4 * np.sqrt(60 / 2000))


def test_a_seed_fixes_the_draw():
    first, second = (wishart.sample(40, 30, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


def test_swapped_sides_are_refused():
    with pytest.raises(ValueError, match="Swap them"):
        wishart.sample(3, 4, np.random.default_rng(0))
