"""Chi-squared: the rule the Singular Value Representation was published with, as a p-value; wrong in the same way as `beta`.

It compares `z N a` with a chi-squared of z degrees of freedom, whose tail goes on where an overlap must end: in few channels the
threshold exceeds 1 and no edge can ever pass.
"""

import numpy as np
from scipy.special import chdtri, gammaincc, gammaln

from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._conditional import joined, node_sizes
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values

APPROXIMATE = "the chi-squared rule takes kernels as isotropic and channels as many"
UNDERFLOW = 1e-280  # tails below it are computed in logarithms
TERMS = 200  # of the continued fraction, which far out needs a dozen


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test overlaps by `P(chi2_z > z N a)`; between groups of k and k' modes by `P(chi2_(z k k') > z N a)`.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: Not used: nothing is simulated.
        seed: Not used.

    Returns:
        Edges with a p-value of at most `most`, none of them exact; the note warns where `most` cannot be reached.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, and their code, github.com/danmlr/svr.
    """
    del draws, seed  # a null takes them all
    z = pair.reader.shape[2]
    writers, readers = node_sizes(pair.writer_nodes), node_sizes(pair.reader_nodes)
    parts = []
    for k in np.unique(writers):
        for size in np.unique(readers):
            rows, columns = np.flatnonzero(readers == size), np.flatnonzero(writers == k)
            freedom = z * int(k) * int(size)
            table = weights[np.ix_(rows, columns)]
            n, m = np.nonzero(table >= float(chdtri(freedom, most)) / (z * pair.dimension))
            log_p = log_tail(freedom, z * pair.dimension * table[n, m])
            parts.append(Tested(rows[n], columns[m], log_p, np.zeros(n.size, dtype=np.bool_)))
    found = joined(parts)
    least = threshold(most, pair.dimension, z)
    note = APPROXIMATE
    if least > 1:
        note += (
            f"; at p = {most:.3g} its threshold {least:.4g} exceeds 1, which no single mode can reach in {pair.dimension} channels"
        )
    return Tested(found.reader, found.writer, found.log_p, found.exact, note)


def threshold(most: float, channels: int, taps: int) -> float:
    """The overlap between single modes that the rule takes for significant at level `most`; it may exceed 1."""
    return float(chdtri(taps, most)) / (taps * channels)


def log_tail(freedom: int, x: Values) -> Values:
    """`ln P(chi2_freedom > x)` without underflow."""
    s, y = freedom / 2, np.asarray(x, dtype=np.float64) / 2
    plain = gammaincc(s, y)
    deep = plain < UNDERFLOW
    with np.errstate(divide="ignore"):
        found: Values = np.log(plain)
    if deep.any():
        found[deep] = s * np.log(y[deep]) - y[deep] - gammaln(s) + np.log(_fraction(s, y[deep]))
    return found


def _fraction(s: float, y: Values) -> Values:
    """`Gamma(s, y) exp(y) y^(-s)` by its continued fraction (DLMF 8.9.2, in its even part), for y well above s."""
    found = np.zeros_like(y)
    for m in range(TERMS, 0, -1):
        found = m * (s - m) / (y + 2 * m + 1 - s + found)
    return 1 / (y + 1 - s + found)
