"""Wiring: which layer writes into which, and the channels they share. Every way to find a wiring ends in these nouns.

A layer *writes* the columns of `u` into the channels of its output and *reads* the rows of `vh` from the channels of its input.
A link joins a writer to a reader channel by channel, so that branches, concatenations, flattened positions in any order and
residual streams are all the same thing: an array that says which row of the writer each input channel of the reader meets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Matrix
from modescope.svd import Values

Rows = NDArray[np.int64]
LEFT_OUT = "left out"  # how the reason of a gap begins that the user asked for


@dataclass(frozen=True, eq=False)
class Gains:
    """What a normalisation multiplies each channel by, and adds to it.

    Attributes:
        scale: (n,) gains, with their signs: `gamma / sqrt(var + eps)` of a batch norm, `gamma` of the others.
        shift: (n,) what is added: `beta - mean * scale` of a batch norm, `beta` of the others.
        small: Channels whose running variance lies below `eps`, where the gain is set by `eps` and not by the data.
    """

    scale: Values
    shift: Values
    small: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation beside a layer, as far as it is linear.

    Attributes:
        name: Of the module, or of the parameter where a vector of gains stands by itself.
        size: Number of its channels.
        read: Gives its gains; a thunk that may travel to another process.
        centred: It subtracts the mean over the channels first (layer norm): readers are orthogonal to the all-ones direction.
        at: (channels,) which of its channels each channel of the layer meets; None: one by one.
    """

    name: str
    size: int
    read: Callable[[], Gains]
    centred: bool = False
    at: Rows | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """A weight as the linear map of its place in the network: one column of the graph.

    Attributes:
        name: Unique in a wiring: the name of the tensor, followed by the view where a tensor is seen in several ways
            ("h.0.attn.c_attn.weight query").
        matrix: (out, channels * taps), columns in the order (channel, tap); it may read a product or, for several groups, blocks.
        channels: Input channels.
        taps: Kernel positions per input channel, 1 for dense maps.
        groups: Blocks of the block-diagonal matrix, equal in size.
        after: Normalisations that follow it directly; folding them scales the rows.
        before: Normalisations that its input passed last, in the order of the network; folding them scales the input channels.
        bias: Gives the bias (out,), or None.
        note: How it was seen, with what its matrix says of that, or empty.
        aliases: Other names of its tensor: modules that share it, each of which may have a bias of its own.
    """

    name: str
    matrix: Matrix
    channels: int
    taps: int = 1
    groups: int = 1
    after: tuple[Norm, ...] = ()
    before: tuple[Norm, ...] = ()
    bias: Callable[[], Values] | None = None
    note: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def out(self) -> int:
        """Output channels."""
        return self.matrix.shape[0]


@dataclass(frozen=True, eq=False)
class Link:
    """What one layer writes is what another reads.

    Attributes:
        source: Name of the writer.
        target: Name of the reader.
        relation: "next" where nothing but elementwise steps, pooling and normalisations lie between; "flatten", "concatenation",
            "residual" (the writer's output was added to a stream before it was read), "product" (it was multiplied with
            another), "attention" (value to output projection), "stated" (by the user).
        rows: (channels of the reader,) the output channel of the writer that each meets, -1 for none; None: channel by channel.
        through: Operations that lie between, in order ("batch_norm", "relu", "max_pool2d").
        note: A sentence, or empty.
    """

    source: str
    target: str
    relation: str = "next"
    rows: Rows | None = None
    through: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Gap:
    """Two layers that are not joined though one may feed the other, with the reason; an end that is not known is empty.

    An end may also name a tensor that is none of the layers: one that cannot be used, or was not selected.
    """

    source: str
    target: str
    reason: str

    @property
    def chosen(self) -> bool:
        """It is there because a layer was not selected."""
        return self.reason.startswith(LEFT_OUT)


@dataclass(frozen=True)
class Pin:
    """Channels meet numbers of their own on the way to their readers, such as the gains of a normalisation or a mask.

    Attributes:
        layer: Name of the layer that wrote the channels.
        tensor: Name of the stored tensor that holds the numbers, or empty where they are computed.
        how: The operation that brings them in ("batch_norm", "add").
        places: Entries of the tensor that its channels meet; empty where they may be any.
    """

    layer: str
    tensor: str
    how: str
    places: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Wiring:
    """Layers in the order in which they act, and how they are joined.

    Attributes:
        layers: A link leads from an earlier one to a later one, except where a layer is used again and reads what came after it.
        links: Sorted by the place of the reader, then of the writer.
        gaps: What is not joined, and why.
        how: Where the wiring comes from, as a phrase: "traced", "order of the file", "bert", "stated".
        notes: Sentences that must be said of it.
        elsewhere: Layers whose channels also go where no layer reads them, each with the place: "the output of the model", a
            function that is not followed. A name is empty where the layer is not known.
        pins: What holds channels at their places, as far as the network was seen to run.
        together: Layers whose channels are summed over channel by channel, so that one order must do for all of them.
    """

    layers: tuple[Layer, ...]
    links: tuple[Link, ...]
    gaps: tuple[Gap, ...] = ()
    how: str = ""
    notes: tuple[str, ...] = ()
    elsewhere: tuple[tuple[str, str], ...] = ()
    pins: tuple[Pin, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()

    def __getitem__(self, name: str) -> Layer:
        """A layer by its name.

        Raises:
            KeyError: No such layer.
        """
        return {layer.name: layer for layer in self.layers}[name]

    def positions(self) -> dict[str, int]:
        """Column of every layer: 0 for those that read from none, otherwise one more than the largest column it reads from."""
        found: dict[str, int] = {layer.name: 0 for layer in self.layers}
        by_target: dict[str, list[str]] = {}
        order = {layer.name: place for place, layer in enumerate(self.layers)}
        for link in self.links:
            if order[link.source] < order[link.target]:  # a layer that is used again may read what comes after it
                by_target.setdefault(link.target, []).append(link.source)
        for layer in self.layers:
            found[layer.name] = max((found[source] + 1 for source in by_target.get(layer.name, ())), default=0)
        return found
