"""A trained network in modes: each layer that gains becomes a mode layer near to what it was, the others say why they stay."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from modescope.errors import UsageError
from modescope.modes.budget import BY, allocate
from modescope.modes.calibration import Calibration, Progress, calibrate
from modescope.modes.conversion.deciding import Asked, Choice, Choose, check_named, one_way, rule, share_of
from modescope.modes.conversion.dense import to_dense
from modescope.modes.conversion.layer_fit import Fit, Layer
from modescope.modes.conversion.replaceable import Part, replaceable
from modescope.modes.conversion.replacing import Swaps

__all__ = ["FEEDING", "Conversion", "Layer", "convert", "to_dense", "to_modes"]

FEEDING = ("original", "compressed")
TOLD = 3  # reasons that an error gives


@dataclass(frozen=True, eq=False)
class Conversion:
    """A network in modes, and what became of each of its layers.

    Attributes:
        model: The network.
        layers: Every module with a matrix, in the order of `named_modules()`.
        parameters: Of the whole network now, biases and all.
        dense_parameters: Of the network that was given.
        feeding: "original" or "compressed" where a calibration was used, else "none".
    """

    model: Any
    layers: tuple[Layer, ...]
    parameters: int
    dense_parameters: int
    feeding: str


def to_modes(model: Any, modes: Asked = None, **options: Any) -> Any:
    """The network of `convert`, for whoever needs no report.

    Args:
        model: The network.
        modes: As of `convert`.
        **options: As of `convert`.
    """
    return convert(model, modes, **options).model


def convert(
    model: Any,
    modes: Asked = None,
    *,
    energy: float | None = None,
    outliers: bool = False,
    budget: float | None = None,
    budget_by: str = "parameters",
    calibration: Any = None,
    feeding: str = "original",
    centred: bool = True,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    min_dim: int = 1,
    frozen_strength: bool = False,
    inplace: bool = False,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Conversion:
    """Replace layers of a trained network by mode layers that are as near to them as their number of modes allows.

    `Linear`, ungrouped `Conv1d` and `Conv2d`, `Embedding`, `RNNCell` and `GRUCell` of torch, and `Conv1D` of transformers become
    modes where that saves parameters. All else stays, each with its reason: subclasses, grouped and other convolutions, packed
    attention, weights that are shared or computed, layers with hooks. Of a recurrent cell both weights become modes or none, where
    one that would stay gets the most modes that save parameters.

    One of `modes`, `energy`, `outliers` and `budget` says how many modes there are. Without a calibration a weight is cut by its
    own SVD; with one, so that the outputs lose least on its inputs. Dtypes, devices, training flags and `requires_grad` are kept.

    In evaluation without gradients, torch's `TransformerEncoderLayer` takes a fast path that reads `weight` of its linear layers,
    so that it is formed; `torch.backends.mha.set_fastpath_enabled(False)` keeps it from that.

    Args:
        model: An `nn.Module`, also a single layer.
        modes: The same number for all layers, or a share of each rank below 1; or numbers by name of layer, where those that are
            not named stay and a number above the break-even is taken at its word; or "auto", a
            third of the break-even number in each layer, and dense where that is below 8, as in `ModeMLP`.
        energy: Share of the energy that each layer keeps: of the squared weight, with a calibration of the outputs.
        outliers: As many modes as stand out of the noise of the weight; see `carriers.signal_modes`.
        budget: Of the whole network as a share up to 1.0, or as a number. Layers share it so that the sum of their squared
            relative errors is small.
        budget_by: "parameters" (all of the network's), or "flops": multiply-adds for one sample of the layers that can become
            modes, which needs a calibration.
        calibration: A `Calibration`, or data as `activations.moments` takes them. Embeddings, and the weight of a recurrent cell on
            its state, are cut by the weight all the same.
        feeding: "original": layers are fitted to inputs from the network as it was; "compressed": one after another, each to inputs
            from the network whose earlier layers are in modes already, which needs data and a pass over them for each layer. A
            budget is shared by the errors on inputs from the network as it was in both.
        centred: In layers with a bias, keep the mean output by a correction of the bias and fit what varies.
        include: Globs on names of layers or weights, of which one must match.
        exclude: Globs of which none may match.
        min_dim: Smallest short side of a weight.
        frozen_strength: Fix s at 1, plain low rank: the strengths go into the patterns.
        inplace: Change this network instead of a copy. After an error or an interrupt it is as it was. A network that is a single
            layer cannot be changed in place: take the `model` of the result.
        batch: Rows of a tensor or an array of data that go in at once.
        progress: Told "calibration" or "modes", what was done and of how much.

    Returns:
        `Conversion`.

    Raises:
        UsageError: An argument is out of range, a layer of that name does not exist or cannot be in modes, a number of modes is
            above a rank, a budget cannot be met, no layer would become modes and no budget was given, or the network cannot be
            copied.
        MatrixError: A weight could not be decomposed.
    """
    way = one_way(modes=modes, energy=energy, outliers=outliers, budget=budget)
    choose = rule(modes, energy, outliers)
    _check(way, budget_by, feeding, calibration, min_dim)
    parts, reasons = _selected(model, include, exclude, min_dim, frozen_strength)
    if isinstance(modes, Mapping):
        check_named(modes, parts, reasons)
    if not parts:
        raise UsageError(f"to_modes: expected a layer that modes can stand for, got {type(model).__name__} without{_why(reasons)}")
    if budget is not None:
        share_of(budget, 1.0)
    inputs = _inputs(model, parts, calibration, batch, progress)
    fit = Fit(inputs, centred, frozen_strength)
    whole, order = _count(model), {name: at for at, (name, _) in enumerate(model.named_modules())}
    if budget is not None:
        choose = _budgeted(whole, parts, fit, budget, budget_by)
    rows = [(order[name], _left(model, name, why)) for name, why in reasons.items()]
    groups = _groups(parts, inputs if feeding == "compressed" else None)

    def fitted(current: Callable[[], Any]) -> Iterator[tuple[Any, Any]]:
        """Old and new modules, one after another; `current` is the network as it is by then."""
        for done, own in enumerate(groups, 1):
            used = fit
            if feeding == "compressed" and inputs is not None and own[0].layer in inputs.moments:
                used = Fit(calibrate(current(), calibration, [own[0].layer], batch=batch), centred, frozen_strength)
            new, told = used.layer(own, choose)
            rows.extend((order[own[0].layer], one) for one in told)
            if new is not None:
                yield own[0].module, new
            if progress is not None:
                progress("modes", done, len(groups))
        if way != "budget" and not any(row.factored for _, row in rows):
            raise UsageError(
                f"to_modes: expected a layer that gains by it, got none{_why({row.name: row.reason for _, row in rows})}"
            )

    if inplace:
        result = _swapped(model, fitted)
    elif feeding == "compressed":
        twin = _copied(model, {})
        here = dict(twin.named_modules(remove_duplicate=False))
        names = {id(module): name for name, module in model.named_modules()}
        result = _swapped(twin, lambda current: ((here[names[id(old)]], new) for old, new in fitted(current)))
    else:
        made = list(fitted(lambda: model))
        result = _copied(model, {id(old): new for old, new in made})
    layers = tuple(row for _, row in sorted(rows, key=lambda one: one[0]))
    return Conversion(result, layers, _count(result), whole, "none" if inputs is None else feeding)


def _check(way: str, budget_by: str, feeding: str, calibration: Any, min_dim: int) -> None:
    if budget_by not in BY:
        raise UsageError(f"budget_by: expected {' or '.join(BY)}, got {budget_by!r}.")
    if feeding not in FEEDING:
        raise UsageError(f"feeding: expected {' or '.join(FEEDING)}, got {feeding!r}.")
    if min_dim < 1:
        raise UsageError(f"min_dim: expected a length of at least 1, got {min_dim}.")
    if feeding == "compressed" and (calibration is None or isinstance(calibration, Calibration)):
        got = "none" if calibration is None else "a Calibration, which holds none"
        raise UsageError(f"feeding='compressed': expected calibration as data that the network is run on again, got {got}.")
    if way == "budget" and budget_by == "flops" and calibration is None:
        raise UsageError("budget_by='flops': expected a calibration, which counts how often each layer runs, got none.")


def _selected(
    model: Any, include: str | Sequence[str], exclude: str | Sequence[str], min_dim: int, frozen: bool
) -> tuple[tuple[Part, ...], dict[str, str]]:
    if not callable(getattr(model, "named_modules", None)):
        raise UsageError(f"to_modes: expected a torch nn.Module, got {type(model).__name__}.")
    found, left = replaceable(model)
    reasons = dict(left)
    for part in found:
        if part.layer not in reasons and (reason := _why_not(part, include, exclude, min_dim, frozen)):
            reasons[part.layer] = reason
    return tuple(part for part in found if part.layer not in reasons), reasons


def _why_not(part: Part, include: str | Sequence[str], exclude: str | Sequence[str], min_dim: int, frozen: bool) -> str:
    def matches(globs: str | Sequence[str]) -> bool:
        several = (globs,) if isinstance(globs, str) else globs
        return any(fnmatchcase(name, glob) for name in (part.layer, part.tensor) for glob in several)

    cost = part.cost(frozen=frozen)
    if include and not matches(include):
        return "not selected: no match for include"
    if matches(exclude):
        return "not selected: matches exclude"
    if min(cost.outputs, cost.inputs) < min_dim:
        return f"not selected: short side {min(cost.outputs, cost.inputs)}, below {min_dim}"
    if part.kind == "cell" and not cost.most:
        return f"modes of {part.leaf} {part.shape} save nothing, and a cell has modes in both weights or none"
    return ""


def _inputs(
    model: Any, parts: Sequence[Part], calibration: Any, batch: int | None, progress: Progress | None
) -> Calibration | None:
    if calibration is None or isinstance(calibration, Calibration):
        return calibration
    listened = list(dict.fromkeys(part.layer for part in parts if part.kind != "embedding"))
    return calibrate(model, calibration, listened, batch=batch, progress=progress) if listened else None


def _budgeted(whole: int, parts: Sequence[Part], fit: Fit, budget: float, by: str) -> Choose:
    """The rule that looks up what an allocation gave each layer."""
    candidates, stays = [], {}
    for part in parts:
        if by == "flops" and (reason := fit.idle(part)):
            stays[part.name] = reason
        elif isinstance(found := fit.candidate(part), str):
            stays[part.name] = found
        else:
            candidates.append(found)
    if by == "flops":
        fixed = sum(fit.cost(part).dense_flops() for part in parts if part.name in stays and part.kind != "embedding")
        total = fixed + sum(one.cost.dense_flops() for one in candidates)
    else:
        fixed, total = whole - sum(one.cost.dense for one in candidates), float(whole)
    plan = allocate(candidates, share_of(budget, total), by=by, fixed=fixed)
    choices = {name: Choice(p, plan.reasons[name]) for name, p in plan.modes.items()}
    choices |= {name: Choice(None, f"stays dense: {why}") for name, why in stays.items()}
    return lambda part, _candidate: choices[part.name]


def _groups(parts: Sequence[Part], inputs: Calibration | None) -> list[list[Part]]:
    """Parts by layer, in the order in which layers run where that is known and wanted."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.layer, []).append(part)
    if inputs is None:
        return list(groups.values())
    place = {name: at for at, name in enumerate(inputs.moments)}
    return [groups[name] for name in sorted(groups, key=lambda name: place.get(name, len(place)))]


def _swapped(model: Any, pairs: Callable[[Callable[[], Any]], Iterator[tuple[Any, Any]]]) -> Any:
    """The network with modules replaced as they are made; whatever goes wrong, all are back."""
    swaps = Swaps(model)
    try:
        for old, new in pairs(lambda: swaps.model):
            swaps.put(old, new)
    except BaseException:
        swaps.back()
        raise
    return swaps.model


def _copied(model: Any, instead: dict[int, Any]) -> Any:
    """A copy with other modules in the place of some, which are not copied."""
    try:
        return copy.deepcopy(model, dict(instead))
    except (TypeError, RuntimeError, AttributeError) as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"to_modes: expected a network that can be copied, got {type(model).__name__}: {said} Pass inplace=True to change it."
        ) from error


def _left(model: Any, name: str, why: str) -> Layer:
    """The row of a module that stays."""
    from torch.nn.parameter import is_lazy

    module = model.get_submodule(name)
    own = [one for one in module.parameters() if not is_lazy(one)]
    shape = max((tuple(one.shape) for one in own), key=len, default=())
    size = sum(one.numel() for one in own if one.dim() > 1)
    return Layer(name, shape, None, size, size, False, 0.0, None, f"stays dense: {why}")


def _count(model: Any) -> int:
    from torch.nn.parameter import is_lazy

    return sum(one.numel() for one in model.parameters() if not is_lazy(one))


def _why(reasons: Mapping[str, str]) -> str:
    """The first reasons, to stand in an error."""
    if not reasons:
        return "."
    said = [f"{name or 'the network'}: {why.removeprefix('stays dense: ')}" for name, why in list(reasons.items())[:TOLD]]
    more = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
    return f" ({'; '.join(said)}{more})."
