"""Noise and the values it cannot explain, fitted together: the variance needs the outliers gone, the outliers need the variance."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.laws import marchenko_pastur, tracy_widom

Values = NDArray[np.float64]

SMALLEST = 16  # values of a matrix: below, neither the law nor its edge is near its limit
LEAST = 8  # values that stay in the bulk when outliers are taken out


@dataclass(frozen=True)
class Noise:
    """A noise bulk below some outliers.

    Attributes:
        sigma: Standard deviation of a noise entry.
        n: Long side of the bulk: that of the matrix less one for every outlier taken out.
        m: Short side, the number of values in the bulk.
        outliers: Number of eigenvalues above `threshold`.
        threshold: Test edge the first value of the bulk did not exceed, an eigenvalue.
        distance: Largest difference between the bulk's distribution and the law's.
    """

    sigma: float
    n: int
    m: int
    outliers: int
    threshold: float
    distance: float


def fit(values: Values, n: int, *, level: float) -> Noise:
    """Fit the scale of the noise and the number of eigenvalues above it.

    From no outlier on, the scale is estimated from the values below, the values above its test edge are counted, and so on until
    the count no longer grows. At first `sigma` can only be too large: the count climbs from below to the smallest consistent one.

    Args:
        values: Eigenvalues in descending order, those of zero rows and columns removed; at least `SMALLEST`.
        n: Long side of the matrix, at least the number of values.
        level: Probability of any outlier in a matrix of pure noise.

    Returns:
        `Noise`. Only where fewer than `LEAST` values would be left below does it count more outliers than it took out of the bulk:
        then there is no noise to speak of.
    """
    ascending = values[::-1]
    m, outliers = values.size, 0
    while True:
        removed = outliers
        sigma = marchenko_pastur.scale(ascending[: m - removed], n - removed)
        outliers = count(values, n, sigma, level=level)
        if outliers <= removed or removed == m - LEAST:
            break
        outliers = min(outliers, m - LEAST)
    return Noise(
        sigma=sigma,
        n=n - removed,
        m=m - removed,
        outliers=outliers,
        threshold=edge(n - outliers, m - outliers, sigma, level=level),
        distance=marchenko_pastur.distance(ascending[: m - removed], n - removed, sigma),
    )


def edge(n: int, m: int, sigma: float, *, level: float) -> float:
    """Eigenvalue that the largest one of (n, m) noise exceeds with probability `level`."""
    law = tracy_widom.scaling(n, m)
    return sigma**2 * (law.centre + tracy_widom.isf(level) * law.width)


def count(values: Values, n: int, sigma: float, *, level: float, inflation: float = 1.0) -> int:
    """How many of the largest eigenvalues noise does not explain: each is tested as the largest of what is left after the former.

    The first test alone decides whether pure noise is called pure, so `level` is the probability of any false outlier.

    Args:
        values: Eigenvalues in descending order.
        n: Long side of the matrix.
        sigma: Standard deviation of a noise entry.
        level: Probability of any outlier in pure noise.
        inflation: Factor on the edge, from twins.
    """
    gone = np.arange(values.size)
    centre, width = tracy_widom.scalings(n - gone, values.size - gone)
    above = values > inflation * sigma**2 * (centre + tracy_widom.isf(level) * width)
    return int(values.size if above.all() else np.argmin(above))


def exceedance(value: float, n: int, m: int, sigma: float) -> float:
    """Probability that the largest eigenvalue of (n, m) noise exceeds `value`."""
    law = tracy_widom.scaling(n, m)
    return float(tracy_widom.sf((value / sigma**2 - law.centre) / law.width))
