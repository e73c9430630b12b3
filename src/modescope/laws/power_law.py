"""Power-law tails: the exponent above the lower bound whose fit lies closest to the data, searched exactly.

Above `xmin` the density is `((alpha - 1) / xmin) * (x / xmin)**(-alpha)`. Every distinct value but the largest is tried as `xmin`;
the exponent follows by maximum likelihood, and the `xmin` with the smallest Kolmogorov-Smirnov distance is kept
(Clauset, Shalizi & Newman 2009). A description of shape: it can be fitted to anything, pure noise included.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Positions = NDArray[np.int64]

MINIMUM = 20  # values: below, an exponent says more about the count than about the data
FLAT = 1e-9  # values whose largest and smallest agree to this relative error are one value
RANKS = 16  # points of its tail at which a candidate is first judged by the search
BLOCK = 1 << 13  # gaps computed at a time: they stay in the cache
SLACK = 1e-12  # in units of the distance: far above its rounding, far below any difference that matters


@dataclass(frozen=True)
class PowerLaw:
    """A fitted tail, or the reason why there is none.

    Attributes:
        n: Number of values given.
        alpha: Exponent of the density, above 1; None where no fit was possible, as are all numbers below.
        alpha_stderr: `(alpha - 1) / sqrt(n_tail)`: the error if the tail were an independent sample and `xmin` were known.
        xmin: Smallest value of the tail, in the units of the values.
        ks: Kolmogorov-Smirnov distance between tail and law.
        n_tail: Number of values at or above `xmin`.
        index: Position of `xmin` among the values in ascending order.
        status: "ok", or a sentence: why there is no fit.
    """

    n: int
    alpha: float | None = None
    alpha_stderr: float | None = None
    xmin: float | None = None
    ks: float | None = None
    n_tail: int | None = None
    index: int | None = None
    status: str = "ok"


@dataclass(frozen=True, eq=False)
class Curve:
    """The fit at every candidate for `xmin`, in ascending order.

    Attributes:
        xmin: (c,) distinct values but the largest.
        alpha: (c,) exponent above each.
        ks: (c,) Kolmogorov-Smirnov distance above each; the fit is at its first minimum.
        index: (c,) position of each among the values in ascending order.
    """

    xmin: Values
    alpha: Values
    ks: Values
    index: Positions


def fit(values: ArrayLike, *, two_sided: bool = True) -> PowerLaw:
    """Fit a power law to the upper tail of positive values, trying every distinct value but the largest as `xmin`.

    The search is exact: it finds the first `xmin` of the smallest distance without computing all distances. The largest gap at any
    subset of a tail's points is a lower bound of its distance, so most candidates fall after a few points.

    Args:
        values: Positive and finite, in any order.
        two_sided: Measure the distance to the empirical law on both sides of each of its steps, the supremum proper; False
            compares one side only, as the `powerlaw` package and WeightWatcher do.

    Returns:
        A fit, or one without numbers whose status says why: too few values, or a flat spectrum.

    References:
        Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, eqs. 3.1, 3.2 and 3.9.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if x.size < MINIMUM:
        return PowerLaw(n=x.size, status=f"{x.size} positive values, {MINIMUM} needed")
    y = np.log(x)
    if y[-1] - y[0] < FLAT:
        return PowerLaw(n=x.size, status="the values are all equal: no tail")
    tails = _Tails(y, two_sided)
    best, ks = _search(tails)
    index, n_tail, rate = int(tails.start[best]), int(tails.size[best]), float(tails.rate[best])
    return PowerLaw(
        n=x.size,
        alpha=1.0 + rate,
        alpha_stderr=rate / float(np.sqrt(n_tail)),
        xmin=float(x[index]),
        ks=ks,
        n_tail=n_tail,
        index=index,
    )


