"""Matching modes: planted pairs, groups, turned gains, and the share of matches between random modes."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from comparison_cases import frame, modes, rotation
from modescope.comparison.matching import aligned, match

S = np.array([9.0, 7.0, 5.0, 4.0, 2.5, 1.0])


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return frame(40, S.size, rng), frame(30, S.size, rng)


def pairs(found: object) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [(m.before, m.after) for m in found.matches]  # type: ignore[attr-defined]


def test_a_matrix_is_matched_with_itself_mode_by_mode() -> None:
    u, v = planted()
    found = match(modes(S, u, v), modes(S, u, v), modes=6, level=0.01)
    assert pairs(found) == [((i,), (i,)) for i in range(6)]
    assert all(m.overlap == pytest.approx(1) and m.p < 1e-20 and not m.cut for m in found.matches)
    assert found.lost == found.born == ()


def test_signs_are_irrelevant() -> None:
    u, v = planted()
    flips = np.array([1, -1, -1, 1, 1, -1])
    found = match(modes(S, u, v), modes(S, u * flips, v * flips), modes=6, level=0.01)
    assert pairs(found) == [((i,), (i,)) for i in range(6)]
    np.testing.assert_allclose(found.overlaps, np.eye(6), atol=1e-12)


def test_a_gain_that_turned_round_is_another_mode() -> None:
    u, v = planted()
    turned = v * np.array([1, 1, -1, 1, 1, 1])
    found = match(modes(S, u, v), modes(S, u, turned), modes=6, level=0.01)
    assert found.overlaps[2, 2] == pytest.approx(-1)
    assert [lone.mode for lone in found.lost] == [lone.mode for lone in found.born] == [2]


def test_modes_that_swap_their_order_are_matched_crosswise() -> None:
    u, v = planted()
    s = S.copy()
    s[[1, 2]] = 5.5, 6.5
    found = match(modes(S, u, v), modes(s, u, v), modes=6, level=0.01)
    assert pairs(found)[1:3] == [((1,), (2,)), ((2,), (1,))]


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-3])
def test_a_turned_group_is_matched_as_one_with_cosines_one(gap: float) -> None:
    u, v = planted()
    s = S.copy()
    s[2:5] = 4.0 + gap * np.array([1, 0, -1])
    turn = frame(3, 3, np.random.default_rng(10))  # no direction keeps more than three quarters of itself
    assert (turn**2).max() < 0.75
    u2, v2 = u.copy(), v.copy()
    u2[:, 2:5], v2[:, 2:5] = u[:, 2:5] @ turn, v[:, 2:5] @ turn
    found = match(modes(s, u, v), modes(s, u2, v2), modes=6, level=0.01)
    group = next(m for m in found.matches if len(m.before) == 3)
    assert (group.before, group.after) == ((2, 3, 4), (2, 3, 4))
    np.testing.assert_allclose(group.cosines, 1)
    assert group.overlap == pytest.approx(1)
    assert np.abs(np.diag(found.overlaps)[2:5]).min() < 0.9
    assert [m.before for m in found.matches if m is not group] == [(0,), (1,), (5,)]


def test_a_group_that_grew_by_one_is_matched_with_the_larger_one() -> None:
    u, v = planted()
    before, after = S[:5].copy(), S.copy()
    before[2:4] = 4.0
    after[2:5] = 4.0
    turn = frame(3, 3, np.random.default_rng(2))
    u2, v2 = u.copy(), v.copy()
    u2[:, 2:5], v2[:, 2:5] = u[:, 2:5] @ turn, v[:, 2:5] @ turn
    found = match(modes(before, u[:, [0, 1, 2, 3, 5]], v[:, [0, 1, 2, 3, 5]]), modes(after, u2, v2), modes=6, level=0.01)
    group = next(m for m in found.matches if len(m.before) > 1)
    assert (group.before, group.after) == ((2, 3), (2, 3, 4))
    np.testing.assert_allclose(group.cosines, 1)


def test_a_new_mode_is_born_and_a_removed_one_is_lost() -> None:
    u, v = planted()
    found = match(modes(S[:5], u[:, :5], v[:, :5]), modes(S[1:], u[:, 1:], v[:, 1:]), modes=6, level=0.01)
    assert pairs(found) == [((i,), (i - 1,)) for i in range(1, 5)]
    assert [(lone.mode, lone.beyond) for lone in found.lost] == [(0, None)]
    assert [(lone.mode, lone.beyond) for lone in found.born] == [(4, None)]


def test_a_mode_that_leaves_the_window_is_not_called_lost_for_good() -> None:
    u, v = planted()
    s = S.copy()
    s[1] = 0.1
    found = match(modes(S, u, v), modes(s, u, v), modes=3, level=0.01)
    assert [(lone.mode, lone.beyond) for lone in found.lost] == [(1, 5)]
    assert [(lone.mode, lone.beyond) for lone in found.born] == [(2, 3)]


def test_a_group_cut_by_the_window_says_so() -> None:
    u, v = planted()
    s = np.array([9.0, 7.0, 4.0, 4.0, 4.0, 1.0])
    found = match(modes(s, u, v), modes(s, u, v), modes=4, level=0.01)
    assert [(m.before, m.cut) for m in found.matches] == [((0,), False), ((1,), False), ((2, 3), True)]


def test_the_turn_onto_a_group_is_procrustes() -> None:
    rng = np.random.default_rng(8)
    a, b = frame(20, 3, rng), frame(15, 3, rng)
    c, d = frame(20, 3, rng), frame(15, 3, rng)
    turn, cosines = aligned(a.T @ c, b.T @ d)
    expected, scale = orthogonal_procrustes(np.vstack([c, d]), np.vstack([a, b]))
    np.testing.assert_allclose(turn, expected, atol=1e-12)
    assert 2 * cosines.sum() == pytest.approx(scale)


def test_two_modes_turned_by_a_small_angle_keep_their_identity() -> None:
    u, v = planted()
    u2, v2 = u.copy(), v.copy()
    u2[:, :2], v2[:, :2] = u[:, :2] @ rotation(0.3), v[:, :2] @ rotation(0.3)
    found = match(modes(S, u, v), modes(S, u2, v2), modes=6, level=0.01)
    assert pairs(found)[:2] == [((0,), (0,)), ((1,), (1,))]
    assert found.matches[0].overlap == pytest.approx(np.cos(0.3))


def test_random_modes_match_no_more_often_than_their_level() -> None:
    """300 pairs at a level of .1: the count of pairs with any match has mean at most 30 and standard deviation 5."""
    hits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        before, after = (modes(np.linspace(4, 3, 5), frame(25, 5, rng), frame(18, 5, rng)) for _ in range(2))
        hits += bool(match(before, after, modes=5, level=0.1).matches)
    assert hits <= 45


def test_random_modes_that_are_all_degenerate_match_no_more_often_than_their_level() -> None:
    """The law of groups is an approximation: 200 pairs at .2 would give 40 +- 6 hits, were one pair of groups all that is tried."""
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before, after = (modes(np.ones(4), frame(25, 4, rng), frame(18, 4, rng)) for _ in range(2))
        hits += bool(match(before, after, modes=4, level=0.2 * 16).matches)
    assert 15 <= hits <= 65
