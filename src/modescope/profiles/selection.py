"""Which modes matter: those that carry most of the signal of an image, and those that stand out in the weight itself."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.laws import spiked
from modescope.matrix import Array, Matrix
from modescope.measures import bulk
from modescope.outliers import live
from modescope.profiles.basis import Basis, Indices
from modescope.spectrum import Spectrum, decompose
from modescope.svd import Values

SHARE = 0.1  # of the signal of an image, as in the published code
TOP = 16
ENERGY = 0.9
LEVEL = 0.01  # as a scan has it
COMPATIBLE = ("", "ddp")


@dataclass(frozen=True, eq=False)
class Chosen:
    """Modes that matter for each of n images.

    Attributes:
        selected: (n, r) which they are.
        weights: (n, r) part of each in what was chosen, 0 elsewhere; the sum over an image is 1, or 0 where it has no signal.
        signs: (n, r) sign of the signal, 0 for what was not chosen and for a signal of 0.
        share: Share of the absolute signal that the chosen modes exceed.
        compat: "ddp" where weights are those of that library, whose sum is not 1; or empty.
    """

    selected: NDArray[np.bool_]
    weights: Values
    signs: NDArray[np.int8]
    share: float = SHARE
    compat: str = ""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Modes of a layer that stand out in its weight, whatever the data.

    Attributes:
        modes: (k,) their indices, ascending; there is at least one.
        rule: Name of the rule.
        amount: Its parameter, or None where it has none.
        nothing: The rule held for no mode, and the first was kept in its place.
        note: Why the rule says less than it seems to, or empty.
    """

    modes: Indices
    rule: str
    amount: float | None
    nothing: bool = False
    note: str = ""


def contributing(a: Values, /, *, share: float = SHARE, compat: str = "") -> Chosen:
    """The fewest modes whose absolute signals sum to more than a share of the whole, for each image by itself.

    Args:
        a: (n, r) signals, a row for each image.
        share: Between 0 and 1; 1 chooses all modes. Of equal signals the mode of the smaller index comes first.
        compat: "ddp" divides by the sum up to the mode before the last one chosen, or by the whole where one is chosen, so that
            weights are those of DeepDataProfiler.

    Returns:
        `Chosen`; an image whose signals are all 0 chooses nothing.

    Raises:
        UsageError: Signals are no finite matrix, or an argument is none of those above.

    References:
        Praggastis et al. (2022), arXiv:2208.06894; the rule of the published code, DeepDataProfiler 2.0.1.
    """
    signals = np.asarray(a, dtype=np.float64)
    if signals.ndim != 2:
        raise UsageError(f"signals: expected a row for each image, (n, r), got shape {signals.shape}.")
    if not np.isfinite(signals).all():
        row = int(np.flatnonzero(~np.isfinite(signals).all(axis=1))[0])
        raise UsageError(f"signals: expected finite numbers, got others, the first in row {row}.")
    if not 0 < share <= 1:
        raise UsageError(f"share: expected a share of the signal above 0 and up to 1, got {share}.")
    if compat not in COMPATIBLE:
        raise UsageError(f"compat: expected '' or 'ddp', got {compat!r}.")
    n, r = signals.shape
    if not n or not r:
        return Chosen(np.zeros((n, r), bool), np.zeros((n, r)), np.zeros((n, r), np.int8), share, compat)
    size = np.abs(signals)
    top = size.max(axis=1, keepdims=True)
    filled = top[:, 0] > 0
    size = np.ldexp(size, -np.frexp(top)[1])  # exact, and sums of very large signals do not overflow
    order = np.argsort(-size, axis=1, kind="stable")
    ordered = np.take_along_axis(size, order, axis=1)
    sums = np.cumsum(ordered, axis=1)
    whole = np.where(filled, sums[:, -1], 1.0)
    below = (sums / whole[:, None] <= share).sum(axis=1)  # n of the rule
    last = np.minimum(below, r - 1)
    kept = (np.arange(r) <= last[:, None]) & filled[:, None]
    if compat == "ddp":
        before = np.take_along_axis(sums, np.maximum(below - 1, 0)[:, None], axis=1)[:, 0]
        divisor = np.where(below > 0, before, whole)
    else:
        divisor = np.take_along_axis(sums, last[:, None], axis=1)[:, 0]
    divisor = np.where(filled, divisor, 1.0)
    selected, weights = np.zeros((n, r), bool), np.zeros((n, r))
    np.put_along_axis(selected, order, kept, axis=1)
    np.put_along_axis(weights, order, np.where(kept, ordered / divisor[:, None], 0.0), axis=1)
    return Chosen(selected, weights, np.where(selected, np.sign(signals), 0).astype(np.int8), share, compat)


