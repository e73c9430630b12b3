"""How many modes each weight of a checkpoint gets, from its singular values or from what it gives on the inputs it sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from modescope.checkpoints._names import shown
from modescope.errors import MatrixError, UsageError
from modescope.modes import budget as choosing
from modescope.modes.compression.eligible import Weight
from modescope.modes.counting import Cost
from modescope.modes.truncation import Cut, of_outputs, of_weight
from modescope.moments import Moments
from modescope.svd import Values
from modescope.svd.policy import exact

if TYPE_CHECKING:
    from modescope.modes.calibration import Calibration

UNCOUNTED = "stays dense: the calibration does not say how often it is used, so that its multiply-adds are not known"

Progress = Callable[[str, int, int | None], None]
Wanted = int | float | Mapping[str, int]


@dataclass(frozen=True)
class Goal:
    """What is asked for; one of the three, the others None.

    Attributes:
        budget: Share of all parameters of the checkpoint that the new one may hold, or of the multiply-adds of the weights that may
            become modes.
        modes: For every weight: a number, a share of its rank, or numbers by name or glob.
        energy: Share of the energy that the modes of each weight hold.
        by: What a budget counts: "parameters" or "flops".
    """

    budget: float | None = None
    modes: Wanted | None = None
    energy: float | None = None
    by: str = "parameters"


@dataclass(frozen=True, eq=False)
class Planned:
    """One weight, and what becomes of it.

    Attributes:
        weight: The weight.
        modes: Their number, or None where it stays as it is.
        reason: Why, in a sentence.
        error: `||W - W'||_F / ||W||_F` that the truncation has before it is rounded; 0 where the weight stays.
        output_error: The same of the outputs, on the inputs that were counted; None without them.
    """

    weight: Weight
    modes: int | None
    reason: str
    error: float = 0.0
    output_error: float | None = None


@dataclass(frozen=True, eq=False)
class _Tails:
    """Relative squared errors of 0 to r modes: of the weight, of the outputs where inputs are known, and by which to choose."""

    weight: Values
    outputs: Values | None

    @property
    def chosen(self) -> Values:
        return self.weight if self.outputs is None else self.outputs

    @property
    def by(self) -> str:
        return "weight" if self.outputs is None else "outputs"


def check(goal: Goal) -> None:
    """See that a goal is one and in range.

    Raises:
        UsageError: It is none, or several, or out of range.
    """
    given = [name for name in ("budget", "modes", "energy") if getattr(goal, name) is not None]
    if len(given) != 1:
        raise UsageError(f"compress: expected one of budget, modes and energy, got {' and '.join(given) or 'none'}.")
    if goal.by not in choosing.BY:
        raise UsageError(f"compress: expected by as {' or '.join(choosing.BY)}, got {goal.by!r}.")
    if goal.budget is not None and not 0 < goal.budget <= 1:
        raise UsageError(f"compress: expected budget, a share above 0 and up to 1, got {goal.budget}.")
    if goal.energy is not None and not 0 < goal.energy < 1:
        raise UsageError(f"compress: expected energy, a share between 0 and 1, got {goal.energy}.")
    modes = goal.modes
    if isinstance(modes, Mapping):
        if not modes or any(isinstance(p, bool) or not isinstance(p, int) or p < 1 for p in modes.values()):
            raise UsageError("compress: expected modes by name as whole numbers from 1.")
    elif modes is not None and (isinstance(modes, bool) or not (0 < modes < 1 or (modes >= 1 and modes == int(modes)))):
        raise UsageError(f"compress: expected modes, a whole number from 1 or a share of the rank between 0 and 1, got {modes}.")


def plan(
    weights: Sequence[Weight], goal: Goal, total: int, calibration: "Calibration | None", progress: Progress | None
) -> tuple[Planned, ...]:
    """Numbers of modes of all weights; each is read, decomposed and let go, one at a time.

    Args:
        weights: What may become modes.
        goal: What is asked for, as `check` passed it.
        total: Parameters of the whole checkpoint.
        calibration: Moments of the inputs of some of them, or None.
        progress: Told of every weight.

    Raises:
        UsageError: The budget cannot be met, moments do not fit a weight, or multiply-adds are asked for and not known.
    """
    costs = {one.tensor.name: _cost(one, goal, calibration) for one in weights}
    _possible(weights, costs, goal, total)
    stays: dict[str, str] = {}
    tails: dict[str, _Tails] = {}
    for i, one in enumerate(weights):
        if progress is not None:
            progress("spectra", i, len(weights))
        uncounted = goal.by == "flops" and calibration is not None and one.layer not in calibration.uses
        found = UNCOUNTED if uncounted else _tails(one, inputs_of(one, calibration))
        if isinstance(found, str):
            stays[one.tensor.name] = found
        else:
            tails[one.tensor.name] = found
    if progress is not None:
        progress("spectra", len(weights), len(weights))
    candidates = [choosing.Candidate(name, costs[name], found.chosen, found.by) for name, found in tails.items()]
    if goal.by == "flops":
        fixed = sum(costs[name].dense_flops() for name in stays)
    else:
        fixed = float(total - sum(one.cost.dense for one in candidates))
    try:
        chosen = _allocated(candidates, goal, fixed, total, weights)
    except UsageError as error:
        if goal.budget is None or not stays:
            raise
        name, reason = next(iter(stays.items()))
        raise UsageError(f"{error} {shown(name)} {reason}.") from error
    return tuple(
        Planned(one, None, stays[name])
        if (name := one.tensor.name) in stays
        else _planned(one, chosen.modes[name], chosen.reasons[name], tails[name], known=calibration is not None)
        for one in weights
    )


def cut(weight: Weight, calibration: "Calibration | None") -> Cut:
    """All truncations of one weight: by its outputs where its inputs are known, else by itself."""
    moments = inputs_of(weight, calibration)
    if moments is None:
        return of_weight(weight.read())
    return of_outputs(weight.read(), moments, centred=bool(weight.bias))


def inputs_of(weight: Weight, calibration: "Calibration | None") -> Moments | None:
    """Moments of the inputs of a weight, or None where they are not known.

    Raises:
        UsageError: There are some, of another number of inputs.
    """
    if calibration is None or weight.kind == "embedding":
        return None
    moments = calibration.moments.get(weight.layer)
    if moments is not None and moments.mean.size != weight.shape[1]:
        raise UsageError(
            f"{shown(weight.tensor.name)}: expected {weight.shape[1]} inputs, got a calibration of {moments.mean.size}. "
            "Calibrate with the same network."
        )
    return moments


def _cost(weight: Weight, goal: Goal, calibration: "Calibration | None") -> Cost:
    uses = None if calibration is None else calibration.uses.get(weight.layer)
    if goal.by == "flops" and uses is None and weight.kind == "convolution":
        raise UsageError(
            f"{shown(weight.tensor.name)}: expected a calibration that says at how many positions this convolution is used, got "
            "none, so that its multiply-adds are not known. Calibrate with the network, or give a budget of parameters."
        )
    if goal.by == "flops" and weight.kind == "embedding":
        raise UsageError(
            f"{shown(weight.tensor.name)}: expected no embeddings with a budget of multiply-adds, as a lookup has none. "
            "Give a budget of parameters."
        )
    return replace(weight.cost, uses=1.0 if uses is None else uses)


def _possible(weights: Sequence[Weight], costs: Mapping[str, Cost], goal: Goal, total: int) -> None:
    """Refuse what no spectrum could make possible, before any is computed."""
    if isinstance(goal.modes, Mapping):
        for pattern in goal.modes:
            if not any(_meant(pattern, one) for one in weights):
                raise UsageError(f"compress: modes for {shown(pattern)}, but no weight of that name may become modes.")
        for one in weights:
            p, r = _number(goal.modes, one), min(one.shape)
            if p is not None and p > r:
                raise UsageError(f"{shown(one.tensor.name)}: expected up to {r} modes of a weight {one.shape}, got {p}.")
    elif goal.budget is not None:
        dense = sum(cost.dense for cost in costs.values())
        least = sum(min(cost.factored(1), cost.dense) for cost in costs.values())
        if goal.by == "flops":
            dense_flops = sum(cost.dense_flops() for cost in costs.values())
            share = sum(min(cost.factored_flops(1), cost.dense_flops()) for cost in costs.values()) / dense_flops
        else:
            share = (total - dense + least) / total
        if goal.budget < share:
            raise UsageError(_too_small(goal, share, total, total - dense))


def _too_small(goal: Goal, share: float, total: int, fixed: int) -> str:
    what = "multiply-adds" if goal.by == "flops" else "parameters"
    why = f"; {fixed:,} of its {total:,} parameters are in tensors that stay as they are" if goal.by == "parameters" else ""
    return (
        f"compress: expected a budget of at least {np.ceil(1e4 * share) / 1e4:.4f} of the {what}, where every weight that gains by "
        f"it has one mode, got {goal.budget:g}{why}. Give a larger budget, or let more tensors take part."
    )


def _allocated(
    candidates: Sequence[choosing.Candidate], goal: Goal, fixed: float, total: int, weights: Sequence[Weight]
) -> choosing.Allocation:
    if goal.energy is not None:
        return choosing.by_energy(candidates, goal.energy, by=goal.by, fixed=fixed)
    if isinstance(goal.modes, Mapping):
        by_name = {one.tensor.name: _number(goal.modes, one) for one in weights}
        counts: dict[str, int | str] = {one.name: by_name[one.name] or "no modes were asked for" for one in candidates}
        return choosing.counted(candidates, counts, by=goal.by, fixed=fixed)
    if goal.modes is not None:
        return choosing.uniform(candidates, goal.modes, by=goal.by, fixed=fixed)
    assert goal.budget is not None
    whole = float(total) if goal.by == "parameters" else fixed + sum(one.cost.dense_flops() for one in candidates)
    return choosing.allocate(candidates, goal.budget * whole, by=goal.by, fixed=fixed)


def _number(modes: Mapping[str, int], weight: Weight) -> int | None:
    exact_name = modes.get(weight.tensor.name, modes.get(weight.layer))
    return exact_name if exact_name is not None else next((p for pattern, p in modes.items() if _meant(pattern, weight)), None)


def _meant(pattern: str, weight: Weight) -> bool:
    return fnmatchcase(weight.tensor.name, pattern) or fnmatchcase(weight.layer, pattern)


def _tails(weight: Weight, moments: Moments | None) -> _Tails | str:
    """What is left with 0 to r modes, or why the weight stays as it is."""
    matrix = weight.read()
    with np.errstate(over="ignore", invalid="ignore"):
        energy = float(np.square(matrix, dtype=np.float64).sum())
    if not np.isfinite(energy):
        return "stays dense: has entries that are not finite, or whose squares are not"
    if energy == 0:
        return "stays dense: all entries are 0"
    if not weight.cost.most:
        return f"stays dense: no number of modes of a weight {weight.shape[0]} x {weight.shape[1]} saves parameters"
    try:
        if moments is None:
            s = exact(matrix).s
            return _Tails(_relative(np.append(np.cumsum((s**2)[::-1])[::-1], 0.0)), None)
        found = of_outputs(matrix, moments, centred=bool(weight.bias))
    except (MatrixError, np.linalg.LinAlgError) as error:
        return f"stays dense: {error}"
    if not found.total > 0:
        return "stays dense: gives nothing on the inputs of the calibration, so that they say nothing of its modes"
    return _Tails(_relative(found.weight_tails), found.relative)


def _relative(tails: Values) -> Values:
    shares: Values = tails / tails[0]
    return shares


def _planned(weight: Weight, p: int | None, reason: str, tails: _Tails, *, known: bool) -> Planned:
    if known and tails.outputs is None:
        reason += "; judged by its weight, as the calibration says nothing of its inputs"
    if p is None:
        return Planned(weight, None, reason, 0.0, None if tails.outputs is None else 0.0)
    outputs = None if tails.outputs is None else float(np.sqrt(tails.outputs[p]))
    return Planned(weight, p, reason, float(np.sqrt(tails.weight[p])), outputs)
