"""Modes of two linked layers in the space they share: the arrays that overlaps, tests and block statistics are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.wiring import Layer
from modescope.svd import Values

Indices = NDArray[np.int64]
Nodes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Modes:
    """All modes of one layer, folded as the gauge says.

    Attributes:
        layer: Whose they are.
        s: (k,) singular values, descending.
        u: (out, k) output directions, or None where nothing reads them.
        vh: (k, channels * taps) input directions, or None where nothing writes them.
        nodes: Half-open ranges of modes that are one node each: single modes, and groups of equal values whose subspace alone
            means something. All values that are zero to rounding are one group, the last.
        blur: (nodes,) bound on the angle by which storing the weights may have turned a node: the rounding of the stored dtype
            times the largest value over the gap to the neighbours (Wedin 1972; Davis & Kahan 1970), at most pi / 2.
        rank: Modes before this one have values that can be told from zero.
        block: (k,) block of each mode where the layer has several groups, or None.
    """

    layer: Layer
    s: Values
    u: Values | None
    vh: Values | None
    nodes: Nodes
    blur: Values
    rank: int
    block: Indices | None = None


@dataclass(frozen=True, eq=False)
class Pair:
    """A writer and a reader in the p channels they share.

    Attributes:
        writer: (p, m) the rows of `u` that the reader meets; orthonormal columns where it meets all of them.
        reader: (n, p, z) the rows of `vh`, by shared channel and tap; z counts kernel positions and flattened positions alike.
        dimension: N of the space in which the writer's directions are Haar distributed: its outputs, or those of one group.
        writer_nodes: Ranges of columns of `writer` that are one node each.
        reader_nodes: Ranges of rows of `reader` that are one node each.
        writer_block: (m,) block of each writer mode, or None where it has one; a mode is zero outside the channels of its block.
        channel_block: (p,) block of each shared channel, or None.
    """

    writer: Values
    reader: Values
    dimension: int
    writer_nodes: Nodes
    reader_nodes: Nodes
    writer_block: Indices | None = None
    channel_block: Indices | None = None
