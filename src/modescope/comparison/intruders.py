"""Intruder modes: leading modes of the later checkpoint that resemble no mode of the earlier one (Shuttleworth et al. 2024)."""

from dataclasses import dataclass

import numpy as np

from modescope.comparison import haar
from modescope.svd import Values

EPSILON = 0.5


@dataclass(frozen=True)
class Intruder:
    """A mode of the later checkpoint.

    Attributes:
        mode: Its place, counted from 0.
        cosine: Largest |cosine| between its output direction and that of any mode of the earlier checkpoint.
        nearest: The mode where that is reached.
    """

    mode: int
    cosine: float
    nearest: int


@dataclass(frozen=True)
class Intruders:
    """Intruder modes by their definition: the largest |cosine| of output directions is below epsilon.

    Attributes:
        epsilon: The bound.
        looked: Leading modes of the later checkpoint that were looked at.
        null: What the largest |cosine| of a random direction stays below 99 times in a hundred.
        found: The intruders.
    """

    epsilon: float
    looked: int
    null: float
    found: tuple[Intruder, ...]

    @property
    def status(self) -> str:
        """Whether the definition can tell: "ok", or a sentence where the definition cannot tell."""
        if self.null >= self.epsilon:
            return (
                f"epsilon {self.epsilon:g} is not above {self.null:.2g}, which the largest cosine of a random direction may reach: "
                "even a direction that came from nowhere need not be called an intruder"
            )
        return "ok"


def intruders(before: Values, after: Values, *, epsilon: float = EPSILON) -> Intruders:
    """Look for intruders.

    Args:
        before: (out, m) output directions of all modes of the earlier checkpoint.
        after: (out, k) those of the leading modes of the later one.
        epsilon: Bound on the largest |cosine|.

    References:
        Shuttleworth, Andreas, Torralba & Sharma (2024), arXiv:2410.21228, Algorithm 1.
    """
    cosines = np.abs(before.T @ after)
    nearest = cosines.argmax(axis=0)
    largest = np.minimum(cosines.max(axis=0), 1.0)
    found = tuple(Intruder(int(j), float(largest[j]), int(nearest[j])) for j in np.flatnonzero(largest < epsilon))
    return Intruders(epsilon, after.shape[1], haar.largest_cosine(before.shape[1], before.shape[0]), found)
