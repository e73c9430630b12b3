"""Matrices of a descrambled layer as heat maps of few cells."""

import numpy as np

from modescope.blocks import Axis, Heatmap, Numbers, Series
from modescope.pictures import numbers
from modescope.svd import Values

SIDE = 128  # cells of a heat map on either side
FAINT = 1e-3  # of the largest value, below which a cell is drawn as 0


def heatmap(
    title: str,
    matrix: Values,
    x: Axis,
    y: Axis,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    *,
    value: str,
    centred: bool = False,
    caption: str = "",
    series: tuple[Series, ...] = (),
    side: int = SIDE,
) -> Heatmap:
    """A heat map of at most `side` cells a side; its caption says where one cell stands for several."""
    shown = binned(matrix, side)
    several = "Each cell is the largest of several." if shown.shape != matrix.shape else ""
    said = " ".join(part for part in (caption, several) if part)
    return Heatmap(title, x, y, _cells(shown), x_range, y_range, value=value, centred=centred, caption=said, series=series)


def binned(matrix: Values, side: int = SIDE, /) -> Values:
    """At most `side` cells a side; of several entries the one of largest modulus, so that noise does not fade where it is dense."""
    for axis in (0, 1):
        size = matrix.shape[axis]
        if size > side:
            starts = np.linspace(0, size, side, endpoint=False).astype(np.int64)
            high, low = (reduce.reduceat(matrix, starts, axis=axis) for reduce in (np.maximum, np.minimum))
            matrix = np.where(high >= -low, high, low)
    return matrix


def places(size: int, /) -> tuple[float, float]:
    """The range of an axis that counts from 0."""
    return (-0.5, size - 0.5)


def _cells(matrix: Values) -> tuple[Numbers, ...]:
    """Numbers of a heat map; what no eye can tell from 0 is 0, so that a page stays small."""
    faint = FAINT * float(np.abs(matrix).max(initial=0.0))
    return tuple(numbers(np.where(np.abs(row) >= faint, row, 0.0)) for row in matrix)
