"""Random writers: a pair of layers with the reader as it is and output directions drawn blindly, for nulls that are simulated."""

from dataclasses import replace

import numpy as np

from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values


def frame(rows: int, columns: int, rng: np.random.Generator, /) -> Values:
    """(rows, columns) orthonormal columns, Haar distributed; there are at most as many columns as rows.

    References:
        Mezzadri (2007), Notices of the AMS 54, 592-604: the signs of the diagonal of R make QR unique, and so the law invariant.
    """
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    turned: Values = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return turned


def redrawn(pair: Pair, rng: np.random.Generator, /) -> Pair:
    """The same reader and the same nodes; the writer is a Haar frame, or one in every block where it has several."""
    p, m = pair.writer.shape
    if pair.writer_block is None or pair.channel_block is None:
        return replace(pair, writer=frame(pair.dimension, m, rng)[:p])
    writer = np.zeros((p, m))
    for block in np.unique(pair.writer_block):
        rows, columns = np.flatnonzero(pair.channel_block == block), np.flatnonzero(pair.writer_block == block)
        writer[np.ix_(rows, columns)] = frame(pair.dimension, columns.size, rng)[: rows.size]
    return replace(pair, writer=writer)


def random_overlaps(pair: Pair, rng: np.random.Generator, /) -> Values:
    """(reader nodes, writer nodes) overlaps of the reader with a writer drawn blindly."""
    return overlaps(redrawn(pair, rng))