def combined(a: Values, kept: Ranked, /, *, share: float = SHARE, compat: str = "") -> Chosen:
    """`contributing` among the modes that a rule kept: the share is one of their signals, and no other mode is chosen.

    Raises:
        UsageError: As `contributing`, or there are fewer signals than modes.
    """
    signals = np.asarray(a, dtype=np.float64)
    if signals.ndim != 2 or signals.shape[1] <= int(kept.modes[-1]):
        raise UsageError(f"signals: expected (n, r) with r above {int(kept.modes[-1])}, got shape {signals.shape}.")
    inside = contributing(signals[:, kept.modes], share=share, compat=compat)
    selected, weights, signs = np.zeros(signals.shape, bool), np.zeros(signals.shape), np.zeros(signals.shape, np.int8)
    selected[:, kept.modes], weights[:, kept.modes], signs[:, kept.modes] = inside.selected, inside.weights, inside.signs
    return Chosen(selected, weights, signs, share, compat)


def ranked(basis: Basis, /, *, rule: str = "topk", amount: float | None = None, tests: int = 1, seed: int = 0) -> Ranked:
    """Modes with the largest singular values of a layer, as many as a rule says.

    Args:
        basis: Of the layer.
        rule: "topk": the first `amount`, by default 16. "energy": as few as hold the share `amount` of the sum of squares, by
            default 0.9. "outliers": those that noise does not explain, as in a scan, at the level `amount`, by default 0.01.
            "edge": eigenvalues above `amount` times the upper end of the noise, by default 1. "optimal": values above the optimal
            hard threshold for noise of unknown size. "all".
        amount: Parameter of the rule.
        tests: Number of layers that are looked at; a level is divided by it, and by the groups of a layer.
        seed: Of the twins that may calibrate the threshold of "outliers".

    Returns:
        `Ranked`. The last three rules judge every group of a grouped convolution by itself. Where one keeps nothing the first
        mode is kept, and `nothing` is set; `note` says so, or which groups are too small for a verdict.

    Raises:
        UsageError: There is no such rule, or the amount does not fit it.

    References:
        Gavish & Donoho (2014), doi:10.1109/TIT.2014.2323359, for "optimal"; Marchenko & Pastur (1967),
        doi:10.1070/SM1967v001n04ABEH001994, and Johnstone (2001), doi:10.1214/aos/1009210544, for "edge" and "outliers".
    """
    if rule not in RULES:
        raise UsageError(f"rule: expected one of {', '.join(RULES)}, got {rule!r}.")
    if tests < 1:
        raise UsageError(f"tests: expected the number of layers, at least 1, got {tests}.")
    modes, used, note = RULES[rule](basis, amount, tests, seed)
    if modes.size:
        return Ranked(modes, rule, used, note=note)
    said = note or "no mode passes the rule"
    return Ranked(np.zeros(1, np.intp), rule, used, nothing=True, note=f"{said}; the first mode was kept")


Found = tuple[Indices, float | None, str]
Rule = Callable[[Basis, float | None, int, int], Found]
Judge = Callable[[Spectrum], float | str]
"""From a spectrum to the singular value that a mode must exceed, or a sentence why there is none."""


def _topk(basis: Basis, amount: float | None, _tests: int, _seed: int) -> Found:
    count = min(basis.s.size, TOP) if amount is None else amount
    if not 1 <= count < math.inf or count != math.floor(count):
        raise UsageError(f"topk: expected the number of modes, at least 1, got {amount}.")
    return np.arange(min(int(count), basis.s.size)), float(count), ""


