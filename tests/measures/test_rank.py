from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers

from modescope.errors import UsageError
from modescope.measures import rank
from modescope.spectrum import decompose
from spectrum_cases import gaussian, matrix, planted, spectrum, spectrum_of_values, visible, with_values

CHAIN = ("stable", "participation", "energy_effective", "effective")


def test_the_example_of_the_reference_has_its_ranks():
    found = rank.analyze(spectrum_of_values([3, 2, 1, 1], (4, 4)))
    values = [getattr(found, name) for name in CHAIN]
    assert values == pytest.approx([15 / 9, 225 / 99, 2.7733, 3.5860], abs=5e-5)
    p = np.array([9, 4, 1, 1]) / 15
    q = np.array([3, 2, 1, 1]) / 7
    assert found.stable == pytest.approx(15 / 9, rel=1e-14)
    assert found.participation == pytest.approx(225 / 99, rel=1e-14)
    assert found.energy_effective == pytest.approx(np.prod(p**-p), rel=1e-12)
    assert found.effective == pytest.approx(np.prod(q**-q), rel=1e-12)
    assert found.entropy == pytest.approx(-(p * np.log(p)).sum() / np.log(4), rel=1e-12)
    assert (found.numerical, found.nullity, found.energy_rank) == (4, 0, 3)
    assert found.gap == pytest.approx(1.5)
    assert found.condition == pytest.approx(3.0)
    assert found.log_determinant == pytest.approx(np.log(6))
    assert found.mean_log == found.mean_log_numerical == pytest.approx(np.log(6) / 4)


@given(arrays(np.float64, integers(1, 30), elements=floats(0, 1e3, width=32)))
def test_ranks_are_ordered_and_between_one_and_the_number_of_values(s):
    s = np.sort(s)[::-1]
    if s[0] == 0:
        return
    found = rank.analyze(spectrum_of_values(s, (s.size, s.size + 3)))
    chain = [1.0, *(getattr(found, name) for name in CHAIN), float((s > 0).sum())]
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(chain))
    assert 0 <= (found.entropy or 0) <= 1 + 1e-12
    assert 1 <= found.energy_rank <= found.numerical


@pytest.mark.parametrize("c", [1e-6, 1e6, 1e-200, 1e200, -3.0])
def test_ranks_ignore_scale_and_transposition(c):
    a = planted(60, 40, [3 * visible(60, 40)], 0)
    one = rank.analyze(spectrum(a))
    for other in (rank.analyze(spectrum(c * a)), rank.analyze(spectrum(a.T.copy()))):
        for name in (*CHAIN, "entropy", "condition", "gap"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-10)
        assert (other.numerical, other.nullity, other.energy_rank) == (one.numerical, one.nullity, one.energy_rank)
    scaled = rank.analyze(spectrum(c * a))
    assert scaled.tolerance == pytest.approx(abs(c) * one.tolerance, rel=0.5)  # spacing of floats jumps at powers of two
    assert scaled.mean_log == pytest.approx(one.mean_log + np.log(abs(c)), rel=1e-10)


def test_all_effective_ranks_of_an_orthogonal_matrix_are_full():
    found = rank.analyze(spectrum(np.linalg.qr(gaussian(50, 50, 0))[0]))
    assert [getattr(found, name) for name in CHAIN] == pytest.approx([50] * 4, rel=1e-10)
    assert found.entropy == pytest.approx(1, rel=1e-12)
    assert found.log_determinant == pytest.approx(0, abs=1e-10)


def test_the_ranks_of_a_rank_one_matrix_are_one():
    found = rank.analyze(spectrum(np.outer(np.arange(1.0, 9), np.arange(1.0, 6))))
    assert [getattr(found, name) for name in CHAIN] == pytest.approx([1] * 4, abs=1e-5)
    assert (found.numerical, found.nullity) == (1, 4)
    assert found.condition is found.mean_log is found.log_determinant is found.gap is None
    assert found.status == "numerical rank 1 of 5: no condition number, mean logarithm or determinant"


