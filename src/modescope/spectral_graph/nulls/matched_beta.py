"""Matched Beta: `rotation` by a Beta with its mean and variance: quick and smooth, but its p-values are too small deep out.

At a nominal 1e-9 the true p-value of a kernel can be 25 times as large; a kernel of one tap, or a separable one, has the exact
law. Beside the largest possible overlap, where the law ends and the Beta goes on, its p-values are too large instead.
"""

import math

import numpy as np
from scipy.special import betaincinv

from modescope.laws import haar_block
from modescope.laws.haar_overlap import ZERO, log_beta_tail, matched_beta
from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._conditional import by_block, joined, spectra
from modescope.spectral_graph.pairs import Indices, Nodes, Pair
from modescope.svd import Values

ROUNDING = 1e-14  # share of the largest possible overlap by which rounding may carry an overlap past it
UNDERFLOW = 1e-280  # levels below it have no threshold by which edges could be left out beforehand
APPROXIMATE = (
    "the Beta has the mean and the variance of the law of each kernel, not its tail: deep out nominal p-values are too small, at "
    "1e-9 down to 0.04 of the exact ones"
)


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test overlaps by the Beta that has the moments of a random writer against the given reader.

    Single writer modes have the Beta of the overlap as a share of the largest there could be; groups of modes have the one on the
    exact support, `laws.haar_block.matched_tail`.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: Not used: nothing is simulated.
        seed: Not used.

    Returns:
        Edges with a p-value of at most `most`; exact only where the reader node reads a single direction of the writer.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, for the overlaps; `laws.haar_overlap.matched_beta` for the moments.
    """
    del draws, seed  # a null takes them all
    return by_block(pair, weights, _matched, most)


def _matched(reader: Values, nodes: Nodes, weights: Values, sizes: Indices, dimension: int, most: float) -> Tested:
    """Edges of one block; a node that fills its space overlaps as it must, and has p = 1."""
    parts = []
    for rows, gamma in spectra(reader, nodes):
        one = np.count_nonzero(gamma > ZERO * gamma.max(axis=1, keepdims=True), axis=1) == 1
        for k in np.unique(sizes[sizes < dimension]):
            columns = np.flatnonzero(sizes == k)
            table = weights[np.ix_(rows, columns)]
            n, m, log_p = _single(gamma, table, dimension, most) if k == 1 else _group(gamma, table, dimension, int(k))
            keep = log_p <= math.log(most)
            n, m = n[keep], m[keep]
            parts.append(Tested(rows[n], columns[m], log_p[keep], one[n], "" if one[n].all() else APPROXIMATE))
    return joined(parts)


def _single(gamma: Values, table: Values, dimension: int, most: float) -> tuple[Indices, Indices, Values]:
    """Overlaps with single modes that may have a p-value of `most`, and their p-values."""
    a, b = matched_beta(gamma, dimension)
    varies = np.isfinite(a)
    a, b = np.where(varies, a, 1.0), np.where(varies, b, 1.0)
    room = betaincinv(b, a, most) if most > UNDERFLOW else np.ones(a.size)
    total = gamma.sum(axis=1)
    share = table / np.where(total > 0, total, 1.0)[:, None]
    n, m = np.nonzero((1 - share <= 1.001 * room[:, None]) & varies[:, None])
    return n, m, log_beta_tail(a[n], b[n], np.clip(1 - share[n, m], ROUNDING, 1.0))


def _group(gamma: Values, table: Values, dimension: int, k: int) -> tuple[Indices, Indices, Values]:
    """Every overlap with groups of k modes, and its p-value."""
    n, m = np.indices(table.shape).reshape(2, -1)
    return n, m, haar_block.matched_tail(gamma[n], dimension, k, table[n, m])
