"""A network with its hidden neurons or channels in another order: the same function, and how to prove it.

A permutation is the only descrambler that commutes with every activation: `f(P x) = P f(x)`. The rows of the layer that writes the
channels, its bias and the normalisations that follow are put in the new order, and so are the columns of every layer that reads
them. Where several layers write into one stream, all of them are, so that sums stay sums of the same channels. A signed permutation
commutes with odd activations only, a positively scaled one with ReLU, and any other orthogonal matrix with linear ones only: see
`mismatch`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.spectral_graph import trials
from modescope.spectral_graph.trials import Difference
from modescope.spectral_graph.wiring import Layer, Link, Norm, Rows, Wiring
from modescope.spectral_graph.wiring.stored_axes import PLAIN, axes, beside, places, shape_of
from modescope.svd import Values

State = Mapping[str, Array]

ORDERED = ("group_norm", "instance_norm", "local_response", "shuffle", "glu")
"""Parts of the names of steps that see which channel is which."""

SYMMETRIC = ("amax", "amin", "logsumexp", "mean", "nanmean", "nansum", "norm", "prod", "std", "std_mean", "sum", "var", "var_mean")
"""Numbers about all channels that are the same in every order of them."""

JOINED = ("residual", "product")  # relations by which channels of several layers become one


@dataclass(frozen=True, eq=False)
class Take:
    """One axis of one tensor in a new order: `np.take(tensor, index, axis)`."""

    tensor: str
    axis: int
    index: Rows


@dataclass(frozen=True, eq=False)
class Reordering:
    """How a checkpoint is put in another order.

    Attributes:
        writer: The layer whose output channels it was asked for.
        order: (out,) which of its channels stands at each place.
        writers: All layers whose outputs are in a new order: those that write into the same stream, and depthwise ones on it.
        readers: All layers that read them.
        takes: What happens to every tensor.
        notes: Sentences about what is not known.
    """

    writer: str
    order: Rows
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    takes: tuple[Take, ...]
    notes: tuple[str, ...] = ()


def plan(
    wiring: Wiring,
    writer: str,
    order: Sequence[int] | Rows,
    state: State,
    /,
    *,
    also: Mapping[str, int] | None = None,
) -> Reordering:
    """Say how the output channels of a layer are put in another order without changing what the network computes.

    Args:
        wiring: Where the channels go; every layer that reads them must be known.
        writer: Name of the layer.
        order: (out,) which channel stands at each place, as `smoothest_order` gives it.
        state: Arrays by name, in the stored layout; only their shapes are looked at, and which names share one memory.
        also: Tensors with a number per channel that the wiring does not name, such as slopes of an activation, and their axis.

    Returns:
        The plan, for `reordered` or `applied`. A wiring that was traced knows what the channels meet on their way, and a plan that
        would change the function is refused; parameters that are used beside their layers are not seen. Other wirings know layers
        and norms only: prove it by a run.

    Raises:
        UsageError: The order is no permutation; something sees which channel is which, or holds a number for each that is not in
            `also`; the channels are an output, or are summed with what no layer wrote (the input of the network); not all readers,
            or not all that these read, are known; or a tensor is missing, seen in parts, or used elsewhere.
    """
    layers = {layer.name: layer for layer in wiring.layers}
    if writer not in layers:
        raise UsageError(f"{writer}: expected a layer of the wiring, got none of that name: {', '.join([*layers][:5])}, ...")
    first = _permutation(order, layers[writer])
    orders: dict[str, Rows] = {}
    columns: dict[str, Rows] = {}
    waiting = deque([(writer, first)])
    while waiting:
        name, wanted = waiting.popleft()
        if name in orders:
            _same(orders[name], wanted, f"{name}: its channels meet those of {writer} in two different orders")
            continue
        orders[name] = wanted
        if _depthwise(layers[name]):
            columns[name] = wanted
            waiting.extend(_upstream(wiring, layers[name], wanted))
        for link in _outgoing(wiring, name):
            reader = layers[link.target]
            index = _columns(link, reader, wanted)
            known = columns.get(reader.name)
            columns[reader.name] = index if known is None else _joined(known, index, reader)
            waiting.extend(_partners(wiring, link, index))
            if _depthwise(reader):
                waiting.append((reader.name, index))
    takes = _Takes(state, wiring)
    for name, wanted in orders.items():
        _of_writer(takes, layers[name], wanted)
    for name, index in columns.items():
        _of_reader(takes, layers[name], index)
    for tensor, axis in (also or {}).items():
        if tensor not in state or not -state[tensor].ndim <= axis < state[tensor].ndim or state[tensor].shape[axis] != first.size:
            raise UsageError(f"also: expected a tensor with {first.size} entries along its axis {axis}, got {tensor!r}.")
        takes.add(tensor, axis % state[tensor].ndim, first)
    takes.unused_elsewhere(wiring)
    _unpinned(wiring, orders, takes)
    return Reordering(writer, first, tuple(orders), tuple(columns), takes.all(), _notes(wiring, writer))


def reordered(state: State, plan: Reordering, /) -> dict[str, Array]:
    """The checkpoint in the new order.

    Args:
        state: Arrays by name. They are not written to; what does not change is passed on as it is.
        plan: As `plan` gives it for this checkpoint.
    """
    found = dict(state)
    for take in plan.takes:
        found[take.tensor] = np.take(found[take.tensor], take.index, axis=take.axis)
    return found


def difference(run: Callable[[State], Array], before: State, after: State, /) -> Difference:
    """The proof: run a network with both checkpoints.

    Args:
        run: Gives the outputs (inputs, classes) of the network with some weights, for inputs of your choice.
        before: Weights as they were.
        after: Weights in the new order.

    Returns:
        Rounding only where they are the same function, as sums are taken in another order.
    """
    return trials.difference(np.array(run(before)), np.array(run(after)))


@contextmanager
def applied(model: Any, plan: Reordering, /) -> Iterator[None]:
    """Put a live model in the new order, and give it its own back, also after an exception.

    Weights are permuted in place and permuted back bit by bit, so that what was learnt in between stays.

    Args:
        model: Has a `state_dict` of tensors that share the memory of the model, as modules of torch have.
        plan: As `plan` gives it for the state of this model.

    Raises:
        UsageError: The model has no such tensor.
    """
    state = model.state_dict()
    if missing := [take.tensor for take in plan.takes if take.tensor not in state]:
        raise UsageError(f"{missing[0]}: expected a tensor of the model, got {type(model).__name__} without one.")
    once = {(state[take.tensor].data_ptr(), take.axis): take for take in plan.takes}
    done: list[Take] = []
    try:
        for take in once.values():
            _permute(state[take.tensor], take.axis, take.index)
            done.append(take)
        yield
    finally:
        for take in done:
            _permute(state[take.tensor], take.axis, np.argsort(take.index))


def measured(run: Callable[[], Array], model: Any, plan: Reordering, /) -> Difference:
    """The proof on a live model: run it as it is and in the new order; it is given back as it was.

    Args:
        run: Gives the outputs for some inputs: `lambda: model(x).detach().numpy()`.
        model: As for `applied`.
        plan: As for `applied`.
    """
    before = np.array(run())
    with applied(model, plan):
        after = np.array(run())
    return trials.difference(before, after)


def mismatch(change: Values, activation: Callable[[Values], Values], samples: Values, /) -> float:
    """How far a change of basis is from commuting with an activation: the largest `|T f(x) - f(T x)|`.

    It is zero up to rounding for permutations with any elementwise activation, signed ones with odd activations, positively scaled
    ones with ReLU, and any matrix with the identity. Otherwise `T W` is a view of the weights, and no network.

    Args:
        change: (m, m) the matrix T, invertible.
        activation: Elementwise.
        samples: (N, m) preactivations.
    """
    return float(np.abs(activation(samples) @ change.T - activation(samples @ change.T)).max(initial=0.0))


class _Takes:
    """Takes by tensor and axis; who asked for each, and whether they agree."""

    def __init__(self, state: State, wiring: Wiring) -> None:
        self.state = state
        self.aliases = {layer.matrix.tensor: layer.aliases for layer in wiring.layers}
        self.found: dict[tuple[str, int], Rows] = {}
        self.users: dict[str, set[str]] = {}
        self.twins: dict[tuple[Any, ...], list[str]] = {}
        for name, array in state.items():
            self.twins.setdefault(_memory(name, array), []).append(name)

    def named(self, tensor: str) -> set[str]:
        """All names of one tensor, as far as they are those of the state."""
        return {tensor, *self.aliases.get(tensor, ()), *self.twins.get(_memory(tensor, self.state.get(tensor)), ())} & {*self.state}

    def add(self, tensor: str, axis: int, index: Rows, user: str = "") -> None:
        for name in self.named(tensor):
            known = self.found.setdefault((name, axis), index)
            _same(known, index, f"{name}: it is used twice, and its axis {axis} would need two different orders")
            self.users.setdefault(name, set()).add(user)

    def moves(self, tensor: str, places: Sequence[int]) -> bool:
        """Whether some of these entries of a tensor, or of all, change places."""
        indices = [index for (name, _), index in self.found.items() if name == tensor]
        return any(not places or np.any(index[list(places)] != places) for index in indices)

    def unused_elsewhere(self, wiring: Wiring) -> None:
        for layer in wiring.layers:
            norms = [name for norm in (*layer.after, *layer.before) for name in _held(self.state, norm)]
            bias = () if layer.bias is None else (beside(layer.matrix.tensor, "bias"),)
            for tensor in (layer.matrix.tensor, *bias, *norms):
                users = self.users.get(tensor, {layer.name})
                if layer.name not in users:
                    raise UsageError(f"{tensor}: {layer.name} uses it too and does not meet the channels; it cannot be reordered.")

    def all(self) -> tuple[Take, ...]:
        return tuple(Take(tensor, axis, index) for (tensor, axis), index in self.found.items())


def _memory(name: str, array: Array | None) -> tuple[Any, ...]:
    """Equal for names of one tensor."""
    return (name,) if array is None or not array.size else (array.ctypes.data, array.shape, array.strides)


def _permutation(order: Sequence[int] | Rows, layer: Layer) -> Rows:
    found = np.asarray(order)
    if found.dtype.kind not in "iu" or found.shape != (layer.out,) or not np.array_equal(np.sort(found), np.arange(layer.out)):
        raise UsageError(f"{layer.name}: expected each of its {layer.out} channels once, got {found.dtype} of shape {found.shape}.")
    return found.astype(np.int64)


def _outgoing(wiring: Wiring, name: str) -> list[Link]:
    """Links of a writer, none of which sees which channel is which."""
    links = [link for link in wiring.links if link.source == name]
    targets = {link.target for link in links}
    for gap in wiring.gaps:
        if gap.source == name:
            raise UsageError(f"{name}: not all of its readers are known: {gap.reason}.")
    if not links:
        raise UsageError(f"{name}: no layer is known to read it, so that a new order would change the outputs.")
    for gap in wiring.gaps:
        if gap.target in targets:
            raise UsageError(f"{name}: not all that its reader {gap.target} reads is known: {gap.reason}.")
    for layer, where in wiring.elsewhere:
        if layer == name and where.removesuffix(" over channels").rpartition(".")[2] not in SYMMETRIC:
            raise UsageError(f"{name}: its channels also go to {where}; it cannot be reordered.")
    for link in links:
        if link.relation == "attention":
            raise UsageError(f"{name}: its channels belong to heads, which {link.target} reads one by one: order them by hand.")
        for step in link.through:
            if any(part in step for part in ORDERED):
                raise UsageError(f"{name} to {link.target}: {step} sees which channel is which; it cannot be reordered.")
    return links


def _met(link: Link, reader: Layer) -> Rows:
    """(channels,) the row of the writer that each input channel meets, -1 for none."""
    return np.arange(reader.channels) if link.rows is None else np.asarray(link.rows)


def _columns(link: Link, reader: Layer, order: Rows) -> Rows:
    """(channels,) which input channel of a reader moves to each place.

    A channel of the writer may meet several, as positions do behind a flattening: the first goes to where the first was.
    """
    rows = _met(link, reader)
    met = np.flatnonzero(rows >= 0)
    by_row = met[np.argsort(rows[met], kind="stable")]
    counts = np.bincount(rows[met], minlength=order.size)
    if not np.array_equal(counts[order], counts):
        raise UsageError(
            f"{link.source} to {link.target}: some channels are read more often than those that would take their place; "
            "only channels that are read alike can change places."
        )
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    index = np.arange(reader.channels)
    sorted_rows = rows[by_row]
    index[by_row] = by_row[starts[order[sorted_rows]] + np.arange(by_row.size) - starts[sorted_rows]]
    return index


def _joined(one: Rows, other: Rows, reader: Layer) -> Rows:
    """Moves of a reader that meets several writers of a stream: where both move a channel they agree."""
    still = np.arange(one.size)
    clash = (one != still) & (other != still) & (one != other)
    found = np.where(one != still, one, other)
    if clash.any() or not np.array_equal(np.sort(found), still):
        raise UsageError(f"{reader.name}: its input channels would need two different orders.")
    return found


def _partners(wiring: Wiring, link: Link, index: Rows) -> Iterator[tuple[str, Rows]]:
    """Other layers that write into the channels that a reader meets through a link, each with the order that it must take."""
    reader = wiring[link.target]
    here = _met(link, reader) >= 0
    alone = here.copy()
    for other in wiring.links:
        if other.target != link.target or other is link:
            continue
        rows = _met(other, reader)
        both = here & (rows >= 0)
        if not both.any():
            continue
        alone &= ~both
        if np.any((rows[index] >= 0) != (rows >= 0)):
            raise UsageError(f"{link.target}: {other.source} writes into some of the channels of {link.source} only.")
        yield other.source, _implied(wiring[other.source], reader, rows, index, both)
    if link.relation in JOINED and alone.any():
        raise UsageError(
            f"{link.source}: before {link.target} reads it, it is joined ({link.relation}) with what no layer wrote, "
            "such as the input of the network; it cannot be reordered."
        )


def _implied(writer: Layer, reader: Layer, rows: Rows, index: Rows, at: NDArray[np.bool_]) -> Rows:
    """The order that a writer must take where a reader's input channels move; `rows` says which of its rows each meets."""
    order = np.arange(writer.out)
    order[rows[at]] = rows[index[at]]
    if not np.array_equal(np.sort(order), np.arange(order.size)) or not np.array_equal(order[rows[at]], rows[index[at]]):
        raise UsageError(f"{writer.name}: no order of its channels follows that of what {reader.name} reads.")
    return order


