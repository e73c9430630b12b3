"""Noise plus a few strong directions: when a direction is visible, how strong it is, and how well its vectors are known.

The model is `W = noise(sigma) + theta u v^T` with unit `u`, `v`. The singular value `s` that belongs to it is larger than `theta`,
because noise adds to it, and its vectors are only partly `u` and `v`. Throughout `n` and `m` are the sides of the noise, in either
order, and `sigma` is the standard deviation of one of its entries.

References:
    Baik, Ben Arous & Peche (2005), doi:10.1214/009117905000000233; Benaych-Georges & Nadakuditi (2012),
    doi:10.1016/j.jmva.2012.04.019; Gavish & Donoho (2014), doi:10.1109/TIT.2014.2323359 and (2017), doi:10.1109/TIT.2017.2653801.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.laws import marchenko_pastur

Values = NDArray[np.float64]


def threshold(n: int, m: int, sigma: float) -> float:
    """Strength above which a direction separates from the noise: `sigma (n m)**(1/4)`. Weaker ones leave no trace in `s`."""
    return sigma * math.sqrt(math.sqrt(n * m))


def observed(theta: ArrayLike, n: int, m: int, sigma: float) -> Values:
    """Singular value at which a direction of strength `theta` is seen; at or below the threshold, the edge of the noise."""
    theta = np.maximum(np.asarray(theta, dtype=np.float64), threshold(n, m, sigma))
    value: Values = np.sqrt((theta**2 + n * sigma**2) * (theta**2 + m * sigma**2)) / theta
    return value


def strength(s: ArrayLike, n: int, m: int, sigma: float) -> Values:
    """Strength `theta` of the direction seen at singular value `s`, the inverse of `observed`; in the bulk the threshold."""
    x, root = _excess(s, n, m, sigma)
    theta: Values = sigma * np.sqrt((x + root) / 2)
    return theta


def cosine(theta: ArrayLike, side: int, other: int, sigma: float) -> Values:
    """Cosine between the true and the found direction on the side of dimension `side`; 0 at or below the threshold.

    Args:
        theta: Strength.
        side: Dimension of the space the vectors live in: out for `u`, in for `vh`.
        other: The other side of the matrix.
        sigma: Standard deviation of an entry of the noise.
    """
    theta = np.asarray(theta, dtype=np.float64)
    t = np.maximum(theta, threshold(side, other, sigma)) / sigma
    found = np.sqrt(np.clip((t**4 - side * other) / (t**4 + side * t**2), 0.0, 1.0))
    return np.where(theta > threshold(side, other, sigma), found, 0.0)


def shrunk(s: ArrayLike, n: int, m: int, sigma: float) -> Values:
    """Singular value to put in place of `s` for the least expected Frobenius error: `theta` times both cosines, 0 in the bulk."""
    s = np.asarray(s, dtype=np.float64)
    value: Values = _excess(s, n, m, sigma)[1] * sigma**2 / np.where(s > 0, s, 1.0)
    return value


def hard_threshold(n: int, m: int, sigma: float) -> float:
    """Singular value above which keeping a mode as it is lowers the Frobenius error. A cut for denoising, not a test.

    `c(q) sigma sqrt(max(n, m))` with `c(1) = 4 / sqrt(3)`; it lies above the edge of the noise: between the two a mode is real but
    carries more noise than signal.
    """
    return _coefficient(min(n, m) / max(n, m)) * sigma * math.sqrt(max(n, m))


def hard_threshold_by_median(n: int, m: int, median: float) -> float:
    """`hard_threshold` where `sigma` is not known but the median singular value is."""
    q = min(n, m) / max(n, m)
    return _coefficient(q) / math.sqrt(float(marchenko_pastur.quantile(0.5, q))) * median


def _excess(s: ArrayLike, n: int, m: int, sigma: float) -> tuple[Values, Values]:
    """`X = (s / sigma)**2 - n - m`, at least its value at the edge, and `sqrt(X**2 - 4 n m)`, 0 at and below the edge."""
    edge = 2 * math.sqrt(n * m)
    x = np.maximum((np.asarray(s, dtype=np.float64) / sigma) ** 2 - n - m, edge)
    return x, np.sqrt((x - edge) * (x + edge))


def _coefficient(q: float) -> float:
    return math.sqrt(2 * (q + 1) + 8 * q / ((q + 1) + math.sqrt(q * q + 14 * q + 1)))
