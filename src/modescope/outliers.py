"""Which values of a spectrum noise cannot explain, by theory alone: the part of a matrix to judge, and the fit of its noise."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from modescope.laws import marchenko_pastur, noise
from modescope.matrix import Array, Blocks, Convolution, Matrix, Product
from modescope.spectrum import Spectrum
from modescope.svd import Values

RANGE = (1e-150, 1e150)  # of a singular value whose square is a number
SPARE, SPARE_SHARE = 3, 0.02  # values below the tolerance, beyond those noise puts there, that are not yet a rank defect


@dataclass(frozen=True, eq=False)
class Live:
    """The part of a matrix outside its rows and columns of exact zeros.

    Attributes:
        values: (m,) eigenvalues `(s / unit)**2`, descending; `unit` is the largest singular value, so that nothing underflows.
        unit: See `values`.
        out: Rows that are not empty.
        in_: Columns that are not empty.
        mean: Mean entry.
        std: Standard deviation of its entries.
        extreme: Largest modulus of an entry less the mean.
        kurtosis: Excess kurtosis of its entries.
    """

    values: Values
    unit: float
    out: int
    in_: int
    mean: float
    std: float
    extreme: float
    kurtosis: float

    @property
    def n(self) -> int:
        """Long side."""
        return max(self.out, self.in_)

    @property
    def m(self) -> int:
        """Short side, the number of `values`."""
        return min(self.out, self.in_)


def live(spectrum: Spectrum) -> Live | str:
    """The part of a matrix that noise may be a model for, or a sentence why there is none.

    Empty rows and columns are atoms at zero in the spectrum: left in, they would pull every estimate of the noise down.
    """
    entries, s = spectrum.entries, spectrum.s
    if entries is None:
        return _never_formed(spectrum.matrix)
    if not s.size or s[0] == 0.0:
        return "zero matrix"
    if not spectrum.complete:
        return f"only the {s.size} largest of {min(spectrum.matrix.shape)} values were computed: the noise below them is not known"
    if entries.std == 0.0:
        return "all entries are equal: rank 1 and no noise"
    out, in_ = spectrum.matrix.shape[0] - entries.zero_rows, spectrum.matrix.shape[1] - entries.zero_columns
    n, m = max(out, in_), min(out, in_)
    if m == 1:
        return "rank 1 by shape: no Marchenko-Pastur verdict"
    if m < noise.SMALLEST:
        return f"short side {m}, {noise.SMALLEST} needed for a Marchenko-Pastur verdict"
    rank = int((s[:m] > spectrum.tolerance).sum())
    if m - rank > marchenko_pastur.WINDOW[0] * m:
        return _rank_defect(rank, m)
    unit = float(s[0])
    if not RANGE[0] < unit < RANGE[1]:
        return f"largest value {unit:.2g}: the squares of such values leave the range of floating-point numbers"
    # moments of all entries to those of the live ones: the sums stay, the count shrinks
    share = n * m / entries.count
    if share == 1.0:
        mean, std, kurtosis = entries.mean, entries.std, entries.kurtosis
    else:
        mean, kurtosis = entries.mean / share, (entries.kurtosis + 3) * share - 3
        std = math.sqrt(max((entries.std**2 + entries.mean**2) / share - mean**2, 0.0))
    return Live((s[:m] / unit) ** 2, unit, out, in_, mean, std, entries.extreme, kurtosis)


def fit(spectrum: Spectrum, part: Live, *, level: float) -> noise.Noise | str:
    """Noise and outliers of the live part, in units of `part.unit`, or a sentence: it has too low a rank to be noise."""
    tolerance = (spectrum.tolerance / part.unit) ** 2
    missing = int((part.values <= tolerance).sum())
    sigma = marchenko_pastur.scale(part.values[::-1], part.n)
    expected = part.m * float(marchenko_pastur.cdf(tolerance / (part.n * sigma**2), part.m / part.n))
    if missing > SPARE + SPARE_SHARE * part.m + expected:
        return _rank_defect(part.m - missing, part.m)
    found = noise.fit(part.values, part.n, level=level)
    if found.outliers > part.m - found.m:
        return f"fewer than {noise.LEAST} of {part.m} values lie below the outliers: no noise bulk"
    return found


def live_entries(matrix: Matrix, part: Live) -> NDArray[np.float32] | NDArray[np.float64]:
    """A copy of a matrix without its rows and columns of zeros, in float32, or in float64 where it is stored so."""
    a = matrix.read()
    assert isinstance(a, np.ndarray)  # a part has entries, so the matrix is formed
    if a.shape != (part.out, part.in_):
        filled = a != 0
        a = a[filled.any(axis=1)][:, filled.any(axis=0)]
    return a.astype(np.float64) if a.dtype == np.float64 else a.astype(np.float32)


def centred(matrix: Matrix, part: Live) -> Matrix:
    """The live part of a matrix less its mean entry, as a matrix."""
    return replace(matrix, shape=(part.out, part.in_), read=partial(_centred, matrix, part))


def _centred(matrix: Matrix, part: Live) -> Array:
    return live_entries(matrix, part).astype(np.float64) - part.mean


def _rank_defect(rank: int, m: int) -> str:
    return f"rank {rank} of {m}: no noise bulk"


def _never_formed(matrix: Matrix) -> str:
    match matrix.read():
        case Blocks() as operand if 1 in operand.blocks.shape[1:]:
            return "rank 1 by shape: no Marchenko-Pastur verdict"
        case Blocks():
            return "block-diagonal: its values are those of several matrices, no Marchenko-Pastur verdict"
        case Product() as operand:
            return f"a product of rank {operand.left.shape[1]}: no noise bulk"
        case Convolution():
            return "a convolution operator: its values are shared between frequencies, no Marchenko-Pastur verdict"
        case _:
            return "its entries were not looked at: no Marchenko-Pastur verdict"
