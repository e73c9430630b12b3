"""Groups of modes without an identity: where a change couples them, and how far the overlaps take them apart again."""

from itertools import permutations

import numpy as np
import pytest

from comparison_cases import frame, rotation
from modescope.comparison.groups import assign, components, groups, settled


def changed(s: np.ndarray, angle: float, at: int) -> np.ndarray:
    """A diagonal matrix after modes `at` and `at + 1` turned by an angle, in the basis before."""
    q = np.eye(s.size)
    q[at : at + 2, at : at + 2] = rotation(angle)
    return (q * s) @ q.T


def test_modes_that_keep_their_directions_stay_alone_however_their_values_move() -> None:
    s = np.array([5.0, 4.0, 3.0])
    assert groups(s, np.diag([4.0, 5.0, 3.5])) == ((0,), (1,), (2,))


@pytest.mark.parametrize(("gap", "angle", "joined"), [(1e-3, 0.8, True), (1.0, 0.8, True), (1e-3, 0.1, False), (1.0, 0.1, False)])
def test_modes_are_joined_by_how_far_they_may_have_turned_not_by_their_gap(gap: float, angle: float, joined: bool) -> None:
    s = np.array([5.0, 3.0 + gap, 3.0, 1.0])
    assert groups(s, changed(s, angle, 1)) == (((0,), (1, 2), (3,)) if joined else ((0,), (1,), (2,), (3,)))


def test_values_closer_than_rounding_are_one_subspace_without_any_change() -> None:
    s = np.array([2.0, 1.0 + 1e-8, 1.0, 0.5])
    assert groups(s, np.diag(s)) == ((0,), (1, 2), (3,))
    assert groups(np.ones(4), np.eye(4)) == ((0, 1, 2, 3),)
    assert groups(np.empty(0), np.empty((0, 0))) == ()


def test_groups_are_scale_free() -> None:
    s = np.array([5.0, 3.1, 3.0, 1.0])
    for scale in (1e-200, 1e200):
        assert groups(scale * s, scale * changed(s, 0.7, 1)) == groups(s, changed(s, 0.7, 1))


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (4, 6), (6, 4), (6, 6)])
def test_the_assignment_equals_the_best_of_all_permutations(shape: tuple[int, int]) -> None:
    benefit = np.maximum(np.random.default_rng(sum(shape)).standard_normal(shape), 0)
    wide = benefit if shape[0] <= shape[1] else benefit.T
    best = max(sum(wide[i, j] for i, j in enumerate(p)) for p in permutations(range(wide.shape[1]), wide.shape[0]))
    found = assign(benefit)
    assert sum(benefit[i, j] for i, j in found) == pytest.approx(best)
    assert all(benefit[i, j] > 0 for i, j in found)
    assert len({i for i, _ in found}) == len({j for _, j in found}) == len(found)


def test_components_are_those_of_the_links() -> None:
    assert components(6, [(4, 1), (2, 5), (1, 0)]) == ((0, 1, 4), (2, 5), (3,))
    assert components(0, []) == ()


def test_a_group_is_taken_apart_where_its_members_are_found_again() -> None:
    s = np.array([4.0, 3.0, 2.0, 1.0])
    cosines = np.eye(4)
    cosines[2:, 2:] = rotation(0.8)
    whole = ((0, 1, 2, 3),)
    assert settled(whole, whole, cosines, cosines, (s, s)) == (((0,), (1,), (2, 3)), ((0,), (1,), (2, 3)))


def test_members_closer_than_rounding_stay_together_even_if_they_are_found_again() -> None:
    s = np.array([4.0, 2.0, 2.0, 1.0])
    assert settled(((0, 1, 2, 3),), ((0, 1, 2, 3),), np.eye(4), np.eye(4), (s, s)) == (((0,), (1, 2), (3,)),) * 2


def test_single_modes_become_a_group_where_the_other_side_has_one() -> None:
    s = np.array([3.0, 2.0, 1.0])
    cosines = np.eye(3)
    cosines[:2, :2] = rotation(0.8)
    found = settled(((0,), (1,), (2,)), ((0, 1), (2,)), cosines, cosines, (s, s))
    assert found == (((0, 1), (2,)), ((0, 1), (2,)))


def test_every_mode_is_in_one_group_whatever_the_overlaps() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        q = frame(9, 9, rng)
        u, v = q[:6], frame(9, 9, rng)[:6]
        rows, columns = settled(((0, 3), (1, 2, 5), (4,)), ((0, 1, 2, 3), (4,), (5,), (6, 7, 8)), u, v, (np.ones(6), np.ones(9)))
        assert sorted(i for row in rows for i in row) == list(range(6))
        assert sorted(j for column in columns for j in column) == list(range(9))
