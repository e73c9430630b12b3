"""Cutting arrays to what a picture can show."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modescope.pictures import POINTS, drawn, number, numbers, shares, small, spread, thinned


@given(size=st.integers(1, 100_000), limit=st.integers(8, 200))
def test_thinned_indices_are_few_ascending_and_hold_both_ends(size: int, limit: int) -> None:
    at = thinned(size, limit)
    assert len(at) <= limit
    assert (np.diff(at) > 0).all()
    assert at[0] == 0
    assert at[-1] == size - 1


@given(size=st.integers(1, 100_000), limit=st.integers(2, 200))
def test_spread_indices_are_few_ascending_and_as_dense_at_either_end(size: int, limit: int) -> None:
    at = spread(size, limit)
    assert len(at) <= limit
    assert (np.diff(at) > 0).all()
    assert at[0] == 0
    assert at[-1] == size - 1 or limit == 1
    assert np.abs(at + at[::-1] - (size - 1)).max() <= 1


@given(size=st.integers(POINTS + 1, 100_000))
def test_the_largest_values_are_all_kept(size: int) -> None:
    assert thinned(size)[: POINTS // 4].tolist() == list(range(POINTS // 4))


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_a_drawn_number_has_four_digits_or_is_missing(value: float) -> None:
    drawn = number(value)
    if not abs(value) < 1e308:
        assert drawn is None or abs(value) >= 1e308
    else:
        assert drawn is not None
        assert drawn == 0 or abs(drawn - value) <= 0.5e-3 * abs(value) + 5e-324


def test_shares_count_values_outside_in_the_total() -> None:
    assert shares(np.array([0.5, 1.5, 9.0, 9.0]), np.array([0.0, 1.0, 2.0]), 4) == (0.25, 0.25)


def test_what_is_rounding_is_not_drawn() -> None:
    assert drawn(np.array([2.0, 1.0, 1e-9, 0.0])).tolist() == [2.0, 1.0]
    assert small(np.array([1.0, 1e-9])) == (0, None)
    assert small(np.zeros(3)) == (None, None, None)
    assert drawn(np.empty(0)).size == 0


def test_a_small_picture_begins_with_the_largest_value_and_misses_zeros() -> None:
    assert small(np.array([100.0, 1.0, 0.0])) == (2, 0, None)
    assert small(np.empty(0)) == ()
    assert len(small(np.geomspace(1, 1e-3, 5000))) < 64


def test_whole_numbers_are_written_without_a_point() -> None:
    assert str(numbers([1.0, 2.5])) == "(1, 2.5)"
    assert len(str(number(1.5e200))) < 10
