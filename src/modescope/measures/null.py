"""Null twins: what the same entries, signs or shape show without any structure."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from modescope.blocks import Block, Note
from modescope.laws import noise, power_law, wishart
from modescope.outliers import Live, fit, live
from modescope.pictures import Kept
from modescope.quantity import quantity
from modescope.seeds import generator
from modescope.spectrum import Spectrum
from modescope.twins import DRAWS, Kind, flipped, inflation, needs_calibration, permuted, permuted_in_rows

LARGEST = 2048  # short side up to which Gaussian twins are drawn: their cost grows with its square

_NOT_DRAWN = "unless `twins` were asked for; no noise bulk"
_TWIN = "modescope: ratio of a twin's largest eigenvalue to its own edge"
_RANGE = "short side below 20 or above 2048, or `gaussian` 0"


@dataclass(frozen=True)
class Result:
    """Outlier counts by the edge that each kind of twin calls for, and the tail exponents of Gaussian noise of this shape.

    Fewer outliers by entries than by theory: heavy-tailed or single huge entries. Fewer by signs than by entries: unequal scales of
    rows or columns, or strong modes that raise the profile.
    """

    outliers_entries: int | None = quantity(
        meaning="Outliers above what a permutation of all entries shows.",
        formula="#{lambda > threshold as raised by twins}",
        unit="count",
        range="0 to bulk.outliers_theory",
        void="unless `twins` were asked for or bulk drew them for its calibration; no noise bulk",
        source=_TWIN,
    )
    outliers_signs: int | None = quantity(
        meaning="Outliers above what random signs of the entries show: the strict count, which loses some weak modes.",
        formula="#{lambda > threshold as raised by twins}",
        unit="count",
        range="0 to bulk.outliers_theory",
        void=_NOT_DRAWN,
        source="Hong, Sheng & Dobriban (2020), arXiv:2012.02985",
    )
    alpha_low: float | None = quantity(
        meaning="Smallest tail exponent among Gaussian noise matrices of this shape.",
        formula="min of tail.alpha over `gaussian` draws",
        unit="1",
        range="above 1",
        void=_RANGE,
        source="Dumitriu & Edelman (2002), doi:10.1063/1.1507823, for the draws",
    )
    alpha_high: float | None = quantity(
        meaning="Largest tail exponent among Gaussian noise matrices of this shape; an alpha between the two says nothing.",
        formula="max of tail.alpha over `gaussian` draws",
        unit="1",
        range="above alpha_low",
        void=_RANGE,
        source="Dumitriu & Edelman (2002), doi:10.1063/1.1507823, for the draws",
    )
    outliers_rows: int | None = quantity(
        meaning="Outliers above what a permutation of the entries within each row shows.",
        formula="#{lambda > threshold as raised by twins}",
        unit="count",
        range="0 to bulk.outliers_theory",
        void=_NOT_DRAWN,
        source=_TWIN,
    )
    status: str = "ok"


def analyze(
    spectrum: Spectrum,
    /,
    *,
    level: float = 0.01,
    tests: int = 1,
    seed: int = 0,
    twins: int = 0,
    gaussian: int = 7,
) -> Result:
    """Count outliers against twins, and find the range of tail exponents that noise has.

    Args:
        spectrum: All values of a matrix that is formed; it is read again where twins are drawn.
        level: Probability that a family of noise matrices shows any outlier.
        tests: Number of matrices in the family; each is tested at `level / tests`.
        seed: What all twins are derived from.
        twins: Permutation, row-permutation and sign twins of each kind; 19 are enough to extrapolate to the level. 0 draws none,
            unless `bulk` needs them.
        gaussian: Gaussian matrices of the same shape, drawn without forming them and once for a shape, for the range of alpha; a
            further one lies in the range of 7 with probability 3/4.

    Returns:
        Counts, a range, and a status: "ok", or why some of them are missing.
    """
    part = live(spectrum)
    if isinstance(part, str):
        return Result(status=part)
    low, high, why_no_range = _alpha_range(part, gaussian, seed)
    result = Result(alpha_low=low, alpha_high=high, status=why_no_range)
    if not twins and not needs_calibration(part):
        return result
    found = fit(spectrum, part, level=level / tests)
    if isinstance(found, str):
        return replace(result, status=found)

    def count(kind: Kind, draws: int) -> int:
        factor = inflation(spectrum, part, kind, draws=draws, seed=seed, level=level / tests)
        return noise.count(part.values, part.n, found.sigma, level=level / tests, inflation=factor)

    if twins:
        return replace(
            result,
            outliers_entries=count(permuted, twins),
            outliers_signs=count(flipped, twins),
            outliers_rows=count(permuted_in_rows, twins),
        )
    # `bulk` draws the same twins where there is an outlier, and they are shared
    return replace(result, outliers_entries=count(permuted, DRAWS)) if found.outliers else result


def _alpha_range(part: Live, draws: int, seed: int) -> tuple[float | None, float | None, str]:
    """Smallest and largest exponent, and "ok" or why there is none."""
    if part.m < power_law.MINIMUM:
        return None, None, f"no range of alpha: short side {part.m}, {power_law.MINIMUM} needed"
    if part.m > LARGEST:
        return None, None, f"no range of alpha: short side {part.m}, drawn up to {LARGEST}"
    if draws < 1:
        return None, None, "ok"
    with _guard:
        low, high = _gaussian_alphas(part.n, part.m, seed, draws)
    return low, high, "ok"


_guard = threading.Lock()  # a second thread waits for the draws of the first instead of repeating them


@cache
def _gaussian_alphas(n: int, m: int, seed: int, draws: int) -> tuple[float, float]:
    """Range of the exponent over Gaussian noise; it depends on the shape alone, whatever the scale."""
    random = generator(seed, "gaussian", f"{n} x {m}")
    spectra = (wishart.sample(n, m, random) for _ in range(draws))
    fits = [power_law.fit(values[values > 0]).alpha for values in spectra]
    alphas = [alpha for alpha in fits if alpha is not None]
    return min(alphas), max(alphas)


def blocks(_: Kept, result: Result, /) -> Iterator[Block]:
    """What twins and Gaussian noise of the shape show."""
    if result.alpha_low is not None and result.alpha_high is not None:
        yield Note(
            f"Gaussian noise of this shape has tail exponents of {result.alpha_low:.3g} to {result.alpha_high:.3g} in a few draws: "
            "an exponent in that range says nothing.",
            source="Dumitriu & Edelman (2002), doi:10.1063/1.1507823",
        )
    found = {
        "all entries in random places": result.outliers_entries,
        "the entries of each row in random places": result.outliers_rows,
        "random signs": result.outliers_signs,
    }
    said = [f"{count} above what {kind} show" for kind, count in found.items() if count is not None]
    if said:
        yield Note(f"Signal modes by twins: {', '.join(said)}.", source="Hong, Sheng & Dobriban (2020), arXiv:2012.02985")
