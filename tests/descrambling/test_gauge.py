"""One basis out of many: signs, canonical bases and ties must not depend on the basis they started from."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modescope.descrambling import gauge
from rotation_cases import haar


def test_groups_hold_two_and_more_neighbours_that_are_equal_up_to_rounding() -> None:
    assert gauge.groups(np.array([3.0, 2.0, 1.0])) == ()
    assert gauge.groups(np.array([3.0, 3.0 - 1e-14, 2.0, 1.0, 1.0, 1.0])) == ((0, 2), (3, 6))
    assert gauge.groups(np.array([0.0, 0.0, 1.0])) == ((0, 2),)
    assert gauge.groups(np.array([1.0, 1.0 + 1e-9])) == ()
    assert gauge.groups(np.array([1.0, 1.0 + 1e-9]), relative=1e-8) == ((0, 2),)
    assert gauge.groups(np.zeros(3)) == ((0, 3),)
    many = np.arange(1000.0) / 999
    many[500] = many[501] - 1e-13  # rounding grows with the size of the matrix
    assert gauge.groups(many) == ((500, 502),)
    assert gauge.groups(np.zeros(0)) == ()


def test_the_largest_entry_of_a_row_becomes_positive_and_the_first_one_where_they_tie() -> None:
    rows = np.array([[1.0, -3.0, 2.0], [-1.0, 0.2, 1.0 - 1e-12], [0.0, 0.0, 0.0], [1.0, 0.0, -1.0 - 1e-12]])
    assert gauge.signed(rows).tolist() == [-1, -1, 1, 1]
    assert gauge.signed(np.zeros((2, 0))).tolist() == [1, 1]


@given(m=st.integers(1, 14), g=st.integers(1, 14), seed=st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_a_canonical_basis_depends_on_its_space_only(m: int, g: int, seed: int) -> None:
    g = min(g, m)
    basis, frame = haar(m, seed)[:, :g], haar(m, seed + 1)
    turn = gauge.canonical(basis, frame)
    assert turn.T @ turn == pytest.approx(np.eye(g), abs=1e-12)
    again = basis @ haar(g, seed + 2)
    assert basis @ turn == pytest.approx(again @ gauge.canonical(again, frame), abs=1e-9)


@given(seed=st.integers(0, 10_000), chosen=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_a_space_that_leaves_out_most_of_the_frame_still_gets_a_basis(seed: int, chosen: int) -> None:
    """A space of few frame vectors, and one spread evenly over all: both ends of the threshold."""
    order = np.random.default_rng(seed).permutation(12)[:chosen]
    turn = gauge.canonical(np.eye(12)[:, order], np.eye(12))
    assert np.eye(12)[:, order] @ turn == pytest.approx(np.eye(12)[:, np.sort(order)])
    even = np.full((12, 1), 12**-0.5)
    assert gauge.canonical(even, np.eye(12)).tolist() == [[1.0]]
    assert gauge.canonical(-even, np.eye(12)).tolist() == [[-1.0]]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n=st.integers(1, 20),
    equal=st.booleans(),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=80, deadline=None)
def test_rows_do_not_depend_on_the_basis_inside_a_group_of_any_size(sizes: list[int], n: int, equal: bool, seed: int) -> None:
    m = sum(sizes)
    ends = np.cumsum([0, *sizes])
    ties = tuple((int(a), int(b)) for a, b in pairwise(ends) if b - a > 1)
    weight = haar(max(m, n), seed)[:m, :n] if equal else np.random.default_rng(seed).standard_normal((m, n))
    u, other = haar(m, seed + 1), haar(m, seed + 1)
    for a, b in ties:
        other[:, a:b] = other[:, a:b] @ haar(b - a, seed + 2)
    other = other * np.sign(np.random.default_rng(seed).standard_normal(m))
    one, two = gauge.fixed(u, ties, weight), gauge.fixed(other, ties, weight)
    assert one.T @ one == pytest.approx(np.eye(m), abs=1e-12)
    assert one.T @ weight == pytest.approx(two.T @ weight, abs=1e-7)
    for a, b in ties:
        assert one[:, a:b] @ one[:, a:b].T == pytest.approx(u[:, a:b] @ u[:, a:b].T, abs=1e-12)
        rows = one[:, a:b].T @ weight
        gram = rows @ rows.T
        assert gram == pytest.approx(np.diag(np.diag(gram)), abs=1e-10 * max(1, np.diag(gram).max()))
        assert (np.diff(np.diag(gram)) <= 1e-8).all()


def test_what_is_given_is_not_written_to() -> None:
    u = haar(4, 0)
    kept = u.copy()
    gauge.fixed(u, ((0, 3),), -np.eye(4))
    assert u.tolist() == kept.tolist()


def test_components_without_a_weight_are_seen_as_they_are() -> None:
    u = haar(6, 3)
    for ties in ((), ((1, 4),)):
        assert gauge.fixed(u, ties, None) == pytest.approx(gauge.fixed(u, ties, np.eye(6)), abs=1e-13)


def test_a_tie_before_a_wide_weight_asks_for_no_square_matrix_of_its_width() -> None:
    """Rows of one length as well, so that the basis of their space is looked for among 20 000 axes: 3.2 GB if it were squared."""
    n = 20_000
    weight, u = haar(4, 0) @ np.linalg.qr(np.random.default_rng(0).standard_normal((n, 4)))[0].T, haar(4, 1)
    turned = u.copy()
    turned[:, :3] = u[:, :3] @ haar(3, 2)
    tracemalloc.start()
    one = gauge.fixed(u, ((0, 3),), weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * weight.nbytes
    assert one.T @ weight == pytest.approx(gauge.fixed(turned, ((0, 3),), weight).T @ weight, abs=1e-10)


def test_rows_that_are_almost_gone_in_a_narrow_weight_are_no_group_with_those_that_are() -> None:
    """Lengths 1, 1.5e-9, 0.7e-9 and, for want of a fourth column, 0: neighbours are within the tolerance of lengths."""
    weight = haar(4, 0)[:, :3] * [1, 1.5e-9, 0.7e-9] @ haar(3, 1)
    found = gauge.fixed(np.eye(4), ((0, 4),), weight)
    assert found.T @ found == pytest.approx(np.eye(4), abs=1e-12)
    assert np.linalg.norm(found.T @ weight, axis=1) == pytest.approx([1, 0, 0, 0], abs=2e-9)


def test_signs_are_those_of_the_definition_whether_or_not_both_signs_are_as_large() -> None:
    """Small whole numbers, so that most rows tie; shifted rows have one sign only."""
    drawn = np.random.default_rng(0).integers(-2, 3, (300, 5)).astype(np.float64)
    rows = np.concatenate([drawn, drawn + 7, drawn - 7])
    slow = []
    for row in rows:
        first = next(entry for entry in row if abs(entry) == np.abs(row).max())
        slow.append(-1.0 if first < 0 else 1.0)
    assert gauge.signed(rows).tolist() == slow
