"""Bulk: the noise in a matrix by the Marchenko-Pastur law, the modes above its edge, and whether the law holds at all."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modescope import twins
from modescope.blocks import Axis, Block, Counts, Curve, Histogram, Mark, Note, Series, Table
from modescope.laws import marchenko_pastur, noise, spiked
from modescope.outliers import Live, centred, fit, live
from modescope.pictures import SMOOTH, Kept, drawn, number, numbers, shares, spread, thinned
from modescope.quantity import quantity
from modescope.spectrum import Spectrum, decompose

LISTED = 64  # outliers whose strength and cosines are given one by one
SHOWN = 16  # outliers that a page lists
NAMED = 5  # outliers that a drawing names
TINY = 1e-12
BINS = 120  # of a histogram, at most
LEAST = 1e-3  # of the edge of the noise: smaller values are not drawn
CLOSE, FAR = 1.0, 2.5  # distance over its critical value: up to the one the law holds, above the other it does not

_MOSTLY_OUTLIERS = "not Marchenko-Pastur: more than half of the values lie above the edge"
_NO_BULK = "no noise bulk: short side below 16, rank defect, zero or constant matrix, matrix never formed, or partial spectrum"
_MP = "Marchenko & Pastur (1967), doi:10.1070/SM1967v001n04ABEH001994"
_JOHNSTONE = "Johnstone (2001), doi:10.1214/aos/1009210544"
_BGN = "Benaych-Georges & Nadakuditi (2012), doi:10.1016/j.jmva.2012.04.019"


@dataclass(frozen=True)
class Result:
    """Noise and what stands out of it. Edges, threshold and cut are eigenvalues `lambda = s**2`, sigma is that of one entry."""

    sigma: float | None = quantity(
        meaning="Standard deviation of a noise entry, outliers taken out.",
        formula="sigma^2 = sum of lambda between the .2 and .8 quantiles / (n m [G(x1) - G(x0)]), G the partial mean of the law",
        unit="W",
        range="above 0",
        void=_NO_BULK,
        source=_MP,
    )
    edge_lower: float | None = quantity(
        meaning="Lower end of the noise in a very large matrix of its kind.",
        formula="sigma^2 (sqrt n - sqrt m)^2, n and m the sides less the number of outliers",
        unit="W^2",
        range="0 to edge_upper",
        void=_NO_BULK,
        source=_MP,
    )
    edge_upper: float | None = quantity(
        meaning="Upper end of the noise in a very large matrix of its kind.",
        formula="sigma^2 (sqrt n + sqrt m)^2",
        unit="W^2",
        range="above edge_lower",
        void=_NO_BULK,
        source=_MP,
    )
    threshold: float | None = quantity(
        meaning="Eigenvalue above which a mode is called an outlier; twins may have raised it, see calibration.",
        formula="sigma^2 (mu + (t + .4 n^-.8 (t + 2.5)^2) tau), P(TW_1 > t) = level / tests, mu and tau centre and width",
        unit="W^2",
        range="above edge_upper at the usual levels",
        void=_NO_BULK,
        source="Johnstone (2001), doi:10.1214/aos/1009210544; Ma (2012), doi:10.3150/10-BEJ334",
    )
    outliers: int | None = quantity(
        meaning="Modes that noise of this size and shape does not explain.",
        formula="#{lambda > threshold}, each tested as the first of what is left after the former",
        unit="count",
        range="0 to M - 8",
        void=f"{_NO_BULK}. A description and not a test where fit says so",
        source="Kritchman & Nadler (2008), doi:10.1016/j.chemolab.2008.06.002",
    )
    p: float | None = quantity(
        meaning="Probability that the largest eigenvalue of noise alone is as large as the one seen.",
        formula="level at which lambda_1 is the threshold, as raised by twins where calibration names them",
        unit="probability",
        range="0 to 1; not corrected for the number of matrices",
        void=_NO_BULK,
        source="Tracy & Widom (1996), doi:10.1007/BF02099545",
    )
    fit_ratio: float | None = quantity(
        meaning="How far the bulk is from the law, in units of what one noise matrix in a hundred exceeds.",
        formula="sup |F_m - F| / ((1 + .45 ln m) / m)",
        unit="1",
        range="above 0: up to 1 consistent, 1 to 2.5 approximate, above that not Marchenko-Pastur",
        void=_NO_BULK,
        source=f"{_MP}; critical value by simulation",
    )
    outliers_theory: int | None = quantity(
        meaning="Outliers by the theoretical threshold, whether or not twins raised it.",
        formula="#{lambda > threshold without twins}",
        unit="count",
        range="outliers to M - 8",
        void=_NO_BULK,
        source="Johnstone (2001), doi:10.1214/aos/1009210544",
    )
    mean_strength: float | None = quantity(
        meaning="Singular value that a common shift of all entries makes by itself.",
        formula="|mean| sqrt(N M)",
        unit="W",
        range="at least 0; visible above sigma (N M)^(1/4)",
        void=_NO_BULK,
        source=_BGN,
    )
    outliers_centred: int | None = quantity(
        meaning="Outliers left when the mean entry is taken out: one less, if the mean is one of them.",
        formula="#{lambda(W - mean) > threshold}; as outliers where the mean is too weak to be seen",
        unit="count",
        range="outliers - 1 to outliers + 1",
        void=_NO_BULK,
        source="definition",
    )
    n: int | None = quantity(
        meaning="Long side of the noise: that of the matrix less its empty rows or columns and one for every outlier.",
        formula="N' - outliers_theory",
        unit="count",
        range="8 to N",
        void=_NO_BULK,
        source="definition",
    )
    m: int | None = quantity(
        meaning="Short side of the noise, the number of values the law is fitted to.",
        formula="M' - outliers_theory",
        unit="count",
        range="8 to M",
        void=_NO_BULK,
        source="definition",
    )
    strengths: tuple[float, ...] | None = quantity(
        meaning="Estimated gain of the direction behind each outlier, the noise taken out; the first 64.",
        formula="theta^2 = sigma^2 (X + sqrt(X^2 - 4 N M)) / 2, X = (s / sigma)^2 - N - M",
        unit="W",
        range="from the visible strength sigma (N M)^(1/4) up",
        void=_NO_BULK,
        source=_BGN,
    )
    cosines_output: tuple[float, ...] | None = quantity(
        meaning="Estimated cosine between each outlier's output direction and the one behind it; the first 64.",
        formula="sqrt((t^4 - N M) / (t^4 + out t^2)), t = theta / sigma",
        unit="1",
        range="0 to 1",
        void=_NO_BULK,
        source=_BGN,
    )
    cosines_input: tuple[float, ...] | None = quantity(
        meaning="Estimated cosine between each outlier's input direction and the one behind it; the first 64.",
        formula="sqrt((t^4 - N M) / (t^4 + in t^2)), t = theta / sigma",
        unit="1",
        range="0 to 1",
        void=_NO_BULK,
        source=_BGN,
    )
    denoising_cut: float | None = quantity(
        meaning="Eigenvalue above which keeping a mode as it is brings W closer to its signal; a cut for denoising, not a test.",
        formula="(c(q) sigma sqrt N)^2, c(q)^2 = 2 (q + 1) + 8 q / (q + 1 + sqrt(q^2 + 14 q + 1))",
        unit="W^2",
        range="above edge_upper",
        void=_NO_BULK,
        source="Gavish & Donoho (2014), doi:10.1109/TIT.2014.2323359",
    )
    denoised_rank: int | None = quantity(
        meaning="Modes above the denoising cut.",
        formula="#{lambda > denoising_cut}",
        unit="count",
        range="0 to M",
        void=_NO_BULK,
        source="Gavish & Donoho (2014), doi:10.1109/TIT.2014.2323359",
    )
    fit: str = ""
    calibration: str = ""
    status: str = "ok"


def analyze(spectrum: Spectrum, /, *, level: float = 0.01, tests: int = 1, seed: int = 0) -> Result:
    """Fit the noise, count the modes above it, and say whether noise is a fair model at all.

    The threshold is that of theory. Only where it shows outliers and the entries are such that noise alone might show them (heavy
    tails, many zeros, single huge entries) is it raised by twins with permuted entries; `calibration` says which was used.

    Args:
        spectrum: All values of a matrix that is formed. It is read again where twins are needed or the mean is visible.
        level: Probability that a family of noise matrices shows any outlier.
        tests: Number of matrices in the family; each is tested at `level / tests`.
        seed: What the twins are derived from.

    Returns:
        Numbers in units of the weights, a sentence on the fit, and a status: "ok", or why there is no noise bulk.
    """
    part = live(spectrum)
    if isinstance(part, str):
        return Result(status=part)
    found = fit(spectrum, part, level=level / tests)
    if isinstance(found, str):
        return Result(status=found)
    calibrated = found.outliers > 0 and twins.needs_calibration(part)
    factor = 1.0
    if calibrated:
        factor = twins.inflation(spectrum, part, twins.permuted, draws=twins.DRAWS, seed=seed, level=level / tests)
    outliers = noise.count(part.values, part.n, found.sigma, level=level / tests, inflation=factor)
    threshold = factor * noise.edge(part.n - outliers, part.m - outliers, found.sigma, level=level / tests)
    edges = marchenko_pastur.edges(found.n, found.m, found.sigma)
    ratio = found.distance / marchenko_pastur.critical_distance(found.m)
    theta = spiked.strength(np.sqrt(part.values[: min(outliers, LISTED)]), part.n, part.m, found.sigma)
    cut = spiked.hard_threshold(part.n, part.m, found.sigma) ** 2
    unit, square = part.unit, part.unit**2
    return Result(
        sigma=found.sigma * unit,
        edge_lower=edges.lower * square,
        edge_upper=edges.upper * square,
        threshold=threshold * square,
        outliers=outliers,
        p=_exceedance(part, found.sigma, factor),
        fit_ratio=ratio,
        outliers_theory=found.outliers,
        mean_strength=abs(part.mean) * (part.n * part.m) ** 0.5,
        outliers_centred=_centred_count(spectrum, part, found.sigma, threshold, outliers),
        n=found.n,
        m=found.m,
        strengths=_listed(theta * unit),
        cosines_output=_listed(spiked.cosine(theta, part.out, part.in_, found.sigma)),
        cosines_input=_listed(spiked.cosine(theta, part.in_, part.out, found.sigma)),
        denoising_cut=cut * square,
        denoised_rank=int((part.values > cut).sum()),
        fit=_MOSTLY_OUTLIERS if 2 * found.outliers > part.m else _verdict(ratio),
        calibration=f"{twins.DRAWS} permutation twins" if calibrated else "theory",
    )


def _exceedance(part: Live, sigma: float, factor: float) -> float:
    return noise.exceedance(float(part.values[0]) / factor, part.n, part.m, sigma)


def _verdict(ratio: float) -> str:
    if ratio <= CLOSE:
        return "consistent with Marchenko-Pastur"
    if ratio <= FAR:
        return "approximately Marchenko-Pastur: the outlier count is indicative"
    return "not Marchenko-Pastur: the outlier count is a description, not a test"


def _centred_count(spectrum: Spectrum, part: Live, sigma: float, threshold: float, outliers: int) -> int:
    """Outliers without the mean. Taking out one direction moves no value past its neighbours, so k + 1 modes decide."""
    strength = abs(part.mean) * (part.n * part.m) ** 0.5 / part.unit
    if not outliers or strength <= spiked.threshold(part.n, part.m, sigma):
        return outliers
    rest = decompose(centred(spectrum.matrix, part), k=outliers + 1)
    return int(((rest.s / part.unit) ** 2 > threshold).sum())


def _listed(values: np.typing.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def blocks(kept: Kept, result: Result, /) -> Iterator[Block]:
    """The noise and what stands out of it: sentences, the density of the singular values, all of them in order, the outliers."""
    if result.sigma is None or result.outliers is None or result.threshold is None:
        yield Note(f"No verdict on noise: {result.status}.", level="caution")
        yield _ordered(kept, result)
        return
    count = result.outliers
    yield Note(
        f"{count or 'No'} of {kept.s.size} modes {'stands' if count == 1 else 'stand'} above the threshold of the noise "
        f"({result.calibration}): singular values above {result.threshold**0.5:.4g}. Noise alone has a largest value as large as "
        f"the one seen with probability {_chance(result.p)}, before any correction for the number of matrices. Its entries have a "
        f"standard deviation of {result.sigma:.3g}.",
        source=_JOHNSTONE,
    )
    holds = result.fit.startswith("consistent")
    yield Note(f"The noise is {result.fit} (distance {result.fit_ratio:.2g} of critical).", "plain" if holds else "caution", _MP)
    if result.outliers_centred is not None and result.outliers_centred < count:
        yield Note("One of these modes is the mean of the entries: a common shift, and no direction.", level="caution", source=_BGN)
    yield _density(kept, result)
    yield _ordered(kept, result)
    if count:
        yield _outliers(kept, result)


def _chance(p: float | None) -> str:
    """A probability in words; that of a strong mode has hundreds of zeros, which nobody reads."""
    return f"below {TINY:g}" if p is None or p < TINY else f"{p:.2g}"


def _density(kept: Kept, result: Result) -> Histogram:
    """Density of the singular values, a null twin behind it and the law of the noise over it."""
    assert result.sigma is not None
    assert result.threshold is not None
    assert result.edge_lower is not None
    assert result.edge_upper is not None
    assert result.n is not None
    assert result.m is not None
    top, low, high = result.threshold**0.5, result.edge_lower**0.5, result.edge_upper**0.5
    drawn = [kept.s] if kept.twin is None else [kept.s, kept.twin]
    end = 1.05 * max(top, *(float(s[0]) for s in drawn))
    start = 0.95 * max(min(low, *(float(s[-1]) for s in drawn)), LEAST * high)
    inside = min(max(2 * result.m ** (1 / 3), 8), 40)  # bins that the noise takes
    width = np.log(high / max(low, 0.1 * high)) / inside
    edges = np.geomspace(start, end, max(2, min(int(np.log(end / start) / width), BINS)))
    x = np.geomspace(max(low, start), high, SMOOTH)
    scale = result.n * result.sigma**2
    law = 2 * x**2 / scale * marchenko_pastur.pdf(x**2 / scale, result.m / result.n)  # density of the logarithm of s
    share = result.m / kept.s.size * np.log(edges[1] / edges[0])
    named = kept.s[: min(result.outliers or 0, NAMED)]
    names = tuple(f"mode {i}" for i in range(named.size))
    counts = [] if kept.twin is None else [Counts(f"null twin: {kept.twin_kind}", shares(kept.twin, edges, kept.s.size), "null")]
    return Histogram(
        "Singular values and noise",
        Axis("singular value", log=True),
        Axis("share of the modes"),
        tuple(float(f"{edge:.6g}") for edge in edges),
        (*counts, Counts("singular values", shares(kept.s, edges, kept.s.size))),
        (
            Series("Marchenko-Pastur law", numbers(x), numbers(law * share), "law"),
            Series("signal modes", numbers(named), (number(1 / kept.s.size),) * named.size, "data", "points", texts=names),
        ),
        (Mark(top, "threshold"),),
        "The law is fitted to the middle of the values and drawn for the share of modes that it explains.",
    )


def _ordered(kept: Kept, result: Result) -> Curve:
    """All singular values in order."""
    values = drawn(kept.s)
    at = thinned(values.size)
    series = [Series("singular values", numbers(at), numbers(values[at]), "data", "points")]
    if kept.twin is not None:
        at = spread(kept.twin.size)
        series.insert(0, Series(f"null twin: {kept.twin_kind}", numbers(at), numbers(kept.twin[at]), "null"))
    if result.sigma is not None and result.m is not None and result.n is not None and result.outliers_theory is not None:
        ranks = spread(result.m)
        expected = marchenko_pastur.quantile(1 - (ranks + 0.5) / result.m, result.m / result.n)
        y = result.sigma * np.sqrt(result.n * expected)
        series.insert(1, Series("Marchenko-Pastur law", numbers(ranks + result.outliers_theory), numbers(y), "law"))
    if result.outliers:
        first = range(min(result.outliers, NAMED))
        names = tuple(f"mode {i}" for i in first)
        series.append(Series("signal modes", tuple(first), numbers(kept.s[: len(first)]), "data", "points", texts=names))
    return Curve(
        "Singular values in order",
        Axis("mode, counted from 0"),
        Axis("singular value", log=True),
        tuple(series),
        () if result.threshold is None else (Mark(result.threshold**0.5, "threshold", "y"),),
        "" if kept.twin is not None else "No null twin was kept of this matrix.",
    )


def _outliers(kept: Kept, result: Result) -> Table:
    """The first outliers, one by one."""
    energy = float((kept.s**2).sum())
    strengths, output, into = (values or () for values in (result.strengths, result.cosines_output, result.cosines_input))
    shown = min(result.outliers or 0, SHOWN, len(strengths))
    return Table(
        "Signal modes" + (f": the first {shown} of {result.outliers}" if shown < (result.outliers or 0) else ""),
        ("mode", "singular value", "share of energy", "gain behind it", "cosine, output", "cosine, input"),
        tuple(
            (i, number(float(s)), number(float(s) ** 2 / energy), number(strengths[i]), number(output[i]), number(into[i]))
            for i, s in enumerate(kept.s[:shown])
        ),
        about=(
            "Counted from 0, the largest.",
            "Gain of the mode as it is in the matrix.",
            "Its square over the sum of all squares.",
            "Estimated gain of the direction behind the mode, the noise taken out.",
            "Estimated cosine between its output direction and the one behind it.",
            "Estimated cosine between its input direction and the one behind it.",
        ),
    )