def _energy(basis: Basis, amount: float | None, _tests: int, _seed: int) -> Found:
    share = ENERGY if amount is None else amount
    if not 0 < share <= 1:
        raise UsageError(f"energy: expected a share of the sum of squares above 0 and up to 1, got {amount}.")
    if basis.s[0] == 0:
        return np.zeros(0, np.intp), share, "zero matrix"
    sums = np.cumsum((basis.s / basis.s[0]) ** 2)
    return np.arange(int(np.searchsorted(sums, share * sums[-1])) + 1), share, ""


def _all(basis: Basis, amount: float | None, _tests: int, _seed: int) -> Found:
    _none("all", amount)
    return np.arange(basis.s.size), None, ""


def _outliers(basis: Basis, amount: float | None, tests: int, seed: int) -> Found:
    level = LEVEL if amount is None else amount
    if not 0 < level < 1:
        raise UsageError(f"outliers: expected the level of the test between 0 and 1, got {amount}.")
    kept, note = _judged(basis, partial(_threshold, level=level / (tests * basis.groups), seed=seed))
    return kept, level, note


def _edge(basis: Basis, amount: float | None, _tests: int, seed: int) -> Found:
    factor = 1.0 if amount is None else amount
    if not 0 < factor < math.inf:
        raise UsageError(f"edge: expected the factor on the edge of the noise, above 0, got {amount}.")
    kept, note = _judged(basis, partial(_upper, factor=factor, seed=seed))
    return kept, factor, note


def _optimal(basis: Basis, amount: float | None, _tests: int, _seed: int) -> Found:
    _none("optimal", amount)
    kept, note = _judged(basis, _by_median)
    return kept, None, note


RULES: Mapping[str, Rule] = {
    "topk": _topk,
    "energy": _energy,
    "outliers": _outliers,
    "edge": _edge,
    "optimal": _optimal,
    "all": _all,
}


def _by_median(spectrum: Spectrum) -> float | str:
    part = live(spectrum)
    if isinstance(part, str):
        return part
    return part.unit * spiked.hard_threshold_by_median(part.n, part.m, float(np.median(np.sqrt(part.values))))


def _threshold(spectrum: Spectrum, *, level: float, seed: int) -> float | str:
    found = bulk.analyze(spectrum, level=level, seed=seed)
    return found.status if found.threshold is None else math.sqrt(found.threshold)


def _upper(spectrum: Spectrum, *, factor: float, seed: int) -> float | str:
    found = bulk.analyze(spectrum, seed=seed)
    return found.status if found.edge_upper is None else math.sqrt(factor * found.edge_upper)


def _judged(basis: Basis, judge: Judge) -> tuple[Indices, str]:
    """Modes above the value that is required in their group; a note where groups have none."""
    required = np.full(basis.groups, np.inf)
    reasons: list[str] = []
    for group in range(basis.groups):
        found = judge(_spectrum(basis, group))
        if isinstance(found, str):
            reasons.append(found)
        else:
            required[group] = found
    kept = np.flatnonzero(basis.s > required[basis.group])
    if not reasons:
        return kept, ""
    said = max(set(reasons), key=reasons.count)
    return kept, said if basis.groups == 1 else f"{len(reasons)} of {basis.groups} groups without a verdict: {said}"


def _spectrum(basis: Basis, group: int) -> Spectrum:
    """That of the layer, or of one group of it."""
    if basis.spectrum is not None:
        return basis.spectrum
    inside = basis.group == group
    product = (basis.u[inside].T * basis.s[inside]) @ basis.vh[inside]
    return decompose(Matrix(f"{basis.layer}.weight", f"group {group}", product.shape, "float64", partial(_given, product)))


def _given(array: Array) -> Array:
    return array


def _none(rule: str, amount: float | None) -> None:
    if amount is not None:
        raise UsageError(f"{rule}: expected no amount, got {amount}.")
