"""One sweep over the entries against NumPy on the whole array."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modescope.entries import CHUNK, survey
from modescope.matrix import Array

DTYPES = ["float64", "float32", "float16", ml_dtypes.bfloat16]
SHAPES = [(1, 1), (1, 7), (9, 1), (64, 33), (300, 500), (3, CHUNK + 5), (CHUNK // 2 + 3, 3)]


def ulp(a: Array) -> Array:
    """Spacing of the stored dtype at every entry, as its definition reads."""
    info = ml_dtypes.finfo(a.dtype)
    x = np.abs(a.astype(np.float64))
    exponent = np.floor(np.log2(np.maximum(x, float(info.smallest_normal))))
    return 2.0**exponent * float(info.eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_sweep_gives_the_moments_of_the_whole_array(dtype: str, shape: tuple[int, int], order: str) -> None:
    rng = np.random.default_rng(3)
    a = np.array((rng.standard_t(5, shape) * 0.04 + 0.1).astype(dtype), order=order)  # type: ignore[call-overload]
    d = a.astype(np.float64)
    found = survey(a)
    assert (found.count, found.finite) == (a.size, a.size)
    assert found.mean == pytest.approx(d.mean(), rel=1e-12)
    assert found.std == pytest.approx(d.std(), rel=1e-9, abs=1e-12)
    assert found.extreme == pytest.approx(np.abs(d - d.mean()).max(), rel=1e-9, abs=1e-12)
    if a.size > 1:
        assert found.kurtosis == pytest.approx(((d - d.mean()) ** 4).mean() / d.var() ** 2 - 3, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rounding_is_the_bound_on_the_norm_of_the_storage_error(dtype: str) -> None:
    a = (np.random.default_rng(0).standard_normal((120, 80)) * 1e-4).astype(dtype)
    d = ulp(a) ** 2 / 12
    bound = np.sqrt(d.sum(axis=1)).max() + np.sqrt(d.sum(axis=0)).max()
    assert survey(a).rounding == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float16", ml_dtypes.bfloat16], ids=str)
def test_rounding_covers_the_error_that_storing_makes(dtype: str) -> None:
    exact = np.random.default_rng(1).standard_normal((256, 200)) * 0.05
    stored = exact.astype(dtype)
    error = np.linalg.norm(stored.astype(np.float64) - exact, 2)
    assert 0.3 * survey(stored).rounding < error < survey(stored).rounding


def test_empty_rows_and_columns_are_counted() -> None:
    a = np.random.default_rng(0).standard_normal((50, 70)).astype(np.float32)
    a[[3, 9, 49]] = 0
    a[:, 0] = 0
    assert (survey(a).zero_rows, survey(a).zero_columns) == (3, 1)
    assert (survey(a.T).zero_rows, survey(a.T).zero_columns) == (1, 3)


@pytest.mark.parametrize(("bad", "left"), [(np.nan, 1), (np.inf, 1), (-np.inf, 1)])
def test_entries_that_are_not_finite_are_counted(bad: float, left: int) -> None:
    a = np.ones((40, 30), np.float32)
    a[5, 6] = bad
    assert survey(a).count - survey(a).finite == left


def test_opposite_infinities_are_two_entries() -> None:
    a = np.ones((40, 30))
    a[0, 0], a[1, 1] = np.inf, -np.inf
    assert survey(a).finite == a.size - 2


@given(c=st.sampled_from([1e-200, 1e-6, 1.0, 1e6, 1e200]), shift=st.sampled_from([0.0, 3.0]))
def test_moments_scale_with_the_entries(c: float, shift: float) -> None:
    a = np.random.default_rng(7).standard_normal((60, 50)) + shift
    one, scaled = survey(a), survey(a * c)
    assert scaled.mean == pytest.approx(c * one.mean, rel=1e-11)
    assert scaled.std == pytest.approx(c * one.std, rel=1e-11)
    assert scaled.extreme == pytest.approx(c * one.extreme, rel=1e-11)
    assert scaled.kurtosis == pytest.approx(one.kurtosis, abs=1e-10)
    assert 0.49 < scaled.rounding / (c * one.rounding) < 2.01  # a factor that is no power of two moves entries across binades


def test_a_large_shift_costs_no_digits_of_the_spread() -> None:
    noise = np.random.default_rng(0).standard_normal((200, 300))
    assert survey(noise + 1e6).std == pytest.approx(noise.std(), rel=1e-6)


def test_all_equal_entries_have_no_spread_and_no_kurtosis() -> None:
    found = survey(np.full((30, 20), 0.1, np.float32))
    assert (found.std, found.kurtosis) == (0.0, 0.0)
    assert found.mean == pytest.approx(0.1, rel=1e-6)


def test_entries_are_never_written() -> None:
    a = np.random.default_rng(0).standard_normal((30, 20))
    before = a.copy()
    a.flags.writeable = False
    survey(a)
    assert np.array_equal(a, before)
