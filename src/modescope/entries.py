"""What one pass over the entries of a matrix says: mean, spread, extremes, empty rows, and the error of its storage."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array

CHUNK = 1 << 16  # entries looked at together: 512 kB in float64, so that all sweeps over a chunk but the first stay in the cache
EXPONENT = np.uint64(0x7FF0000000000000)  # of a float64: what is left is the power of two at or below the number


@dataclass(frozen=True)
class Entries:
    """Moments and extremes of the entries of a matrix (out, in), all in float64.

    Attributes:
        count: Number of entries.
        finite: How many are neither NaN nor infinite; the numbers below mean nothing unless all are.
        mean: Mean entry.
        std: Standard deviation about that mean (divided by the count).
        extreme: Largest modulus of an entry less the mean.
        kurtosis: Excess kurtosis about the mean; 0 for a Gaussian and where all entries are equal.
        zero_rows: Rows of exact zeros.
        zero_columns: Columns of exact zeros.
        rounding: About the spectral norm of independent rounding errors of the storage, as expected at most,
            `max_i sqrt(sum_j d_ij^2) + max_j sqrt(sum_i d_ij^2)` with `d_ij^2 = ulp(w_ij)^2 / 12`
            (Bandeira & van Handel 2016, doi:10.1214/15-AOP1025, up to their logarithmic term).
    """

    count: int
    finite: int
    mean: float
    std: float
    extreme: float
    kurtosis: float
    zero_rows: int
    zero_columns: int
    rounding: float


def survey(a: Array) -> Entries:
    """Measure the entries of a matrix in one sweep, chunk by chunk, in float64.

    Args:
        a: (out, in), any real floating dtype; never written to.

    Returns:
        `Entries`. Moments are accumulated about the mean of the first chunk, so that a large common shift costs no digits, and
        in units of a power of two near the largest entry, so that neither 1e200 nor 1e-200 leaves the range of a square.
    """
    count = int(np.prod(a.shape, dtype=np.int64))
    if count == 0:
        raise ValueError(f"survey: expected a matrix with entries, got shape {a.shape}.")
    unit = _unit(a)
    floor = _smallest_normal(a.dtype) / unit
    filled = np.zeros(a.shape[0]), np.zeros(a.shape[1])  # sums of powers of two: zero where a row or column is
    squares = np.zeros(a.shape[0]), np.zeros(a.shape[1])  # sums of their squares
    sums = np.zeros(5)  # of powers 0..4 of the entry less the shift
    low, high, shift, finite = math.inf, -math.inf, 0.0, 0
    power = np.empty(0)  # kept from chunk to chunk: fresh memory costs as much as the sweep that fills it
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for (rows, columns), x in _chunks(a):
            if unit != 1.0:
                x /= unit
            total = float(x.sum())
            finite += x.size if math.isfinite(total) else int(np.isfinite(x).sum())
            low, high = min(low, float(x.min())), max(high, float(x.max()))
            if power.shape != x.shape:
                power = np.empty_like(x)
            np.bitwise_and(x.view(np.uint64), EXPONENT, out=power.view(np.uint64))
            ones = np.ones(x.shape[1]), np.ones(x.shape[0])
            filled[0][rows] += power @ ones[0]
            filled[1][columns] += ones[1] @ power
            if floor > 1e-30:  # fp16 and the 8-bit floats: numbers below the smallest normal one are evenly spaced
                np.maximum(power, floor, out=power)
            power *= power
            squares[0][rows] += power @ ones[0]
            squares[1][columns] += ones[1] @ power
            shift = total / x.size if not sums[0] else shift
            x -= shift
            flat, square = x.ravel(order="K"), np.multiply(x, x, out=power).ravel(order="K")
            sums += np.array([x.size, flat.sum(), square.sum(), square @ flat, square @ square])
    if finite < count:
        return Entries(count, finite, math.nan, math.nan, math.nan, math.nan, 0, 0, math.nan)
    mean, std, kurtosis = _moments(sums, max(abs(low), abs(high)))
    ulp = _epsilon(a.dtype) / math.sqrt(12) * unit
    return Entries(
        count=count,
        finite=finite,
        mean=(shift + mean) * unit,
        std=std * unit,
        extreme=max(high - shift - mean, shift + mean - low) * unit,
        kurtosis=kurtosis,
        zero_rows=int((filled[0] == 0).sum()),
        zero_columns=int((filled[1] == 0).sum()),
        rounding=ulp * float(np.sqrt(squares[0].max()) + np.sqrt(squares[1].max())),
    )


def _chunks(a: Array) -> Iterator[tuple[tuple[slice, slice], NDArray[np.float64]]]:
    """Float64 copies of pieces of `a`, cut along its slow axis, each with its place in `a`; the buffer is used again."""
    flip = abs(a.strides[0]) < abs(a.strides[1])  # Fortran order: walk through columns
    b = a.T if flip else a
    wide = min(b.shape[1], CHUNK)
    tall = max(1, CHUNK // wide)
    buffer = np.empty((min(tall, b.shape[0]), wide))
    for top in range(0, b.shape[0], tall):
        for left in range(0, b.shape[1], wide):
            piece = b[top : top + tall, left : left + wide]
            place = slice(top, top + piece.shape[0]), slice(left, left + piece.shape[1])
            x = buffer if piece.shape == buffer.shape else np.empty(piece.shape)
            np.copyto(x, piece, casting="unsafe")
            yield ((place[1], place[0]), x.T) if flip else (place, x)


def _unit(a: Array) -> float:
    """1, but for float64 a power of two near the largest entry: only there can a square leave the range of numbers."""
    if a.dtype != np.float64:
        return 1.0
    peak = max(float(a.max()), -float(a.min()))
    return math.ldexp(1.0, max(-1000, min(1000, math.frexp(peak)[1]))) if 0 < peak < math.inf else 1.0


def _moments(sums: NDArray[np.float64], peak: float) -> tuple[float, float, float]:
    """Mean, standard deviation and excess kurtosis from sums of powers 0 to 4; a spread that float64 cannot resolve is none."""
    count, first, second, third, fourth = (float(value) for value in sums)
    m = first / count
    variance = max(second / count - m * m, 0.0)
    if math.sqrt(variance) <= 1e-16 * peak:
        return m, 0.0, 0.0
    central = fourth / count - 4 * m * third / count + 6 * m * m * second / count - 3 * m**4
    return m, math.sqrt(variance), central / variance**2 - 3.0


def _epsilon(dtype: np.dtype[Any]) -> float:
    return float(ml_dtypes.finfo(dtype).eps)


def _smallest_normal(dtype: np.dtype[Any]) -> float:
    return float(ml_dtypes.finfo(dtype).smallest_normal)