def _upstream(wiring: Wiring, reader: Layer, index: Rows) -> Iterator[tuple[str, Rows]]:
    """Writers of the channels that a depthwise layer treats one by one, each with the order that it must take."""
    open_ends = np.ones(reader.channels, dtype=np.bool_)
    for link in wiring.links:
        if link.target == reader.name:
            met = _met(link, reader)
            open_ends &= met < 0
            yield link.source, _implied(wiring[link.source], reader, met, index, met >= 0)
    if open_ends.any():
        raise UsageError(f"{reader.name}: its channels are its inputs, which no layer is known to write; it cannot be reordered.")


def _depthwise(layer: Layer) -> bool:
    return layer.groups > 1 and layer.groups == layer.channels == layer.out


def _of_writer(takes: _Takes, layer: Layer, order: Rows) -> None:
    name = layer.matrix.tensor
    axis = _output_axis(takes.state, layer)
    takes.add(name, axis, order, layer.name)
    bias = beside(name, "bias")
    if bias in takes.state and takes.state[bias].shape == (layer.out,):
        takes.add(bias, 0, order, layer.name)
    elif layer.bias is not None:
        raise UsageError(f"{layer.name}: expected its bias as {bias} of shape ({layer.out},), got no such tensor.")
    for norm in layer.after:
        _of_norm(takes, norm, order, layer.name)