def curve(values: ArrayLike, *, two_sided: bool = True) -> Curve:
    """The distance at every candidate for `xmin`, for a plot; its cost grows with the square of the number of values.

    Args:
        values: Positive and finite, in any order; at least two distinct ones.
        two_sided: As in `fit`.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    tails = _Tails(np.log(x), two_sided)
    ks = np.array([tails.distance(candidate) for candidate in range(tails.start.size)])
    return Curve(xmin=x[tails.start], alpha=1.0 + tails.rate, ks=ks, index=tails.start)


def sample(n: int, alpha: float, xmin: float, generator: np.random.Generator) -> Values:
    """Draw independent values of the law by inverting its distribution function.

    Args:
        n: How many.
        alpha: Exponent, above 1.
        xmin: Smallest possible value.
        generator: Source of the randomness.
    """
    return xmin * np.exp(generator.standard_exponential(n) / (alpha - 1.0))


class _Tails:
    """The tails above every candidate: where they start, how many values they hold, and their rate `alpha - 1` in `log x`."""

    def __init__(self, y: Values, two_sided: bool) -> None:
        self.y = y
        self.two_sided = two_sided
        gap = np.diff(y)
        count = np.arange(y.size, 0, -1)
        # sum_{j >= i} (y_j - y_i) as a sum of non-negative terms: nothing cancels, wherever the values lie
        excess = np.cumsum((count[1:] * gap)[::-1])[::-1]
        distinct = np.concatenate(([True], gap > 0))[:-1] & (excess > 0)
        self.start: Positions = np.flatnonzero(distinct)
        self.size: Positions = count[self.start]
        self.rate: Values = self.size / excess[self.start]

    def distance(self, candidate: int) -> float:
        """The Kolmogorov-Smirnov distance of one candidate."""
        start, size, rate = int(self.start[candidate]), int(self.size[candidate]), self.rate[candidate]
        return float(self._gap(self.y[start:] - self.y[start], np.arange(size, 0, -1), size, rate).max())

    def bounds(self, candidates: Positions, ranks: int) -> Values:
        """Lower bounds of the distances: the gap at `ranks` points over the tail, and at as many around the worst of them."""
        block = max(1, BLOCK // ranks)
        return np.concatenate([self._bound(candidates[i : i + block], ranks) for i in range(0, candidates.size, block)])

    def _bound(self, candidates: Positions, ranks: int) -> Values:
        start, size, rate = self.start[candidates], self.size[candidates], self.rate[candidates]
        at = np.linspace(0.0, 1.0, ranks)[:, None]  # candidates along the last axis: long inner loops
        bound = np.zeros(candidates.size)
        low, high = start, start + size - 1
        step = size // (ranks - 1) + 1
        for _ in range(2):
            j = low + ((high - low) * at).astype(np.int64)
            gap = self._gap(self.y[j] - self.y[start], (start + size) - j, size, rate)
            worst = j[gap.argmax(axis=0), np.arange(candidates.size)]
            np.maximum(bound, gap.max(axis=0), out=bound)
            low, high = np.maximum(worst - step, start), np.minimum(worst + step, start + size - 1)
        return bound

    def _gap(self, y: Values, above: Positions, size: Positions | int, rate: Values | float) -> Values:
        """Gap between empirical and fitted exceedance at points `y = ln(x / xmin)` with `above` values at or beyond them."""
        fitted = np.exp(-rate * y)
        gap = above / size - fitted
        if self.two_sided:
            return np.maximum(np.abs(gap), np.abs(gap - 1.0 / size))
        return np.abs(gap)


def _search(tails: _Tails) -> tuple[int, float]:
    """The first candidate of the smallest distance, and that distance.

    All candidates are bounded from below at a few ranks of their tails; those whose bound exceeds the best exact distance so far
    are dropped, the others bounded again at four times as many ranks; the few left are measured in order of their bounds.
    """
    alive = np.arange(tails.start.size)
    bound = np.zeros(alive.size)
    known: dict[int, float] = {}
    ranks = RANKS
    while alive.size > RANKS and ranks < tails.size[alive[0]]:
        bound = np.maximum(bound, tails.bounds(alive, ranks))
        for candidate in alive[np.argsort(bound, kind="stable")[:3]].tolist():
            if candidate not in known:
                known[candidate] = tails.distance(candidate)
        kept = bound <= min(known.values()) + SLACK
        alive, bound = alive[kept], bound[kept]
        ranks *= 4
    best = min(known.values(), default=np.inf)
    for at in np.argsort(bound, kind="stable"):
        if bound[at] > best + SLACK:
            break
        candidate = int(alive[at])
        if candidate not in known:
            known[candidate] = tails.distance(candidate)
        best = min(best, known[candidate])
    return min(known, key=lambda candidate: (known[candidate], candidate)), best
