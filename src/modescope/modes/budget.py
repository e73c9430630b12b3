"""How many modes each layer gets: under a budget, by the energy they hold, or evenly; a layer that would not gain stays dense."""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from modescope.errors import UsageError
from modescope.modes.counting import Cost
from modescope.svd import Values

BY = {"parameters": "parameters", "flops": "multiply-adds"}
"""What a budget may be of, and its unit in words."""

BESIDE = "; others are judged by their outputs, beside which its share of the budget is a rough guess"
"""Added to the reason of a layer that is judged by its weight, where others are not."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer that may become modes.

    Attributes:
        name: Its name.
        cost: What it costs as it is and as modes.
        tails: (r + 1,) squared error that 0 to r modes leave, relative to the first, which is 1: `Cut.relative`.
        by: What they are errors of, as `Cut.by`: "weight" or "outputs".
    """

    name: str
    cost: Cost
    tails: Values
    by: str = "weight"

    def __post_init__(self) -> None:
        tails, r = np.asarray(self.tails, np.float64), min(self.cost.outputs, self.cost.inputs)
        if tails.shape != (r + 1,) or tails[0] != 1 or not (np.diff(tails) <= 0).all() or tails[-1] < 0:
            raise UsageError(
                f"{self.name}: expected {r + 1} relative errors that fall from 1, for 0 to {r} modes, got an array {tails.shape}."
            )
        object.__setattr__(self, "tails", tails)


@dataclass(frozen=True)
class Allocation:
    """Numbers of modes of several layers.

    Attributes:
        modes: Number for each layer, None where it stays dense.
        reasons: A sentence for each.
        cost: Parameters, or multiply-adds per sample, of all layers and of what is fixed.
        dense: The same without any modes.
        error: Sum over layers of the squared relative error they are left with.
        by: What `cost` counts, a key of `BY`.
    """

    modes: dict[str, int | None]
    reasons: dict[str, str]
    cost: float
    dense: float
    error: float
    by: str = "parameters"


class _Choice(NamedTuple):
    p: int  # 0 stands for dense
    cost: float
    error: float


def allocate(candidates: Sequence[Candidate], budget: float, /, *, by: str = "parameters", fixed: float = 0) -> Allocation:
    """The numbers of modes whose squared relative errors have the least sum under a budget, as nearly as a greedy choice finds it.

    Each layer has the choices p = 1 .. `cost.most`, and to stay dense without error. Each starts at its cheapest one; the lower
    convex hull of its (cost, error) is cut into segments, and the steepest segments of all layers are taken as long as they fit.
    What is left is spent on whatever single step still fits and gains most for its cost.

    The sum is above the least possible one by less than the gain of one segment, the first that did not fit: taken in part, that
    segment gives the optimum of the relaxed problem, in which layers may stand anywhere on their hulls, and no true choice is below
    it. What follows only lowers the error.

    That the relative errors of all layers count alike is a choice: how far an error of one layer reaches the outputs of the network
    is not in its moments. Other sums were tried on the shipped network and on a sentence encoder, measured on held-out data. With a
    calibration, the product of the shares that are kept gave nearly the same. Powers of the error, and weights by the size of the
    layer, were better under some budgets and worse under others. One share of the parameters for every layer was far worse on the
    first network, and mostly worse on the second. Absolute errors, tried on the second alone, were much worse.

    Errors of weights and of outputs are different things, on scales of their own: where there are both, the reasons say so.

    Args:
        candidates: Layers, of different names.
        budget: Most parameters, or multiply-adds for one sample, of all layers together with what is fixed.
        by: "parameters" or "flops".
        fixed: Of the rest of the network, in the same unit.

    Returns:
        `Allocation` that keeps the budget.

    Raises:
        UsageError: The budget cannot be met; the message names the least that can.
    """
    if by not in BY:
        raise UsageError(f"budget: expected one by {' or '.join(BY)}, got {by!r}.")
    _apart(candidates)
    choices = [_choices(one, by) for one in candidates]
    least = fixed + sum(min(choice.cost for choice in own) for own in choices)
    dense = fixed + sum(own[-1].cost for own in choices)
    if not budget >= least:
        raise UsageError(
            f"budget: expected at least {math.ceil(least):,} {BY[by]}, where every layer that gains by it has one mode, got "
            f"{budget:,.0f}; as it is the network has {dense:,.0f}."
        )
    hulls = [_hull(own) for own in choices]
    at = [hull[0] for hull in hulls]
    left = budget - fixed - sum(choice.cost for choice in at)
    segments = [(_slope(a, b), i, b) for i, hull in enumerate(hulls) for a, b in pairwise(hull)]
    for _, i, end in sorted(segments, key=lambda one: one[0]):
        if end.cost - at[i].cost > left:
            break
        left -= end.cost - at[i].cost
        at[i] = end
    _fill(choices, at, left)
    chosen = {one.name: choice.p or None for one, choice in zip(candidates, at, strict=True)}
    mixed = len({one.by for one in candidates}) > 1
    reasons = {one.name: _said(one, chosen[one.name]) + (BESIDE if mixed and one.by == "weight" else "") for one in candidates}
    return _allocation(candidates, chosen, reasons, by, fixed)


