"""The whole network with the neurons of one layer in the order that was found, and the proof that it is the same function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modescope.checkpoints import Checkpoint, open
from modescope.descrambling import reordering
from modescope.descrambling.arrays import SUFFIX, write
from modescope.descrambling.reordering import Reordering
from modescope.descrambling.source import is_module
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.seeds import generator
from modescope.spectral_graph.trials import Difference
from modescope.spectral_graph.wiring import Layer, Link, Wiring
from modescope.spectral_graph.wiring.finding import find
from modescope.spectral_graph.wiring.stored_axes import PLAIN, axes, beside
from modescope.svd import Values

PROBES = 64  # random inputs of every layer that writes, where there is no network to run
SAME = 1e-9  # change of outputs, relative to the largest, up to which it is the rounding of sums in another order, in float64
SINGLE = 1e-4  # the same for a network that runs in float32


@dataclass(frozen=True, eq=False)
class ReorderedNetwork:
    """A network whose neurons stand in another order.

    Attributes:
        state: Its tensors by name; those that did not change are those of the network.
        plan: What was done to every tensor.
        difference: How much outputs changed: rounding.
        proof: What was run: "the network", or "the layers that meet" where there is a checkpoint only.
        status: A sentence.
    """

    state: Mapping[str, Array]
    plan: Reordering
    difference: Difference
    proof: str
    status: str

    def save(self, path: str | Path) -> None:
        """Write the tensors as `.safetensors`; its metadata say what was done.

        Raises:
            UsageError: Another suffix, a dtype that the format has not, or a file that cannot be written.
        """
        path = Path(path)
        if path.suffix != SUFFIX:
            raise UsageError(f"{path}: expected a file that ends in {SUFFIX}, got {path.suffix or 'no suffix'!r}.")
        write(path, self.state, {"format": "pt", "reordered": self.plan.writer, "proof": self.status})


def reordered_network(
    p: Values, layer: str, side: str, source: Any, /, *, inputs: Any = None, wiring: Any = None, seed: int = 0
) -> ReorderedNetwork:
    """Put a network in a new order and prove that it computes the same.

    Args:
        p: (d, d) permutation matrix.
        layer: Tensor of the layer whose outputs, or on the other sides inputs, it orders.
        side: As in `Descrambling`.
        source: The network: whatever `open` takes.
        inputs: Of a live module: it is traced and run on them. A tensor, a list of batches or a DataLoader.
        wiring: As for `graph`, where it is not traced.
        seed: Of the probes that layers of a checkpoint are run on.

    Raises:
        UsageError: The order cannot be applied without changing the function: something sees which channel is which, sums it with
            what has another order, or is not known. Or outputs changed by more than rounding.
        UnreadableError: The source cannot be opened.
    """
    checkpoint = open(source)
    if inputs is not None and not is_module(source):
        raise UsageError("inputs: expected a live module to run on them, got a checkpoint. Leave them out, or pass the module.")
    if hasattr(inputs, "__next__"):
        raise UsageError("inputs: expected data that can be gone through again, got an iterator. Pass a list of batches.")
    example = None if inputs is None or wiring is not None else _first(inputs)
    found = find(checkpoint, wiring, model=source if example is not None else None, inputs=example)
    state = _state(checkpoint)
    order = p.argmax(axis=1)
    plan = reordering.plan(found, _writer(found, layer, side, order.size), order, state)
    after = reordering.reordered(state, plan)
    if inputs is None:
        run, proof = _meeting(found, plan, seed), "the layers that meet"
        change = reordering.difference(run, state, after)
    else:
        change, proof = reordering.measured(_run(source, inputs), source, plan), "the network"
    single = any(state[take.tensor].dtype.itemsize < 8 for take in plan.takes) and inputs is not None
    if change.relative > (SINGLE if single else SAME):
        raise UsageError(
            f"{layer}: the network in the new order is another function: outputs change by {change.relative:.2g} of the largest. "
            "Its wiring is not what was found; state it by wiring."
        )
    status = f"outputs of {proof} change by at most {change.relative:.2g} of the largest one, which is rounding"
    return ReorderedNetwork(after, plan, change, proof, "; ".join([status, *plan.notes]))


def _writer(wiring: Wiring, layer: str, side: str, size: int) -> str:
    """The layer whose outputs are ordered: that itself, or one that writes what it reads, channel by channel."""
    if side == "left":
        return layer
    links = [link for link in wiring.links if link.target == layer]
    if not links:
        raise UsageError(f"{layer}: no layer is known to write what it reads, so that its inputs have no order to change.")
    plain = next((link for link in links if link.rows is None and wiring[link.source].out == size), None)
    if plain is None:
        raise UsageError(
            f"{layer}: its {size} inputs are not one by one the channels of a layer before it (a kernel, or positions behind a "
            "flattening): descramble the left side of the layer that writes them."
        )
    return plain.source


def _state(checkpoint: Checkpoint) -> dict[str, Array]:
    """Tensors by all of their names; those of one storage are one array."""
    state: dict[str, Array] = {}
    for tensor in checkpoint.tensors:
        array = np.asarray(tensor.read())
        state |= dict.fromkeys((tensor.name, *tensor.aliases), array)
    return state


def _first(inputs: Any) -> Any:
    """A batch of the inputs, by which the network is traced."""
    if hasattr(inputs, "untyped_storage") or isinstance(inputs, Mapping):
        return inputs
    if isinstance(inputs, np.ndarray):
        raise UsageError("inputs: expected tensors, as the network takes them, got an array. Pass torch.from_numpy of it.")
    batch = next(iter(inputs), None)
    while isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    return batch


def _run(model: Any, inputs: Any) -> Callable[[], Array]:
    """Runs the network as it answers, in evaluation mode and without gradients, on all of the inputs."""
    from modescope.activations import collect

    def run(axis: int | None = None) -> Array:
        return collect(model, "", inputs, what="preactivation", axis=axis)["", "preactivation"]

    def tried() -> Array:
        try:
            return run()
        except UsageError as error:
            try:
                return run(axis=1)  # a network that ends in maps of channels does not say where they are
            except UsageError:
                raise error from None

    return tried


def _meeting(wiring: Wiring, plan: Reordering, seed: int) -> Callable[[reordering.State], Array]:
    """Every layer that reads the channels, applied to an activation of random signals of those that write them."""
    pairs = [
        (wiring[link.source], link, wiring[link.target])
        for link in wiring.links
        if link.source in plan.writers and link.target in plan.readers
    ]
    pairs = [pair for pair in pairs if all(one.groups == 1 and one.matrix.view in PLAIN for one in (pair[0], pair[2]))]
    if not pairs:
        raise UsageError(f"{plan.writer}: no plain layers meet in its channels to be run. Pass the live module.")

    def run(state: reordering.State) -> Array:
        return np.concatenate([_met(writer, link, reader, state, plan, seed) for writer, link, reader in pairs], axis=1)

    return run


def _met(writer: Layer, link: Link, reader: Layer, state: reordering.State, plan: Reordering, seed: int) -> Array:
    """What a reader makes of the writer's channels; what else of the two layers is in a new order is sorted away."""
    into = state[writer.matrix.tensor]
    rows = np.moveaxis(into, axes(writer, into.ndim)[0], 0).reshape(writer.out, -1).astype(np.float64)
    if writer.name in plan.readers:  # its inputs are in a new order as well, which its own writers are there to show
        rows = np.sort(rows, axis=1)
    signals = generator(seed, "reordering", writer.name).standard_normal((PROBES, rows.shape[1])) @ rows.T
    for name in (beside(writer.matrix.tensor, "bias"), *_norms(writer, state)):
        if name in state and state[name].shape == (writer.out,):
            signals = signals + state[name]
    out_of = state[reader.matrix.tensor]
    columns = np.moveaxis(out_of, axes(reader, out_of.ndim)[1], 0).astype(np.float64)
    columns = columns.reshape(columns.shape[0], -1)
    met = np.arange(reader.channels) if link.rows is None else np.asarray(link.rows)
    met = np.repeat(met, columns.shape[0] // reader.channels)
    found = np.tanh(signals)[:, met[met >= 0]] @ columns[met >= 0]
    return np.sort(found, axis=1) if reader.name in plan.writers else found


def _norms(writer: Layer, state: reordering.State) -> list[str]:
    """Tensors with a number per channel of the normalisations behind a layer."""
    prefixes = tuple(f"{norm.name}." for norm in writer.after if norm.name and norm.at is None)
    return [name for name in state if prefixes and name.startswith(prefixes)]
