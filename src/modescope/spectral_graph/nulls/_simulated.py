"""P-values from draws: of each edge by itself, and corrected for all edges of the pair by the largest overlap of each draw."""

from collections.abc import Iterable

import numpy as np

from modescope.spectral_graph.nulls import Tested
from modescope.svd import Values

ROUNDING = 1e-12  # relative difference below which a drawn overlap is as large as the one observed


def simulated(weights: Values, drawn: Iterable[Values], most: float, what: str) -> Tested:
    """Compare overlaps with draws of the same edges.

    Args:
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
    largest = []
    for table in drawn:
        above += table >= least
        largest.append(float(table.max(initial=0.0)))
    draws = len(largest)
    reader, writer = np.nonzero((1 + above) / (1 + draws) <= most)
    as_large = draws - np.searchsorted(np.sort(largest), least[reader, writer], side="left")
    return Tested(
        reader,
        writer,
        np.log((1 + above[reader, writer]) / (1 + draws)),
        np.ones(reader.size, dtype=np.bool_),
        f"{draws} {what}: no p-value is below {1 / (1 + draws):.3g}",
        np.log((1 + as_large) / (1 + draws)),
    )
