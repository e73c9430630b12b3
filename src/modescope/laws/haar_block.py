"""Law of the overlap of a random subspace with a fixed frame: moments, support, matched Beta, and a bound that is proven.

Let U be k orthonormal columns, Haar distributed in R^N, and `G = B B'` fixed with eigenvalues `gamma`; those not listed are 0. The
overlap is `T = trace(U' G U)`, the sum over the columns of the overlaps of `haar_overlap`. For a projection G (all `gamma` equal
to 1) it is the sum of squared cosines between two subspaces. Overlaps are in units of `gamma`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from modescope.laws import haar_overlap

Values = NDArray[np.float64]

TRUSTED, ROUGHLY = 1e-3, 0.05  # levels down to which the matched Beta counts: its size there was at most 1.3 times nominal
SMALL = 12  # dimensions below which it does not count at all
LOW = 0.4  # share of the support above which the mean must not lie for it to count down to `TRUSTED`
FLAT = 0.5  # share of the largest eigenvalue above which all must lie, or be zero, for the same
TOP = 1e-14  # share of the support by which rounding may carry a sum over its end
TILTS = 96  # trial points of the bound, each of which gives a true one


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments and support of T.

    Attributes:
        mean: `k trace(G) / N`.
        variance: `2 k (N - k) / (N (N - 1)(N + 2)) (trace(G^2) - trace(G)^2 / N)`.
        least: Sum of the k smallest of all N eigenvalues.
        most: Sum of the k largest.
    """

    mean: Values
    variance: Values
    least: Values
    most: Values


def moments(gamma: ArrayLike, dimension: int, k: int) -> Moments:
    """Exact mean, variance and support of the overlap with a random k-dimensional subspace.

    Args:
        gamma: (R, r) eigenvalues of one frame per row, not negative, in any order; at most N of them positive.
        dimension: N.
        k: Dimensions of the random subspace, between 1 and N.

    Returns:
        Arrays (R,).

    Raises:
        ValueError: There are more positive eigenvalues than dimensions, or k does not lie between 1 and N.

    References:
        Ky Fan (1949), doi:10.1073/pnas.35.11.652, for the support.
    """
    values = _spectrum(gamma, dimension, k)
    total = values.sum(1)
    spread = np.maximum((values**2).sum(1) - total**2 / dimension, 0.0)
    scale = 2 * k * (dimension - k) / (dimension * max(dimension - 1, 1) * (dimension + 2))
    return Moments(k * total / dimension, scale * spread, total - values[:, : dimension - k].sum(1), values[:, :k].sum(1))


def z_score(gamma: ArrayLike, dimension: int, k: int, t: ArrayLike) -> Values:
    """`(t - mean) / sqrt(variance)`; 0 where the overlap cannot vary.

    Read as a normal deviate it is too liberal for small blocks: use `tail` for a p-value.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        k: Dimensions of the random subspace.
        t: (R,) overlaps.

    Raises:
        ValueError: As `moments`.
    """
    law = moments(gamma, dimension, k)
    varies = _varies(law)
    return np.where(varies, (np.asarray(t) - law.mean) / np.sqrt(np.where(varies, law.variance, 1.0)), 0.0)


def matched_tail(gamma: ArrayLike, dimension: int, k: int, t: ArrayLike) -> Values:
    """`ln P(T > t)` by the Beta of the exact mean and variance on the exact support.

    Exact where k, or the rank of G, is 1 and for projections of rank N - 1. Elsewhere an approximation that is good in the middle
    of the law. Its real size at a nominal .001 was .6 to 1.3 times that for projections in 12 dimensions or more whose mean lies in
    the lower part of the support, up to twice where it lies higher, up to 3 times for uneven eigenvalues in 32 dimensions, and up
    to 6 times in 4 or 5 dimensions (2e5 draws each); further out it is worse. `tail` knows where not to believe it.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        k: Dimensions of the random subspace.
        t: (R,) overlaps.

    Returns:
        (R,) logarithms; 0 where the overlap cannot vary. Overlaps past the end of the support by rounding count as at the end.

    Raises:
        ValueError: As `moments`.
    """
    law = moments(gamma, dimension, k)
    a, b, room = _matched(law)
    left = np.clip((law.most - np.asarray(t)) / room, TOP, 1.0)
    return np.where(_varies(law), haar_overlap.log_beta_tail(a, b, left), 0.0)


