"""Eigenvalues and tail exponent of a matrix at one fixed shape: the average over its square windows (FARMS).

The shape of a matrix bends its spectrum, so exponents of layers of different shape differ even for pure noise. Square windows,
each as wide as half the short side, slide over the matrix; their eigenvalues are pooled.
"""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

NARROWEST = 4  # short side of a matrix whose windows have two eigenvalues
MINIMUM = 20  # pooled eigenvalues
FLOOR = 1e-13  # relative eigenvalue that a product of the window with itself cannot tell from zero


def eigenvalues(w: Values, positions: int) -> Values:
    """Pooled eigenvalues of the square windows of a matrix.

    Args:
        w: (out, in), the short side at least `NARROWEST`.
        positions: Window positions along each side, evenly spread from one end to the other; published runs take 10 to 15.

    Returns:
        `lambda = s**2` of every window, ascending, unscaled; windows are `min(out, in) // 2` wide.

    References:
        Hu, Goel, Killiakov & Yang (2025), arXiv:2506.06280. Their code takes the width of the windows in entries, 2000 for
        LLaMA-7B, whose short side is 4096; half the short side is about that, for a matrix of any size.
    """
    side = min(w.shape) // 2
    rows, columns = (np.unique(np.linspace(0, length - side, positions).round().astype(np.int64)) for length in w.shape)
    windows = (w[i : i + side, j : j + side] for i in rows for j in columns)
    return np.sort(np.concatenate([np.linalg.eigvalsh(window @ window.T) for window in windows]))


def upper_half_exponent(values: Values) -> float | None:
    """Exponent of a power law whose tail is the upper half of the values, by maximum likelihood (Hill's estimator).

    No `xmin` is searched: a fixed share of the values makes exponents of different matrices comparable.

    Args:
        values: Ascending.

    Returns:
        The exponent of the density, or None for fewer than 20 values, a median that cannot be told from zero, or equal values.

    References:
        Hill (1975), doi:10.1214/aos/1176343247; Hu, Goel, Killiakov & Yang (2025), arXiv:2506.06280.
    """
    tail = values[values.size // 2 :]
    if values.size < MINIMUM or tail[0] <= FLOOR * tail[-1] or tail[0] == tail[-1]:
        return None
    return 1.0 + tail.size / float(np.log(tail / tail[0]).sum())
