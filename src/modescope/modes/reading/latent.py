"""How compact the latent space of a layer is, and how far classes share it: effective numbers, overlaps, cosines, with their nulls.

Everything here is a number of arrays; what a network gives for data is in `states`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln
from scipy.stats import norm

from modescope.errors import UsageError
from modescope.modes.factors import Modes, svd
from modescope.moments import Moments
from modescope.svd import Values

DIRECTIONS = 4  # q, of each class
LEVEL = 0.95
RANK = 1e-10  # share of the largest eigenvalue below which a direction is rounding


def effective_modes(importance: ArrayLike, /) -> float:
    """`n_eff = (sum w)^2 / sum w^2` of values that are not negative, as omega: between 1 and their number; 0 if all are 0.

    Raises:
        UsageError: Values are negative or not finite, or there is none.
    """
    values = np.asarray(importance, np.float64)
    if not values.size or not np.isfinite(values).all() or values.min() < 0:
        raise UsageError(f"effective modes: expected finite values of 0 or more, got shape {values.shape}.")
    scaled = values / largest if (largest := float(values.max())) > 0 else values
    return float(scaled.sum() ** 2 / (scaled**2).sum()) if largest > 0 else 0.0


def stable_rank(modes: Modes, /) -> float:
    """`||W||_F^2 / ||W||_2^2` from the p x p core, at most the rank; 0 of a zero weight. The weight is never formed."""
    return of_values(svd(modes)[1])


def of_values(s: Values, /) -> float:
    """Stable rank of a weight by its singular values, descending."""
    return float(((s / s[0]) ** 2).sum()) if s.size and s[0] > 0 else 0.0


def participation_ratio(covariance: ArrayLike, /) -> float:
    """`PR = (sum lam)^2 / sum lam^2` of the eigenvalues of a covariance: 1 to its dimension; 0 of states that do not vary.

    It needs no eigenvalues: the sums are the trace and the squared Frobenius norm. Of N samples it is below N, whatever the truth.
    """
    held = np.asarray(covariance, np.float64)
    scale = float(np.abs(held).max(initial=0.0))
    return float(np.trace(held / scale) ** 2 / ((held / scale) ** 2).sum()) if scale > 0 else 0.0


@dataclass(frozen=True, eq=False)
class Overlap:
    """How far the principal directions of classes share a subspace.

    Attributes:
        pairs: (C, C) `||Q_c' Q_c'||_F^2 / q`, the mean squared cosine of the principal angles; 1 on the diagonal.
        mean: Over pairs of different classes.
        null: `q / dimension`, what independent random subspaces have on average.
        low: Lower end of the 95 % interval of the mean over as many pairs of such subspaces, by its exact variance.
        high: Upper end.
        q: Directions of each class.
        dimension: Of the states.
        centred: Whether each class was centred by its own mean; otherwise directions are about the origin, and the first of a class
            is about its mean.
    """

    pairs: Values
    mean: float
    null: float
    low: float
    high: float
    q: int
    dimension: int
    centred: bool


def subspace_overlap(classes: Sequence[Moments], /, *, q: int = DIRECTIONS, centred: bool) -> Overlap | str:
    """Overlap of the leading subspaces of classes, by the moments of their states.

    Random subspaces are the null of states that have nothing to do with each other. Classes of one data set share directions by
    what the data have in common, so that an overlap above it is the rule, also before training: hold it against an untrained
    network.

    Args:
        classes: Moments of the states of each class, at least two.
        q: Leading directions of each.
        centred: Take the directions about the mean of the class, not about the origin.

    Returns:
        `Overlap`, or a sentence that says why there is none: too few dimensions or samples for q directions.

    Raises:
        UsageError: q is below 1, or classes have states of different sizes.
    """
    sizes = {one.mean.size for one in classes}
    if q < 1 or len(sizes) > 1:
        raise UsageError(f"overlap: expected q of 1 or more and states of one size, got q = {q} and sizes {sorted(sizes)}.")
    if len(classes) < 2:
        return f"it needs two classes, and there is {len(classes)}"
    dimension = sizes.pop()
    if dimension <= q:
        return f"{q} directions of {dimension} dimensions are all there are, or more"
    frames = []
    for place, one in enumerate(classes):
        values, vectors = np.linalg.eigh(one.covariance if centred else one.second)
        if values[-q] <= RANK * max(values[-1], 0.0) or values[-1] <= 0:
            return f"the states of class {place} span fewer than {q} directions"
        frames.append(vectors[:, -q:])
    stacked, count = np.hstack(frames), len(frames)
    cosines = (stacked.T @ stacked) ** 2
    pairs: Values = cosines.reshape(count, q, count, q).sum((1, 3)) / q
    mean = float(pairs[np.triu_indices(count, 1)].mean())
    null, spread = overlap_null(q, dimension, count * (count - 1) // 2)
    width = float(norm.ppf((1 + LEVEL) / 2)) * spread
    return Overlap(pairs, mean, null, max(null - width, 0.0), min(null + width, 1.0), q, dimension, centred)


def overlap_null(q: int, dimension: int, pairs: int = 1, /) -> tuple[float, float]:
    """Mean and standard deviation of the overlap of independent Haar subspaces, its mean over pairs.

    Overlaps of two pairs are uncorrelated also where they share a subspace, since the law of each given that one does not depend on
    it. `Var ||P P'||_F^2 = 2 q^2 (d - q)^2 / (d^2 (d - 1) (d + 2))`, by the moments of second order of the Haar measure.
    """
    variance = 2 * q**2 * (dimension - q) ** 2 / (dimension**2 * (dimension - 1) * (dimension + 2))
    return q / dimension, math.sqrt(variance / pairs) / q


@dataclass(frozen=True)
class Cosine:
    """Mean `|cos|` between the patterns of different modes on one side of a layer.

    Attributes:
        mean: Over pairs of modes; None with one mode, or a pattern of norm 0.
        random: What random directions have on average, close to `sqrt(2 / (pi N))`.
        low: Lower end of the 95 % interval of such a mean for random directions.
        high: Upper end.
        size: N, the numbers in a pattern.
    """

    mean: float | None
    random: float
    low: float
    high: float
    size: int


def mode_cosines(modes: Modes, /) -> Mapping[str, Cosine]:
    """How far from orthogonal modes are: on the "output" and on the "input" side, each with its random level."""
    return {"output": _cosine(modes.xi_out.T), "input": _cosine(modes.xi_in)}


def random_cosine(size: int, pairs: int = 1, /) -> tuple[float, float]:
    """Mean and standard deviation of the mean `|cos|` of pairs of random directions; pairs that share one are uncorrelated."""
    mean = math.exp(gammaln(size / 2) - gammaln((size + 1) / 2)) / math.sqrt(math.pi)
    return mean, math.sqrt(max(1 / size - mean**2, 0.0) / pairs)


def _cosine(rows: Values) -> Cosine:
    p, size = rows.shape
    mean, spread = random_cosine(size, max(p * (p - 1) // 2, 1))
    width = float(norm.ppf((1 + LEVEL) / 2)) * spread
    norms = np.linalg.norm(rows, axis=1)
    found = None
    if p > 1 and norms.min() > 0:
        unit = rows / norms[:, None]
        found = float((np.abs(unit @ unit.T).sum() - p) / (p * (p - 1)))
    return Cosine(found, mean, max(mean - width, 0.0), min(mean + width, 1.0), size)
