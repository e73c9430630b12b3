"""How the least number of modes that a network needs grows with its width, from a table of runs.

Five widths rarely decide between a logarithm that levels off, a power and a constant; where they do not, that is the verdict.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from modescope.errors import UsageError
from modescope.svd import Values

MARGIN = 0.01  # one point of accuracy
RESAMPLES = 500
DECIDED = 10.0  # of BIC, and of AICc where it exists
FEWEST = 4  # widths
PARAMETERS: Mapping[str, int] = {"constant": 2, "power": 3, "logarithm then constant": 4}  # the variance is one of them
LEVEL = (0.025, 0.975)


@dataclass(frozen=True)
class Run:
    """One trained network.

    Attributes:
        width: N, units of its hidden layers.
        modes: p of its layers; None of a dense network.
        seed: What it was drawn with; runs of one seed are resampled together.
        accuracy: On the test part, 0 to 1.
    """

    width: int
    modes: int | None
    seed: int
    accuracy: float


@dataclass(frozen=True)
class Least:
    """The least number of modes at one width.

    Attributes:
        width: N.
        modes: Least p of the table whose mean accuracy is that of dense networks less the margin, or better; None where none is.
        low: 2.5 % quantile over resampled seeds; None where none is there.
        high: 97.5 % quantile; None where resamples reach it in fewer cases than that.
        error: Standard deviation over the resamples that reach it, with the steps of the table of p as a further error.
        reached: Share of the resamples that reach it.
        dense: Mean accuracy of dense networks.
        seeds: Seeds behind it.
    """

    width: int
    modes: int | None
    low: float | None
    high: float | None
    error: float | None
    reached: float
    dense: float
    seeds: int


@dataclass(frozen=True, eq=False)
class Fit:
    """One law of p_min, by least squares.

    Attributes:
        name: "constant", "power" `a N^b`, or "logarithm then constant" `a + b ln min(N, c)`.
        parameters: a, b, c, as many as it has.
        residual: Root of the mean square that is left.
        bic: `n ln(RSS / n) + q ln n`, the variance counted in q and not below that of the error of p_min.
        aicc: The same with `2 q + 2 q (q + 1) / (n - q - 1)`; None with too few widths for it.
    """

    name: str
    parameters: tuple[float, ...]
    residual: float
    bic: float
    aicc: float | None


@dataclass(frozen=True, eq=False)
class Scaling:
    """Least numbers of modes by width, and laws for them.

    Attributes:
        points: By width, ascending.
        fits: By name; empty where there are fewer than 4 widths that were reached.
        verdict: Name of a law, or "undecided". The other laws have a constant in them, whose BIC is lower by `ln n` at most: it is
            never decided on, and where it is best nothing speaks for growth.
        said: The verdict in a sentence.
        margin: Accuracy that may be missing.
    """

    points: tuple[Least, ...]
    fits: Mapping[str, Fit]
    verdict: str
    said: str
    margin: float


def scaling(runs: Iterable[Run], /, *, rng: np.random.Generator, margin: float = MARGIN, resamples: int = RESAMPLES) -> Scaling:
    """Find the least number of modes at each width, its error, and laws that it might follow.

    Args:
        runs: Networks in modes and dense ones, at several widths, the same seeds for all p of a width.
        rng: For the resampled seeds.
        margin: Accuracy that may be missing to dense networks.
        resamples: Of the seeds.

    Raises:
        UsageError: There are no runs, a width has no dense network or none in modes, or seeds differ between its numbers of modes.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, for the claim that is tested; Burnham & Anderson (2004),
        doi:10.1177/0049124104268644, for AICc.
    """
    table = list(runs)
    if not table or any(not 0 <= run.accuracy <= 1 or run.width < 1 or (run.modes is not None and run.modes < 1) for run in table):
        raise UsageError("scaling: expected runs of a width and modes of 1 or more, with an accuracy from 0 to 1.")
    points = tuple(
        _least(width, [run for run in table if run.width == width], rng, margin, resamples)
        for width in sorted({run.width for run in table})
    )
    reached = [one for one in points if one.modes is not None]
    if len(reached) < FEWEST:
        said = f"Undecided: {len(reached)} widths reach the accuracy, and a law needs {FEWEST}."
        return Scaling(points, {}, "undecided", said, margin)
    fits = _fits(reached)
    verdict, said = _verdict(fits, len(reached))
    return Scaling(points, fits, verdict, said, margin)


def _least(width: int, own: list[Run], rng: np.random.Generator, margin: float, resamples: int) -> Least:
    counts = sorted({run.modes for run in own if run.modes is not None})
    seeds = sorted({run.seed for run in own})
    held = {(run.modes, run.seed): run.accuracy for run in own}
    if not counts or not any(run.modes is None for run in own):
        raise UsageError(f"scaling: expected runs in modes and dense ones at width {width}, got {len(own)} of one kind.")
    missing = [(p, seed) for p in (None, *counts) for seed in seeds if (p, seed) not in held]
    if missing or len(held) != len(own):
        what = "twice the same" if not missing else f"none with modes={missing[0][0]} and seed {missing[0][1]}"
        raise UsageError(f"scaling: expected one run for every seed and number of modes at width {width}, got {what}.")
    accuracy = np.array([[held[p, seed] for seed in seeds] for p in (None, *counts)])
    picks = rng.integers(len(seeds), size=(resamples, len(seeds)))
    drawn = [_first(accuracy[:, pick].mean(1), counts, margin) for pick in picks]
    there = np.array([p for p in drawn if p is not None], np.float64)
    found = _first(accuracy.mean(1), counts, margin)
    share = there.size / resamples
    low, high = np.quantile(np.array([math.inf if p is None else p for p in drawn]), LEVEL, method="inverted_cdf")
    steps = 0.0
    if found is not None:
        before = counts[counts.index(found) - 1] if found != counts[0] else 0
        steps = (found - before) / math.sqrt(12)  # p between those of the table were not tried
    error = None if found is None else math.hypot(float(there.std()) if there.size else 0.0, steps)
    ends = [float(one) if math.isfinite(one) else None for one in (low, high)]
    return Least(width, found, ends[0], ends[1], error, share, float(accuracy[0].mean()), len(seeds))


def _first(means: Values, counts: list[int], margin: float) -> int | None:
    enough = np.flatnonzero(means[1:] >= means[0] - margin - 1e-12)
    return counts[int(enough[0])] if enough.size else None


def _fits(points: list[Least]) -> dict[str, Fit]:
    width = np.array([one.width for one in points], np.float64)
    y = np.array([one.modes for one in points], np.float64)
    floor = float(np.mean([(one.error or 0.0) ** 2 for one in points]))
    found = {
        "constant": (np.full_like(y, y.mean()), (float(y.mean()),)),
        "power": _power(width, y),
        "logarithm then constant": _levelling(width, y),
    }
    return {name: _fit(name, parameters, y - fitted, floor) for name, (fitted, parameters) in found.items()}


def _fit(name: str, parameters: tuple[float, ...], rest: Values, floor: float) -> Fit:
    n, q = rest.size, PARAMETERS[name]
    square = float((rest**2).mean())
    likelihood = n * math.log(max(square, floor, 1e-12))
    aicc = likelihood + 2 * q + 2 * q * (q + 1) / (n - q - 1) if n > q + 1 else None
    return Fit(name, parameters, math.sqrt(square), likelihood + q * math.log(n), aicc)


def _power(width: Values, y: Values) -> tuple[Values, tuple[float, ...]]:
    """Least squares of p itself, as in the other laws: the factor follows from the exponent."""
    x = np.log(width / width[0])

    def fitted(exponent: float) -> tuple[Values, float]:
        shape = np.exp(exponent * x)
        factor = float(shape @ y / (shape @ shape))
        return factor * shape, factor

    grid = np.linspace(-4, 4, 81)
    start = grid[int(np.argmin([((y - fitted(one)[0]) ** 2).sum() for one in grid]))]
    best = minimize_scalar(
        lambda one: float(((y - fitted(one)[0]) ** 2).sum()),
        bounds=(start - 0.1, start + 0.1),
        method="bounded",
        options={"xatol": 1e-10},
    )
    curve, factor = fitted(float(best.x))
    return curve, (factor * float(width[0]) ** -float(best.x), float(best.x))


def _levelling(width: Values, y: Values) -> tuple[Values, tuple[float, ...]]:
    """All ends of the rise on a fine grid, from the second width on; the last is a logarithm that does not level off."""
    best: tuple[float, Values, tuple[float, ...]] | None = None
    for end in np.geomspace(width[1], width[-1], 200):
        x = np.log(np.minimum(width, end))
        design = np.stack([np.ones_like(x), x], axis=1)
        (a, b), *_ = np.linalg.lstsq(design, y, rcond=None)
        fitted = a + b * x
        square = float(((y - fitted) ** 2).sum())
        if best is None or square < best[0]:
            best = square, fitted, (float(a), float(b), float(end))
    assert best is not None
    return best[1], best[2]


def _verdict(fits: Mapping[str, Fit], widths: int) -> tuple[str, str]:
    by_bic = sorted(fits.values(), key=lambda one: one.bic)
    margin = by_bic[1].bic - by_bic[0].bic
    best = by_bic[0].name
    if margin <= DECIDED:
        nested = (
            f" It is a case of the others and never better by more than {math.log(widths):.1f}: nothing here speaks for growth."
        )
        return (
            "undecided",
            f"Undecided: of {widths} widths, {best} is best by {margin:.1f} in BIC, and up to {DECIDED:g} say nothing."
            + (nested if best == "constant" else ""),
        )
    if any(one.aicc is None for one in by_bic):
        return "undecided", f"Undecided: {widths} widths are too few to correct for the parameters of every law."
    by_aicc = sorted(fits.values(), key=lambda one: one.aicc if one.aicc is not None else math.inf)
    gain = (by_aicc[1].aicc or 0.0) - (by_aicc[0].aicc or 0.0)
    if by_aicc[0].name != best or gain <= DECIDED:
        return "undecided", f"Undecided: {best} is best by {margin:.1f} in BIC, but not by more than {DECIDED:g} in AICc."
    return best, f"Over {widths} widths, {best} is best by {margin:.1f} in BIC and {gain:.1f} in AICc."
