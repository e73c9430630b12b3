"""Positivity: as rotation, after the all-ones direction is taken out of both sides; does not credit carrying the mean activation.

After a ReLU all activations are positive, so that the first modes of most layers lie along the all-ones direction and match.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._conditional import conditional, joined, node_sizes, writer_blocks
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Indices, Pair
from modescope.svd import Values

ROUNDING = 1e-14  # share of a mode below which what is left of it is rounding
ALL = 1e-12  # share of a node outside the all-ones direction below which it has lost a dimension


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test what both sides have in common besides the all-ones direction of the shared channels, in N - 1 dimensions.

    The directions of the writer are made orthonormal again, so that the law stays exact. Where the writer has several blocks, the
    all-ones direction of each is taken out.

    Args:
        pair: The two layers.
        weights: Overlaps of the pair; not used, since they are computed anew.
        most: Largest p-value of interest.
        draws: Not used: nothing is simulated.
        seed: Not used.

    Returns:
        Edges with a p-value of at most `most`.
    """
    del weights, draws, seed  # a null takes them all
    if pair.writer_block is None or pair.channel_block is None:
        return _test(pair, most)
    blocks = writer_blocks(pair)
    parts = []
    for block in np.unique(blocks):
        columns, channels = np.flatnonzero(blocks == block), pair.channel_block == block
        if not channels.any():  # the reader meets nothing of this block
            continue
        nodes = [pair.writer_nodes[column] for column in columns]
        modes = np.concatenate([np.arange(a, b) for a, b in nodes])
        ends = np.cumsum([0, *(b - a for a, b in nodes)]).tolist()
        own = Pair(
            writer=pair.writer[np.ix_(channels, modes)],
            reader=pair.reader[:, channels],
            dimension=pair.dimension,
            writer_nodes=tuple(pairwise(ends)),
            reader_nodes=pair.reader_nodes,
        )
        part = _test(own, most)
        parts.append(Tested(part.reader, columns[part.writer], part.log_p, part.exact, part.note))
    return joined(parts)


def _test(pair: Pair, most: float) -> Tested:
    reader, weights, sizes = _projected(pair)
    return conditional(reader, pair.reader_nodes, weights, sizes, pair.dimension - 1, most)


def _projected(pair: Pair) -> tuple[Values, Values, Indices]:
    """Reader, overlaps and sizes of writer nodes without the all-ones direction of the shared channels.

    For a node with basis U and `w = U' e`, e the unit all-ones vector, the projected basis has the Gram matrix `I - w w'`. With C
    its inner products with the projected reader, the overlap of its span is `|C|^2 + |C w|^2 / (1 - |w|^2)`; the channels that are
    not shared need not be known. A node that holds e itself loses a dimension.
    """
    p = pair.writer.shape[0]
    reader = pair.reader - pair.reader.mean(axis=1, keepdims=True)
    size = np.abs(pair.reader).max(axis=(1, 2), keepdims=True, initial=0.0)
    reader[np.broadcast_to(np.abs(reader) <= ROUNDING * size, reader.shape)] = 0.0
    along = pair.writer.sum(axis=0) / np.sqrt(p)
    sizes = node_sizes(pair.writer_nodes)
    share = np.array([float((along[a:b] ** 2).sum()) for a, b in pair.writer_nodes])
    lost = share > 1 - ALL
    # the direction of each node nearest to e, beside the nodes themselves
    nearest = np.stack([pair.writer[:, a:b] @ along[a:b] for a, b in pair.writer_nodes], axis=1)
    own, m = len(pair.writer_nodes), pair.writer.shape[1]
    both = replace(
        pair,
        reader=reader,
        writer=np.concatenate([pair.writer, nearest], axis=1),
        writer_nodes=(*pair.writer_nodes, *((m + i, m + i + 1) for i in range(own))),
        writer_block=None,
        channel_block=None,
    )
    found = overlaps(both)
    weights = found[:, :own] + np.where(lost, 0.0, found[:, own:] / np.where(lost, 1.0, 1 - share))
    return reader, weights, sizes - lost