def test_a_zero_matrix_has_no_ratios_and_says_so():
    found = rank.analyze(spectrum(np.zeros((4, 5))))
    assert found == rank.Result(numerical=0, nullity=4, tolerance=0.0, status="zero matrix")


@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("planted_rank", [1, 2, 5, 10, 100])
@pytest.mark.parametrize("shape", [(256, 256), (128, 512)])
def test_a_planted_rank_survives_its_storage(dtype, planted_rank, shape):
    random = np.random.default_rng(planted_rank)
    a = random.standard_normal((shape[0], planted_rank)) @ random.standard_normal((planted_rank, shape[1])) / planted_rank**0.5
    assert rank.analyze(spectrum(a.astype(dtype))).numerical == planted_rank


def test_noise_in_float32_has_full_rank():
    found = rank.analyze(spectrum(gaussian(300, 300, 0).astype(np.float32)))
    assert (found.numerical, found.status) == (300, "ok")


def test_the_log_determinant_is_that_of_lapack():
    a = gaussian(80, 80, 3)
    assert rank.analyze(spectrum(a)).log_determinant == pytest.approx(np.linalg.slogdet(a)[1], abs=1e-10)
    assert rank.analyze(spectrum(a[:, :70])).log_determinant is None


def test_noise_has_the_ranks_of_the_marchenko_pastur_law():
    q, m = 0.5, 600
    found = rank.analyze(spectrum(gaussian(600, 1200, 4)))
    assert found.stable / m == pytest.approx(1 / (1 + np.sqrt(q)) ** 2, abs=0.01)
    assert found.participation / m == pytest.approx(1 / (1 + q), abs=0.003)
    assert found.energy_effective / m == pytest.approx(np.exp(-q / 2), abs=0.003)
    assert 2 * found.mean_log - np.log(1200) == pytest.approx(-1 - (1 - q) / q * np.log(1 - q), abs=0.005)
    assert found.condition == pytest.approx((1 + np.sqrt(q)) / (1 - np.sqrt(q)), rel=0.03)
    assert found.entropy == pytest.approx(1 - q / (2 * np.log(m)), abs=0.001)


def test_energy_rank_is_the_first_that_reaches_the_share():
    s = np.array([2.0, 1.0, 1.0, 1.0, 1.0])  # energies 4, 1, 1, 1, 1 of 8
    ranks = [rank.analyze(spectrum_of_values(s, (5, 5)), energy=share).energy_rank for share in (0.1, 0.5, 0.51, 0.625, 0.9, 1.0)]
    assert ranks == [1, 1, 2, 2, 5, 5]


@pytest.mark.parametrize("energy", [0.0, 1.1, -1.0])
def test_a_share_of_energy_that_is_none_is_refused(energy):
    with pytest.raises(UsageError, match=r"^option rank\.energy: expected a share"):
        rank.analyze(spectrum_of_values([1.0], (1, 1)), energy=energy)


def test_a_partial_spectrum_gives_the_stable_rank_only():
    a = planted(300, 200, [9 * visible(300, 200), 6 * visible(300, 200)], 0)
    partial, full = rank.analyze(decompose(matrix(a), k=3)), rank.analyze(spectrum(a))
    assert partial.stable == pytest.approx(full.stable, rel=1e-9)
    assert partial.gap == pytest.approx(full.gap, rel=1e-9)
    assert partial.numerical is partial.effective is partial.condition is None
    assert "only the 3 largest of 200" in partial.status


def test_a_product_of_low_rank_counts_the_missing_modes_as_null():
    found = rank.analyze(spectrum_of_values([2.0, 1.0], (50, 40)))
    assert (found.numerical, found.nullity) == (2, 38)
    assert found.entropy == pytest.approx((0.8 * np.log(1.25) + 0.2 * np.log(5)) / np.log(40), rel=1e-12)
    assert found.condition is None


def test_ranks_follow_the_values_of_a_matrix_made_from_them():
    s = np.geomspace(1, 1e-3, 20)
    one, other = rank.analyze(spectrum(with_values(s, 40, 30))), rank.analyze(spectrum_of_values(s, (40, 30)))
    for name in CHAIN:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)
    assert one.numerical == 20
