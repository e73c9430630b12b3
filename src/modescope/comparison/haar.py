"""What overlaps random directions have: the null beside which every overlap between two checkpoints is read.

The null says that one of two frames is Haar distributed, as if its directions had been drawn blindly. A squared cosine between two
directions of an n-dimensional space is then Beta(1/2, (n - 1) / 2); the sum of squared cosines between subspaces of k and l
dimensions has mean `k l / n`.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.special import betainc, betaincinv, betaln, ndtr

from modescope.laws import haar_block

HIGH = 0.99  # quantile that is given beside an expectation
COARSE, FINE = 512, 160  # points that look for the mass of an integrand, and nodes that integrate it
DEPTH = 45.0  # natural logarithms below its peak at which an integrand counts for nothing


def expected(k: int, dims: int, n: int) -> float:
    """Mean sum of squared cosines between random subspaces of `k` and `dims` dimensions in one of `n`: `k * dims / n`."""
    return k * dims / n


def high(k: int, dims: int, n: int, *, share: float = HIGH) -> float:
    """The sum of squared cosines that random subspaces exceed with probability `1 - share`, by `haar_block.matched_quantile`."""
    return float(haar_block.matched_quantile(np.ones((1, dims)), n, k, share)[0])


def joint_p(product: float, out: int, in_: int) -> float:
    """Probability that two random modes agree as well: `(u . u') (v . v')` at or above `product`.

    Args:
        product: Product of the cosine of the output and that of the input directions; negative where the gain has turned round.
        out: Dimensions of the output space.
        in_: Dimensions of the input space.

    Returns:
        A number that is uniform between 0 and 1 for random modes (unless both spaces have one dimension).
    """
    tail = _both(min(abs(product), 1.0), max(out, in_), min(out, in_)) / 2
    return tail if product >= 0 else 1 - tail


@lru_cache(maxsize=1 << 10)
def joint_threshold(out: int, in_: int, p: float) -> float:
    """The product of cosines that two random modes reach with probability `p`; infinite where none is that rare."""
    low, top = 0.0, 1.0
    if joint_p(1.0 - 1e-12, out, in_) > p:
        return math.inf
    for _ in range(50):
        middle = (low + top) / 2
        low, top = (middle, top) if joint_p(middle, out, in_) > p else (low, middle)
    return top


def cosine(n: int, p: float) -> float:
    """The |cosine| that a random direction has with a given one with probability `p`; 0 on a line, where it says nothing."""
    return 0.0 if n == 1 else math.sqrt(1 - float(betaincinv((n - 1) / 2, 0.5, p)))


def cosine_p(value: float, n: int) -> float:
    """Probability that a random direction has as large a |cosine| with a given one; 0 on a line, where it says nothing."""
    return 0.0 if n == 1 else float(betainc((n - 1) / 2, 0.5, max(1 - value * value, 0.0)))


def frames_p(total: float, norm: float, n: int) -> float:
    """Probability that a random frame has an inner product of at least `total` with a matrix of Frobenius norm `norm`.

    The inner product has mean zero and variance `norm**2 / n`. Its law is near Gaussian, exactly so in many dimensions, and has
    lighter tails in few.
    """
    return float(ndtr(-total * math.sqrt(n) / norm)) if norm > 0 else 1.0


def largest_cosine(count: int, n: int, *, share: float = HIGH) -> float:
    """What the largest |cosine| of a random direction with `count` others stays below with probability at least `share`."""
    return 1.0 if n == 1 else cosine(n, (1 - share) / count)


def weighted_high(weights: np.typing.NDArray[np.float64], k: int, n: int, *, share: float = HIGH) -> float:
    """Quantile of a weighted mean of the squared lengths of orthonormal random directions inside a subspace of `k` dimensions.

    The directions repel each other, so that taking them as independent gives a quantile that is rather too high.
    """
    if k >= n:
        return 1.0
    w = weights / weights.sum()
    mean, variance = k / n, float((w**2).sum()) * 2 * k * (n - k) / (n**2 * (n + 2))
    return float(betaincinv(*_by_moments(mean, variance), share))


def _by_moments(mean: float, variance: float) -> tuple[float, float]:
    size = mean * (1 - mean) / variance - 1
    return mean * size, (1 - mean) * size


def _both(c: float, n: int, m: int) -> float:
    """P(|x y| >= c) for the cosines x and y of random directions with a fixed one, in n >= m dimensions.

    With `x = cos(t)` the density of t is `2 sin(t)**(n - 2) / B(1/2, (n - 1) / 2)`; the integral is taken where its mass lies.
    """
    if c <= 0:
        return 1.0
    if n == 1:
        return 1.0
    if m == 1:
        return float(betainc((n - 1) / 2, 0.5, 1 - c * c))
    end = math.acos(c)
    if end == 0:
        return 0.0
    t = (np.arange(COARSE) + 0.5) / COARSE * end
    height = _log_integrand(t, c, n, m)
    peak = height.max()
    if not math.isfinite(peak):
        return 0.0
    mass = np.flatnonzero(height > peak - DEPTH)
    start, stop = max(0.0, t[mass[0]] - end / COARSE), min(end, t[mass[-1]] + end / COARSE)
    nodes, weights = _legendre()
    # substituting start + (stop - start) (3 x^2 - 2 x^3) takes the square-root singularity at the end away
    x = (nodes + 1) / 2
    where, slope = start + (stop - start) * x**2 * (3 - 2 * x), (stop - start) * 6 * x * (1 - x)
    return min(1.0, float((np.exp(_log_integrand(where, c, n, m)) * slope * weights / 2).sum()))


def _log_integrand(t: np.typing.NDArray[np.float64], c: float, n: int, m: int) -> np.typing.NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        rest = np.clip(1 - (c / np.cos(t)) ** 2, 0.0, 1.0)
        density = math.log(2) - betaln(0.5, (n - 1) / 2) + (n - 2) * np.log(np.sin(t)) if n > 2 else math.log(2 / math.pi) + 0 * t
        found: np.typing.NDArray[np.float64] = density + np.log(betainc((m - 1) / 2, 0.5, rest))
    return found


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.typing.NDArray[np.float64], np.typing.NDArray[np.float64]]:
    nodes, weights = np.polynomial.legendre.leggauss(FINE)
    return nodes, weights
