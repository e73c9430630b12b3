"""Descrambling: the rotation or permutation of a hidden space that makes its signals, and with them the weights, readable."""

import operator as whole
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modescope import measuring
from modescope.descrambling.axis import InputAxis, frequencies, index, parsed
from modescope.descrambling.controlled import NAMES, control
from modescope.descrambling.criteria import CRITERIA, DIAGONAL, Space
from modescope.descrambling.diagnostics import cautions, mean_dominance
from modescope.descrambling.feeding import Hidden, Progress, fed
from modescope.descrambling.operators import OPERATORS, Smoothness, of_matrix
from modescope.descrambling.readings import LEAST, read
from modescope.descrambling.result import Descrambling
from modescope.descrambling.source import Given, before_training, given, is_module
from modescope.descrambling.turned import SIDES, Turned, oriented, second
from modescope.errors import UsageError
from modescope.moments import Moments
from modescope.svd import Values

READINGS = tuple(LEAST)
CONTROLS = NAMES
DRAWS = 199
LONGEST = 200  # letters of an axis
NO_NETWORK = "P W is a view of the weights: a rotation does not commute with the activation, so no network has these weights."


def descramble(
    source: Any,
    /,
    *,
    layer: str | None = None,
    inputs: Any = None,
    moments: Moments | Mapping[str, Any] | None = None,
    bias: Any = True,
    side: str = "left",
    criterion: str = "smoothness",
    difference: str | Smoothness | Values = "forward",
    centred: bool = False,
    axis: str | InputAxis | None = None,
    untrained: Any = None,
    readings: str | Sequence[str] = READINGS,
    controls: str | Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Descrambling:
    """Turn the hidden space of one layer so that its signals are smooth along the neuron index, and look at the weights there.

    The smoothest rotation is known in closed form: the i-th largest principal component of the hidden data goes to the i-th
    smoothest mode of the difference operator. What the picture shows along the hidden axis is therefore imposed by the criterion;
    what the network learnt is in the spectrum and in the other side of `V^T P W`, to be read beside the controls.

    Args:
        source: A weight (m, n), a path, an `nn.Module`, a mapping from names to arrays, or an opened `Checkpoint`.
        layer: Name of a module or tensor; not for an array.
        inputs: Of the network where `source` is a module (a tensor, batches, a DataLoader); otherwise of the layer: (N, n), one
            sample per row, or an iterable of such. Data that do not fit in memory may be mapped (`numpy.load(mmap_mode="r")`).
        moments: Of the inputs of the layer, in place of these: `Moments`, or count, mean and scatter by name.
        bias: True for the bias beside the weight, False for none, or (m,) numbers. Only the side "left" asks.
        side: "left" turns the outputs of the layer, its preactivations; "right" its inputs, which are what the activation before
            made; "joint" its inputs by both, these and its own weights.
        criterion: "smoothness", "permutation" (the smoothest order of the neurons), "diagonal_sum" or "diagonal_normsq" of a
            square weight, which ask for no data.
        difference: How smoothness is measured: a key of `operators.OPERATORS`, a `Smoothness`, or the matrix D.
        centred: Take the mean of the hidden data off.
        axis: What the index that is not turned means, as "0:0.008:us" or "2:0.05:nm:distance": that of the inputs on the left
            side, that of the outputs on the others.
        untrained: The layer before training, beside which readings and the control "untrained" stand: an array (m, n), or a path,
            module or checkpoint that holds the layer. Otherwise random weights are drawn. For the sides that turn inputs a module
            is run on `inputs` as well, where `source` is one.
        readings: Some of "fourier", "modes", "filter", "baseline", "spectrogram", "gram", "pairing".
        controls: Some of "untrained", "isotropic", "shuffled", "scrambled", "bootstrap". The bootstrap asks for inputs.
        draws: Of the nulls that readings stand beside; 99 or more for the modes, 19 or more for other readings with a null.
        seed: Of all draws.
        progress: Told what is counted (parts of the data, then readings and controls), how many are done, and of all or None.

    Returns:
        `Descrambling`. Where a reading or a control does not exist, a sentence stands in its place.

    Raises:
        UsageError: A layer, option or array that does not exist or fit: the message says which, its shape, and what to do.
        UnreadableError: The source cannot be opened.
        UnsafeError: Opening it would run code.

    References:
        Amey, Keeley, Choudhury & Kuprov (2021), doi:10.1073/pnas.2016917118; Sule, Spencer & Czaja (2025),
        doi:10.1016/j.acha.2025.101793, for the closed form.
    """
    readings, controls = _several("readings", readings, READINGS), _several("controls", controls, CONTROLS)
    _known("side", side, SIDES)
    _known("criterion", criterion, tuple(CRITERIA))
    draws, seed = _drawn(draws, seed, readings)
    found = given(source, layer, bias)
    if not found.weight.any():
        raise UsageError(f"{found.name} {found.weight.shape}: expected a weight other than zero. Pass another layer.")
    before = None if untrained is None else before_training(untrained, found, layer)
    diagonal = criterion in DIAGONAL
    if diagonal:
        _square(found, side)
    along = _axis(axis, found.weight.shape[0 if side != "left" else 1], side)
    hidden: Hidden | str = _hidden(found, side, inputs, seed, wanted="bootstrap" in controls and not diagonal)
    keep = hidden if isinstance(hidden, Hidden) else None
    known = None if diagonal else fed(source, found, inputs, moments, hidden=keep, progress=progress)
    if known is not None and inputs is not None:
        _enough(found, known, side)
    space = Space(oriented(found.weight, side)) if diagonal else _space(found, known, side, difference, centred=centred)
    solved = CRITERIA[criterion](space, seed)
    view = solved.p @ space.shown
    turned = Turned(
        found=found,
        side=side,
        criterion=criterion,
        space=space,
        solved=solved,
        view=view,
        modes=view if space.operator is None else space.operator.modes.T @ view,
        axis=along,
        moments=known,
        untrained=before,
        fed=None if diagonal or side == "left" else _before(source, untrained, before, inputs, progress),
        centred=centred,
        draws=draws,
        seed=seed,
    )
    options: dict[str, Any] = {
        "side": side,
        "criterion": criterion,
        "difference": difference if isinstance(difference, str) else "own",
        "centred": centred,
        "bias": bias if isinstance(bias, bool) else "own",
        "axis": None if axis is None else _told(along),
        "untrained": None if before is None else before.source.get("path") or before.source["format"],
        "readings": list(readings),
        "controls": list(controls),
        "draws": draws,
        "seed": seed,
    }
    made = _made(turned, readings, controls, hidden, progress)
    return _result(turned, made, known_axis=axis is not None, options=options)


def _enough(found: Given, known: Moments, side: str) -> None:
    """Whether samples reach every direction that the hidden data can have."""
    outputs, inputs = found.weight.shape
    size = outputs if side == "left" else inputs
    least = min(outputs, inputs + 1) if side == "left" else inputs
    if known.count < least:
        raise UsageError(
            f"{found.name} {found.weight.shape}: expected at least {least} samples for its {size} hidden neurons, got "
            f"{known.count}. Pass more samples, several times as many to tell components apart. Their moments in place of inputs "
            "are taken whatever the number, with the rank reported."
        )


def _made(
    turned: Turned, readings: Sequence[str], controls: Sequence[str], hidden: Hidden | str, progress: Progress | None
) -> dict[str, Any]:
    """Readings and controls by name, one after the other."""
    made: dict[str, Any] = {}
    every = len(readings) + len(controls)
    for name in (*readings, *controls):
        made |= read(turned, (name,)) if name in readings else control(turned, (name,), hidden)
        if progress is not None:
            progress("readings and controls", len(made), every)
    return made


def _result(turned: Turned, made: dict[str, Any], *, known_axis: bool, options: dict[str, Any]) -> Descrambling:
    found, solved, on_left = turned.found, turned.solved, turned.side == "left"
    operator, rotation = turned.space.operator, solved.rotation
    none = np.empty(0)
    return Descrambling(
        layer=found.name,
        side=turned.side,
        criterion=turned.criterion,
        difference="" if operator is None else operator.name,
        centred=turned.centred,
        samples=0 if turned.moments is None else turned.moments.count,
        weight=found.weight,
        p=solved.p,
        view=turned.view if on_left else turned.view.T,
        modes=turned.modes if on_left else turned.modes.T,
        a=none if operator is None else operator.a,
        b=none if rotation is None else rotation.b,
        s=np.asarray(np.linalg.svd(found.weight, compute_uv=False), dtype=np.float64),
        rank=int(np.linalg.matrix_rank(found.weight)) if rotation is None else rotation.rank,
        ties=((), ()) if operator is None or rotation is None else (operator.ties, rotation.ties),
        objective=solved.reached,
        axis=turned.axis if known_axis else None,
        readings={name: made[name] for name in options["readings"]},
        controls={name: made[name] for name in options["controls"]},
        cautions=_cautions(turned),
        source=found.source,
        options=options,
        meta=measuring.versions(),
    )


def _cautions(turned: Turned) -> tuple[str, ...]:
    said = [*([] if turned.criterion == "permutation" else [NO_NETWORK]), *turned.solved.said]
    moments, rotation = turned.moments, turned.solved.rotation
    if moments is None or rotation is None:
        return tuple(said)
    assert turned.space.second is not None
    found = turned.found
    mean = moments.mean
    if turned.side == "left":
        mean = found.weight @ mean + (0.0 if found.bias is None else found.bias)
    dominance = None if turned.centred else mean_dominance(turned.space.second, mean)
    said += cautions(rotation, samples=moments.count, dominance=dominance)
    if found.patches:
        said.append("Positions of one input count as samples, though they are not independent: nulls and bootstrap take them so.")
    return tuple(said)


def _several(word: str, chosen: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    found = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for name in found:
        if name not in known:
            raise UsageError(f"{word}: expected some of {', '.join(known)}, got {name!r:.{LONGEST}}.")
    return tuple(dict.fromkeys(found))


def _known(word: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{word}: expected one of {', '.join(known)}, got {value!r:.{LONGEST}}.")


def _drawn(draws: Any, seed: Any, readings: Sequence[str]) -> tuple[int, int]:
    """Both as whole numbers in range: draws are as many as every reading that was asked for needs."""
    try:
        draws, seed = whole.index(draws), whole.index(seed)
    except TypeError:
        raise UsageError(f"draws, seed: expected whole numbers, got {draws!r} and {seed!r}.") from None
    if seed < 0:
        raise UsageError(f"seed: expected 0 or more, got {seed}.")
    least = max((LEAST[name] for name in readings), default=1)
    if draws < max(least, 1):
        asking = [name for name in readings if LEAST[name] > draws]
        raise UsageError(
            f"draws: expected {max(least, 1)} or more, got {draws}; fewer cannot show that anything is no accident. "
            + (f"Leave out the readings {', '.join(asking)}, or draw more." if asking and draws > 0 else "Draw more.")
        )
    return draws, seed


def _axis(axis: str | InputAxis | None, size: int, side: str) -> InputAxis:
    """The axis of what is not turned; by default its index."""
    word = "input" if side == "left" else "output"
    if axis is None:
        return replace(index(size), quantity=word)
    if isinstance(axis, str):
        if len(axis) > LONGEST:
            raise UsageError(f"axis: expected start:step:unit, as in 0:0.008:us, got {len(axis):,} letters.")
        axis = parsed(axis, size)
    elif not isinstance(axis, InputAxis):
        raise UsageError(f"axis: expected a text as 0:0.008:us, or an InputAxis, got {type(axis).__name__}.")
    if axis.size != size:
        raise UsageError(
            f"axis: expected {size} points, one per {word}, which is what the side {side} does not turn, got {axis.size}."
        )
    along = frequencies(axis)
    with np.errstate(over="ignore"):
        apart = np.diff(axis.values)
    if not (np.isfinite(apart).all() and apart.all() and np.isfinite(along.values).all()):
        raise UsageError(f"axis: expected points that float64 tells apart, got start {axis.start:g} and step {axis.step:g}.")
    return replace(axis, quantity=word) if axis.quantity == "input" else axis


def _told(axis: InputAxis) -> str:
    """The axis as a user writes it."""
    return f"{axis.start!r}:{axis.step!r}:{axis.unit}:{axis.quantity}"


def _square(found: Given, side: str) -> None:
    if side == "joint":
        raise UsageError("side: expected left or right for a diagonal criterion, which asks for no data, got 'joint'.")
    if found.weight.shape[0] != found.weight.shape[1]:
        raise UsageError(
            f"{found.name}: expected a square weight for a diagonal criterion, got shape {found.weight.shape}; the criteria "
            "smoothness and permutation take any, with data."
        )


def _hidden(found: Given, side: str, inputs: Any, seed: int, *, wanted: bool) -> Hidden | str:
    """What takes hidden data in for a bootstrap, or why nothing does."""
    if not wanted or side == "joint":
        return ""
    if inputs is None:
        return "moments hold no samples to draw again: pass inputs"
    return Hidden(found.weight, found.bias, seed=seed) if side == "left" else Hidden(seed=seed)


def _before(source: Any, untrained: Any, before: Given | None, inputs: Any, progress: Progress | None) -> Moments | None:
    """Moments of what went into the layer before training, where the whole network of then is at hand and can be run."""
    if before is None or inputs is None or not (is_module(source) and is_module(untrained)) or hasattr(inputs, "__next__"):
        return None
    return fed(untrained, before, inputs, None, progress=progress)


def _space(found: Given, moments: Moments | None, side: str, difference: Any, *, centred: bool) -> Space:
    if moments is None:
        raise UsageError(
            f"{found.name}: expected inputs (N, {found.weight.shape[1]}) or their moments, which the criterion asks for, got none. "
            "The criteria diagonal_sum and diagonal_normsq of a square weight ask for no data."
        )
    shown = oriented(found.weight, side)
    operator = _operator(difference, shown.shape[0], found, side)
    return Space(shown, second(side, found.weight, found.bias, moments, centred=centred), operator)


def _operator(difference: Any, size: int, found: Given, side: str) -> Smoothness:
    if isinstance(difference, str):
        _known("difference", difference, tuple(OPERATORS))
        return OPERATORS[difference](size)
    operator = difference if isinstance(difference, Smoothness) else of_matrix(difference)
    if operator.size != size:
        turned = "outputs" if side == "left" else "inputs"
        raise UsageError(
            f"difference: expected D with {size} columns, one per neuron of the {turned} of {found.name} {found.weight.shape}, got "
            f"{operator.name} for {operator.size}. Make it for {size}."
        )
    return operator