def _of_reader(takes: _Takes, layer: Layer, index: Rows) -> None:
    name = layer.matrix.tensor
    if not _depthwise(layer):  # its rows are its columns
        axis = _input_axis(takes.state, layer)
        takes.add(name, axis, places(layer, index, takes.state[name].shape), layer.name)
    for norm in layer.before:
        _of_norm(takes, norm, index, layer.name)


def _of_norm(takes: _Takes, norm: Norm, index: Rows, user: str) -> None:
    """Every tensor of a normalisation with a number per channel; `index` is of the channels of the layer beside it."""
    at = np.arange(index.size) if norm.at is None else np.asarray(norm.at)
    passed = np.flatnonzero((at >= 0) & (at[index] >= 0))
    moved = np.arange(norm.size)
    moved[at[passed]] = at[index[passed]]
    agreed = np.array_equal(moved[at[passed]], at[index[passed]]) and np.array_equal(np.sort(moved), np.arange(norm.size))
    if not agreed or np.any((at >= 0) != (at[index] >= 0)):
        raise UsageError(f"{norm.name}: no order of its {norm.size} channels follows that of the layer beside it.")
    for tensor, axis in _held(takes.state, norm).items():
        takes.add(tensor, axis, moved, user)


def _held(state: State, norm: Norm) -> dict[str, int]:
    """Tensors of a normalisation with a number per channel, and the axis of their channels; gains may stand by themselves."""
    prefix = f"{norm.name}." if norm.name else ""
    own = {
        tensor: 0
        for tensor, array in state.items()
        if tensor.startswith(prefix) and "." not in tensor[len(prefix) :] and array.shape == (norm.size,)
    }
    alone = state.get(norm.name)
    return {norm.name: int(np.argmax(alone.shape))} if alone is not None and alone.size == norm.size else own


