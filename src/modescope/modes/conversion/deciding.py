"""The rules by which a layer gets its number of modes, each as one function of the layer and its errors."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from modescope.errors import UsageError
from modescope.modes.budget import Allocation, Candidate, by_energy, counted, uniform
from modescope.modes.conversion.carriers import signal_modes
from modescope.modes.conversion.replaceable import Part
from modescope.modes.counting import LEAST

Number = int | float
Asked = Number | str | Mapping[str, Number | None] | None


@dataclass(frozen=True)
class Choice:
    """A number of modes, None for dense, and a sentence on how it came about."""

    p: int | None
    reason: str


Choose = Callable[[Part, Candidate], Choice]


def rule(modes: Asked, energy: float | None, outliers: bool) -> Choose:
    """The rule that is asked for, where it is none of a budget.

    Raises:
        UsageError: A number is out of range, or the text is not "auto".
    """
    if isinstance(modes, Mapping):
        return _named(modes)
    if modes is not None and not isinstance(modes, str):
        uniform([], modes)  # refuses what is no number of modes, before any work
        return _one(lambda candidate: uniform([candidate], modes))
    if modes not in (None, "auto"):
        raise UsageError(f"modes: expected a number, a share of the rank, a mapping by layer, or 'auto', got {modes!r}.")
    if outliers:
        return lambda part, candidate: _first(counted([candidate], {part.name: signal_modes(part.read(), name=part.tensor)}))
    if energy is None:
        return _usual
    by_energy([], energy)
    return _one(lambda candidate: by_energy([candidate], energy))


def one_way(**given: Any) -> str:
    """Which of the ways to choose was given.

    Raises:
        UsageError: None, or several.
    """
    asked = [name for name, value in given.items() if value is not None and value is not False]
    if len(asked) != 1:
        ways = f"{', '.join(list(given)[:-1])} and {list(given)[-1]}"
        raise UsageError(f"to_modes: expected one of {ways}, got {' and '.join(asked) or 'none'}.")
    return asked[0]


def check_named(modes: Mapping[str, Number | None], parts: Sequence[Part], reasons: Mapping[str, str]) -> None:
    """Whether each name is that of a layer which can become modes, and each number is one that it can have.

    Raises:
        UsageError: One is not; nothing was read.
    """
    names = {name for part in parts for name in (part.name, part.layer)}
    for name, p in modes.items():
        if name in reasons:
            raise UsageError(f"modes: layer {name!r} cannot be in modes: {reasons[name]}.")
        if name not in names:
            close = get_close_matches(str(name), sorted(names), n=3, cutoff=0.5) or sorted(names)[:3]
            raise UsageError(f"modes: expected names of layers, got {name!r}; did you mean {', '.join(map(repr, close))}?")
        if p is None:
            continue
        uniform([], p)
        for part in parts:
            most = min(part.cost().outputs, part.cost().inputs)
            if name in (part.name, part.layer) and p > most:
                raise UsageError(
                    f"modes: {part.name}: expected at most {most} modes, the largest rank of shape {part.shape}, got {p}."
                )


def share_of(budget: float, whole: float) -> float:
    """A budget as a number: a share up to 1 of the whole, or the number itself.

    Raises:
        UsageError: It is neither.
    """
    number = isinstance(budget, int | float | np.integer) and not isinstance(budget, bool)
    if not number or not 0 < budget < math.inf:
        raise UsageError(f"budget: expected a share of the network up to 1.0, or a number above 0, got {budget!r}.")
    return budget * whole if isinstance(budget, float) and budget <= 1 else float(budget)


def _named(modes: Mapping[str, Number | None]) -> Choose:
    def choose(part: Part, candidate: Candidate) -> Choice:
        p = modes.get(part.name, modes.get(part.layer))
        if p is None:
            return Choice(None, "stays dense: not asked for")
        r = len(candidate.tails) - 1
        p = max(1, round(p * r)) if 0 < p < 1 else int(p)
        saves = "" if p <= candidate.cost.most else f", which saves nothing: the break-even is {candidate.cost.break_even:.1f}"
        return Choice(p, f"{p} of {r} modes{saves}")

    return choose


def _usual(_part: Part, candidate: Candidate) -> Choice:
    p, third = candidate.cost.usual, f"a third of the break-even {candidate.cost.break_even:.1f}"
    if p is None:
        return Choice(None, f"stays dense: {third} is below {LEAST} modes")
    return Choice(p, f"{p} of {len(candidate.tails) - 1} modes, {third}")


def _one(allocate: Callable[[Candidate], Allocation]) -> Choose:
    return lambda _part, candidate: _first(allocate(candidate))


def _first(found: Allocation) -> Choice:
    ((name, p),) = found.modes.items()
    return Choice(p, found.reasons[name])
