"""Tracy-Widom law of order one: how the largest eigenvalue of pure noise scatters above the edge of its bulk.

For a matrix of independent Gaussian entries of variance `sigma**2` with long side `n` and short side `m`, the largest eigenvalue
`lambda_1` of `W.T @ W` has `(lambda_1 / sigma**2 - centre) / width` close to this law, `centre` and `width` from `scaling`.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

NODES = 32  # of the quadrature: 1e-13 relative in the upper tail, absolute in the lower
DECAY = 60.0  # the interval ends where the kernel has fallen by exp(-2/3 * DECAY) = 4e-18
LOWEST = -10.0  # below it the distribution function is under 1e-20
HIGHEST = 103.0  # above it the kernel, and with it the exceedance, is under the smallest float

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Where the largest eigenvalue of noise of variance one lies, and how wide it scatters, in units of eigenvalues."""

    centre: float
    width: float


def scaling(n: int, m: int) -> Scaling:
    """Centre and width of the largest eigenvalue of `W.T @ W` for (n, m) noise of variance one.

    Args:
        n: One side, at least 1. Swapping `n` and `m` changes nothing.
        m: The other side, at least 1.

    References:
        Johnstone (2001), doi:10.1214/aos/1009210544; the half-integer second-order correction is Ma (2012), doi:10.3150/10-BEJ334.
    """
    centre, width = scalings(np.array([n]), np.array([m]))
    return Scaling(float(centre[0]), float(width[0]))


def scalings(n: NDArray[np.int64], m: NDArray[np.int64]) -> tuple[Values, Values]:
    """`scaling` for arrays of sides: centres and widths."""
    root_n, root_m = np.sqrt(n - 0.5), np.sqrt(m - 0.5)
    return (root_n + root_m) ** 2, (root_n + root_m) * np.cbrt(1 / root_n + 1 / root_m)


def cdf(s: ArrayLike) -> Values:
    """Probability of a value at or below `s`, to 1e-13 absolute."""
    return np.exp(_logs(s))


def sf(s: ArrayLike) -> Values:
    """Probability of a value above `s`, to 1e-12 relative however small it is.

    The eigenvalues of the kernel are known relative to the largest of them, which in the upper tail is the exceedance itself;
    `1 - cdf` would keep no digit below 1e-16.
    """
    return np.abs(np.expm1(_logs(s)))  # the modulus turns -0.0 into 0.0


def pdf(s: ArrayLike) -> Values:
    """Density, by the derivative of the determinant: `F'/F = -trace((I - K)^-1 K')`."""
    s = np.asarray(s, dtype=np.float64)
    density = np.zeros(s.shape)
    for at in zip(*np.nonzero((s > LOWEST) & (s < HIGHEST)), strict=True) if s.ndim else [()]:
        kernel, slope = _kernel(float(s[at]))
        density[at] = -np.trace(np.linalg.solve(np.eye(NODES) - kernel, slope)) * float(cdf(s[at]))
    return density


@cache
def isf(p: float) -> float:
    """The value exceeded with probability `p`, 1e-280 < p < 1.

    Args:
        p: Level of a test, say 0.01, or 0.01 divided by the number of matrices tested.

    Raises:
        ValueError: `p` is not between 1e-280 and 1.
    """
    if not 1e-280 < p < 1:
        raise ValueError(f"isf: expected p, a probability of exceedance, between 1e-280 and 1, got {p}.")
    from scipy.optimize import brentq

    # in logarithms the upper tail is nearly straight, so that a level of 1e-9 costs no more steps than one of 0.05
    return float(brentq(lambda s: math.log(float(sf(s))) - math.log(p), -9.0, 100.0, xtol=1e-13, rtol=1e-14))


def _logs(s: ArrayLike) -> Values:
    """Logarithm of the distribution function, `log det(I - K_s)`."""
    s = np.asarray(s, dtype=np.float64)
    logs = np.where(s > LOWEST, 0.0, -np.inf)
    for at in zip(*np.nonzero((s > LOWEST) & (s < HIGHEST)), strict=True) if s.ndim else [()] if LOWEST < s < HIGHEST else []:
        # an eigenvalue of K_s is below 1; in the far lower tail it may round to 1
        values = np.minimum(np.linalg.eigvalsh(_kernel(float(s[at]))[0]), 1 - 1e-16)
        logs[at] = np.log1p(-values).sum()
    return logs


def _kernel(s: float) -> tuple[Values, Values]:
    """`K_s(x, y) = Ai(x + y + s)` on (0, inf) at Gauss-Legendre nodes, symmetrised by the weights, and its derivative in `s`.

    References:
        Ferrari & Spohn (2005), doi:10.1088/0305-4470/38/33/L02: `F_1(s) = det(I - K_s)`; Bornemann (2010),
        doi:10.1090/S0025-5718-09-02280-7, for the quadrature.
    """
    from scipy.special import airy

    nodes, weights = _rule()
    # the end in x: where Ai(x + s), about exp(-2/3 (x + s)**1.5), has fallen by DECAY from its largest value
    length = (DECAY + max(s, 0.0) ** 1.5) ** (2 / 3) - s
    x, root = length * nodes, np.sqrt(length * weights)
    rows, columns = np.triu_indices(NODES)
    value, slope, _, _ = airy(x[rows] + x[columns] + s)
    both = np.empty((2, NODES, NODES))
    both[:, rows, columns] = both[:, columns, rows] = root[rows] * root[columns] * np.stack((value, slope))
    return both[0], both[1]


@cache
def _rule() -> tuple[Values, Values]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1) / 2, weights / 2
