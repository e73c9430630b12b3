"""Marchenko-Pastur law: the singular values of pure noise, and how well a bulk follows it.

For independent entries of mean zero and variance `sigma**2` in a matrix with long side `n` and short side `m`, the eigenvalues
`lambda = s**2` of `W.T @ W` have `x = lambda / (n * sigma**2)` close to the law of aspect `q = m / n`, 0 < q <= 1, on
`[(1 - sqrt(q))**2, (1 + sqrt(q))**2]`. Functions of `x` and `q` are the law itself; those with `sigma` speak of eigenvalues.

Everything is closed in the angle `t` of `x = 1 + q - 2 sqrt(q) cos(t)`: it has no cancellation at either edge and no special case
at q = 1, where the density is unbounded at zero.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

SETTLED = 1e-9  # last Newton step for an angle: the error left is its square; waiting for less would chase rounding
WINDOW = (0.2, 0.8)  # share of the values `scale` looks at: rank defects lie below, weak spikes above


@dataclass(frozen=True)
class Edges:
    """Ends of the support, in units of eigenvalues."""

    lower: float
    upper: float


def edges(n: int, m: int, sigma: float) -> Edges:
    """Interval that holds the eigenvalues of a large pure-noise matrix.

    Args:
        n: One side, at least 1. Swapping `n` and `m` changes nothing.
        m: The other side, at least 1.
        sigma: Standard deviation of one entry (not the variance).

    Returns:
        `sigma**2 (sqrt(n) -+ sqrt(m))**2`. At finite size the largest eigenvalue scatters around the upper end, so a value just
        above it is not yet an outlier: see `tracy_widom.scaling`.

    References:
        Marchenko & Pastur (1967), doi:10.1070/SM1967v001n04ABEH001994.
    """
    return Edges(sigma**2 * (math.sqrt(n) - math.sqrt(m)) ** 2, sigma**2 * (math.sqrt(n) + math.sqrt(m)) ** 2)


def pdf(x: ArrayLike, q: float) -> Values:
    """Density at `x = lambda / (n sigma**2)`: `sqrt((b - x)(x - a)) / (2 pi q x)` between the edges, 0 outside."""
    a, b = _support(q)
    x = np.asarray(x, dtype=np.float64)
    inside = (x > a) & (x < b)
    y = np.where(inside, x, 1.0)
    return np.where(inside, np.sqrt(np.clip((b - y) * (y - a), 0.0, None)) / (2 * math.pi * q * y), 0.0)


def cdf(x: ArrayLike, q: float) -> Values:
    """Probability of a value at or below `x = lambda / (n sigma**2)`, to 1e-13 for q >= 0.001; every real `x` has one."""
    return _cdf(_angle(x, q), q)


def partial_mean(x: ArrayLike, q: float) -> Values:
    """`G(x)`, the integral of `t f(t)` from the lower edge to `x`; the whole law has mean 1, so `G` grows from 0 to 1.

    In the angle it is `(t - sin(t) cos(t)) / pi`: the semicircle law, whatever `q`.
    """
    return _partial_mean(_angle(x, q))


def quantile(p: ArrayLike, q: float) -> Values:
    """The `x = lambda / (n sigma**2)` below which a share `p` of the eigenvalues lies.

    Args:
        p: Shares in [0, 1].
        q: Aspect m / n in (0, 1].
    """
    return _value(_angle_of_share(p, q), q)


def scale(values: Values, n: int) -> float:
    """Standard deviation of an entry, from the middle of a bulk of eigenvalues.

    The sum of the eigenvalues between two quantiles of the law is divided by the mean of the law between them. The lowest and the
    highest fifth are not looked at: rank defects sit in the one, weak spikes in the other.

    Args:
        values: (m,) eigenvalues of the bulk in ascending order, outliers removed.
        n: The long side, less one for every outlier removed.
    """
    m = values.size
    low, high = math.floor(WINDOW[0] * m), math.ceil(WINDOW[1] * m)
    return math.sqrt(float(values[low:high].sum()) / (n * m * _mean_between(low, high, m, n)))


def distance(values: Values, n: int, sigma: float) -> float:
    """Largest difference between the share of eigenvalues at or below a value and the law's, over all values.

    Args:
        values: (m,) eigenvalues of the bulk in ascending order, outliers removed.
        n: The long side, less one for every outlier removed.
        sigma: Standard deviation of an entry.
    """
    m = values.size
    if sigma == 0:
        return 1.0  # the law is a point at zero
    law = cdf(values / (n * sigma**2), m / n)
    rank = np.arange(m + 1) / m
    return float(max((rank[1:] - law).max(), (law - rank[:-1]).max()))


def critical_distance(m: int) -> float:
    """The `distance` that one in a hundred noise matrices exceeds, `(1 + 0.45 log m) / m`, `sigma` fitted.

    Eigenvalues repel each other, so the distance shrinks like `log(m) / m` and the usual Kolmogorov-Smirnov table, made for
    independent values, is too lenient by a factor of 3 to 17. Calibrated by simulation for m from 32 to 2048, q from 0.11 to 1.
    """
    return (1 + 0.45 * math.log(m)) / m


def _support(q: float) -> tuple[float, float]:
    return (1 - math.sqrt(q)) ** 2, (1 + math.sqrt(q)) ** 2


def _angle(x: ArrayLike, q: float) -> Values:
    a, b = _support(q)
    x = np.clip(np.asarray(x, dtype=np.float64), a, b)
    return 2 * np.arctan2(np.sqrt(x - a), np.sqrt(b - x))


def _value(t: Values, q: float) -> Values:
    """The inverse of `_angle`: `1 + q - 2 sqrt(q) cos(t)` without its cancellation near zero."""
    x: Values = (1 - math.sqrt(q)) ** 2 + 4 * math.sqrt(q) * np.sin(t / 2) ** 2
    return x


def _cdf(t: Values, q: float) -> Values:
    root = math.sqrt(q)
    inner = np.arctan2((1 + root) * np.sin(t / 2), (1 - root) * np.cos(t / 2))
    share: Values = (2 * root * np.sin(t) + (1 + q) * t - 2 * (1 - q) * inner) / (2 * math.pi * q)
    return share


def _partial_mean(t: Values) -> Values:
    mean: Values = (t - np.sin(t) * np.cos(t)) / math.pi
    return mean


@lru_cache(maxsize=1 << 12)  # a scan asks for the same shapes again and again, and the search for the angles is most of a fit
def _mean_between(low: int, high: int, m: int, n: int) -> float:
    """Mean of the law between the shares `low / m` and `high / m`, as a part of the whole mean 1."""
    below, above = _partial_mean(_angle_of_share([low / m, high / m], m / n))
    return float(above - below)


def _angle_of_share(p: ArrayLike, q: float) -> Values:
    """Invert `_cdf` by Newton steps that fall back to halving the bracket wherever they would leave it."""
    p = np.asarray(p, dtype=np.float64)
    low, high = np.zeros(p.shape), np.full(p.shape, math.pi)
    t: Values = p * math.pi
    for _ in range(100):
        error = _cdf(t, q) - p
        low, high = np.where(error < 0, t, low), np.where(error < 0, high, t)
        x = _value(t, q)
        slope = 2 * np.sin(t) ** 2 / (math.pi * np.where(x > 0, x, 1.0))
        step = t - error / np.where(slope > 0, slope, 1.0)
        # a step that lands on its own bracket, give or take rounding, has arrived
        near = (step > low - SETTLED) & (step < high + SETTLED) & (slope > 0)
        after: Values = np.where(near, np.clip(step, low, high), (low + high) / 2)
        if np.all(np.abs(after - t) <= SETTLED):
            return after
        t = after
    return t