def matched_quantile(gamma: ArrayLike, dimension: int, k: int, share: float) -> Values:
    """The overlap below which the Beta of `matched_tail` has a share of its mass.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        k: Dimensions of the random subspace.
        share: Between 0 and 1.

    Returns:
        (R,) overlaps; where they cannot vary, what they must be.

    Raises:
        ValueError: As `moments`.
    """
    law = moments(gamma, dimension, k)
    a, b, room = _matched(law)
    return law.least + np.where(_varies(law), room * betaincinv(a, b, share), 0.0)


def bound(gamma: ArrayLike, dimension: int, k: int, t: ArrayLike) -> Values:
    """Logarithm of a proven upper bound of `P(T >= t)`.

    With S Wishart of N degrees of freedom, independent of U, `U S^(1/2)` is Gaussian, so that exactly

        E det(I - 2 x U' G U)^(-N / 2) = prod_i (1 - 2 x gamma_i)^(-k / 2)    for every x < 1 / (2 gamma_1).

    The determinant has at most `q = min(k, r)` factors other than 1, whose sum T fixes, and is largest where they are equal. Hence
    `P(T >= t) <= (1 - 2 x t / q)^(N q / 2) prod_i (1 - 2 x gamma_i)^(-k / 2)` for x > 0, by Markov's inequality. The same holds for
    the complement of the subspace, whose overlap is `trace(G) - T`, with x < 0. The least over many x and both is returned.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        k: Dimensions of the random subspace.
        t: (R,) overlaps.

    Returns:
        (R,) logarithms, at most 0.

    Raises:
        ValueError: As `moments`.
    """
    values = _spectrum(gamma, dimension, k)
    t = np.asarray(t, dtype=np.float64)
    largest = np.where(values[:, :1] > 0, values[:, :1], 1.0)
    shares, total = values / largest, t / largest[:, 0]
    rank = (shares > haar_overlap.ZERO).sum(1)
    tilts = 1 / (1 + np.exp(-np.linspace(-9.0, 14.0, TILTS)))  # 2 x gamma_1, dense at both ends of (0, 1)
    flat = np.array_equal(shares.sum(1), rank)
    found = np.zeros(total.size)
    factors = np.maximum(np.minimum(k, rank), 1)
    for x in tilts:
        grown = k / 2 * _log_determinant(shares, rank, -x, flat=flat)
        lost = dimension * factors / 2 * np.log1p(-x * np.clip(total / factors, 0.0, 1.0))
        found = np.minimum(found, lost - grown)
    if k < dimension:
        factors = np.maximum(np.minimum(dimension - k, rank), 1)
        rest = np.maximum(shares.sum(1) - total, 0.0)
        for y in tilts / (1 - tilts):
            grown = (dimension - k) / 2 * _log_determinant(shares, rank, y, flat=flat)
            found = np.minimum(found, dimension * factors / 2 * np.log1p(y * rest / factors) - grown)
    return np.minimum(found, 0.0)


