"""What a layer does to the frequencies of its input: filters, differentiators and the removal of baselines, each beside its null.

The gain at a frequency is the root of the summed squares of the Fourier transforms of all rows. No rotation of the outputs changes
it, so that descrambling cannot make a filter; random modes with the same singular values say what a gain looks like by chance.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.descrambling.axis import InputAxis, frequencies, index
from modescope.descrambling.finite import finite_matrix
from modescope.descrambling.ranks import as_high, as_low
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from modescope.seeds import generator

Values = NDArray[np.float64]
Whole = NDArray[np.int64]

DRAWS = 99  # random weights, each a QR decomposition; the smallest p-value they can give is .01
LEVEL = 0.05
NAMED = 0.5  # share of the gain's variation that a template explains where the layer is called by its name
KEPT = 0.5  # of the mean squared gain: a polynomial that passes with more is not removed, however rare that may be
ALIKE = 0.02  # of the score, within which another kind is named as well: a central difference is a band-pass too
FEWEST = 8  # frequencies of a gain in which a template can be looked for
PLACES = 128  # trial places of an edge, or of a centre
WIDTHS = 24  # trial widths of a Gaussian
HALF = math.sqrt(2 * math.log(2))  # standard deviations from the centre of a Gaussian to half its height
RISE = 4.0  # bins over which the gain of a differentiator grows at least
PEAKS = 96  # trial places of the maximum of a differentiator
FLOORS = np.array(
    [0.0, 0.005, 0.01, 0.02, 0.04, 0.08]
)  # trial gains at zero frequency, of the maximum: the noise under a differentiator
FLAT = 1e-10  # of the gain, below which its variation is rounding
EXACT = 1e-12  # of the variation of the gain: what a template leaves below is rounding


@dataclass(frozen=True, eq=False)
class Gain:
    """How strongly a weight reads each frequency of its input.

    Attributes:
        frequency: (n // 2 + 1,) from zero up.
        value: (n // 2 + 1,) gain; for white input of unit variance per input, root of the power that gets through per bin.
        unit: Of the frequencies.
    """

    frequency: Values
    value: Values
    unit: str


@dataclass(frozen=True, eq=False)
class Template:
    """The best member of one kind of filter, with edges that are sharp or Gaussian, whichever fits better.

    Attributes:
        kind: "low-pass", "high-pass", "band-pass", "notch" or "differentiator".
        score: Share of the gain's variation over frequency that it explains; negative where a constant does better.
        edges: Frequencies between which the kind says something: passed, or stopped by a notch; up to its maximum for a
            differentiator. Where the profile is smooth, those of half its height.
        curve: (n // 2 + 1,) the fitted template in units of the gain.
        null: (draws,) scores of the best member of this kind on random weights, ascending.
        p: Probability that a random weight is matched as well.
        untrained: Score of the best member of this kind on the untrained control, or None.
    """

    kind: str
    score: float
    edges: tuple[float, float]
    curve: Values
    null: Values
    p: float
    untrained: float | None


@dataclass(frozen=True, eq=False)
class FilterReading:
    """Which filter a weight resembles.

    Attributes:
        kind: Kind of the template that fits best with its parameters charged, or "none".
        templates: Every kind, the best first by that measure.
        p: Probability that the best of all kinds matches a random weight as well as the weight: the search is paid for.
        gain: Of the weight.
        status: The reading as a sentence.
    """

    kind: str
    templates: tuple[Template, ...]
    p: float
    gain: Gain
    status: str


@dataclass(frozen=True, eq=False)
class BaselineReading:
    """Whether slow polynomials are kept from passing.

    Attributes:
        degree: Highest degree that was looked at.
        passed: (degree + 1,) squared gain of the orthogonal polynomial of each degree relative to the mean over all directions.
        share: Mean of these: 1 for a random weight, 0 where all polynomials are removed.
        null: (draws,) the same mean for random weights, ascending.
        p: Probability that a random weight lets as little through.
        untrained: The mean for the untrained control, or None.
        removed: No more passes than through one random weight in twenty, and of no degree half the mean squared gain.
        status: The reading as a sentence.
    """

    degree: int
    passed: Values
    share: float
    null: Values
    p: float
    untrained: float | None
    removed: bool
    status: str


def gain(weight: ArrayLike, /, *, axis: InputAxis | None = None) -> Gain:
    """The gain of a weight at every frequency of its input.

    Args:
        weight: (m, n) the weight in any basis of its outputs, which weighs its modes by their singular values; leading rows of
            `vh` instead count every mode alike.
        axis: Of the n inputs; by default their index.

    Raises:
        UsageError: The weight is not finite, or the axis does not fit.
    """
    rows = finite_matrix(weight, "weight")
    axis = index(rows.shape[1]) if axis is None else axis
    if axis.size != rows.shape[1]:
        raise UsageError(f"axis: expected {rows.shape[1]} points, one per input of the weight, got {axis.size}.")
    found = frequencies(axis)
    return Gain(np.arange(axis.size // 2 + 1, dtype=np.float64) * found.step, _gain(rows), found.unit)


def read_filter(
    weight: ArrayLike,
    /,
    *,
    axis: InputAxis | None = None,
    untrained: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> FilterReading:
    """Compare the gain of a weight with every kind of filter, each with its best edges.

    Args:
        weight: (m, n) in any basis of its outputs.
        axis: Of the n inputs; by default their index.
        untrained: (any, n) the weight before training.
        draws: Random weights with the same singular values, at least 19.
        seed: Of these draws.

    Raises:
        UsageError: A matrix is not finite or zero, shapes do not fit, or there are fewer than 14 inputs.
    """
    rows = _weight(weight, "weight", None)
    control = None if untrained is None else _weight(untrained, "untrained weight", rows.shape[1])
    found = gain(rows, axis=axis)
    if found.value.size < FEWEST:
        raise UsageError(f"read_filter: expected {2 * FEWEST - 2} or more inputs to tell filters apart, got {rows.shape[1]}.")
    matches = {kind: search(found.value) for kind, search in KINDS.items()}
    beside = None if control is None else _gain(control)
    random = [_gain(drawn) for drawn in _random(rows, draws, generator(seed, "filters"))]
    scores = {kind: np.array([search(curve).score for curve in random]) for kind, search in KINDS.items()}
    best = np.max(list(scores.values()), axis=0)  # the best of all kinds is compared with the best of all kinds, draw by draw
    p = as_high(best, max(match.score for match in matches.values()))
    order = sorted(matches, key=lambda kind: _charged(matches[kind], found.value.size))
    step = float(found.frequency[1])
    templates = tuple(
        Template(
            kind=kind,
            score=matches[kind].score,
            edges=(matches[kind].edges[0] * step, matches[kind].edges[1] * step),
            curve=matches[kind].curve,
            null=np.sort(scores[kind]),
            p=as_high(scores[kind], matches[kind].score),
            untrained=None if beside is None else KINDS[kind](beside).score,
        )
        for kind in order
    )
    leading = templates[0]
    named = p <= LEVEL and leading.score >= NAMED
    return FilterReading(leading.kind if named else "none", templates, p, found, _said(templates, p, found.unit))


def read_baseline(
    weight: ArrayLike,
    /,
    *,
    degree: int = 1,
    untrained: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> BaselineReading:
    """Ask whether polynomials of low degree lie in the kernel of a weight, or nearly so.

    Args:
        weight: (m, n) in any basis of its outputs.
        degree: Highest degree: 0 is an offset, 1 also a slope. It is chosen before looking.
        untrained: (any, n) the weight before training.
        draws: Random weights with the same singular values, at least 19.
        seed: Of these draws.

    Raises:
        UsageError: A matrix is not finite or zero, shapes do not fit, or there are no more inputs than polynomials.
    """
    rows = _weight(weight, "weight", None)
    n = rows.shape[1]
    control = None if untrained is None else _weight(untrained, "untrained weight", n)
    if not 0 <= degree < n - 1:
        raise UsageError(f"read_baseline: expected a degree of 0 to {n - 2} for {n} inputs, got {degree}.")
    polynomials = np.linalg.qr(np.polynomial.chebyshev.chebvander(np.linspace(-1.0, 1.0, n), degree))[0]

    def passed(matrix: Values) -> Values:
        each: Values = ((matrix @ polynomials) ** 2).sum(0) * n / (matrix**2).sum()
        return each

    each = passed(rows)
    share = float(each.mean())
    null = np.sort([passed(drawn).mean() for drawn in _random(rows, draws, generator(seed, "baselines"))])
    p = as_low(null, share)
    beside = None if control is None else float(passed(control).mean())
    worst = int(each.argmax())
    removed = p <= LEVEL and float(each[worst]) <= KEPT
    what = "an offset" if degree == 0 else f"polynomials up to degree {degree}"
    random = f"random weights with the same singular values let through {null[0]:.2g} to {null[-1]:.2g} (p = {p:.2g})"
    said = f"{what} pass at {share:.2g} of the mean squared gain; {random}"
    if degree == 0:
        said = f"{what} passes at {share:.2g} of the mean squared gain; {random}"
    if p > LEVEL:
        said = f"no baseline removal: {said}"
    elif not removed:
        passing = "" if degree == 0 else f"; degree {worst} alone passes at {each[worst]:.2g}"
        said = f"weakened and not removed: {said}{passing}"
    return BaselineReading(degree, each, share, null, p, beside, removed, said)


@dataclass(frozen=True, eq=False)
class _Match:
    """The best member of a kind on one gain; edges in bins."""

    score: float
    edges: tuple[float, float]
    curve: Values
    parameters: int


@dataclass(frozen=True, eq=False)
class _Bells:
    """Gaussian profiles over the bins: where they have half their height, and (c, n) centred rows of unit length."""

    low: Values
    high: Values
    unit: Values


def _low(value: Values) -> _Match:
    stop = _places(value.size)
    box = _boxes(value, np.zeros_like(stop), stop, sign=1.0, parameters=3)
    return max(box, _bells(value, _slopes(value.size), sign=1.0, parameters=3), key=_score)


def _high(value: Values) -> _Match:
    start = _places(value.size)
    box = _boxes(value, start, np.full_like(start, value.size), sign=1.0, parameters=3)
    bell = _bells(value, _slopes(value.size), sign=-1.0, parameters=3)
    opened = _Match(bell.score, (bell.edges[1], value.size - 1.0), bell.curve, bell.parameters)  # passed is what lies outside
    return max(box, opened, key=_score)


def _band(value: Values) -> _Match:
    box = _boxes(value, *_ranges(value.size), sign=1.0, parameters=4)
    return max(box, _bells(value, _hills(value.size), sign=1.0, parameters=4), key=_score)


def _notch(value: Values) -> _Match:
    """A band inside; a notch that lies on zero frequency is a high-pass, and read as one."""
    box = _boxes(value, *_ranges(value.size), sign=-1.0, parameters=4)
    return max(box, _bells(value, _hills(value.size), sign=-1.0, parameters=4), key=_score)


def _score(match: _Match) -> float:
    return match.score


@cache
def _places(size: int) -> Whole:
    """Bins at which an edge may lie in front: all but the first, thinned where there are many."""
    return np.unique(np.linspace(1, size - 1, min(size - 1, PLACES)).round().astype(np.int64))


@cache
def _ranges(size: int) -> tuple[Whole, Whole]:
    """All half-open ranges of bins that touch neither zero nor the highest frequency."""
    places = _places(size)
    start, stop = np.triu_indices(places.size, 1)
    return places[start], places[stop]


@cache
def _slopes(size: int) -> _Bells:
    """Gaussians around zero frequency."""
    widths = np.geomspace(1.0, size, WIDTHS)
    return _profiles(size, np.zeros(WIDTHS), widths)


@cache
def _hills(size: int) -> _Bells:
    """Gaussians whose half heights lie inside the frequencies."""
    centres, widths = np.meshgrid(np.linspace(0, size - 1, min(2 * size - 1, PLACES)), np.geomspace(0.5, size / 2, WIDTHS))
    inside = (centres - HALF * widths > 0) & (centres + HALF * widths < size - 1)
    return _profiles(size, centres[inside], widths[inside])


def _profiles(size: int, centres: Values, widths: Values) -> _Bells:
    rows = np.exp(-(((np.arange(size) - centres[:, None]) / widths[:, None]) ** 2) / 2)
    rows -= rows.mean(1, keepdims=True)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return _Bells(np.maximum(centres - HALF * widths, 0.0), np.minimum(centres + HALF * widths, size - 1.0), unit)


def _boxes(value: Values, start: Whole, stop: Whole, *, sign: float, parameters: int) -> _Match:
    """The best of all curves with one level inside a range of bins and another outside, higher inside where `sign` is 1.

    The variance that two levels explain is `(sum of the centred gain inside)^2 / (n * share * (1 - share))`.
    """
    n = value.size
    centred = value - value.mean()
    total = _variation(value)
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    inside = np.maximum((sums[stop] - sums[start]) * sign, 0.0)
    share = (stop - start) / n
    explained = inside**2 / (n * share * (1 - share))
    at = int(explained.argmax())
    bins = np.arange(n)
    within = (bins >= start[at]) & (bins < stop[at])
    levels = (value[within].mean(), value[~within].mean()) if explained[at] > 0 else (value.mean(), value.mean())
    curve = np.where(within, *levels)
    # edges lie half-way between the last bin inside and the first outside
    edges = (max(float(start[at]) - 0.5, 0.0), min(float(stop[at]) - 0.5, n - 1.0))
    return _Match(float(explained[at]) / total if total > 0 else 0.0, edges, curve, parameters)


def _bells(value: Values, bells: _Bells, *, sign: float, parameters: int) -> _Match:
    """The best of Gaussian profiles, upright where `sign` is 1."""
    centred = value - value.mean()
    total = _variation(value)
    height = np.maximum(sign * (bells.unit @ centred), 0.0)
    at = int(height.argmax())
    curve: Values = value.mean() + sign * height[at] * bells.unit[at]
    edges = (float(bells.low[at]), float(bells.high[at]))
    return _Match(float(height[at]) ** 2 / total if total > 0 else 0.0, edges, curve, parameters)


def _differentiator(value: Values) -> _Match:
    """A sine through zero: its maximum at half the Nyquist frequency is a central difference, at it a forward one, beyond, `f`.

    What lies behind the second zero of the sine is not passed, as by a smoothing differentiator.
    """
    peaks, floors, curves = _sines(value.size)
    height = curves @ value / (curves**2).sum(1)
    left = ((value - height[:, None] * curves) ** 2).sum(1)
    best = int(left.argmin())
    total = _variation(value)
    score = 1 - float(left[best]) / total if total > 0 else 0.0
    edges = (0.0, min(float(peaks[best]), value.size - 1.0))
    return _Match(score, edges, height[best] * curves[best], 2 if floors[best] == 0 else 3)


@cache
def _sines(size: int) -> tuple[Values, Values, Values]:
    """(c,) places of the maximum, (c,) floors and (c, size) curves; noise in the weights adds to a gain by squares."""
    places = np.union1d(np.geomspace(RISE, size - 1, PEAKS), [(size - 1) / 2, 1e3 * size])  # the second is a central difference
    peaks, floors = (grid.ravel() for grid in np.meshgrid(places, FLOORS))
    angles = np.pi * np.minimum(np.arange(size) / (2 * peaks[:, None]), 1.0)
    curves = np.sin(angles)
    return peaks, floors, np.sqrt(curves**2 + (floors * curves.max(1))[:, None] ** 2)


KINDS: dict[str, Callable[[Values], _Match]] = {
    "low-pass": _low,
    "high-pass": _high,
    "band-pass": _band,
    "notch": _notch,
    "differentiator": _differentiator,
}


def _variation(value: Values) -> float:
    """Sum of squares around the mean, 0 where that is rounding: the gain of an orthogonal weight is flat."""
    centred = value - value.mean()
    total = float(centred @ centred)
    return total if total > (FLAT * float(np.abs(value).max())) ** 2 * value.size else 0.0


def _charged(match: _Match, n: int) -> float:
    """Schwarz's criterion, the smaller the better: two edges must explain more than one."""
    return n * math.log(max(1 - match.score, EXACT)) + match.parameters * math.log(n)


def _gain(rows: Values) -> Values:
    root: Values = np.sqrt((np.abs(np.fft.rfft(rows, axis=1)) ** 2).sum(0))
    return root


def _random(rows: Values, draws: int, rng: np.random.Generator) -> Iterator[Values]:
    """One after the other, weights with the same singular values and input modes of any direction, in the basis of their modes."""
    if draws < 19:
        raise UsageError(f"draws: expected 19 or more, with which a p-value can reach .05, got {draws}.")
    s = np.linalg.svd(rows, compute_uv=False)
    return (s[:, None] * frame(rng, s.size, rows.shape[1]) for _ in range(draws))


def _weight(given: ArrayLike, what: str, inputs: int | None) -> Values:
    rows = finite_matrix(given, what)
    if not rows.any():
        raise UsageError(f"{what}: expected one other than zero: it reads no frequency.")
    if inputs is not None and rows.shape[1] != inputs:
        raise UsageError(f"{what}: expected {inputs} inputs, as many as the weight has, got shape {rows.shape}.")
    return rows


def _said(templates: tuple[Template, ...], p: float, unit: str) -> str:
    leading = templates[0]
    score = f"{_named(leading, unit)} explains {max(leading.score, 0.0):.2f} of the variation of the gain"
    high = float(np.quantile(leading.null, 1 - LEVEL))
    random = f"one random weight in twenty exceeds {max(high, 0.0):.2f}, and for the best of all kinds p = {p:.2g}"
    if p > LEVEL:
        return f"no filter: {score}, but {random}"
    if leading.score < NAMED:
        return f"no filter that is known: {score}, which is less than half, though {random}"
    alike = [f"{_named(other, unit)} ({other.score:.2f})" for other in templates[1:] if other.score >= leading.score - ALIKE]
    also = f"; nearly as well: {', '.join(alike)}" if alike else ""
    beside = "" if leading.untrained is None else f"; before training {max(leading.untrained, 0.0):.2f}"
    return f"{score}; {random}{also}{beside}"


def _named(template: Template, unit: str) -> str:
    first, last = template.edges
    where = {
        "low-pass": f"up to {last:.3g} {unit}",
        "high-pass": f"from {first:.3g} {unit}",
        "differentiator": f"with its maximum at {last:.3g} {unit}",
    }.get(template.kind, f"from {first:.3g} to {last:.3g} {unit}")
    return f"a {template.kind} {where}"
