"""What a measure draws from, and how arrays are cut to what a picture can show before they become blocks."""

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.blocks import Cell, Numbers
from modescope.quantity import quantities

Values = NDArray[np.float64]

WHOLE = 1e15  # whole numbers below are written with all their digits
SHORT = "%.3e"  # four significant digits of a drawn number
VISIBLE = 1e-6  # of the largest singular value
POINTS = 96  # of measured values in a curve
SMOOTH = 40  # points of a law
SMALL = 32  # points of a small picture


class Kept(Protocol):
    """What is kept of a spectrum when its matrix is gone."""

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""

    @property
    def s(self) -> Values:
        """Singular values, descending."""

    @property
    def twin(self) -> Values | None:
        """Singular values of a null twin, descending, or None."""

    @property
    def twin_kind(self) -> str:
        """What its entries are."""


def numbers(values: ArrayLike) -> Numbers:
    """Plain numbers at the precision of a picture; what is not finite is missing."""
    return tuple(map(number, np.asarray(values, dtype=np.float64).tolist()))


def number(value: float) -> float | None:
    """One number at the precision of a picture, None where it is not finite."""
    short = float(SHORT % value)
    if abs(short) < WHOLE and short.is_integer():
        return int(short)  # "1" and not "1.0" in the saved form
    return short if math.isfinite(short) else None


def thinned(size: int, limit: int = POINTS) -> NDArray[np.int64]:
    """Indices of at most `limit` of `size` values in order: all of the first quarter of the limit, then ever fewer."""
    if size <= limit:
        return np.arange(size)
    dense = limit // 4
    rest = np.geomspace(dense, size - 1, limit - dense)
    return np.unique(np.concatenate([np.arange(dense), np.round(rest).astype(np.int64)]))


def spread(size: int, limit: int = SMOOTH) -> NDArray[np.int64]:
    """Indices of at most `limit` of `size` values in order, dense at both ends, where the spectrum of noise is steep."""
    angles = np.linspace(0, np.pi, min(size, limit))
    return np.unique(np.round((1 - np.cos(angles)) / 2 * (size - 1)).astype(np.int64))


def small(s: Values) -> Numbers:
    """Common logarithms of singular values at even ranks, the largest first, for a small picture; what is rounding is missing."""
    if not s.size:
        return ()
    taken = s[np.linspace(0, s.size - 1, min(s.size, SMALL)).round().astype(np.int64)]
    return tuple(None if value <= VISIBLE * s[0] else number(math.log10(value)) for value in taken.tolist())


def shares(values: Values, edges: Values, total: int) -> Numbers:
    """Share of `total` values in each bin."""
    counts, _ = np.histogram(values, edges)
    return numbers(counts / max(total, 1))


def drawn(s: Values) -> Values:
    """The singular values that a logarithmic axis can show beside the largest; the others are rounding, and would squeeze it."""
    return s[s > VISIBLE * s[0]] if s.size else s


def described(name: str, result: object) -> Iterator[tuple[Cell, ...]]:
    """Rows for a table of numbers: each that a measure's result has, its unit and what it means."""
    for key, about in quantities(type(result)).items():
        value = getattr(result, key)
        if isinstance(value, int | float):
            yield f"{name}.{key}", value, about.unit, about.meaning


def missing(name: str, result: object) -> Iterator[str]:
    """The numbers that a measure's result has not."""
    yield from (f"{name}.{key}" for key in quantities(type(result)) if getattr(result, key) is None)
