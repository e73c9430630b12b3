"""Strands: planted births, deaths, crossings and groups through three and more checkpoints."""

from itertools import pairwise

import numpy as np
import pytest

from comparison_cases import frame, modes, planted_rank_one, svd
from modescope.comparison.matching import Lone, Match, Matching, Modes, match
from modescope.comparison.strands import Crossing, Strand, crossings, strands

RNG = np.random.default_rng(5)
U, V = frame(40, 8, RNG), frame(30, 8, RNG)


def followed(*checkpoints: dict[int, float], window: int = 8) -> tuple[tuple[Strand, ...], tuple[Crossing, ...]]:
    """Strands through checkpoints that give each direction its singular value."""
    found: list[Modes] = [modes(np.array(list(values.values())), U[:, list(values)], V[:, list(values)]) for values in checkpoints]
    steps = [match(a, b, modes=window, level=0.01) for a, b in pairwise(found)]
    chained = strands(steps, [m.s[:window] for m in found])
    return chained, crossings(chained, len(steps))


def test_modes_that_stay_are_unbroken_strands() -> None:
    found, crossed = followed(*[{0: 5.0, 1: 3.0 + 0.2 * t, 2: 1.0} for t in range(4)])
    assert [strand.modes for strand in found] == [(0,) * 4, (1,) * 4, (2,) * 4]
    assert found[1].values == pytest.approx((3.0, 3.2, 3.4, 3.6))
    assert all(strand.begin == strand.end == "" and strand.grouped == () for strand in found)
    assert crossed == ()


def test_two_modes_that_swap_their_order_are_one_crossing_of_two_unbroken_strands() -> None:
    found, crossed = followed({0: 5.0, 1: 3.0, 2: 1.0}, {0: 4.5, 1: 4.0, 2: 1.0}, {0: 3.5, 1: 4.8, 2: 1.0})
    assert [strand.modes for strand in found] == [(0, 0, 1), (1, 1, 0), (2, 2, 2)]
    assert crossed == (Crossing(1, (0, 1)),)


def test_a_mode_that_passes_two_others_crosses_both() -> None:
    _, crossed = followed({0: 5.0, 1: 4.0, 2: 1.0}, {0: 5.0, 1: 4.0, 2: 6.0})
    assert crossed == (Crossing(0, (0, 2)), Crossing(0, (1, 2)))


def test_births_and_deaths_are_seen_where_they_happen() -> None:
    found, crossed = followed({0: 5.0, 1: 3.0}, {0: 5.0, 1: 3.0, 2: 4.0}, {0: 5.0, 2: 4.5})
    assert [(strand.start, strand.stop, strand.begin, strand.end) for strand in found] == [
        (0, 3, "", ""),
        (0, 2, "", "death"),
        (1, 3, "birth", ""),
    ]
    assert crossed == ()


def test_modes_that_leave_or_enter_the_window_do_not_die_and_are_not_born() -> None:
    found, _ = followed({0: 5.0, 1: 3.0, 2: 1.0}, {0: 5.0, 1: 0.5, 2: 1.0}, window=2)
    assert [(strand.begin, strand.end) for strand in found] == [("", ""), ("", "left"), ("entered", "")]


def test_degenerate_modes_go_on_in_their_order_and_do_not_cross() -> None:
    same = {0: 5.0, 1: 3.0, 2: 3.0, 3: 1.0}
    found, crossed = followed(same, dict(reversed(same.items())), same)
    assert [strand.modes for strand in found] == [(0,) * 3, (1,) * 3, (2,) * 3, (3,) * 3]
    assert [strand.grouped for strand in found] == [(), (0, 1), (0, 1), ()]
    assert crossed == ()


def test_every_mode_of_every_checkpoint_is_on_one_strand() -> None:
    rng = np.random.default_rng(0)
    checkpoints = [{int(i): float(rng.uniform(1, 9)) for i in rng.choice(8, rng.integers(3, 8), replace=False)} for _ in range(6)]
    found, _ = followed(*checkpoints)
    for t, values in enumerate(checkpoints):
        here = sorted(strand.modes[t - strand.start] for strand in found if strand.start <= t < strand.stop)
        assert here == list(range(len(values)))
        for strand in found:
            if strand.start <= t < strand.stop:
                assert strand.values[t - strand.start] == sorted(values.values(), reverse=True)[strand.modes[t - strand.start]]


def test_no_earlier_mode_is_drawn_as_becoming_a_new_one() -> None:
    w, after = planted_rank_one((256, 192), 2.5, 1)
    found = strands([match(svd(w), svd(after), modes=32, level=0.01)], [svd(x).s[:32] for x in (w, after)])
    first = next(strand for strand in found if strand.start + len(strand.modes) == 2 and strand.modes[-1] == 0)
    assert (first.begin, first.modes) == ("birth", (0,))
    assert sum(strand.begin == "birth" for strand in found) == 1


def test_the_spare_member_of_a_group_is_the_one_with_least_in_common() -> None:
    """Modes 1 to 3 are a group; the later group of two holds all of mode 3 and most of mode 1."""
    overlaps = np.zeros((5, 4))
    overlaps[[0, 4], [0, 3]] = 1
    overlaps[1:4, 1:3] = [[0.9, 0.2], [0.4, 0.3], [0.2, 0.95]]
    one = Match((0,), (0,), 1, 1, 1, (), 0, 0, cut=False)
    group = Match((1, 2, 3), (1, 2), 0.9, 0.9, 0.9, (0.95, 0.9), 0, 0, cut=False)
    last = Match((4,), (3,), 1, 1, 1, (), 0, 0, cut=False)
    matching = Matching((one, group, last), (), (), overlaps, 0.5, 0.01)
    found = strands([matching], [np.arange(5.0, 0, -1), np.arange(4.0, 0, -1)])
    assert [(strand.modes, strand.end) for strand in found] == [
        ((0, 0), ""),
        ((1, 1), ""),
        ((2,), "death"),
        ((3, 2), ""),
        ((4, 3), ""),
    ]


def test_what_cannot_be_told_is_neither_a_birth_nor_a_death() -> None:
    lone = (Lone(0, None, unclear=True),)
    found = strands([Matching((), lone, lone, np.ones((1, 1)), np.inf, 0.01)], [np.ones(1), np.ones(1)])
    assert [(strand.begin, strand.end) for strand in found] == [("", "unclear"), ("unclear", "")]