def by_energy(candidates: Sequence[Candidate], share: float, /, *, by: str = "parameters", fixed: float = 0) -> Allocation:
    """The least numbers of modes that hold a share of the energy in each layer: `1 - tails[p] >= share`.

    Args:
        candidates: Layers, of different names.
        share: Above 0, up to 1.
        by: As of `allocate`, for the cost that is told.
        fixed: Likewise.

    Raises:
        UsageError: The share is out of range.
    """
    number = isinstance(share, int | float | np.integer | np.floating) and not isinstance(share, bool)
    if not number or not 0 < share <= 1:
        raise UsageError(f"energy: expected a share above 0 and up to 1, got {share!r}.")

    def enough(one: Candidate) -> int:
        # the share is kept up to rounding: a share of 1 does not count modes of the size of the float64 rounding of the sum
        return max(1, int(np.argmax(one.tails <= 1 - share + len(one.tails) * np.finfo(np.float64).eps)))

    return _even(candidates, enough, f"for {share:.3g} of the energy", by, fixed)


def uniform(candidates: Sequence[Candidate], modes: int | float, /, *, by: str = "parameters", fixed: float = 0) -> Allocation:
    """The same number of modes, or the same share of the rank, in every layer that gains by it.

    Args:
        candidates: Layers, of different names.
        modes: A whole number from 1, or a share of min(out, in) between 0 and 1, rounded to one mode at least.
        by: As of `allocate`, for the cost that is told.
        fixed: Likewise.

    Raises:
        UsageError: It is neither.
    """
    number = isinstance(modes, int | float | np.integer) and not isinstance(modes, bool) and math.isfinite(modes)
    if number and 0 < modes < 1:
        return _even(candidates, lambda one: max(1, round(modes * (len(one.tails) - 1))), f"for {modes:.3g} of the rank", by, fixed)
    if not number or modes != int(modes) or modes < 1:
        raise UsageError(f"modes: expected a whole number from 1 or a share of the rank between 0 and 1, got {modes!r}.")
    return _even(candidates, lambda _one: int(modes), "", by, fixed)


def counted(
    candidates: Sequence[Candidate], counts: dict[str, int | str], /, *, by: str = "parameters", fixed: float = 0
) -> Allocation:
    """A number of modes that was found for each layer, or a sentence why there is none, which leaves it dense.

    Args:
        candidates: Layers, of different names.
        counts: For each of them, such as `carriers.signal_modes` gives.
        by: As of `allocate`, for the cost that is told.
        fixed: Likewise.
    """
    numbers = {name: count for name, count in counts.items() if not isinstance(count, str)}
    found = _even([one for one in candidates if one.name in numbers], lambda one: numbers[one.name], "above the noise", by, fixed)
    modes = {one.name: found.modes.get(one.name) for one in candidates}
    reasons = {one.name: found.reasons.get(one.name) or f"stays dense: {counts[one.name]}" for one in candidates}
    return _allocation(candidates, modes, reasons, by, fixed)


