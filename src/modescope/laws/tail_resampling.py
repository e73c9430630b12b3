"""What chance alone does to a fitted power law: the scatter of its exponent, and how often a true one fits as badly.

Both treat the tail as independent values. Eigenvalues are not: they repel each other and scatter far less, so the interval is too
wide for one matrix, and a large p-value confirms nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.laws.power_law import PowerLaw, fit, sample

COVERAGE = 0.95


@dataclass(frozen=True)
class Interval:
    """A percentile interval of the exponent.

    Attributes:
        low: Lower end.
        high: Upper end.
        coverage: Share of the resampled exponents between them.
    """

    low: float
    high: float
    coverage: float


def bootstrap(
    values: ArrayLike, resamples: int, generator: np.random.Generator, *, two_sided: bool = True, coverage: float = COVERAGE
) -> Interval:
    """Interval of the exponent when the values are drawn again with replacement and `xmin` is searched each time.

    Args:
        values: Positive and finite; a power law must be fittable.
        resamples: How many times, at least 1; the ends settle from about 200 on.
        generator: Source of the randomness.
        two_sided: As in `power_law.fit`.
        coverage: Share of exponents inside.

    References:
        Efron (1979), doi:10.1214/aos/1176344552; Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, section 3.
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    refits = (fit(generator.choice(x, x.size), two_sided=two_sided).alpha for _ in range(resamples))
    low, high = np.quantile([alpha for alpha in refits if alpha is not None], [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(float(low), float(high), coverage)


def goodness(
    values: ArrayLike, fitted: PowerLaw, sets: int, generator: np.random.Generator, *, two_sided: bool = True
) -> float | None:
    """Probability that data truly of the fitted law lie as far from their own best fit as the values do.

    Each synthetic set draws every value from the law with probability `n_tail / n`, else from the observed values below `xmin`,
    and is fitted anew, `xmin` included. A value of at most 0.1 rejects the power law.

    Args:
        values: The values that were fitted.
        fitted: Their fit.
        sets: Number of synthetic sets; 2500 give the second decimal.
        generator: Source of the randomness.
        two_sided: As in `power_law.fit`, the same as for `fitted`.

    Returns:
        The share of sets with a distance of at least `fitted.ks`, or None where there is no fit.

    References:
        Clauset, Shalizi & Newman (2009), doi:10.1137/070710111, section 4.1.
    """
    if fitted.alpha is None or fitted.xmin is None or fitted.n_tail is None or fitted.ks is None:
        return None
    x = np.asarray(values, dtype=np.float64).ravel()
    body = x[x < fitted.xmin]
    worse = 0
    for _ in range(sets):
        n_tail = int(generator.binomial(x.size, fitted.n_tail / x.size))
        tail = sample(n_tail, fitted.alpha, fitted.xmin, generator)
        below: NDArray[np.float64] = generator.choice(body, x.size - n_tail) if body.size else body
        again = fit(np.concatenate([below, tail]), two_sided=two_sided)
        worse += again.ks is not None and again.ks >= fitted.ks
    return worse / sets
