"""P-values from draws: of each edge by itself, and corrected for all edges of the pair by the largest overlap of each draw."""

from collections.abc import Iterable

import numpy as np

from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.pairs import Indices, Nodes, Pair
from modescope.svd import Values

ROUNDING = 1e-12  # relative difference below which a drawn overlap is as large as the one observed


def simulated(pair: Pair, weights: Values, drawn: Iterable[Values], most: float, what: str) -> Tested:
    """Compare overlaps with draws of the same edges.

    Args:
        pair: The two layers; overlaps of nodes of the same numbers of modes are comparable, others are not: each such class has a
            largest overlap of its own, and p-values are corrected for the number of classes.
        weights: (reader nodes, writer nodes) overlaps.
        drawn: R arrays of the same shape.
        most: Largest p-value of interest.
        what: What was drawn, for the note.

    Returns:
        Edges with `p = (1 + number of draws as large) / (1 + R)` of at most `most`; their `family` counts the draws in which the
        largest overlap of any edge is as large.

    References:
        Phipson & Smyth (2010), doi:10.2202/1544-6115.1585; Westfall & Young (1993), single-step maximum.
    """
    least = weights * (1 - ROUNDING)
    above = np.zeros(weights.shape, dtype=np.int64)
    classes = [(rows, columns) for rows in _alike(pair.reader_nodes) for columns in _alike(pair.writer_nodes)]
    largest: list[list[float]] = []
    for table in drawn:
        above += table >= least
        largest.append([float(table[np.ix_(rows, columns)].max()) for rows, columns in classes])
    draws = len(largest)
    reader, writer = np.nonzero((1 + above) / (1 + draws) <= most)
    family = np.ones(weights.shape)
    for (rows, columns), maxima in zip(classes, np.sort(np.array(largest), axis=0).T, strict=True):
        block = np.ix_(rows, columns)
        as_large = draws - np.searchsorted(maxima, least[block], side="left")
        family[block] = np.minimum(len(classes) * (1 + as_large) / (1 + draws), 1.0)
    return Tested(
        reader,
        writer,
        np.log((1 + above[reader, writer]) / (1 + draws)),
        np.zeros(reader.size, dtype=np.bool_),
        f"{draws} {what}: no p-value is below {1 / (1 + draws):.3g}",
        np.log(family[reader, writer]),
    )


def _alike(nodes: Nodes) -> list[Indices]:
    """Nodes of one mode, and those of each other number of modes."""
    sizes = np.array([stop - start for start, stop in nodes])
    return [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
