"""Other laws for the same tail, each against the power law by the ratio of their likelihoods.

All are fitted to `z = x / xmin >= 1` by maximum likelihood. Each is an exponential family, so its likelihood has a single maximum:
the exponential and the lognormal follow from one equation, the power law with exponential cutoff from two.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, erfc, erfcx, log_ndtr, roots_legendre

Values = NDArray[np.float64]

FAR_LEFT = -1e3  # of the lognormal's mean, in its standard deviations: closer to a power law than rounding can tell
NODES = 64  # Gauss-Legendre points in each panel of a normalising integral
PANELS = 8
STEPS = 200  # of Newton's method; a dozen are usual
SETTLED = 1e-12  # relative gain of the mean log-likelihood that a further step may bring


@dataclass(frozen=True)
class Ratio:
    """Power law against another law on the same tail.

    Attributes:
        value: Log-likelihood of the power law less that of the other: positive where the power law describes the tail better.
        p: Probability of a ratio as far from zero if both described it equally well. Without a small p the sign means nothing.
    """

    value: float
    p: float


def against_exponential(tail: ArrayLike, xmin: float) -> Ratio:
    """Power law against an exponential, `rate * exp(-rate * (x - xmin))`.

    Args:
        tail: The values at or above `xmin`; at least two distinct ones.
        xmin: Where the tail begins.

    References:
        Vuong (1989), doi:10.2307/1912557; Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, section 5 and appendix C.
    """
    z = np.asarray(tail, dtype=np.float64) / xmin
    rate = 1.0 / np.mean(z - 1.0)
    return vuong(_power_law(np.log(z)), np.log(rate) - rate * (z - 1.0))


def against_lognormal(tail: ArrayLike, xmin: float) -> Ratio:
    """Power law against a lognormal cut off below `xmin`.

    A power law is the limit of lognormals whose mean moves to the far left. Where that limit is the best of them (the logarithms
    scatter as much as an exponential's, or more) the two describe the tail equally well: the ratio is 0 and p is 1.

    Args:
        tail: The values at or above `xmin`; at least two distinct ones.
        xmin: Where the tail begins.

    References:
        Vuong (1989), doi:10.2307/1912557; Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, section 5 and appendix C.
    """
    t = np.log(np.asarray(tail, dtype=np.float64) / xmin)
    spread = float(np.mean(t**2) / np.mean(t) ** 2)
    if spread >= _spread(FAR_LEFT):
        return Ratio(0.0, 1.0)
    # t has its smallest value at 0, so spread >= n / (n - 1), and a normal law `sqrt(2 n)` deviations from its cut is narrower
    shift = brentq(lambda shift: _spread(shift) - spread, FAR_LEFT, np.sqrt(2.0 * t.size) + 2.0, xtol=1e-13, rtol=1e-14)
    deviation = float(np.mean(t)) / (shift + _hazard(shift))
    # (t/deviation - shift)^2 / 2 with its square of the shift, huge on the far left, moved into the normalising constant
    exponent = shift * t / deviation - 0.5 * (t / deviation) ** 2
    return vuong(_power_law(t), exponent - t - np.log(deviation) - 0.5 * np.log(2 * np.pi) - _log_mass(shift))


def against_truncated(tail: ArrayLike, xmin: float) -> Ratio:
    """Power law against one with an exponential cutoff, proportional to `x**-alpha * exp(-rate * x)`.

    The power law is the case `rate = 0`, so the ratio is never positive; p is that of a nested law, and conservative.

    Args:
        tail: The values at or above `xmin`; at least two distinct ones.
        xmin: Where the tail begins.

    References:
        Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, section 5; Wilks (1938), doi:10.1214/aoms/1177732360.
    """
    t = np.log(np.asarray(tail, dtype=np.float64) / xmin)
    gain = _truncated_likelihood(t) - float(np.mean(_power_law(t)))
    value = -t.size * gain if gain > 0.0 else 0.0
    return Ratio(value, float(chdtrc(1, -2.0 * value)))


def vuong(first: Values, second: Values) -> Ratio:
    """Compare two laws, neither a case of the other, by their log-likelihoods of each value.

    Args:
        first: (n,) log-density of each value under one law.
        second: (n,) under the other.

    Returns:
        Sum of the differences, and its two-sided p in units of their own scatter. Exchanging the laws changes its sign only.

    References:
        Vuong (1989), doi:10.2307/1912557, section 5.
    """
    difference = first - second
    value, scatter = float(difference.sum()), float(difference.std())
    if scatter == 0.0:
        return Ratio(value, 1.0 if value == 0.0 else 0.0)
    return Ratio(value, float(erfc(abs(value) / (np.sqrt(2.0 * difference.size) * scatter))))


def _power_law(t: Values) -> Values:
    """Log-density in z of each `t = ln z`, with the exponent of the largest likelihood."""
    rate = 1.0 / np.mean(t)
    return np.asarray(np.log(rate) - (rate + 1.0) * t)


def _hazard(shift: float) -> float:
    """phi(shift) / Phi(shift) of the standard normal law, without underflow on the left."""
    return float(np.sqrt(2 / np.pi) / erfcx(-shift / np.sqrt(2)))


def _log_mass(shift: float) -> float:
    """Logarithm of Phi(shift) exp(shift^2 / 2) of the standard normal law, without overflow on either side."""
    if shift < 0.0:
        return float(np.log(0.5 * erfcx(-shift / np.sqrt(2))))
    return float(log_ndtr(shift) + 0.5 * shift**2)


def _spread(shift: float) -> float:
    """E[t^2] / E[t]^2 of a normal law with mean `shift` standard deviations right of zero, cut off at zero; falls from 2 to 1."""
    hazard = _hazard(shift)
    return (1.0 + shift**2 + shift * hazard) / (shift + hazard) ** 2


def _truncated_likelihood(t: Values) -> float:
    """Largest mean log-likelihood of `z**-alpha * exp(-rate * z / z_max)`, `t = ln z`: Newton's method from inside `rate > 0`."""
    top = float(t.max())
    seen = np.array([np.mean(t), np.mean(np.exp(t - top))])

    def likelihood(theta: Values) -> float:
        return -float(theta @ seen) - _moments(theta, top)[0]

    theta = np.array([1.0, 1.0 / seen[1]])
    best = likelihood(theta)
    for _ in range(STEPS):
        _, mean, covariance = _moments(theta, top)
        step = np.linalg.solve(covariance, mean - seen)
        size = 1.0
        if theta[1] + step[1] <= 0.0:
            size = 0.9 * theta[1] / -step[1]  # the maximum may lie at rate 0: come close, never beyond
        while (new := likelihood(theta + size * step)) < best and size > 1e-9:
            size /= 2.0
        gain, best, theta = new - best, max(new, best), theta + size * step
        if gain <= SETTLED * abs(best):
            break
    return best


def _moments(theta: Values, top: float) -> tuple[float, Values, Values]:
    """Logarithm of the integral of `z**-alpha * exp(-rate * z / e**top)` over z >= 1; mean and covariance of (ln z, z / e**top)."""
    alpha, rate = theta
    # in t = ln z the integrand is exp((1 - alpha) t - rate e^(t - top)); beyond `end` it is below e^-40 of its largest value
    end = np.logaddexp(0.0, top + np.log((40.0 + 40.0 * max(0.0, 1.0 - alpha)) / rate))
    if alpha > 1.0:
        end = min(end, 40.0 / (alpha - 1.0))
    node, weight = _quadrature()
    t = end * node
    u = np.exp(t - top)
    exponent = (1.0 - alpha) * t - rate * u
    largest = float(exponent.max())
    density = weight * np.exp(exponent - largest)
    mass = float(density.sum())
    density /= mass
    point = np.stack([t, u])
    mean = point @ density
    offset = point - mean[:, None]
    return largest + float(np.log(end * mass)), mean, (offset * density) @ offset.T


@cache
def _quadrature() -> tuple[Values, Values]:
    """Nodes and weights on [0, 1]: Gauss-Legendre in panels that shrink towards both ends."""
    node, weight = roots_legendre(NODES)
    edge = np.linspace(0.0, 1.0, PANELS + 1)
    edge = edge**2 * (3.0 - 2.0 * edge)
    width = np.diff(edge)[:, None]
    return (edge[:-1, None] + width * (node + 1.0) / 2.0).ravel(), (width * weight / 2.0).ravel()
