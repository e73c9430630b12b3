"""Power-law tail of the eigenvalues: exponent, where the tail begins, how well it fits, and when the exponent means nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modescope import outliers
from modescope.blocks import Axis, Block, Curve, Mark, Note, Series
from modescope.laws import fixed_aspect, marchenko_pastur, power_law, tail_alternatives, tail_resampling
from modescope.matrix import Convolution
from modescope.pictures import SMOOTH, Kept, drawn, numbers, thinned
from modescope.quantity import quantity
from modescope.seeds import generator
from modescope.spectrum import Spectrum

Values = NDArray[np.float64]

ENOUGH = 50  # eigenvalues for a verdict
ENOUGH_TAIL = 10  # tail values for a verdict
FLAT = "the spectrum is flat"
REJECTED = 0.1  # p-value at or below which the power law, or the lesser of two laws, is rejected

_CLAUSET = "Clauset, Shalizi & Newman (2009), doi:10.1137/070710111"
_VUONG = "Vuong (1989), doi:10.2307/1912557"
_HU = "Hu, Goel, Killiakov & Yang (2025), arXiv:2506.06280"
_NO_FIT = "fewer than 20 eigenvalues above the storage tolerance, a flat spectrum, or a zero matrix"
_IID = "eigenvalues are not independent: it overstates the noise of one layer about sixfold"

NORMAL = 1.96  # standard errors to each side that hold 95 %
LARGEST = 1e154  # singular value whose square is still a number


@dataclass(frozen=True)
class Result:
    """A power law fitted to the largest eigenvalues `lambda = s**2`; a description of shape, which noise has, too."""

    alpha: float | None = quantity(
        meaning="Exponent of the tail of the eigenvalue density; smaller is heavier.",
        formula="alpha = 1 + n_tail / sum ln(lambda / xmin) over lambda >= xmin; density proportional to lambda**-alpha",
        unit="1",
        range="above 1",
        void=f"{_NO_FIT}. In noise it has a value and no meaning: see status",
        source=f"{_CLAUSET}, eq. 3.1",
    )
    alpha_stderr: float | None = quantity(
        meaning="Standard error of alpha if the tail were an independent sample and xmin were known.",
        formula="(alpha - 1) / sqrt(n_tail)",
        unit="1",
        range="above 0",
        void=f"without alpha; {_IID}",
        source=f"{_CLAUSET}, eq. 3.2",
    )
    xmin: float | None = quantity(
        meaning="Eigenvalue at which the tail begins: the one whose fit lies closest to the data.",
        formula="argmin of ks over all distinct eigenvalues but the largest",
        unit="W^2",
        range="above 0",
        void="without alpha",
        source=f"{_CLAUSET}, eq. 3.9 and section 3.3",
    )
    ks: float | None = quantity(
        meaning="Kolmogorov-Smirnov distance between the tail and the fitted law.",
        formula="sup |F_tail - F_law|",
        unit="1",
        range="0 to 1",
        void="without alpha; not comparable between different n_tail",
        source=f"{_CLAUSET}, eq. 3.9",
    )
    n_tail: int | None = quantity(
        meaning="Number of eigenvalues at or above xmin.",
        formula="#{lambda >= xmin}",
        unit="count",
        range="2 to M",
        void="without alpha",
        source="definition",
    )
    alpha_low: float | None = quantity(
        meaning="Lower end of the 95 % bootstrap interval of alpha.",
        formula="2.5 % quantile of alpha over resamples with replacement, xmin searched in each",
        unit="1",
        range="above 1",
        void=f"unless `bootstrap` resamples were asked for; {_IID}",
        source="Efron (1979), doi:10.1214/aos/1176344552",
    )
    alpha_high: float | None = quantity(
        meaning="Upper end of the 95 % bootstrap interval of alpha.",
        formula="97.5 % quantile of alpha over resamples with replacement, xmin searched in each",
        unit="1",
        range="above 1",
        void=f"unless `bootstrap` resamples were asked for; {_IID}",
        source="Efron (1979), doi:10.1214/aos/1176344552",
    )
    goodness_p: float | None = quantity(
        meaning="Probability that data truly of the fitted law lie as far from their own best fit; 0.1 or less rejects the law.",
        formula="share of refitted synthetic sets with ks >= the observed one",
        unit="probability",
        range="0 to 1",
        void="unless `goodness` sets were asked for; a large value confirms nothing, since eigenvalues repel each other",
        source=f"{_CLAUSET}, section 4.1",
    )
    ratio_exponential: float | None = quantity(
        meaning="Log-likelihood of the power law less that of an exponential on the same tail.",
        formula="sum of ln f_power_law - ln f_exponential over the tail",
        unit="1",
        range="any; positive favours the power law",
        void="unless `alternatives` were asked for; the sign means nothing unless its p is small",
        source=f"{_VUONG}; {_CLAUSET}, section 5",
    )
    ratio_exponential_p: float | None = quantity(
        meaning="Probability of a ratio as far from zero if both laws were equally close.",
        formula="erfc(|R| / (sqrt(2 n_tail) sd(ln f_power_law - ln f_exponential)))",
        unit="probability",
        range="0 to 1",
        void="unless `alternatives` were asked for",
        source=_VUONG,
    )
    ratio_lognormal: float | None = quantity(
        meaning="Log-likelihood of the power law less that of a lognormal cut off at xmin on the same tail.",
        formula="sum of ln f_power_law - ln f_lognormal over the tail",
        unit="1",
        range="at most 0, the power law being a limit of lognormals",
        void="unless `alternatives` were asked for; the sign means nothing unless its p is small, as it rarely is below 300 values",
        source=f"{_VUONG}; {_CLAUSET}, section 5",
    )
    ratio_lognormal_p: float | None = quantity(
        meaning="Probability of a ratio as far from zero if both laws were equally close.",
        formula="erfc(|R| / (sqrt(2 n_tail) sd(ln f_power_law - ln f_lognormal)))",
        unit="probability",
        range="0 to 1",
        void="unless `alternatives` were asked for",
        source=_VUONG,
    )
    ratio_truncated: float | None = quantity(
        meaning="Log-likelihood of the power law less that of one with an exponential cutoff on the same tail.",
        formula="sum of ln f_power_law - ln f_truncated over the tail, f_truncated ~ lambda**-a exp(-b lambda), b >= 0",
        unit="1",
        range="at most 0",
        void="unless `alternatives` were asked for",
        source=f"{_CLAUSET}, section 5",
    )
    ratio_truncated_p: float | None = quantity(
        meaning="Probability of so negative a ratio if there were no cutoff.",
        formula="P(chi2 with 1 degree of freedom >= 2 |R|)",
        unit="probability",
        range="0 to 1",
        void="unless `alternatives` were asked for; conservative, the power law lying on the boundary",
        source="Wilks (1938), doi:10.1214/aoms/1177732360",
    )
    alpha_farms: float | None = quantity(
        meaning="Exponent of the upper half of the pooled eigenvalues of square windows: comparable between shapes.",
        formula="Hill's estimator above the median, windows min(out, in) // 2 wide at `farms` even positions along each side",
        unit="1",
        range="above 1",
        void="unless `farms` positions were asked for; of a matrix never formed, of rank below half, or with short side below 4",
        source=_HU,
    )
    status: str = "ok"


def analyze(
    spectrum: Spectrum,
    /,
    *,
    two_sided: bool = True,
    bootstrap: int = 0,
    goodness: int = 0,
    alternatives: bool = False,
    farms: int = 0,
    seed: int = 0,
    level: float = 0.01,
    tests: int = 1,
) -> Result:
    """Fit a power law to the tail of the eigenvalues and say when its exponent means nothing.

    Args:
        spectrum: Values are enough; those that cannot be told from zero are left out, so scaling W scales `xmin` alone.
        two_sided: Distance to both sides of each step of the empirical law; False is the statistic of `powerlaw` and WeightWatcher.
        bootstrap: Resamples for the interval of alpha, 0 for none.
        goodness: Synthetic sets for the p-value of the fit, 0 for none; 2500 give its second decimal.
        alternatives: Compare with exponential, lognormal and truncated power law.
        farms: Window positions along each side for the exponent at fixed aspect, 0 for none; reads the matrix again.
        seed: What all randomness is derived from.
        level: Probability that a family of noise matrices shows any outlier; a matrix that shows one is not called noise.
        tests: Number of matrices in the family.

    Returns:
        Numbers and a status: "ok", why there is no fit, that the matrix is noise, that there are too few values for a verdict, or
        that the power law is rejected. The first that holds is named.
    """
    kept = spectrum.s[spectrum.s > spectrum.tolerance]
    reason = _why_no_fit(spectrum, kept)
    if reason:
        return Result(status=reason)
    values = (kept / kept[0]) ** 2  # of order one: squares of tiny weights must not underflow
    fitted = power_law.fit(values, two_sided=two_sided)
    if fitted.alpha is None or fitted.xmin is None or fitted.n_tail is None:
        return Result(status=FLAT)
    tail = values[: fitted.n_tail]
    result = Result(
        alpha=fitted.alpha,
        alpha_stderr=fitted.alpha_stderr,
        xmin=_squared(float(kept[fitted.n_tail - 1])),
        ks=fitted.ks,
        n_tail=fitted.n_tail,
    )
    where = (spectrum.matrix.tensor, spectrum.matrix.view)
    if bootstrap:
        interval = tail_resampling.bootstrap(values, bootstrap, generator(seed, *where, "bootstrap"), two_sided=two_sided)
        result = replace(result, alpha_low=interval.low, alpha_high=interval.high)
    if goodness:
        p = tail_resampling.goodness(values, fitted, goodness, generator(seed, *where, "goodness"), two_sided=two_sided)
        result = replace(result, goodness_p=p)
    if alternatives:
        result = _with_alternatives(result, tail, fitted.xmin)
    if farms:
        result = replace(result, alpha_farms=_farms(spectrum, farms))
    return replace(result, status=_status(spectrum, kept, result, level / tests))


def _squared(s: float) -> float | None:
    return s * s if s < LARGEST else None


def _why_no_fit(spectrum: Spectrum, kept: Values) -> str:
    if not spectrum.s.size or spectrum.s[0] == 0.0:
        return "zero matrix"
    if min(spectrum.matrix.shape) == 1:
        return "rank 1 by shape: one eigenvalue has no tail"
    if not spectrum.complete:
        return f"only the {spectrum.s.size} largest values were computed; where the tail begins needs all of them"
    if spectrum.entries is None and isinstance(spectrum.matrix.read(), Convolution):
        return "a convolution operator: its values come in equal pairs and are shared between frequencies, no tail of a sample"
    if kept.size < power_law.MINIMUM:
        return f"{kept.size} nonzero eigenvalues, {power_law.MINIMUM} needed"
    if kept[0] - kept[-1] <= 2.0 * spectrum.tolerance:  # rounding of the storage may move each value by the tolerance
        return FLAT
    return ""


def _status(spectrum: Spectrum, kept: Values, result: Result, level: float) -> str:
    if result.xmin is None:
        return "xmin exceeds the largest floating-point number"
    if _is_noise(spectrum, level):
        return "noise: alpha has no meaning"
    if kept.size < ENOUGH:
        return f"exploratory: {kept.size} eigenvalues, {ENOUGH} needed for a verdict"
    if result.n_tail is not None and result.n_tail < ENOUGH_TAIL:
        return f"exploratory: {result.n_tail} tail values, {ENOUGH_TAIL} needed for a verdict"
    if result.goodness_p is not None and result.goodness_p <= REJECTED:
        return f"power law rejected: goodness of fit p = {result.goodness_p:.2g}"
    for law, ratio, p in (
        ("an exponential", result.ratio_exponential, result.ratio_exponential_p),
        ("a lognormal", result.ratio_lognormal, result.ratio_lognormal_p),
        ("a power law with cutoff", result.ratio_truncated, result.ratio_truncated_p),
    ):
        if ratio is not None and p is not None and ratio < 0.0 and p < REJECTED:
            return f"power law rejected: {law} fits better, p = {p:.2g}"
    return "ok"


def _is_noise(spectrum: Spectrum, level: float) -> bool:
    """Whether the values follow the Marchenko-Pastur law to the end: then any exponent is that of its edge."""
    part = outliers.live(spectrum)
    if isinstance(part, str):
        return False
    found = outliers.fit(spectrum, part, level=level)
    if isinstance(found, str) or found.outliers:
        return False
    return found.distance <= marchenko_pastur.critical_distance(found.m)


def _with_alternatives(result: Result, tail: Values, xmin: float) -> Result:
    exponential = tail_alternatives.against_exponential(tail, xmin)
    lognormal = tail_alternatives.against_lognormal(tail, xmin)
    truncated = tail_alternatives.against_truncated(tail, xmin)
    return replace(
        result,
        ratio_exponential=exponential.value,
        ratio_exponential_p=exponential.p,
        ratio_lognormal=lognormal.value,
        ratio_lognormal_p=lognormal.p,
        ratio_truncated=truncated.value,
        ratio_truncated_p=truncated.p,
    )


def _farms(spectrum: Spectrum, positions: int) -> float | None:
    matrix = spectrum.matrix.read()
    if not isinstance(matrix, np.ndarray) or min(matrix.shape) < fixed_aspect.NARROWEST:
        return None
    return fixed_aspect.upper_half_exponent(fixed_aspect.eigenvalues(matrix.astype(np.float64), positions))


def blocks(kept: Kept, result: Result, /) -> Iterator[Block]:
    """The exponent in words, and the tail on double logarithmic axes with its fit."""
    if result.alpha is None or result.alpha_stderr is None or result.n_tail is None:
        yield Note(f"No tail exponent: {result.status}.", level="caution")
        return
    said = f"The {result.n_tail} largest eigenvalues fall off with the exponent {result.alpha:.3g} ± {result.alpha_stderr:.2g}"
    if result.alpha_low is not None and result.alpha_high is not None:
        said += f" (95 % of the resamples: {result.alpha_low:.3g} to {result.alpha_high:.3g})"
    yield Note(f"{said}, as if they were independent draws; eigenvalues are not.", source=_CLAUSET)
    if result.status != "ok":
        yield Note(f"{result.status[0].upper()}{result.status[1:]}.", level="caution")
    if result.xmin:  # 0 where the square of a tiny value underflows: nothing to draw
        yield _tail(kept, result.alpha, result.alpha_stderr, result.xmin, result.n_tail)


def _tail(kept: Kept, alpha: float, error: float, xmin: float, n_tail: int) -> Curve:
    values = drawn(kept.s) ** 2
    at = thinned(values.size)
    series = [Series("eigenvalues", numbers(values[at]), numbers((at + 1) / kept.s.size), "data", "points")]
    if kept.twin is not None:
        null = drawn(kept.twin) ** 2
        at = thinned(null.size, SMOOTH)
        series.insert(0, Series(f"null twin: {kept.twin_kind}", numbers(null[at]), numbers((at + 1) / kept.s.size), "null"))
    x = np.array([xmin, values[0]])  # a straight line on these axes, and so are the ends of its band
    share, over = n_tail / kept.s.size, x / xmin
    series.append(
        Series(
            f"power law, exponent {alpha:.3g}",
            numbers(x),
            numbers(share * over ** (1 - alpha)),
            "fit",
            low=numbers(share * over ** (1 - alpha - NORMAL * error)),
            high=numbers(share * over ** (1 - alpha + NORMAL * error)),
        )
    )
    return Curve(
        "Tail of the eigenvalues",
        Axis("eigenvalue, the square of a singular value", log=True),
        Axis("share of the eigenvalues at or above", log=True),
        tuple(series),
        (Mark(xmin, "the tail begins"),),
        "A straight line is a power law. The band is the 95 % interval of the exponent, as if the values were independent.",
    )
