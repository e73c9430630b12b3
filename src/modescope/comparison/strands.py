"""Strands: modes followed through checkpoints in order, with their births, deaths and crossings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modescope.comparison.matching import Match, Matching
from modescope.svd import Values


@dataclass(frozen=True)
class Strand:
    """One mode through time.

    Attributes:
        start: First checkpoint it is seen in.
        modes: Its place in each checkpoint from `start` on, counted from 0.
        values: Its singular value there.
        overlaps: Of each step with the next, one fewer than `modes`.
        grouped: Steps that it took inside a near-degenerate group: which member it is then is arbitrary, its value is not.
        begin: "" for the first checkpoint, "birth", "entered": it comes from beyond the modes that were looked at, or "unclear":
            it is a mixture of earlier modes, and not new.
        end: "" for the last checkpoint, "death", "left": it goes on beyond the modes that were looked at, or "unclear".
    """

    start: int
    modes: tuple[int, ...]
    values: tuple[float, ...]
    overlaps: tuple[float, ...]
    grouped: tuple[int, ...]
    begin: str
    end: str

    @property
    def stop(self) -> int:
        """Checkpoint after the last one it is seen in."""
        return self.start + len(self.modes)


@dataclass(frozen=True)
class Crossing:
    """Two strands that change places: the checkpoint before, and the strands by their number, first the one that was ahead."""

    step: int
    strands: tuple[int, int]


def strands(steps: Sequence[Matching], s: Sequence[Values]) -> tuple[Strand, ...]:
    """Chain matches.

    Args:
        steps: Matching of each checkpoint with the next.
        s: Singular values of the modes looked at in each checkpoint, one sequence more.

    Returns:
        Strands in order of their first checkpoint and place. Members of a matched group go on in their order; where the groups
        differ in size, those that have least in common with the other group end or begin there.
    """
    open_: dict[int, _Growing] = {i: _Growing(0, "", [i]) for i in range(s[0].size)}
    every = list(open_.values())
    for step, matching in enumerate(steps):
        after: dict[int, _Growing] = {}
        for match in matching.matches:
            for i, j in zip(*_paired(match, matching.overlaps), strict=True):
                strand = open_[i]
                strand.modes.append(j)
                strand.overlaps.append(match.overlap)
                if len(match.before) > 1 or len(match.after) > 1:
                    strand.grouped.append(step)
                after[j] = strand
        cut = [match for match in matching.matches if match.cut]  # a part of such a group lies beyond the modes looked at
        beyond = {lone.mode for lone in matching.lost if lone.beyond is not None} | {mode for match in cut for mode in match.before}
        unclear = tuple({lone.mode for lone in side if lone.unclear} for side in (matching.lost, matching.born))
        kept = set(after.values())
        for i, strand in open_.items():
            if strand not in kept:
                strand.end = "left" if i in beyond else "unclear" if i in unclear[0] else "death"
        entered = {lone.mode for lone in matching.born if lone.beyond is not None} | {mode for match in cut for mode in match.after}
        for j in range(s[step + 1].size):
            if j not in after:
                after[j] = _Growing(step + 1, "entered" if j in entered else "unclear" if j in unclear[1] else "birth", [j])
                every.append(after[j])
        open_ = after
    return tuple(strand.done(s) for strand in every)


def crossings(found: Sequence[Strand], steps: int) -> tuple[Crossing, ...]:
    """Pairs of strands whose order differs between two checkpoints; members of one group go on in their order and do not cross."""
    crossed = []
    for step in range(steps):
        here = sorted(
            (strand.modes[step - strand.start], strand.modes[step - strand.start + 1], number)
            for number, strand in enumerate(found)
            if strand.start <= step and step + 1 < strand.stop
        )
        crossed += [
            Crossing(step, (first, second))
            for place, (_, j, first) in enumerate(here)
            for _, moved, second in here[place + 1 :]
            if moved < j
        ]
    return tuple(crossed)


def _paired(match: Match, overlaps: Values) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """As many members of either group, in their order: of the larger one those that have most in common with the other."""
    signed = overlaps[np.ix_(match.before, match.after)]
    products, count = signed * np.abs(signed), min(signed.shape)
    return (
        tuple(match.before[i] for i in sorted(np.argsort(-products.sum(axis=1), kind="stable")[:count])),
        tuple(match.after[j] for j in sorted(np.argsort(-products.sum(axis=0), kind="stable")[:count])),
    )


class _Growing:
    """A strand whose end is not known yet."""

    def __init__(self, start: int, begin: str, modes: list[int]) -> None:
        self.start, self.begin, self.modes, self.end = start, begin, modes, ""
        self.overlaps: list[float] = []
        self.grouped: list[int] = []

    def done(self, s: Sequence[Values]) -> Strand:
        values = tuple(float(s[self.start + step][mode]) for step, mode in enumerate(self.modes))
        return Strand(self.start, tuple(self.modes), values, tuple(self.overlaps), tuple(self.grouped), self.begin, self.end)
