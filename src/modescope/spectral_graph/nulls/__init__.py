"""Nulls: what an overlap would be by accident. One file per null; its first line says what it does and does not credit.

A null has `test(pair, weights, /, *, most, draws, seed) -> Tested`. It looks at every edge of one pair of layers and returns those
whose own p-value is at most `most`; the others are known to have a larger one, so that no correction can bring them back. A null
that is simulated says so by `SIMULATED = True`; one that needs the weights themselves also has
`redrawing(link, writer, reader, pair)`, whose result its `test` takes as `redraw`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from modescope.registry import modules
from modescope.spectral_graph.pairs import Indices, Pair
from modescope.svd import Values


@dataclass(frozen=True, eq=False)
class Tested:
    """Edges whose own p-value is at most what was asked for.

    Attributes:
        reader: (e,) nodes of the reader.
        writer: (e,) nodes of the writer.
        log_p: (e,) natural logarithms of their p-values.
        exact: (e,) False where the p-value is simulated, a moment match or an upper bound.
        note: A sentence about the null for this pair (an approximation used, a threshold above 1), or empty.
        family: (e,) logarithms of p-values corrected for all edges of the pair at once, where the null is simulated: with R draws
            no p-value is below 1 / (R + 1), so that a correction over single edges finds nothing. None elsewhere.
    """

    reader: Indices
    writer: Indices
    log_p: Values
    exact: NDArray[np.bool_]
    note: str = ""
    family: Values | None = None


class Null(Protocol):
    """What a module in this folder must offer."""

    def test(self, pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
        """Test the overlaps `weights` (reader nodes, writer nodes) of a pair.

        Args:
            pair: The two layers.
            weights: Overlaps between nodes, as `overlaps` gives them.
            most: Largest p-value of interest, above 0 and below 1.
            draws: Number of draws, where the null is simulated.
            seed: Of the draws.
        """


def nulls() -> dict[str, Null]:
    """Every null by its name."""
    return dict(modules(__name__))
