"""Intruder modes: leading modes of the later checkpoint that resemble no mode of the earlier one (Shuttleworth et al. 2024)."""

from dataclasses import dataclass

import numpy as np

from modescope.comparison import haar
from modescope.comparison.matching import MIXTURE, Modes

EPSILON = 0.5


@dataclass(frozen=True)
class Intruder:
    """A mode of the later checkpoint.

    Attributes:
        mode: Its place, counted from 0.
        cosine: Largest |cosine| between its output direction and that of any mode of the earlier checkpoint.
        nearest: The mode where that is reached.
        mixed: What it has in common with all earlier modes, `sum((u . u') (v . v'))`: 1 for a mixture of them, about 0 for a mode
            whose output and input directions have nothing to do with each other there.
    """

    mode: int
    cosine: float
    nearest: int
    mixed: float


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
        """Whether the definition can tell: "ok", or a sentence where it cannot."""
        if self.null >= self.epsilon:
            return (
                f"epsilon {self.epsilon:g} is not above {self.null:.2g}, which the largest cosine of a random direction may reach: "
                "even a direction that came from nowhere need not be called an intruder"
            )
        mixtures = sum(intruder.mixed >= MIXTURE for intruder in self.found)
        if mixtures:
            are = "is a mixture" if mixtures == 1 else "are mixtures"
            return (
                f"{mixtures} of them {are} of earlier modes that lie close together, which a small change turns into each other: "
                "nothing new came in"
            )
        return "ok"


def intruders(before: Modes, after: Modes, *, modes: int, epsilon: float = EPSILON) -> Intruders:
    """Look for intruders.

    Args:
        before: All modes of the earlier checkpoint.
        after: Those of the later one.
        modes: How many of the later ones are looked at.
        epsilon: Bound on the largest |cosine|.

    References:
        Shuttleworth, Andreas, Torralba & Sharma (2024), arXiv:2410.21228, Algorithm 1.
    """
    k = min(modes, after.s.size)
    signed = before.u.T @ after.u[:, :k]
    mixed = (signed * (before.vh @ after.vh[:k].T)).sum(axis=0)
    cosines = np.abs(signed)
    nearest = cosines.argmax(axis=0)
    largest = np.minimum(cosines.max(axis=0), 1.0)
    found = tuple(Intruder(int(j), float(largest[j]), int(nearest[j]), float(mixed[j])) for j in np.flatnonzero(largest < epsilon))
    return Intruders(epsilon, k, haar.largest_cosine(before.s.size, before.u.shape[0]), found)
