"""Noise and the values it cannot explain, fitted together: the variance needs the outliers gone, the outliers need the variance."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.laws import marchenko_pastur, tracy_widom

Values = NDArray[np.float64]

SMALLEST = 16  # values of a matrix: below, neither the law nor its edge is near its limit
LEAST = 8  # values that stay in the bulk when outliers are taken out
SCATTER = 0.4  # of `sigma`, as `_edges` sees it: by simulation, see there
ONSET = -2.5  # the standardised value, exceeded by 86 % of all noise, from which on the tail widens


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
    """Eigenvalue that the largest one of (n, m) noise exceeds with probability `level`, `sigma` estimated from the same values.

    The share measured in Gaussian noise is within .7 to 1.3 of a level of .01 or .001 and .5 to 1.5 of .0001, for short sides from
    16 to 600 and aspects from 0.1 to 1. Were `sigma` known, the edge would be passed less often.
    """
    return float(_edges(np.array([n]), np.array([m]), sigma, level)[0])


def count(values: Values, n: int, sigma: float, *, level: float, inflation: float = 1.0) -> int:
    """How many of the largest eigenvalues noise does not explain: each is tested as the largest of what is left after the former.

    The first test alone decides whether pure noise is called pure, so `level` is the probability of any false outlier.

    Args:
        values: Eigenvalues in descending order.
        n: Long side of the matrix.
        sigma: Standard deviation of a noise entry, as `fit` estimates it.
        level: Probability of any outlier in pure noise.
        inflation: Factor on the edge, from twins.
    """
    gone = np.arange(values.size)
    above = values > inflation * _edges(n - gone, values.size - gone, sigma, level)
    return int(values.size if above.all() else np.argmin(above))


def exceedance(value: float, n: int, m: int, sigma: float) -> float:
    """Probability that the largest eigenvalue of (n, m) noise exceeds `value`: at most `level` from `edge` at this level on."""
    law = tracy_widom.scaling(n, m)
    t = (value / sigma**2 - law.centre) / law.width
    over, part = max(t - ONSET, 0.0), _widening(n)
    # the root of x + part x**2 = over, written without the cancellation of a small `part`
    return float(tracy_widom.sf(t if over == 0 else ONSET + 2 * over / (1 + math.sqrt(1 + 4 * part * over))))


def _edges(n: NDArray[np.int64], m: NDArray[np.int64], sigma: float, level: float) -> Values:
    """`edge` for arrays of sides.

    Dividing by the estimated variance widens the tail of the standardised largest eigenvalue, the more the further out and the
    smaller the matrix. Its quantiles are those of the Tracy-Widom law, `t`, plus `SCATTER n**-0.8 (t - ONSET)**2`: one number found
    by simulation, which holds for every aspect.
    """
    centre, width = tracy_widom.scalings(n, m)
    t = tracy_widom.isf(level)
    edges: Values = sigma**2 * (centre + (t + _widening(n) * max(t - ONSET, 0.0) ** 2) * width)
    return edges


def _widening(n: Any) -> Any:
    return SCATTER * n**-0.8