def _unpinned(wiring: Wiring, orders: Mapping[str, Rows], takes: _Takes) -> None:
    """Raise where not all that the channels meet moves with them, or what other channels meet would."""
    for group in wiring.together:
        moving = [name for name in group if name in orders]
        for name in group if moving else ():
            what = f"{name}: its channels are summed over together with those of {moving[0]}, and would need two different orders"
            _same(orders.get(name, np.arange(wiring[name].out)), orders[moving[0]], what)
    moved = {tensor for tensor, _ in takes.found}
    for pin in wiring.pins:
        own = takes.named(pin.tensor)
        if pin.layer in orders and not own & moved:
            held = f"{pin.tensor} holds" if pin.tensor else "numbers that are computed hold"
            more = f": pass also={{{pin.tensor!r}: axis}} where it has one for each" if pin.tensor else ""
            raise UsageError(f"{pin.layer}: {held} a number for each of its channels ({pin.how}); it cannot be reordered{more}.")
        if pin.layer not in orders and any(takes.moves(tensor, pin.places) for tensor in own & moved):
            raise UsageError(f"{pin.tensor}: {pin.layer} uses it too and does not meet the channels; it cannot be reordered.")


def _output_axis(state: State, layer: Layer) -> int:
    shape = shape_of(layer, state, "reordered")
    if layer.groups > 1 and not _depthwise(layer):
        raise UsageError(f"{layer.name}: it has several groups, which a new order would mix.")
    if not _depthwise(layer) and layer.matrix.view not in PLAIN:
        raise UsageError(f"{layer.name}: expected a plain matrix or convolution, got {layer.matrix.view}: reorder it by hand.")
    axis = 0 if _depthwise(layer) else axes(layer, len(shape))[0]
    if not 0 <= axis < len(shape) or shape[axis] != layer.out:
        raise UsageError(f"{layer.name}: expected {layer.out} outputs on axis {axis} of {layer.matrix.tensor}, got {shape}.")
    return axis


