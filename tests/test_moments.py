"""Moments: any chunking and any grouping give what the stacked samples give, and bad samples are named."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modescope import moments
from modescope.errors import UsageError
from modescope.moments import Moments

RNG = np.random.default_rng(7)


def stacked(samples):
    """Mean, uncentred and centred second moment as the textbook states them, in extended precision."""
    x = np.asarray(samples).astype(np.longdouble)
    mean = x.sum(0) / len(x)
    second = x.T @ x / len(x)
    return mean.astype(np.float64), second.astype(np.float64), (second - np.outer(mean, mean)).astype(np.float64)


def assert_same(one: Moments, other: Moments, rtol=1e-12):
    assert one.count == other.count
    scale = np.abs(other.mean).max() + np.sqrt(np.diag(other.scatter).max() / other.count)
    np.testing.assert_allclose(one.mean, other.mean, rtol=0, atol=rtol * scale)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=0, atol=rtol * max(np.abs(other.scatter).max(), 1e-300))


@settings(max_examples=40, deadline=None)
@given(
    heights=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    n=st.integers(1, 9),
    offset=st.sampled_from([0.0, 3.0, -1e4]),
    seed=st.integers(0, 2**31),
)
def test_any_chunking_gives_the_moments_of_the_stacked_samples(heights, n, offset, seed):
    x = np.random.default_rng(seed).standard_normal((sum(heights), n)) + offset
    chunks = np.split(x, np.cumsum(heights)[:-1])
    found = moments.streamed(iter(chunks))
    mean, second, covariance = stacked(x)
    size = 1 + abs(offset)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, mean, rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(found.second, second, rtol=0, atol=1e-12 * size**2)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-12 * size)
    assert_same(found, moments.of(x))


def test_merging_is_associative_and_commutative():
    parts = [moments.of(RNG.standard_normal((k, 6)) * s + m) for k, s, m in [(1, 1, 0), (50, 2, 5), (300, 0.1, -7), (7, 9, 1)]]
    a, b, c, d = parts
    whole = moments.merged(parts)
    for grouping in (
        [moments.merged([a, b]), moments.merged([c, d])],
        [a, moments.merged([b, moments.merged([c, d])])],
        [d, c, b, a],
    ):
        assert_same(moments.merged(grouping), whole)


def test_counts_weigh_the_parts():
    found = moments.merged([moments.of(np.zeros((3, 1))), moments.of(np.ones((1, 1)))])
    assert found.count == 4
    assert found.mean[0] == 0.25
    assert found.scatter[0, 0] == 0.75


def test_a_mean_far_from_zero_costs_no_digits_of_the_covariance():
    x = RNG.standard_normal((4000, 3))
    shifted = moments.streamed(np.array_split(x + 2.0**27, 13))  # x squared and summed would keep none of them
    np.testing.assert_allclose(shifted.covariance, moments.of((x + 2.0**27) - 2.0**27).covariance, atol=1e-10)


def test_constant_samples_scatter_by_exactly_nothing():
    assert not moments.streamed([np.full((1000, 4), 0.1), np.full((77, 4), 0.1)]).scatter.any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16, np.float64, np.int32, np.uint8, np.bool_])
def test_narrow_samples_are_widened_before_they_are_squared(dtype):
    x = (RNG.standard_normal((500, 5)) * 40 + 90).astype(dtype)
    assert_same(moments.of(x), moments.of(x.astype(np.float64)))


def test_rows_beyond_one_block_are_all_counted(monkeypatch):
    x = RNG.standard_normal((103, 4))
    whole = moments.of(x)
    monkeypatch.setattr(moments, "ENTRIES", 40)
    assert_same(moments.of(x), whole)
    monkeypatch.setattr(moments, "ENTRIES", 1)  # fewer than one row
    assert_same(moments.of(x), whole)


def test_scatter_is_symmetric_to_the_bit_and_nothing_can_be_written():
    found = moments.streamed(np.array_split(RNG.standard_normal((500, 30)), 7))
    assert np.array_equal(found.scatter, found.scatter.T)
    for array in (found.mean, found.scatter):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_later_samples_do_not_move_what_was_given_out():
    running = moments.Running()
    running.add(np.eye(3))
    early = running.value()
    before = early.scatter.copy()
    running.add(np.ones((5, 3)))
    assert np.array_equal(early.scatter, before)
    assert running.value().count == 8


def test_memory_is_that_of_the_matrix_and_one_block_however_many_samples_come():
    n, chunk = 64, np.ones((4096, 64), np.float32)
    moments.of(chunk)
    peaks = []
    for chunks in (4, 40):
        tracemalloc.start()
        moments.streamed(chunk for _ in range(chunks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 3 * chunk.size * 8 + 10 * n * n * 8


def test_a_tall_array_is_widened_a_block_at_a_time():
    tall = np.ones((1 << 18, 32), np.float32)
    tracemalloc.start()
    moments.of(tall)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < tall.nbytes  # in float64 at once it would be twice that


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "at least one sample"),
        ([np.zeros((0, 3))], "at least one sample"),
        ([np.zeros(3)], r"chunk 0 of shape \(N, n\).*got \(3,\); a single sample is samples\[None\]"),
        ([np.zeros((2, 3, 4))], r"got \(2, 3, 4\); one sample per row"),
        ([np.zeros((2, 0))], r"got \(2, 0\)"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "3 numbers as before, got 4 in chunk 1"),
        ([np.zeros((2, 3)), np.array([[1, np.nan, np.inf]])], r"finite chunk 1 of shape \(1, 3\), got 2 non-finite entries"),
        ([np.full((2, 3), [[1e200], [-1e200]])], "squares overflow"),
        ([np.full((2, 3), 1e200), np.full((2, 3), -1e200)], r"finite scatter of shape \(3, 3\), got 9 non-finite"),
        ([np.full((2, 3), 1e200)], r"mean \(3,\) whose squares float64 can hold, got 1.0e\+200"),
        ([np.zeros((2, 3), complex)], r"shape \(2, 3\) to be real numbers, got complex128"),
        ([np.array([["a", "b"]])], "real"),
        ([np.zeros((2, 3), "V4")], "real"),
        ([[[1, 2], [3]]], "real matrix"),
    ],
)
def test_bad_samples_are_refused_by_name_and_shape(chunks, message):
    with pytest.raises(UsageError, match=message):
        moments.streamed(chunks)


def test_no_parts_and_parts_that_differ_in_size_are_refused():
    with pytest.raises(UsageError, match="at least one sample"):
        moments.merged([])
    with pytest.raises(UsageError, match="5 numbers as before, got 6 in part 1"):
        moments.merged([moments.of(np.ones((2, 5))), moments.of(np.ones((2, 6)))])


@pytest.mark.parametrize(
    ("count", "mean", "scatter"),
    [
        (0, np.zeros(2), np.eye(2)),
        (3, np.zeros((2, 1)), np.eye(2)),
        (3, np.zeros(2), np.eye(3)),
        (3, np.zeros(0), np.zeros((0, 0))),
        (3, np.array([0, np.nan]), np.eye(2)),
        (3, np.zeros(2), np.full((2, 2), np.inf)),
        (3, np.array([0, 1e160]), np.eye(2)),
    ],
)
def test_moments_that_do_not_fit_together_cannot_be_made(count, mean, scatter):
    with pytest.raises(UsageError, match="moments: expected"):
        Moments(count, mean, scatter)