def tail(gamma: ArrayLike, dimension: int, k: int, t: ArrayLike) -> tuple[Values, NDArray[np.bool_]]:
    """`ln P(T > t)`: exact where a closed or integral form is known, and otherwise never less than is warranted.

    Exact where k is 1, N - 1 or N, where G has rank 1 or is a projection of rank N - 1, and where T cannot vary. In 12 dimensions
    or more the matched Beta counts down to .05, for projections whose mean lies in the lower four tenths of the support down to
    .001; below, it is not believed further than the proven `bound` goes, and where that says nothing the value stays there. In
    fewer dimensions the bound alone counts.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        k: Dimensions of the random subspace.
        t: (R,) overlaps; those past the end of the support by rounding count as at the end.

    Returns:
        (R,) logarithms, and (R,) whether each is exact.

    Raises:
        ValueError: As `moments`.
    """
    values = _spectrum(gamma, dimension, k)
    law = moments(values, dimension, k)
    found, exact = np.zeros(values.shape[0]), ~_varies(law)
    overlap: Values = np.minimum(t, law.most - TOP * (law.most - law.least))
    rest = np.flatnonzero(~exact)
    if k == 1:
        found[rest] = haar_overlap.conditional_tail(values[rest], dimension, overlap[rest])
        exact[rest] = True
    elif k == dimension - 1:
        # T is trace(G) less the overlap of the one direction left: mirrored, that is the tail of gamma_1 - G
        mirrored = values[rest, :1] - np.pad(values[rest], ((0, 0), (0, dimension - values.shape[1])))
        left = overlap[rest] + values[rest, 0] - values[rest].sum(1)
        found[rest] = haar_overlap.conditional_tail(mirrored, dimension, left)
        exact[rest] = True
    elif rest.size:
        matched = matched_tail(values[rest], dimension, k, overlap[rest])
        zero = values[rest] <= haar_overlap.ZERO * values[rest, :1]
        level = values[rest] >= (1 - haar_overlap.EQUAL) * values[rest, :1]
        rank = (~zero).sum(1)
        single = (rank == 1) | ((rank == dimension - 1) & (zero | level).all(1))
        found[rest], exact[rest] = matched, single
        least = np.log(_believed(values[rest], law, rest, dimension))
        far = ~single & (matched < least)
        if far.any():
            proven = np.minimum(bound(values[rest[far]], dimension, k, overlap[rest[far]]), least[far])
            found[rest[far]] = np.maximum(matched[far], proven)
    return found, exact


def _spectrum(gamma: ArrayLike, dimension: int, k: int) -> Values:
    """Eigenvalues in descending order, at most N per row."""
    values = np.asarray(gamma, dtype=np.float64)
    if values.ndim != 2 or not 1 <= k <= dimension:
        raise ValueError(f"gamma: expected (R, r) eigenvalues and 1 <= k <= N, got shape {values.shape}, k = {k}, N = {dimension}.")
    values = -np.sort(-np.maximum(values, 0.0), axis=1)
    if (values[:, dimension:] > haar_overlap.ZERO * values[:, :1]).any():
        raise ValueError(f"gamma: expected at most {dimension} positive eigenvalues in {dimension} dimensions, got more.")
    return values[:, :dimension]


def _believed(values: Values, law: Moments, rows: NDArray[np.int64], dimension: int) -> Values:
    """Level down to which the size of the matched Beta is known for each of these rows; 1 where it is not."""
    if dimension < SMALL:
        return np.ones(rows.size)
    flat = ((values >= FLAT * values[:, :1]) | (values <= haar_overlap.ZERO * values[:, :1])).all(1)
    low = law.mean[rows] - law.least[rows] <= LOW * (law.most[rows] - law.least[rows])
    return np.where(flat & low, TRUSTED, ROUGHLY)


def _log_determinant(shares: Values, rank: NDArray[np.int64], x: float, *, flat: bool) -> Values:
    """(R,) sum of ln(1 + x share) over each row; for subspaces, all of whose shares are 1, without the sum."""
    if flat:
        return np.asarray(rank * math.log1p(x), dtype=np.float64)
    found: Values = np.log1p(x * shares).sum(1)
    return found


def _matched(law: Moments) -> tuple[Values, Values, Values]:
    """Parameters of the Beta with these moments on this support, and the length of the support."""
    varies = _varies(law)
    room = np.where(varies, law.most - law.least, 1.0)
    mean = np.where(varies, (law.mean - law.least) / room, 0.5)
    size = mean * (1 - mean) / np.where(varies, law.variance / room**2, 0.05) - 1
    return mean * size, (1 - mean) * size, room


def _varies(law: Moments) -> NDArray[np.bool_]:
    return law.most - law.least > haar_overlap.EQUAL * law.most
