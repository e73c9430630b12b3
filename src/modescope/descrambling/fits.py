"""Input modes read as curves: how well each family fits, beside how well it fits directions drawn at random.

A family with more freedom fits anything better. A share of variance is therefore never shown without the shares that the same
fit, the same search included, reaches on random modes. Where modes were made with the data, so are the random ones they must beat:
`random_modes` draws these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.descrambling.axis import InputAxis, index
from modescope.descrambling.families import Family, Parameter, standard
from modescope.descrambling.finite import finite_matrix
from modescope.descrambling.ranks import as_high
from modescope.descrambling.separable import Solution, projected, solved
from modescope.errors import UsageError
from modescope.laws.haar_frames import directions
from modescope.seeds import generator

Values = NDArray[np.float64]

DRAWS = 199  # random modes; the smallest p-value they can give is .005
LEVEL = 0.05
ENOUGH = 1e-5  # gain of a step below which shares of variance are not searched further; parameters are
FLAT = 1e-10  # of its length, below which what a mode has beside its mean is rounding
EXACT = 1e-12  # share of variance that a fit leaves, below which it is rounding
GIVEN = "mode of random weights on the same data"
ORTHONORMAL = 1e-6  # by which the rows of a span may fail to be


@dataclass(frozen=True, eq=False)
class Null:
    """What one family reaches on random modes.

    Attributes:
        r2: (draws,) shares of variance, ascending.
        dimension: Of the space the modes were drawn from, uniformly over its directions; None where they were given.
        what: One of them, in words.
    """

    r2: Values
    dimension: int | None
    what: str = "random mode"

    @property
    def high(self) -> float:
        """Share of variance that one random mode in twenty exceeds."""
        return float(np.quantile(self.r2, 1 - LEVEL))

    def p(self, r2: float) -> float:
        """Probability that a random mode is fitted as well; never 0, and 1 where all are fitted alike."""
        return as_high(self.r2, r2)


@dataclass(frozen=True, eq=False)
class Fit:
    """One family on one mode.

    Attributes:
        family: Name of the family.
        r2: Share of the mode's variance around its mean that the curve explains; None where there is nothing to fit.
        charged: Schwarz's criterion, which charges for parameters: the smaller the better, of fits to the same mode.
        parameters: In units of the axis.
        curve: (n,) the fitted curve; empty where there is none.
        null: What the family reaches on random modes.
        p: Probability that a random mode is fitted as well; None where there is no fit.
        status: What may be said.
    """

    family: str
    r2: float | None
    charged: float | None
    parameters: tuple[Parameter, ...]
    curve: Values
    null: Null
    p: float | None
    status: str


@dataclass(frozen=True, eq=False)
class ModeReading:
    """One input mode beside all families.

    Attributes:
        mode: Its place, 0 is the strongest.
        values: (n,) the mode.
        fits: One per family, in the order they were asked for.
        best: Place of the best fit by `charged` among those that random modes do not reach, several families allowed for; None
            where they reach all.
        status: The reading as a sentence.
    """

    mode: int
    values: Values
    fits: tuple[Fit, ...]
    best: int | None
    status: str


def read_modes(
    modes: ArrayLike,
    /,
    *,
    axis: InputAxis | None = None,
    families: Sequence[Family] | None = None,
    span: ArrayLike | None = None,
    random: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[ModeReading, ...]:
    """Fit every family to every mode, and to random modes.

    Args:
        modes: (k, n) input modes in rows: leading rows of `vh` or of `V^T P W`. Their scale does not matter.
        axis: Of the n inputs; by default their index.
        families: By default `standard()`.
        span: (d, n) orthonormal rows of the space in which the modes must lie, where that is known; random modes are drawn in
            it. By default all n dimensions.
        random: (draws, k, n) modes of random weights, each beside the mode at its place: `random_modes` draws them on the data
            of the layer. Rows of `V^T P W` need them where inputs are correlated, or weights that were never trained pass for
            smooth; right singular vectors do not.
        draws: Random modes per family; with fewer than 20 times the number of families, less one, none could be called good.
            Not used beside `random`.
        seed: Of these draws.

    Returns:
        One reading per mode. A p-value is that of one fit; a mode is called by a family where it stays below .05 when it is
        multiplied by the number of families. Of many modes, one in twenty is still called so by chance.

    Raises:
        UsageError: Shapes do not fit, entries are not finite, `span` and `random` are both given, or there are too few inputs for
            a family.
    """
    rows = finite_matrix(modes, "modes")
    n = rows.shape[1]
    axis = index(n) if axis is None else axis
    chosen = standard() if families is None else tuple(families)
    if axis.size != n:
        raise UsageError(f"axis: expected {n} points, one per entry of a mode, got {axis.size}.")
    given = None if random is None else _given(random, rows)
    if given is not None:
        if span is not None:
            raise UsageError("read_modes: expected span or random, got both. Draw the random modes in the span.")
        draws = given.shape[0]
    least = math.ceil(len(chosen) / LEVEL) - 1
    if draws < least:
        raise UsageError(
            f"read_modes: expected draws of {least} or more, with which a p-value times {len(chosen)} families can reach "
            f"{LEVEL:g}, got {draws}."
        )
    for family in chosen:
        if n < family.freedom + 3:
            raise UsageError(f"{family.name}: expected modes of {family.freedom + 3} or more inputs to fit, got {n}.")
    space = None if span is None else _space(span, n)
    columns = []
    for family in chosen:
        backwards = family.directed and axis.step < 0
        if given is None:
            beside = [null(family, n, span=space, draws=draws, seed=seed)] * rows.shape[0]
        else:
            beside = _nulls(family, given[:, :, ::-1] if backwards else given)
        columns.append(_column(rows, axis, family, beside, backwards=backwards))
    return tuple(_reading(place, row, fits) for place, (row, fits) in enumerate(zip(rows, zip(*columns, strict=True), strict=True)))


def null(family: Family, size: int, /, *, span: Values | None = None, draws: int = DRAWS, seed: int = 0) -> Null:
    """Shares of variance that a family reaches on random modes of `size` inputs, or of the space spanned by the rows of `span`."""
    rng = generator(seed, "fits", family.name)
    drawn = directions(rng, draws, size if span is None else span.shape[0])
    vectors = drawn if span is None else drawn @ span
    _, r2 = _searched(family, vectors)
    return Null(np.sort(r2), size if span is None else span.shape[0])


def _nulls(family: Family, given: Values) -> list[Null]:
    """Shares of variance of given modes, place by place."""
    draws, places, n = given.shape
    _, r2 = _searched(family, _scaled_rows(given.reshape(-1, n)))
    return [Null(np.sort(column), None, GIVEN) for column in r2.reshape(draws, places).T]


def _searched(family: Family, vectors: Values) -> tuple[Values, Values]:
    """Parameters and shares of variance, by the one search that modes and random modes are compared by; 0 of a constant."""
    centred = vectors - vectors.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > FLAT * np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=varies)
    grid = family.grid(vectors.shape[1])
    theta, r2 = projected(family.columns, grid, unit, searched=family.searched, starts=family.starts, settled=ENOUGH)
    return theta, np.where(varies[:, 0], np.minimum(r2, 1.0), 0.0)


def _reading(place: int, row: Values, fits: tuple[Fit, ...]) -> ModeReading:
    beating = {i: fit.charged for i, fit in enumerate(fits) if fit.charged is not None and (fit.p or 1.0) * len(fits) <= LEVEL}
    if not beating:
        return ModeReading(place, row, fits, None, f"mode {place}: no curve fits it better than random modes are fitted")
    best = min(beating, key=lambda i: beating[i])
    return ModeReading(place, row, fits, best, f"mode {place}: {fits[best].status}")


def _column(rows: Values, axis: InputAxis, family: Family, beside: list[Null], *, backwards: bool) -> list[Fit]:
    """One family on all modes, from the end where its curves begin."""
    rows = rows[:, ::-1] if backwards else rows
    scaled = _scaled_rows(rows)
    theta, r2 = _searched(family, scaled)
    fits = [
        _fit(row, unit, start, axis, family, null, null.p(float(reached)))
        for row, unit, start, reached, null in zip(rows, scaled, theta, r2, beside, strict=True)
    ]
    return [replace(fit, curve=fit.curve[::-1]) for fit in fits] if backwards else fits


def _scaled_rows(rows: Values) -> Values:
    """Rows with a largest entry of 1, so that neither tiny nor huge ones meet a threshold; zero stays zero."""
    largest = np.abs(rows).max(1, keepdims=True)
    scaled: Values = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    return scaled


def _fit(row: Values, unit: Values, start: Values, axis: InputAxis, family: Family, beside: Null, p: float) -> Fit:
    n = row.size
    if np.linalg.norm(unit - unit.mean()) <= FLAT * np.linalg.norm(unit):
        return Fit(family.name, None, None, (), np.zeros(0), beside, None, "constant up to rounding: nothing to fit")
    found = _scaled(solved(family.columns, family.grid(n), unit, start, searched=family.searched), float(np.abs(row).max()))
    charged = n * math.log(max(1 - found.r2, EXACT)) + family.freedom * math.log(n)
    beyond = f"one {beside.what} in twenty exceeds {beside.high:.2f} (p = {p:.2g})"
    said = f"{family.name} explains {found.r2:.2f} of the variance; {beyond}"
    if found.edge:
        said += "; a parameter lies at the end of the range that was searched"
    return Fit(family.name, found.r2, charged, family.parameters(found, axis), found.curve, beside, p, said)


def _scaled(found: Solution, scale: float) -> Solution:
    """The solution for the vector times `scale`."""
    units = np.concatenate([np.full(found.coefficients.size, scale), np.ones(found.theta.size)])
    covariance = found.covariance
    if covariance is not None:
        known = units[: covariance.shape[0]]  # without theta where it is not searched
        covariance = covariance * np.outer(known, known)
    return replace(found, coefficients=found.coefficients * scale, covariance=covariance, curve=found.curve * scale)


def _given(random: ArrayLike, rows: Values) -> Values:
    drawn = np.asarray(random, dtype=np.float64)
    if drawn.ndim != 3 or drawn.shape[1:] != rows.shape:
        raise UsageError(f"random: expected shape (draws, {rows.shape[0]}, {rows.shape[1]}) beside these modes, got {drawn.shape}.")
    if not np.isfinite(drawn).all():
        raise UsageError(f"random: expected finite modes, got {int((~np.isfinite(drawn)).sum())} entries that are not.")
    return drawn


def _space(span: ArrayLike, n: int) -> Values:
    rows = finite_matrix(span, "span")
    if rows.shape[1] != n or rows.shape[0] > n:
        raise UsageError(f"span: expected at most {n} rows of {n} inputs, got shape {rows.shape}.")
    if np.abs(rows @ rows.T - np.eye(rows.shape[0])).max() > ORTHONORMAL:
        raise UsageError(f"span: expected orthonormal rows, got shape {rows.shape} of others. Take rows of vh.")
    return rows