def _input_axis(state: State, layer: Layer) -> int:
    shape = shape_of(layer, state, "reordered")
    sizes = {layer.channels, layer.channels * layer.taps} if len(shape) == 2 else {layer.channels}
    if layer.groups > 1:
        raise UsageError(f"{layer.name}: it reads in several groups, which a new order would mix.")
    if layer.matrix.view in PLAIN:
        axis = axes(layer, len(shape))[1]
        fitting = [axis] if 0 <= axis < len(shape) and shape[axis] in sizes else []
    else:  # gates and projections stacked along the outputs: the other axis is whole
        fitting = [axis for axis in range(len(shape)) if shape[axis] in sizes] if len(shape) == 2 else []
    if len(fitting) != 1:
        raise UsageError(f"{layer.name}: expected {layer.channels} inputs on one axis of {layer.matrix.tensor}, got {shape}.")
    return fitting[0]


def _same(known: Rows, wanted: Rows, what: str) -> None:
    if not np.array_equal(known, wanted):
        raise UsageError(f"{what}; it cannot be reordered.")


def _notes(wiring: Wiring, writer: str) -> tuple[str, ...]:
    notes = [f"{gap.target} {gap.reason}: if that is {writer}, the function changes" for gap in wiring.gaps if not gap.source]
    if not wiring.how.startswith("traced"):
        notes.append("steps between the layers are not known: prove it by a run")
    return tuple(notes)


def _permute(tensor: Any, axis: int, index: Rows) -> None:
    tensor.copy_(tensor[(slice(None),) * axis + (index.tolist(),)])
