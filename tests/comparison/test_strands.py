"""Strands: planted births, deaths, crossings and groups through three and more checkpoints."""

from itertools import pairwise

import numpy as np
import pytest

from comparison_cases import frame, modes
from modescope.comparison.matching import Modes, match
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
