"""A wiring while it is being drawn: layers are taken from a checkpoint, and joined to the stream that they read or write."""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.layers._layouts import Heads, head_counts
from modescope.layers._rows import rows, turned
from modescope.matrix import Tensor
from modescope.spectral_graph.wiring import Gap, Layer, Link, Norm, Rows, Wiring, weights
from modescope.spectral_graph.wiring._circuits import formed, key_side, output_value, query_side
from modescope.spectral_graph.wiring._joining import assembled, join


@dataclass(eq=False)
class Stream:
    """A residual stream: who wrote into it so far, and the norm it passed last.

    Attributes:
        writers: Names of layers, in order.
        readers: Names of those that read it, each with how many had written by then.
        norm: Of its state as it is now; None before any, or where each reader has its own.
    """

    writers: list[str] = field(default_factory=list)
    readers: dict[str, int] = field(default_factory=dict)
    norm: Norm | None = None


@dataclass(eq=False)
class Drawing:
    """What was drawn so far.

    Attributes:
        checkpoint: Where the layers come from.
        view: None, "heads" or "circuits".
        layers: In the order in which they act.
        joined: Links and gaps.
        notes: What must be said.
    """

    checkpoint: Checkpoint
    view: str | None
    layers: dict[str, Layer] = field(default_factory=dict)
    joined: list[Link | Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._offered = weights.layers(self.checkpoint, view="heads" if self.view else None)
        self._tensors = {name: tensor for tensor in self.checkpoint.tensors for name in (tensor.name, *tensor.aliases)}
        self._used: set[str] = set()

    def tensor(self, module: str) -> Tensor | None:
        """The weight of a module, or a parameter by its own name."""
        return self._tensors.get(f"{module}.weight") or self._tensors.get(module)

    def has(self, module: str) -> bool:
        """Whether a layer of this name is in the checkpoint."""
        tensor = self.tensor(module)
        return tensor is not None and tensor.name in self._offered

    def take(self, module: str, part: str = "", norm: Norm | None = None, after: Norm | None = None) -> tuple[Layer, ...]:
        """The layers of a module, added to the drawing: those of one part of a fused projection, or all.

        Args:
            module: Its name; a missing one gives none.
            part: "query", "key" or "value" of a fused projection.
            norm: What its input passed last.
            after: A normalisation that follows it directly.
        """
        found = self.parts(module, part)
        completed = (replace(layer, before=_fitting(norm, layer.channels), after=_fitting(after, layer.out)) for layer in found)
        return tuple(self.add(layer) for layer in completed)

    def parts(self, module: str, part: str = "") -> tuple[Layer, ...]:
        """The layers of a module as the checkpoint offers them; they count as placed."""
        tensor = self.tensor(module)
        if tensor is None or tensor.name not in self._offered:
            return ()
        self._used.add(tensor.name)
        return tuple(layer for layer in self._offered[tensor.name] if layer.matrix.view.startswith(part))

    def halves(self, module: str, norm: Norm | None = None) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        """Gate and up projections that are stacked in one tensor, gate first."""
        found = self.parts(module)
        if not found or found[0].out % 2:
            return (), ()
        (layer,), size = found, found[0].out // 2
        gate, up = (
            Layer(
                f"{layer.name} {view}",
                replace(
                    layer.matrix,
                    view=view,
                    shape=(size, layer.channels),
                    read=partial(rows, partial(formed, layer.matrix), start, start + size),
                ),
                layer.channels,
                before=_fitting(norm, layer.channels),
            )
            for view, start in (("gate", 0), ("up", size))
        )
        return (self.add(gate),), (self.add(up),)

    def add(self, layer: Layer) -> Layer:
        """Put a layer at the end of the order."""
        self.layers[layer.name] = layer
        return layer

    def embedding(self, module: str) -> tuple[Layer, ...]:
        """A table of vectors as a writer (width, vocabulary), however its tensor is seen."""
        return self._turned(module, "embedding", wanted=True)

    def unembedding(self, module: str, norm: Norm | None = None) -> tuple[Layer, ...]:
        """A table of vectors as a reader (vocabulary, width); one tied to an embedding is its transpose."""
        found = self._turned(module, "unembedding", wanted=False)
        return tuple(self.add(replace(layer, before=_fitting(norm, layer.channels))) for layer in found)

    def norm(self, module: str) -> Norm | None:
        """A normalisation by name; one that is not stored is said so."""
        found = weights.norm(self.checkpoint, module) if module else None
        if module and found is None:
            self.notes.append(f"{module} is not in the checkpoint: not folded")
        return found

    def write(self, stream: Stream, layers: tuple[Layer, ...]) -> None:
        """Layers whose output is added to a stream."""
        stream.writers += [layer.name for layer in layers]

    def read(self, stream: Stream, layers: tuple[Layer, ...], start: int = 0) -> None:
        """Layers that read a stream: each is joined to all that wrote into it, from the writer with the number `start` on."""
        for reader in layers:
            through = ("add", *(("layer_norm" if norm.centred else "rms_norm") for norm in reader.before))
            stream.readers[reader.name] = len(stream.writers)
            for name in stream.writers[start:]:
                self.joined.append(join(self.layers[name], reader, "residual", through=through))

    def feed(self, writers: tuple[Layer, ...], readers: tuple[Layer, ...], relation: str, through: tuple[str, ...] = ()) -> None:
        """Layers that read what others write, and nothing else."""
        self.joined += [join(writer, reader, relation, through=through) for reader in readers for writer in writers]

    def missing(self, source: str, target: str, what: str) -> None:
        """Say that a layer of the architecture is not in the checkpoint."""
        self.joined.append(Gap(source, target, f"{what} is not in the checkpoint"))

    def values_to_output(self, values: tuple[Layer, ...], outputs: tuple[Layer, ...]) -> None:
        """Join value to output projections of one attention; with fewer value heads, several columns meet one row."""
        if not values or not outputs:
            return
        if self.view and len(outputs) > 1 and len(outputs) % len(values) == 0:
            for head, output in enumerate(outputs):
                value = values[head // (len(outputs) // len(values))]
                self.joined.append(join(value, output, "attention", through=("attention",)))
            return
        value, output = values[0], outputs[0]
        shared = shared_rows(value.out, output.channels, self.heads(value))
        self.joined.append(join(value, output, "attention", rows=shared, through=("attention",)))

    def heads(self, layer: Layer) -> Heads | None:
        """Number of heads the configuration tells for a layer."""
        tensor = self._tensors.get(layer.matrix.tensor)
        return head_counts(tensor) if tensor is not None else None

    def circuits(
        self,
        queries: tuple[Layer, ...],
        keys: tuple[Layer, ...],
        values: tuple[Layer, ...],
        outputs: tuple[Layer, ...],
        norm: Norm | None,
    ) -> tuple[tuple[Layer, ...], tuple[Layer, ...]] | None:
        """Circuits of all heads: those that only read (both sides of each QK), and those that read and write (OV).

        Returns None where the heads are not known.
        """
        count = len(outputs)
        whole = not queries or not keys or not values or count != len(queries) or len(keys) != len(values) or count % len(keys)
        if whole or not outputs[0].matrix.view.startswith("output head"):
            return None
        reading, writing = [], []
        for head, query in enumerate(queries):
            shared = head // (count // len(keys))
            fitting = _fitting(norm, query.channels)
            before = fitting[0] if fitting else None
            reading += [query_side(query, keys[shared], head, before), key_side(keys[shared], query, head, before)]
            writing.append(output_value(outputs[head], values[shared], head, before))
        if any(layer.bias is not None for layer in (*queries, *keys)):
            self.notes.append("QK circuits leave out the biases of queries and keys")
        return tuple(map(self.add, reading)), tuple(map(self.add, writing))

    def finished(self, family: str) -> Wiring:
        """The wiring; layers that found no place are gaps."""
        for name, offered in self._offered.items():
            if name not in self._used:
                reason = f"no place for it in the table of {family}"
                self.joined += [Gap("", layer.name, reason) for layer in offered]
        return assembled(self.layers.values(), self.joined, family, self.notes)

    def _turned(self, module: str, view: str, *, wanted: bool) -> tuple[Layer, ...]:
        """A table as a writer (an embedding) or as a reader, turned where its kind saw the other one."""
        tensor = self.tensor(module)
        if tensor is None or tensor.name not in self._offered:
            return ()
        self._used.add(tensor.name)
        (layer,) = self._offered[tensor.name]
        if layer.matrix.kind == ("dense" if wanted else "embedding"):
            out, channels = layer.matrix.shape
            matrix = replace(layer.matrix, view=view, shape=(channels, out), read=partial(turned, partial(formed, layer.matrix)))
            layer = Layer(f"{layer.name} {view}", matrix, out, note="tied to another table: its transpose")
        return (self.add(layer),) if wanted else (layer,)


def shared_rows(value_rows: int, output_columns: int, heads: Heads | None) -> Rows | None:
    """Row of the value projection that each column of the output projection meets; None where they meet one by one.

    Head h of H reads group floor(h / (H / H_kv)) of the H_kv groups of keys and values.
    """
    if value_rows == output_columns or heads is None or output_columns % heads.query or heads.query % heads.shared:
        return None
    size = output_columns // heads.query
    head, inside = np.divmod(np.arange(output_columns), size)
    met: Rows = head // (heads.query // heads.shared) * size + inside
    return met


def _fitting(norm: Norm | None, size: int) -> tuple[Norm, ...]:
    """A norm beside a layer of this many channels; one of each head's size meets all heads alike."""
    if norm is None or size % norm.size:
        return ()
    return (norm,) if norm.size == size else (replace(norm, at=np.tile(np.arange(norm.size), size // norm.size)),)
