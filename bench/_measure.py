"""Ratios measured side by side: ours and theirs take turns in one process, and the least time of each counts."""

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

Clock = Callable[[], float]  # does the work once and returns what it cost


class Size(Enum):
    """How large the measured problems are."""

    SMOKE = "smoke"  # runs every line in seconds; its ratios mean nothing
    DEFAULT = "default"
    LARGE = "large"  # also the 4096 x 4096 matrices of the targets, minutes more


class NotMeasuredError(Exception):
    """Something a row needs is absent; the text says what."""


@dataclass(frozen=True)
class Ratio:
    """One row of the table.

    Attributes:
        name: What of ours was measured.
        against: What it was measured against.
        limit: The target, or None where there is none.
        value: Ours over theirs; None where it was not measured.
        ours: Seconds, or bytes, of ours.
        theirs: The same of theirs.
        at_least: Whether the ratio should be above the limit, as a speed-up should.
        remark: What a reader must know of it; why it was not measured, where it was not.
        if_missed: Why the target may be missed, shown where it is.
    """

    name: str
    against: str
    limit: float | None
    value: float | None = None
    ours: float | None = None
    theirs: float | None = None
    at_least: bool = False
    remark: str = ""
    if_missed: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was met; None where there is no target or no ratio."""
        if self.value is None or self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**vars(self), "met": self.met}


class Bench(Protocol):
    """What a module in this folder must offer, besides a first docstring line that says what it measures."""

    def rows(self, size: Size, /) -> Iterator[Ratio]:
        """Measure and yield one row after the other."""


def clocked(work: Callable[[], Any]) -> Clock:
    """A clock of wall time around a function."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def least(*clocks: Clock, rounds: int) -> list[float]:
    """The least cost of each clock; they take turns, so that a busy moment of the machine meets all of them.

    Args:
        clocks: Two or more.
        rounds: How often each is run; one run of each before them, which does not count, when there are two rounds or more.
    """
    best = [math.inf] * len(clocks)
    for turn in range(rounds + (rounds > 1)):
        for i in range(len(clocks)) if turn % 2 else reversed(range(len(clocks))):
            cost = clocks[i]()
            if turn or rounds == 1:
                best[i] = min(best[i], cost)
    return best


def compare(name: str, against: str, ours: Clock, theirs: Clock, *, limit: float | None, rounds: int, **words: Any) -> Ratio:
    """Measure two clocks against each other; `words` are the remaining fields of `Ratio`."""
    mine, other = least(ours, theirs, rounds=rounds)
    return Ratio(name, against, limit, mine / other, mine, other, **words)


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
