"""Pruning: channels that a layer barely writes and all its readers barely read, taken out of a checkpoint.

What such a channel still adds is the constant that bias and normalisation make of nothing, which moves into the bias of the reader.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.spectral_graph.dead_channels import TINY, barely
from modescope.spectral_graph.wiring import Layer, Link, Norm, Rows, Wiring
from modescope.spectral_graph.wiring.stored_axes import PLAIN, axes, beside, places, shape_of
from modescope.svd import Values

ELEMENTWISE: Mapping[str, Callable[[Values], Values]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "tanh": np.tanh,
    "sigmoid": expit,
    "silu": lambda x: x * expit(x),
}
"""Steps between layers whose value at a constant is known."""

STEADY = ("identity", "dropout", "pool", "flatten", "view", "reshape", "contiguous")
"""Parts of the names of steps that give a constant back as it is."""

BATCH_NORM = "batch_norm"  # part of the name of the one normalisation that treats every channel by itself
GAIN = "gain"  # name of the step in which a learned vector multiplies the channels

MIXING = ("layer_norm", "rms_norm", "group_norm", "instance_norm", "softmax", "normalize", "local_response")
"""Parts of the names of steps in which every channel depends on the others."""


@dataclass(frozen=True)
class Prunable:
    """Output channels of one layer that all its readers barely read.

    Attributes:
        writer: Name of the layer.
        readers: Names of its readers.
        channels: The channels, as rows of the writer.
        status: "ok", or why none can be taken out.
    """

    writer: str
    readers: tuple[str, ...]
    channels: tuple[int, ...]
    status: str = "ok"


@dataclass(frozen=True)
class Cut:
    """Places that are taken out of one tensor along one axis."""

    tensor: str
    axis: int
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """What the channels taken out leave behind in a reader.

    Attributes:
        weight: Tensor of the reader.
        axis: Its input axis.
        places: Input places of the channels.
        values: What each place holds whatever the input is.
        into: Tensor that takes up the constant, or empty where there is none.
        sign: 1 where it is added (a bias), -1 where it is taken off (a running mean).
    """

    weight: str
    axis: int
    places: tuple[int, ...]
    values: Values
    into: str
    sign: float = 1.0


@dataclass(frozen=True, eq=False)
class Plan:
    """How a checkpoint is pruned.

    Attributes:
        writer: Name of the layer whose output channels are taken out.
        channels: The channels.
        cuts: What is taken out of every tensor.
        constants: What is put into the readers instead.
        parameters: Number of learned parameters that go.
        exact: The network does the same for every input up to what `bounds` says; False where a constant is lost or does not
            reach the border of a padded convolution.
        notes: Sentences that say so.
    """

    writer: str
    channels: tuple[int, ...]
    cuts: tuple[Cut, ...]
    constants: tuple[Constant, ...]
    parameters: int
    exact: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bound:
    """What taking channels out can change in front of one reader's nonlinearity, from weights alone.

    Attributes:
        reader: Its name.
        change: Largest norm of the change, per unit of the norm of the writer's input (of a patch of it, for a convolution).
        share: The same bound relative to that of all channels together.
    """

    reader: str
    change: float
    share: float


def prunable(wiring: Wiring, writer: str, rows: Values, columns: Mapping[str, Values], /, *, tiny: float = TINY) -> Prunable:
    """Channels of a layer that it barely writes and that every one of its readers barely reads, if nothing else depends on them.

    Args:
        wiring: All readers of the layer must be known.
        writer: Name of the layer.
        rows: (out,) norms of its rows.
        columns: (out,) norms of the columns that meet each channel, of every reader by its name.
        tiny: Share of the largest norm below which one is tiny.

    Returns:
        The channels, or a status that says why a layer cannot be pruned.
    """
    links = [link for link in wiring.links if link.source == writer]
    readers = tuple(dict.fromkeys(link.target for link in links))
    if (why := _why_fixed(wiring, writer, links)) is not None:
        return Prunable(writer, readers, (), why)
    if unknown := [reader for reader in readers if reader not in columns]:
        return Prunable(writer, readers, (), f"the columns of {unknown[0]} are not known")
    dead = barely(rows, tiny=tiny)
    for reader in readers:
        dead &= barely(columns[reader], tiny=tiny)
    channels = tuple(np.flatnonzero(dead).tolist())
    if len(channels) == rows.size:
        return Prunable(writer, readers, (), "all channels are tiny: nothing would be left")
    return Prunable(writer, readers, channels, "ok" if channels else "no channel is tiny in the layer and in all its readers")


def plan(
    wiring: Wiring,
    writer: str,
    channels: Sequence[int],
    state: Mapping[str, Array],
    /,
    *,
    through: Sequence[str] | None = None,
    unpadded: Collection[str] = (),
) -> Plan:
    """Say how channels are taken out of a checkpoint.

    Args:
        wiring: Where the channels go. Norms are those of the checkpoint.
        writer: Name of the layer.
        channels: Its output channels, as `prunable` gives them.
        state: Arrays by name, in the stored layout; only their shapes are looked at.
        through: Steps between the layer and its readers, where the wiring does not know them ("batch_norm", "relu").
        unpadded: Names of readers whose input is not padded by zeros: a constant moves into their bias exactly.

    Raises:
        UsageError: Something else depends on the channels, a tensor is missing or seen in parts, or a step in between is not known.
    """
    links = [link for link in wiring.links if link.source == writer]
    if (why := _why_fixed(wiring, writer, links)) is not None:
        raise UsageError(f"{writer}: no channel can be taken out: {why}.")
    layer = wiring[writer]
    removed = np.unique(np.array(channels, dtype=np.int64))
    if not removed.size or removed[0] < 0 or removed[-1] >= layer.out or removed.size == layer.out:
        raise UsageError(f"{writer}: expected some but not all of the channels 0 to {layer.out - 1}, got {list(channels)}.")
    cuts: dict[tuple[str, int], set[int]] = {}
    weight, axis = _oriented(layer, state)[:2]
    _add(cuts, weight, axis, removed)
    if (bias := _bias(layer, state)) is not None:
        _add(cuts, bias, 0, removed)
    for norm in layer.after:
        _cut_norm(cuts, norm, removed, state)
    constants: list[Constant] = []
    notes: list[str] = []
    for link in links:
        reader = wiring[link.target]
        inputs, outputs = _meeting(link, removed)
        name, _, into = _oriented(reader, state)
        met = places(reader, inputs, state[name].shape)
        _add(cuts, name, into, met)
        for norm in reader.before:
            _cut_norm(cuts, norm, inputs, state)
        steps = _steps(wiring, link, through)
        values = np.repeat(_left(layer, reader, steps, inputs, outputs), met.size // max(inputs.size, 1))
        target, sign = _absorbing(reader, state)
        constants.append(Constant(name, into, tuple(met.tolist()), values, target, sign))
        padded = reader.name not in unpadded and ((reader.taps > 1 and state[name].ndim > 2) or any(_pads(step) for step in steps))
        notes += _inexact(reader, padded, constants[-1])
    parameters = sum(_entries(state[name], axis, len(taken)) for (name, axis), taken in cuts.items() if _learned(name))
    return Plan(
        writer=writer,
        channels=tuple(removed.tolist()),
        cuts=tuple(Cut(name, axis, tuple(sorted(taken))) for (name, axis), taken in cuts.items()),
        constants=tuple(constants),
        parameters=parameters,
        exact=not notes,
        notes=tuple(notes),
    )


def prune(state: Mapping[str, Array], plan: Plan, /) -> dict[str, Array]:
    """The checkpoint without the channels: smaller tensors, and the constants they left in the readers.

    Args:
        state: Arrays by name. They are not written to; what does not change is passed on as it is.
        plan: As `plan` gives it for this checkpoint.
    """
    found = _with_constants(state, plan)
    for cut in plan.cuts:
        found[cut.tensor] = np.delete(found[cut.tensor], cut.places, axis=cut.axis)
    return found


def silenced(state: Mapping[str, Array], plan: Plan, /) -> dict[str, Array]:
    """The checkpoint with the channels unread and every shape as it was: the same function as the pruned one.

    Args:
        state: Arrays by name. They are not written to.
        plan: As `plan` gives it for this checkpoint.
    """
    found = _with_constants(state, plan)
    for constant in plan.constants:
        weight = np.array(found[constant.weight])
        np.moveaxis(weight, constant.axis, 0)[list(constant.places)] = 0
        found[constant.weight] = weight
    return found


def bounds(wiring: Wiring, plan: Plan, rows: Values, columns: Mapping[str, Values], /) -> tuple[Bound, ...]:
    """What a plan can change in every reader, by norms alone, for activations that never steepen a slope (ReLU and most others).

    A channel differs from its constant by at most the norm of its row times that of the input, and the reader multiplies that by
    the norm of its column, or by sqrt(taps) times it where the taps meet different positions.

    Args:
        wiring: Of the plan.
        plan: The channels.
        rows: (out,) norms of the rows of the writer, batch norm folded in.
        columns: (out,) norms of the columns that meet each channel, of every reader by its name.
    """
    removed = list(plan.channels)
    found = []
    for link in (link for link in wiring.links if link.source == plan.writer):
        positions = np.ones(rows.size) if link.rows is None else np.bincount(link.rows[link.rows >= 0], minlength=rows.size)
        each = rows * columns[link.target] * np.sqrt(positions * wiring[link.target].taps)
        total = float(each.sum())
        change = float(each[removed].sum())
        found.append(Bound(link.target, change, change / total if total > 0 else 0.0))
    return tuple(found)


def _why_fixed(wiring: Wiring, writer: str, links: Sequence[Link]) -> str | None:
    """Why no output channel of a layer may be taken out, or None."""
    layers = {layer.name: layer for layer in wiring.layers}
    if not links:
        return "nothing is known to read it"
    if layers[writer].groups > 1:
        return "it has several groups, which would change in size"
    if (why := _why_not_alone(wiring, writer, links)) is not None:
        return why
    for link in links:
        reader = layers[link.target]
        if link.target == writer:
            return "it reads what it writes"
        if link.relation not in ("next", "flatten", "concatenation", "stated"):
            return f"{link.target} meets it in a stream that others write ({link.relation})"
        if _met_by_others(wiring, link):
            return f"{link.target} reads the same channels from another layer as well"
        if reader.groups > 1:
            return f"{link.target} has several groups, which would change in size"
        mixing = [step for step in link.through if any(part in step for part in MIXING)]
        if mixing or any(norm.centred for norm in reader.before):
            return f"{mixing[0] if mixing else 'a layer norm'} before {link.target} makes every channel depend on it"
    return None


def _why_not_alone(wiring: Wiring, writer: str, links: Sequence[Link]) -> str | None:
    """Why more than the known readers may depend on the channels of a layer, or None; what reads an unknown layer may read it."""
    for gap in wiring.gaps:
        if gap.source in ("", writer):
            return f"not all of its readers are known: {gap.reason}"
    for name, where in wiring.elsewhere:
        if name in ("", writer):
            return f"its channels also go to {where}"
    for name in (writer, *(link.target for link in links)):
        if aliases := wiring[name].aliases:
            return f"the tensor of {name} is also that of {aliases[0]}, which has a bias and readers of its own"
    return None


def _met_by_others(wiring: Wiring, link: Link) -> bool:
    """Another layer writes into an input channel that this link leads to."""

    def inputs(one: Link) -> set[int]:
        channels = wiring[one.target].channels
        return set(range(channels)) if one.rows is None else set(np.flatnonzero(one.rows >= 0).tolist())

    others = [other for other in wiring.links if other.target == link.target and other is not link]
    return any(inputs(other) & inputs(link) for other in others)


def _oriented(layer: Layer, state: Mapping[str, Array]) -> tuple[str, int, int]:
    """Tensor of a layer with its output and its input axis."""
    name, view = layer.matrix.tensor, layer.matrix.view
    shape = shape_of(layer, state, "pruned")
    if view not in PLAIN or layer.groups > 1:
        raise UsageError(f"{layer.name}: expected a plain matrix or convolution, got {view}: cut its tensor by hand.")
    out, into = axes(layer, len(shape))
    if {out, into} != {0, 1}:
        raise UsageError(
            f"{layer.name}: expected channels along the first two axes of {name}, got {shape}: cut its tensor by hand."
        )
    if (shape[out], math.prod(shape) // max(shape[out], 1)) != (layer.out, layer.channels * layer.taps):
        raise UsageError(f"{layer.name}: expected shape ({layer.out}, {layer.channels} * {layer.taps}), got {shape} in {name}.")
    return name, out, into


def _bias(layer: Layer, state: Mapping[str, Array]) -> str | None:
    found = beside(layer.matrix.tensor, "bias")
    return found if found in state and state[found].shape == (layer.out,) else None


def _steps(wiring: Wiring, link: Link, through: Sequence[str] | None) -> tuple[str, ...]:
    if through is not None:
        return tuple(through)
    if not link.through and not wiring.how.startswith("traced"):
        raise UsageError(
            f"{link.source} to {link.target}: the steps in between are not known: pass through=(...), such as ('relu',)."
        )
    return link.through


def _pads(step: str) -> bool:
    """A mean over windows counts the zeros that pad the border, if there are any."""
    return "avg_pool" in step and "adaptive" not in step


def _inexact(reader: Layer, padded: bool, constant: Constant) -> Iterator[str]:
    """What a constant that is not zero does not get right."""
    if not constant.values.any():
        return
    if not constant.into:
        yield f"{reader.name} has no bias that could take up the constant of the channels: it is lost"
    if padded:
        yield f"{reader.name}: the constant of the channels is lost at the border if its input is padded by zeros"


def _cut_norm(cuts: dict[tuple[str, int], set[int]], norm: Norm, channels: Rows, state: Mapping[str, Array]) -> None:
    places = channels if norm.at is None else norm.at[channels]
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        name = f"{norm.name}.{leaf}"
        if name in state and state[name].shape == (norm.size,):
            _add(cuts, name, 0, places)
    if norm.name in state and state[norm.name].size == norm.size:  # gains that stand by themselves
        _add(cuts, norm.name, int(np.argmax(state[norm.name].shape)), places)


def _add(cuts: dict[tuple[str, int], set[int]], name: str, axis: int, places: Rows) -> None:
    cuts.setdefault((name, axis), set()).update(places.tolist())


def _meeting(link: Link, removed: Rows) -> tuple[Rows, Rows]:
    """Input channels of a reader that meet removed channels, and the channel that each meets."""
    if link.rows is None:
        return removed, removed
    inputs = np.flatnonzero(np.isin(link.rows, removed))
    return inputs, link.rows[inputs]


def _left(writer: Layer, reader: Layer, steps: Sequence[str], inputs: Rows, outputs: Rows) -> Values:
    """(inputs,) what removed channels hold in front of a reader when the writer writes nothing but its bias."""
    values = np.zeros(outputs.size) if writer.bias is None else np.asarray(writer.bias(), dtype=np.float64)[outputs]
    norms = [*((norm, outputs) for norm in writer.after), *((norm, inputs) for norm in reader.before)]
    if not any(_is_norm(step) for step in steps) and not reader.before:
        steps = (*[BATCH_NORM] * len(norms), *steps)  # what follows a layer directly is seldom named
    if sum(_is_norm(step) for step in steps) != len(norms):
        raise UsageError(f"{writer.name} to {reader.name}: the order of {len(norms)} norms is not known: pass through=(...).")
    for step in steps:
        if _is_norm(step):
            norm, channels = norms.pop(0)
            gains, places = norm.read(), channels if norm.at is None else norm.at[channels]
            values = values * gains.scale[places] + gains.shift[places]
        elif step in ELEMENTWISE:
            values = ELEMENTWISE[step](values)
        elif not any(part in step for part in STEADY) or any(part in step for part in MIXING):
            raise UsageError(f"{writer.name} to {reader.name}: what {step} makes of a constant is not known: pass through=(...).")
    return values


def _is_norm(step: str) -> bool:
    return BATCH_NORM in step or step == GAIN


def _absorbing(reader: Layer, state: Mapping[str, Array]) -> tuple[str, float]:
    """Tensor that can take up a constant, and its sign."""
    if (bias := _bias(reader, state)) is not None:
        return bias, 1.0
    for norm in reader.after[:1]:
        mean = f"{norm.name}.running_mean"
        if norm.at is None and mean in state and state[mean].shape == (reader.out,):
            return mean, -1.0
    return "", 1.0


def _with_constants(state: Mapping[str, Array], plan: Plan) -> dict[str, Array]:
    found = dict(state)
    for constant in plan.constants:
        if not constant.into or not constant.values.any():
            continue
        weight = np.moveaxis(np.asarray(state[constant.weight], dtype=np.float64), (1 - constant.axis, constant.axis), (0, 1))
        added = weight[:, list(constant.places)].reshape(weight.shape[0], len(constant.places), -1).sum(axis=2) @ constant.values
        into = found[constant.into]
        found[constant.into] = (into.astype(np.float64) + constant.sign * added).astype(into.dtype)
    return found


def _learned(name: str) -> bool:
    return not name.endswith((".running_mean", ".running_var"))


def _entries(array: Array, axis: int, places: int) -> int:
    return array.size // array.shape[axis] * places if array.shape[axis] else 0
