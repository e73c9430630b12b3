"""Principal angles between the leading subspaces of two checkpoints, and how much of a change lies inside them, with their null."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modescope.comparison import haar
from modescope.svd import Values


@dataclass(frozen=True)
class Overlap:
    """A share between 0 and 1 beside what random directions show.

    Attributes:
        share: Mean squared cosine.
        expected: Its mean for random subspaces.
        high: What random subspaces exceed once in a hundred.
    """

    share: float
    expected: float
    high: float


@dataclass(frozen=True)
class Angles:
    """The first `k` modes of two checkpoints as subspaces.

    Attributes:
        k: Dimensions.
        left: Mean squared cosine of the principal angles between the output subspaces.
        right: The same of the input subspaces.
        least_left: Cosine of the largest principal angle of the output subspaces.
        least_right: The same of the input subspaces.
    """

    k: int
    left: Overlap
    right: Overlap
    least_left: float
    least_right: float


@dataclass(frozen=True)
class Inside:
    """How much of the energy of the leading modes of a change lies in the leading subspaces of what was changed.

    Attributes:
        modes: Modes of the change.
        k: Dimensions of the subspaces.
        left: Share inside the output subspace.
        right: Share inside the input subspace.
    """

    modes: int
    k: int
    left: Overlap
    right: Overlap


def principal_cosines(a: Values, b: Values) -> Values:
    """Cosines of the principal angles between the spans of two matrices with orthonormal columns, descending, at most 1."""
    cosines: Values = np.minimum(np.linalg.svd(a.T @ b, compute_uv=False), 1.0).astype(np.float64, copy=False)
    return cosines


def angles(a: tuple[Values, Values], b: tuple[Values, Values]) -> Iterator[Angles]:
    """Angles between the first 1, 2, 4, ... modes.

    Args:
        a: `u` (out, k) and `vh` (k, in) of the first checkpoint.
        b: The same of the second.
    """
    most = min(a[0].shape[1], b[0].shape[1])
    for k in ladder(most):
        left = principal_cosines(a[0][:, :k], b[0][:, :k])
        right = principal_cosines(a[1][:k].T, b[1][:k].T)
        yield Angles(k, _mean(left, a[0].shape[0]), _mean(right, a[1].shape[1]), float(left[-1]), float(right[-1]))


def ladder(most: int) -> tuple[int, ...]:
    """Powers of two below `most`, and `most`; nothing below 1."""
    return (*(1 << i for i in range(most.bit_length()) if 1 << i < most), *([most] if most else []))


def inside(change: tuple[Values, Values, Values], u: Values, vh: Values) -> Inside:
    """Where the leading modes of a change lie.

    Args:
        change: `u` (out, r), `s` (r,) and `vh` (r, in) of the change.
        u: (out, k) output directions of what was changed.
        vh: (k, in) its input directions.
    """
    weights, k = (change[1] / change[1][0]) ** 2, u.shape[1]
    shares = []
    for frame, basis in ((change[0], u), (change[2].T, vh.T)):
        within = ((basis.T @ frame) ** 2).sum(axis=0)
        n = basis.shape[0]
        shares.append(Overlap(float(weights @ within / weights.sum()), k / n, haar.weighted_high(weights, k, n)))
    return Inside(change[1].size, k, *shares)


def _mean(cosines: Values, n: int) -> Overlap:
    k = cosines.size
    return Overlap(float((cosines**2).mean()), haar.expected(k, k, n) / k, haar.high(k, k, n) / k)
