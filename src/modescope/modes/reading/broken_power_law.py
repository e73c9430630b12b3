"""Whether sorted importances follow two power laws with a break, one, or an exponential, and whether training has made them so.

Any list of positive numbers bends when it is sorted and drawn on two logarithmic axes, and what an untrained layer has is such a
list. So a break is called one only if it fits better by more than 10 in BIC than a line and an exponential, by more than lists of
one power law bend, with slopes that differ by their bootstrap interval, and with slopes that untrained layers do not have.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.errors import UsageError
from modescope.svd import Values

SIDE = 4  # ranks at least on either side of a break
FEWEST = 2 * SIDE + 1
MODELS: Mapping[str, int] = {"line": 2, "exponential": 2, "broken": 5}  # parameters that BIC counts
DECIDED = 10.0  # of BIC: residuals of sorted values are correlated, and smaller differences say nothing
RESAMPLES = 200
LINES = 400  # lists of one power law, for the p-value of the gain
RUNS = 5  # from which on runs are resampled, and not modes
ALPHA = 0.05
ZERO = 1e-12  # share of the largest importance that counts as none
FLOOR = 1e-13  # residual of a perfect fit, in units of the logarithms: rounding


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % interval over resamples."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class InitNull:
    """The same fit to untrained layers.

    Attributes:
        draws: Layers, or means over as many as there are runs.
        init: Name of the initialisation.
        slopes: Mean of each slope over the draws.
        quantiles: Share of the draws whose slope is at most the trained one, for each.
        p: Probability of slopes as unusual if nothing was learnt: twice the smaller tail, times two as there are two slopes.
        low: (n,) 2.5 % quantile of the sorted importances.
        high: (n,) 97.5 % quantile.
    """

    draws: int
    init: str
    slopes: tuple[float, float]
    quantiles: tuple[float, float]
    p: float
    low: Values
    high: Values


@dataclass(frozen=True, eq=False)
class BrokenPowerLaw:
    """Fits to the logarithms of sorted importances, natural ones, against rank from 1.

    Attributes:
        values: (n,) importances that were fitted, descending; the mean over runs by rank.
        runs: Lists behind them.
        left_out: Modes of importance 0 (below 1e-12 of the largest), which have no logarithm.
        at: Last rank of the first line; None where `status` is not "ok", as all numbers below.
        slopes: Exponents before and after the break, with intervals; the break is free in each resample.
        intercepts: Logarithm at rank 1 of the two lines.
        difference: Second slope less the first.
        line: Slope and intercept of one line.
        exponential: The same of the logarithm against rank itself.
        bic: `n ln(RSS / n) + q ln n` by model, lower is better; q = 2, 2 and 5.
        p_line: Probability of so large a gain of the break over the line among sorted draws from one power law.
        resampled: "runs" or "modes".
        null: The fit to untrained layers, if there is one.
        verdict: "broken", "line", "exponential" or "undecided". A break has one line in it, whose BIC is then lower by `3 ln n` at
            most: a line is next to never decided on, and an undecided list is not one that speaks against it.
        said: The verdict in sentences.
        status: "ok", or why there is no fit.
    """

    values: Values
    runs: int
    left_out: int
    at: int | None
    slopes: tuple[Interval, Interval] | None
    intercepts: tuple[float, float] | None
    difference: Interval | None
    line: tuple[float, float] | None
    exponential: tuple[float, float] | None
    bic: Mapping[str, float]
    p_line: float | None
    resampled: str
    null: InitNull | None
    verdict: str
    said: str
    status: str

    def broken(self) -> Values:
        """(n,) the fitted two lines, as importances.

        Raises:
            UsageError: There is no fit.
        """
        if self.at is None or self.slopes is None or self.intercepts is None:
            raise UsageError(f"power law: expected a fit, and there is none: {self.status}.")
        x = np.log(np.arange(1, self.values.size + 1))
        first = np.arange(self.values.size) < self.at
        (one, other), (start, again) = self.slopes, self.intercepts
        found: Values = np.exp(np.where(first, start + one.value * x, again + other.value * x))
        return found


def broken_power_law(
    values: ArrayLike,
    /,
    *,
    rng: np.random.Generator,
    null: ArrayLike | None = None,
    init: str = "",
    resamples: int = RESAMPLES,
) -> BrokenPowerLaw:
    """Fit two independent lines with a free break, one line, and an exponential to the logarithms of sorted importances.

    Args:
        values: (p,) importances of the modes of a layer in any order, or (runs, p) of the same layer of several runs.
        rng: For resamples, and for lists of one power law.
        null: (draws, p) importances of untrained layers, `init_null.sorted_at_start`; of fewer than 80 nothing is outside at 5 %.
        init: What to call their initialisation.
        resamples: Bootstrap resamples: of runs where there are 5 or more, else of the modes within each layer. Resampled modes
            repeat, which flattens the list: intervals are rather too wide.

    Returns:
        `BrokenPowerLaw`; with fewer than 9 modes that are not 0, no fit, and a status that says so.

    Raises:
        UsageError: Importances are negative or not finite.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, for the claim that is tested.
    """
    lists = np.atleast_2d(np.asarray(values, np.float64))
    if lists.ndim != 2 or not lists.size or not np.isfinite(lists).all() or lists.min() < 0:
        raise UsageError(f"power law: expected finite importances of 0 or more, (p,) or (runs, p), got shape {np.shape(values)}.")
    lists = -np.sort(-lists, axis=1)
    ranked = lists.mean(0)
    n = int((ranked > ZERO * ranked[0]).sum()) if ranked[0] > 0 else 0
    left_out = ranked.size - n
    if n < FEWEST:
        status = f"it needs {FEWEST} modes of importance above 0, and there are {n}"
        said = f"Undecided: {status}."
        return BrokenPowerLaw(
            ranked[:n], len(lists), left_out, None, None, None, None, None, None, {}, None, "modes", None, "undecided", said, status
        )
    found = _fitted(np.log(ranked[:n])[None])
    resampled = "runs" if len(lists) >= RUNS else "modes"
    again = _fitted(np.log(_resampled(lists, n, resamples, rng, resampled)))
    slopes = tuple(_interval(found.slopes[side, 0], again.slopes[side]) for side in (0, 1))
    difference = _interval(found.slopes[1, 0] - found.slopes[0, 0], again.slopes[1] - again.slopes[0])
    bic = {name: float(one[0]) for name, one in found.bic.items()}
    x = np.log(np.arange(1, n + 1))
    line, exponential = (_line(at, np.log(ranked[:n])) for at in (x, np.exp(x)))
    p_line = _gains(-line[0], len(lists), n, bic["line"] - bic["broken"], rng)
    untrained = None if null is None else _null(np.asarray(null, np.float64), n, found.slopes[:, 0], init)
    verdict, said = _verdict(n, bic, p_line, difference, untrained)
    at = int(found.at[0])
    pieces = (_line(x[:at], np.log(ranked[:at])), _line(x[at:], np.log(ranked[at:n])))
    return BrokenPowerLaw(
        values=ranked[:n],
        runs=len(lists),
        left_out=left_out,
        at=at,
        slopes=(slopes[0], slopes[1]),
        intercepts=(pieces[0][1], pieces[1][1]),
        difference=difference,
        line=line,
        exponential=exponential,
        bic=bic,
        p_line=p_line,
        resampled=resampled,
        null=untrained,
        verdict=verdict,
        said=said,
        status="ok",
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """Of B lists: (B,) BIC of each model, (B,) last rank of the first line, (2, B) slopes."""

    bic: Mapping[str, Values]
    at: NDArray[np.int64]
    slopes: Values


def _fitted(y: Values) -> _Fits:
    """All breaks of all lists at once, by running sums, (B, n).

    Two lines leave the same residuals if a line is taken off first. Sums over what one line leaves lose no digits where it is
    small.
    """
    count, n = y.shape
    rank = np.arange(1.0, n + 1)
    x = np.log(rank)
    slope, rest = _without_line(x, y)
    bic = {
        "line": _bic((rest**2).sum(1), n, "line"),
        "exponential": _bic((_without_line(rank, y)[1] ** 2).sum(1), n, "exponential"),
    }
    before = _left(x, rest)
    after = tuple(one[:, ::-1] for one in _left(x[::-1], rest[:, ::-1]))
    at = np.arange(SIDE, n - SIDE + 1)
    total = before[0][:, at - 1] + after[0][:, at]
    best = total.argmin(1)
    rows, last = np.arange(count), at[best]
    bic["broken"] = _bic(total[rows, best], n, "broken")
    return _Fits(bic, last, np.stack([slope + before[1][rows, last - 1], slope + after[1][rows, last]]))


def _left(x: Values, y: Values) -> tuple[Values, Values]:
    """(B, n) squares that a line through the first k of the points leaves, and its slope, for k = 1..n; slope 0 for k = 1."""
    k = np.arange(1.0, x.size + 1)
    mean = np.cumsum(x) / k
    spread = np.array([((x[: int(size)] - centre) ** 2).sum() for size, centre in zip(k, mean, strict=True)])
    sums, squares = np.cumsum(y, 1), np.cumsum(y**2, 1)
    shared = np.cumsum(x * y, 1) - mean * sums
    slope = np.divide(shared, spread, out=np.zeros_like(shared), where=np.broadcast_to(k > 1, shared.shape))
    return np.maximum(squares - sums**2 / k - slope * shared, 0.0), slope


def _without_line(x: Values, y: Values) -> tuple[Values, Values]:
    centred = x - x.mean()
    slope: Values = (y @ centred) / (centred @ centred)
    rest: Values = y - y.mean(1, keepdims=True) - slope[:, None] * centred
    return slope, rest


def _line(x: Values, y: Values) -> tuple[float, float]:
    """Slope and intercept."""
    slope = float(_without_line(x, y[None])[0][0])
    return slope, float(y.mean() - slope * x.mean())


def _bic(squares: Values, n: int, model: str) -> Values:
    found: Values = n * np.log(np.maximum(squares / n, FLOOR**2)) + MODELS[model] * math.log(n)
    return found


def _resampled(lists: Values, n: int, resamples: int, rng: np.random.Generator, what: str) -> Values:
    """(resamples, n) mean sorted importances of other runs, or of other modes that are not 0."""
    if what == "runs":
        own = lists[rng.integers(len(lists), size=(resamples, len(lists)))].mean(1)[:, :n]
    else:
        kept = lists[:, :n]
        drawn = [one[rng.integers(n, size=(resamples, n))] for one in kept]
        own = np.mean([-np.sort(-one, axis=1) for one in drawn], axis=0)
    found: Values = np.maximum(own, np.finfo(float).tiny)
    return found


def _interval(value: float, drawn: Values) -> Interval:
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2])
    return Interval(float(value), float(low), float(high))


def _gains(exponent: float, runs: int, n: int, gain: float, rng: np.random.Generator) -> float:
    """Probability of a gain in BIC among sorted draws from one power law: exponentials are logarithms of such draws."""
    drawn = -np.sort(-rng.standard_exponential((LINES, runs, n)), axis=2)
    y = drawn[:, 0] if runs == 1 else np.log(np.exp(np.clip(abs(exponent) * drawn, 0.0, 600.0)).mean(1))
    found = _fitted(y)
    return float((1 + (found.bic["line"] - found.bic["broken"] >= gain).sum()) / (1 + LINES))


def _null(lists: Values, n: int, slopes: Values, init: str) -> InitNull:
    if lists.ndim != 2 or lists.shape[1] < n or not np.isfinite(lists).all() or lists.min() <= 0:
        raise UsageError(f"init null: expected importances (draws, {n} or more) above 0, got shape {lists.shape}.")
    ranked = -np.sort(-lists, axis=1)[:, :n]
    drawn = _fitted(np.log(ranked)).slopes
    below, above = ((drawn <= slopes[:, None]).sum(1), (drawn >= slopes[:, None]).sum(1))
    tails = (1 + np.minimum(below, above)) / (1 + len(lists))
    low, high = np.quantile(ranked, [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    mean, share = drawn.mean(1), below / len(lists)
    p = float(min(1.0, 4 * tails.min()))
    return InitNull(len(lists), init, (float(mean[0]), float(mean[1])), (float(share[0]), float(share[1])), p, low, high)


def _verdict(n: int, bic: Mapping[str, float], p_line: float, difference: Interval, null: InitNull | None) -> tuple[str, str]:
    best = min(bic, key=lambda name: bic[name])
    margin = min(bic[name] for name in bic if name != best) - bic[best]
    names = {"line": "one power law", "exponential": "an exponential", "broken": "a broken power law"}
    if margin <= DECIDED:
        most = (MODELS["broken"] - MODELS["line"]) * math.log(n)
        nested = f" It is a case of a break and never better by more than {most:.1f}: nothing here speaks for a break."
        return (
            "undecided",
            f"Undecided: {names[best]} is best by {margin:.1f} in BIC, and up to {DECIDED:g} says nothing."
            + (nested if best == "line" else ""),
        )
    if best != "broken":
        return best, f"{names[best][0].upper()}{names[best][1:]} describes the list best, by {margin:.1f} in BIC."
    against = []
    if p_line > ALPHA:
        against.append(f"sorted draws from one power law bend as much (p = {p_line:.2g})")
    if difference.low <= 0 <= difference.high:
        against.append(f"the interval of the change of slope, {difference.low:.2f} to {difference.high:.2f}, has 0 in it")
    if null is not None and null.p > ALPHA:
        against.append(f"untrained layers have such slopes (p = {null.p:.2g})")
    if against:
        return "undecided", f"Undecided: a broken power law is best by {margin:.1f} in BIC, but {', and '.join(against)}."
    learnt = (
        "No untrained layers were fitted, so that it may be there at the start as well."
        if null is None
        else f"Untrained layers have other slopes (p = {null.p:.2g})."
    )
    return "broken", f"A broken power law describes the list best, by {margin:.1f} in BIC. {learnt}"
