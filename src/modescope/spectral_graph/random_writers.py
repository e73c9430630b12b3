"""Random writers: a pair of layers with the reader as it is and output directions drawn blindly, for nulls that are simulated."""

from dataclasses import replace

import numpy as np

from modescope.laws.haar_frames import frame
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values


def redrawn(pair: Pair, rng: np.random.Generator, /) -> Pair:
    """The same reader and the same nodes; the writer is a Haar frame, or one in every block where it has several."""
    p, m = pair.writer.shape
    if pair.writer_block is None or pair.channel_block is None:
        return replace(pair, writer=frame(rng, m, pair.dimension).T[:p])
    writer = np.zeros((p, m))
    for block in np.unique(pair.writer_block):
        rows, columns = np.flatnonzero(pair.channel_block == block), np.flatnonzero(pair.writer_block == block)
        writer[np.ix_(rows, columns)] = frame(rng, columns.size, pair.dimension).T[: rows.size]
    return replace(pair, writer=writer)


def random_overlaps(pair: Pair, rng: np.random.Generator, /) -> Values:
    """(reader nodes, writer nodes) overlaps of the reader with a writer drawn blindly."""
    return overlaps(redrawn(pair, rng))
