"""Beta: the reader too is taken as isotropic, over channels and taps alike; wrong for kernels with structure, as trained ones.

At three sigma a separable 3 x 3 kernel has some sixty times the nominal false rate; `rotation` is exact for every kernel.
"""

import math

import numpy as np

from modescope.laws.haar_block import tail
from modescope.laws.haar_overlap import EQUAL, log_beta_tail, threshold
from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._conditional import joined, node_sizes
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values

STRUCTURED = "the Beta law takes kernels as isotropic; smooth and separable kernels pass it by accident"
ROUNDING = 1e-14  # share of the largest possible overlap by which rounding may carry an overlap past it


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test overlaps by Beta(z / 2, z (N - 1) / 2), the law of an isotropic reader of z taps and N channels.

    A writer node of k modes is a subspace of k z of the reader's N z dimensions: single reader modes have Beta(k z / 2, (N - k) z
    / 2), and groups the law of two subspaces. Overlaps are in units of the square length of the reader in the shared channels.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: Not used: nothing is simulated.
        seed: Not used.

    Returns:
        Edges with a p-value of at most `most`; exact only where there is one tap and the reader reads nothing but this writer.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183.
    """
    del draws, seed  # a null takes them all
    z, level = pair.reader.shape[2], math.log(most)
    dimension = pair.dimension * z
    square = np.einsum("npz,npz->n", pair.reader, pair.reader)
    writers, readers = node_sizes(pair.writer_nodes), node_sizes(pair.reader_nodes)
    length = np.add.reduceat(square, [start for start, _ in pair.reader_nodes]) / readers
    whole = (length >= 1 - EQUAL) & (z == 1)
    parts = []
    for k in np.unique(writers[writers < pair.dimension]):
        for size in np.unique(readers[readers < dimension]):
            rows, columns = np.flatnonzero(readers == size), np.flatnonzero(writers == k)
            share = weights[np.ix_(rows, columns)] / np.where(length[rows] > 0, length[rows], 1.0)[:, None]
            if size == 1:
                least = threshold(np.ones((1, int(k) * z)), dimension, level)[0]
                n, m = np.nonzero(share > least)
                room = np.maximum(1 - share[n, m], ROUNDING)
                log_p, exact = log_beta_tail(k * z / 2, (pair.dimension - k) * z / 2, room), np.ones(n.size, dtype=np.bool_)
            else:
                n, m = np.indices(share.shape).reshape(2, -1)
                log_p, exact = tail(np.ones((n.size, int(size))), dimension, int(k) * z, share[n, m])
            keep = log_p <= level
            parts.append(Tested(rows[n[keep]], columns[m[keep]], log_p[keep], exact[keep] & whole[rows[n[keep]]]))
    found = joined(parts)
    return Tested(found.reader, found.writer, found.log_p, found.exact, STRUCTURED if z > 1 else "")
