"""How much each mode of a layer matters: from its factors alone, from the gradient, and how well that agrees with its loss.

A measure is a function that takes the modes of a layer and returns one number, not negative, for each of them. What is measured
with data are `first_order` and the exact increase of the loss, which `evaluating` computes.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata

from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.svd import Values

Measure = Callable[[Modes], Values]

PERMUTATIONS = 4999
FEWEST = 5  # modes for a rank correlation with an interval
LEVEL = 0.95
BLOCK = 1 << 22  # ranks that are permuted at once


def omega(modes: Modes, /) -> Values:
    """(p,) `|s| ||a|| ||b||`, the Frobenius norm of each term: no gauge changes it, so layers and networks may be compared."""
    return modes.omega


def tau(modes: Modes, /) -> Values:
    """(p,) `|s| + gamma (||a|| + ||b||)`, with gamma such that both parts have one mean over the modes.

    It depends on the gauge: two layers with one weight can have different orders. Compare it only between modes of one layer,
    trained from a balanced start or after `factors.balanced`.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, and their public code.
    """
    strengths = np.abs(modes.s)
    norms = np.linalg.norm(modes.xi_out, axis=0) + np.linalg.norm(modes.xi_in, axis=1)
    mean = float(norms.mean())
    found: Values = strengths + (float(strengths.mean()) / mean if mean > 0 else 0.0) * norms
    return found


def abs_s(modes: Modes, /) -> Values:
    """(p,) `|s|` alone; it depends on the gauge as `tau` does."""
    found: Values = np.abs(modes.s)
    return found


MEASURES: Mapping[str, Measure] = {"omega": omega, "tau": tau, "abs_s": abs_s}
"""By the name that the command line has for them; code passes the function."""


def first_order(s: ArrayLike, gradient: ArrayLike, /) -> Values:
    """(p,) `-s dL/ds`, the increase of the loss to first order when a mode is taken out. No gauge changes it.

    It may be negative, and at a minimum of the loss on the same data it is 0 for every mode whatever it does: read it with the
    exact increase beside it.

    Raises:
        UsageError: Shapes differ.
    """
    s, gradient = np.asarray(s, np.float64), np.asarray(gradient, np.float64)
    if s.shape != gradient.shape or s.ndim != 1:
        raise UsageError(f"first order: expected s (p,) and its gradient (p,), got {s.shape} and {gradient.shape}.")
    found: Values = -s * gradient
    return found


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation of a measure with the exact increase of the loss, over the modes of one layer.

    Attributes:
        rho: From -1 to 1, 1 where the orders are the same; None where one of the two is constant or there are fewer than 3 modes.
        p: Probability of one as far from 0 among orders at random, by permutations.
        low: Lower end of a 95 % interval by Fisher's transform; None below 5 modes. Modes of one layer are not independent, so it
            is rather too narrow.
        high: Upper end.
        count: Modes.
    """

    rho: float | None
    p: float | None
    low: float | None
    high: float | None
    count: int


def agreement(measure: ArrayLike, increase: ArrayLike, /, *, rng: np.random.Generator) -> Agreement:
    """How far the order of the modes by a measure is their order by another.

    Args:
        measure: (p,) importance of each mode.
        increase: (p,) what it is held against.
        rng: For the permutations.

    Raises:
        UsageError: They are not one finite number for each mode.

    References:
        Bonett & Wright (2000), doi:10.1007/BF02294183, for the standard error of the transform.
    """
    one, other = np.asarray(measure, np.float64), np.asarray(increase, np.float64)
    if one.shape != other.shape or one.ndim != 1 or not np.isfinite(one).all() or not np.isfinite(other).all():
        raise UsageError(f"agreement: expected two finite numbers for each mode, got shapes {one.shape} and {other.shape}.")
    n, ranks = one.size, []
    for values in (one, other):
        centred = rankdata(values) - (values.size + 1) / 2
        ranks.append(centred / max(float(np.linalg.norm(centred)), np.finfo(float).tiny))
    first, second = ranks
    if n < 3 or not first.any() or not second.any():
        return Agreement(None, None, None, None, n)
    rho = float(np.clip(first @ second, -1.0, 1.0))
    beyond, left = 0, PERMUTATIONS
    while left:
        some = min(left, max(1, BLOCK // n))
        drawn = rng.permuted(np.broadcast_to(second, (some, n)), axis=1) @ first
        beyond += int((np.abs(drawn) >= abs(rho) - 1e-12).sum())
        left -= some
    low = high = None
    if n >= FEWEST:
        width = float(norm.ppf((1 + LEVEL) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
        bounded = float(np.clip(rho, -1 + 1e-15, 1 - 1e-15))
        low, high = (math.tanh(math.atanh(bounded) + side * width) for side in (-1, 1))
    return Agreement(rho, (1 + beyond) / (1 + PERMUTATIONS), low, high, n)
