"""Matching modes: planted pairs, groups, turned gains, and the share of matches between random modes."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from comparison_cases import frame, modes, noise, planted_rank_one, rotation, svd
from modescope.comparison.matching import Modes, _p, aligned, match, unchanged

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
    """200 pairs at .2 would give 40 +- 6 hits, were one pair of groups all that is tried and nothing taken out of it."""
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        before, after = (modes(np.ones(4), frame(25, 4, rng), frame(18, 4, rng)) for _ in range(2))
        hits += bool(match(before, after, modes=4, level=0.2 * 16).matches)
    assert hits <= 65


@pytest.mark.parametrize("gaussian", [True, False], ids=["noise", "separated"])
@pytest.mark.parametrize("side", [0, 1])
def test_one_side_alone_that_stayed_is_no_match(gaussian: bool, side: int) -> None:
    """Rows or columns in other places: the directions of the one side are the same to the last digit, those of the other random."""
    rng = np.random.default_rng(side)
    w = noise((256, 192), 3) if gaussian else (frame(256, 192, rng) * 2.0 ** (-np.arange(192) / 3)) @ frame(192, 192, rng).T
    found = match(svd(w), svd(rng.permutation(w, axis=side)), modes=32, level=0.01)
    assert found.matches == ()
    assert len(found.lost) == len(found.born) == 32


def test_one_exact_side_matches_no_more_often_than_the_level() -> None:
    """Output directions drawn anew, input directions kept: 200 pairs at .1, of mean 20 at most and standard deviation 4."""
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        v = frame(24, 5, rng)
        before, after = (modes(np.linspace(4, 3, 5), frame(20, 5, rng), v) for _ in range(2))
        hits += bool(match(before, after, modes=5, level=0.1).matches)
    assert hits <= 33


@pytest.mark.parametrize("swapped", [False, True])
def test_a_group_with_one_exact_side_has_the_p_of_the_other(swapped: bool) -> None:
    """400 draws: a share of .05 has a standard error of .011; the exact side alone would put a third of them below."""
    group, exact = (0, 1, 2), np.eye(3)
    low = 0
    for seed in range(400):
        u = frame(12, 3, np.random.default_rng(seed))[:3]
        low += (_p(exact, u, group, group, (200, 12)) if swapped else _p(u, exact, group, group, (12, 200))) < 0.05
    assert 4 <= low <= 38


@pytest.mark.parametrize(("shape", "strength"), [((256, 192), 2.0), ((128, 128), 2.5), ((128, 64), 3.0)])
def test_a_new_mode_is_not_swallowed_by_a_group(shape: tuple[int, int], strength: float) -> None:
    """It turns the modes that were there into each other, and shares a little with each of them; still it is new."""
    born = 0
    for seed in range(15):
        found = match(*map(svd, planted_rank_one(shape, strength, seed)), modes=32, level=0.01)
        born += any(lone.mode == 0 and lone.beyond is None and not lone.unclear for lone in found.born)
        assert sum(m.kept for m in found.matches) <= 31
    assert born >= 13


@pytest.mark.parametrize(("shape", "sigma"), [((256, 192), 0.02), ((96, 96), 0.06), ((64, 20), 0.02)])
def test_small_noise_brings_no_births_and_no_deaths(shape: tuple[int, int], sigma: float) -> None:
    false = 0
    for seed in range(15):
        w = noise(shape, seed)
        found = match(svd(w), svd(w + noise(shape, seed + 99, sigma)), modes=32, level=0.01)
        false += any(lone.beyond is None and not lone.unclear for lone in (*found.lost, *found.born))
        assert sum(m.kept for m in found.matches) >= min(32, shape[1]) - 4
    assert false <= 1


@pytest.mark.parametrize("sigma", [1e-7, 1e-4, 1e-3])
@pytest.mark.parametrize("n", [64, 128])
def test_an_orthogonal_matrix_that_hardly_changed_has_no_births_and_no_deaths(n: int, sigma: float) -> None:
    """All gains are equal: any mode is a mixture of all earlier ones, of which 16 are looked at."""
    w = frame(n, n, np.random.default_rng(n))
    found = match(svd(w), svd(w + noise(w.shape, 1, sigma)), modes=16, level=0.01)
    assert all(lone.beyond is not None and lone.beyond >= 16 for lone in (*found.lost, *found.born))


def test_random_modes_are_not_said_to_go_on_beyond_more_often_than_the_level() -> None:
    """60 pairs of 32 modes among 128 at a level of .2: 12 at most, standard deviation 3."""
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        before, after = (Modes(np.linspace(10, 1, 128), frame(128, 128, rng), frame(128, 128, rng)) for _ in range(2))
        found = match(before, after, modes=32, level=0.2)
        hits += any(lone.beyond is not None for lone in (*found.lost, *found.born))
    assert hits <= 21


def test_spaces_too_small_for_a_match_say_neither_birth_nor_death() -> None:
    one = Modes(np.ones(1), np.ones((1, 1)), np.ones((1, 1)))
    found = match(one, one, modes=1, level=0.01)
    assert (found.matches, found.threshold) == ((), np.inf)
    assert [lone.unclear for lone in (*found.lost, *found.born)] == [True, True]
    same = unchanged(one, modes=1, level=0.01)
    assert (pairs(same), same.lost, same.born) == ([((0,), (0,))], (), ())


def test_what_is_kept_are_dimensions_with_a_cosine_that_stands_for_something() -> None:
    """Two of three close modes go on, turned into each other; the third gives way to a new direction."""
    rng = np.random.default_rng(0)
    u, v = frame(200, 7, rng), frame(180, 7, rng)
    s = np.array([9.0, 5.0, 5.0, 5.0, 2.0])
    u2, v2 = (np.column_stack([x[:, 0], x[:, [1, 2, 5]] @ frame(3, 3, np.random.default_rng(4)), x[:, 4]]) for x in (u, v))
    found = match(modes(s, u[:, :5], v[:, :5]), modes(s, u2, v2), modes=5, level=0.01)
    group = next(m for m in found.matches if len(m.before) == 3)
    np.testing.assert_allclose(group.cosines, [1, 1, 0], atol=1e-9)
    assert group.kept == 2