def _even(candidates: Sequence[Candidate], wanted: Callable[[Candidate], int], why: str, by: str, fixed: float) -> Allocation:
    _apart(candidates)
    modes: dict[str, int | None] = {}
    reasons: dict[str, str] = {}
    for one in candidates:
        p = wanted(one)
        gains = p <= one.cost.most
        modes[one.name] = p if gains else None
        reasons[one.name] = _said(one, p) if gains else f"stays dense: {' '.join(filter(None, (_count(p), why)))}, {_no_gain(one)}"
    return _allocation(candidates, modes, reasons, by, fixed)


def _apart(candidates: Sequence[Candidate]) -> None:
    names = [one.name for one in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"budget: expected layers of different names, got {twice[0]!r} twice.")


def _choices(one: Candidate, by: str) -> list[_Choice]:
    """Modes by number, then dense, in order of cost."""
    uses = one.cost.uses if by == "flops" else 1.0
    found = [_Choice(p, uses * one.cost.factored(p), float(one.tails[p])) for p in range(1, one.cost.most + 1)]
    return [*found, _Choice(0, uses * one.cost.dense, 0.0)]


def _hull(choices: list[_Choice]) -> list[_Choice]:
    """Lower convex hull of choices in order of cost, whose errors fall."""
    hull: list[_Choice] = []
    for choice in choices:
        if hull and choice.error >= hull[-1].error:
            continue  # costs more for nothing
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], choice):
            hull.pop()
        hull.append(choice)
    return hull


def _slope(a: _Choice, b: _Choice) -> float:
    return (b.error - a.error) / (b.cost - a.cost) if b.cost > a.cost else -math.inf


def _fill(choices: list[list[_Choice]], at: list[_Choice], left: float) -> None:
    """Single steps that fit, in order of gain for their cost, until none does; changes `at`."""

    def steps(i: int) -> list[tuple[float, int, _Choice]]:
        if not at[i].p:
            return []
        own = choices[i]
        after = {own[at[i].p], own[-1]}  # choices[p - 1] has p modes
        return [(_slope(at[i], end), i, end) for end in after if end.error < at[i].error]

    heap = [step for i in range(len(at)) for step in steps(i)]
    heapq.heapify(heap)
    while heap:
        _, i, end = heapq.heappop(heap)
        price = end.cost - at[i].cost
        if price > left or price < 0 or not at[i].p or (end.p and end.p <= at[i].p):
            continue
        left -= price
        at[i] = end
        for step in steps(i):
            heapq.heappush(heap, step)


def _allocation(
    candidates: Sequence[Candidate], modes: dict[str, int | None], reasons: dict[str, str], by: str, fixed: float
) -> Allocation:
    cost, dense, error = fixed, fixed, 0.0
    for one in candidates:
        uses, p = (one.cost.uses if by == "flops" else 1.0), modes[one.name]
        dense += uses * one.cost.dense
        cost += uses * (one.cost.dense if p is None else one.cost.factored(p))
        error += 0.0 if p is None else float(one.tails[p])
    return Allocation(modes, reasons, cost, dense, error, by)


def _said(one: Candidate, p: int | None) -> str:
    if p is not None:
        return f"{p} of {len(one.tails) - 1} modes"
    if not one.cost.most:
        return f"stays dense: 1 mode, {_no_gain(one)}"
    return f"stays dense: the budget has room for it as it is, and up to {one.cost.most} modes would save little for what they lose"


def _no_gain(one: Candidate) -> str:
    return f"but a weight {one.cost.outputs} x {one.cost.inputs} saves nothing from {one.cost.break_even:.1f} modes on"


def _count(p: int) -> str:
    return "1 mode" if p == 1 else f"{p} modes"
