"""The difference of two checkpoints as a matrix of its own: its spectrum, and what of it rounding and noise explain."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from modescope import twins
from modescope.errors import MatrixError
from modescope.laws import noise
from modescope.matrix import Array, Blocks, Convolution, Matrix, Operand, Product
from modescope.measures import measures
from modescope.outliers import live
from modescope.spectrum import Spectrum, decompose
from modescope.svd import Engine, Values

LOW_RANK = 0.25  # share of the short side up to which a difference without a noise bulk is written by its rank alone
MARGIN = 1.1  # on the norm of rounding errors: by Tracy & Widom's law it scatters some m**(-2/3) of itself about its mean
UNFORMED = 1e-15  # rounding of the difference of two products, over the sum of their norms


@dataclass(frozen=True, eq=False)
class Difference:
    """`later - earlier` of one matrix.

    Attributes:
        shape: (out, in).
        s: (k,) its singular values, descending.
        measures: Result of each measure by name.
        relative_spectral: Its spectral norm over that of the earlier matrix; None where that is zero.
        relative_frobenius: The same of the Frobenius norm.
        rounding: About the spectral norm of what independent rounding to the stored dtypes adds to it, with a margin. Weights on
            a grid of their own, or all in one power of two, are rounded alike, which may add half as much again.
        rounding_sigma: Standard deviation of that rounding in one entry, about `eps / sqrt(12)` times the size of the weights.
        rank: Modes above `rounding`, and above the accuracy of their computation; 0 where only the stored type changed.
        outliers: Modes that stand above the noise of the difference, or all of them where the rest is rounding.
        outliers_by: How they were counted; where `outliers` is None, why there is no count.
        retyped: Rounded to the narrower of the two stored types, the weights are the same.
    """

    shape: tuple[int, int]
    s: Values
    measures: Mapping[str, Any]
    relative_spectral: float | None
    relative_frobenius: float | None
    rounding: float
    rounding_sigma: float
    rank: int
    outliers: int | None
    outliers_by: str
    retyped: bool = False

    @property
    def identical(self) -> bool:
        """Nothing changed."""
        return not self.s.size or float(self.s[0]) == 0.0

    @property
    def twin(self) -> Values | None:
        """No null twin is kept of a difference."""
        return None

    @property
    def twin_kind(self) -> str:
        """See `twin`."""
        return ""


def matrix(before: Matrix, after: Matrix) -> Matrix:
    """The matrix that reads `after - before` when it is read; both are in memory only then."""
    stored = before.stored if before.stored == after.stored else f"{before.stored} and {after.stored}"
    return Matrix(
        before.tensor, before.view, before.shape, stored, partial(_subtracted, before, after), before.kind, parts=before.parts
    )


def difference(
    before: Matrix, after: Matrix, known: tuple[Spectrum, Spectrum], bound: Mapping[str, Mapping[str, Any]], *, engine: Engine
) -> tuple[Difference, Spectrum]:
    """Decompose and measure the difference.

    Args:
        before: The earlier matrix.
        after: The later one, of the same shape.
        known: Spectra of both.
        bound: Options of every measure.
        engine: As for `decompose`.

    Returns:
        What is known of it, and its spectrum.

    Raises:
        MatrixError: The two are no matrices that can be subtracted, or the difference is not finite.
    """
    norms = [float(spectrum.s[0]) if spectrum.s.size else 0.0 for spectrum in known]
    unformed = UNFORMED * sum(norms) if any(spectrum.entries is None for spectrum in known) else 0.0
    formed = math.hypot(*(s.entries.rounding if s.entries is not None else 0.0 for s in known))
    rounding = max(MARGIN * formed, unformed)
    spectrum = decompose(matrix(before, after), engine=engine)
    if spectrum.entries is not None:  # the rounding is that of the stored weights, not that of their difference
        spectrum = replace(spectrum, entries=replace(spectrum.entries, rounding=max(rounding, spectrum.entries.rounding)))
    results = {name: measure.analyze(spectrum, **bound[name]) for name, measure in measures().items()}
    floor = max(rounding, spectrum.tolerance)
    zero = not spectrum.s.size or spectrum.s[0] == 0
    narrow = None if zero else _retyped(before, after)
    rank = 0 if narrow else int((spectrum.s > floor).sum())
    if narrow:
        outliers: int | None = 0
        by = f"only the stored type changed: rounded to {narrow}, the weights are the same"
    else:
        outliers, by = _outliers(results["bulk"], rank, min(spectrum.matrix.shape), zero=bool(zero))
        if outliers and results["bulk"].outliers is not None and results["bulk"].fit_ratio > 1:
            outliers, by = _beside_twins(spectrum, results["bulk"], by, **bound["bulk"])
    frobenius = float(np.linalg.norm(known[0].s / norms[0])) * norms[0] if norms[0] else 0.0
    own = results["norms"]
    return (
        Difference(
            shape=spectrum.matrix.shape,
            s=spectrum.s,
            measures=results,
            relative_spectral=own.spectral / norms[0] if norms[0] and own.spectral is not None else None,
            relative_frobenius=own.frobenius / frobenius if frobenius and own.frobenius is not None else None,
            rounding=rounding,
            rounding_sigma=max(formed, unformed) / sum(math.sqrt(side) for side in spectrum.matrix.shape),
            rank=rank,
            outliers=outliers,
            outliers_by=by,
            retyped=narrow is not None,
        ),
        spectrum,
    )


def _outliers(bulk: Any, rank: int, short: int, *, zero: bool) -> tuple[int | None, str]:
    if zero:
        return 0, "the weights are identical"
    if bulk.outliers is not None:
        return bulk.outliers, f"above the edge of its noise ({bulk.calibration})"
    if rank <= LOW_RANK * short:
        return rank, "all above the rounding of the stored weights: the rest of the difference is zero to that precision"
    return None, bulk.status


def _beside_twins(spectrum: Spectrum, bulk: Any, by: str, *, level: float, tests: int, seed: int) -> tuple[int, str]:
    """Modes above the noise of twins with random signs, too: these keep the scales of rows and columns, which raise the edge."""
    part = live(spectrum)
    assert not isinstance(part, str)  # a bulk was fitted
    factor = twins.inflation(spectrum, part, twins.flipped, draws=twins.DRAWS, seed=seed, level=level / tests)
    count = noise.count(part.values, part.n, bulk.sigma / part.unit, level=level / tests, inflation=factor)
    if count >= bulk.outliers:
        return bulk.outliers, by
    return count, f"above the edge of its noise ({twins.DRAWS} twins with random signs; {bulk.outliers} by {bulk.calibration})"


def _retyped(before: Matrix, after: Matrix) -> str | None:
    """The narrower of two stored types, where rounding to it makes the weights the same."""
    if before.stored == after.stored:
        return None
    a, b = _parts(before.read()), _parts(after.read())
    if a[0] != b[0] or len(a) != len(b):
        return None
    with np.errstate(over="ignore", under="ignore"):
        for one, two, stored in ((a, b, after.stored), (b, a, before.stored)):
            if all(_equal(x.astype(y.dtype), y) for x, y in zip(one[1:], two[1:], strict=True)):
                return stored
    return None


def _parts(operand: Operand) -> tuple[Any, ...]:
    """What is no array, and the arrays."""
    match operand:
        case Product():
            return operand.scale, operand.left, operand.right
        case Blocks():
            return None, operand.blocks
        case Convolution():
            return _geometry(operand)[1:], operand.kernel
        case _:
            return None, operand


def _subtracted(before: Matrix, after: Matrix) -> Operand:
    a, b = before.read(), after.read()
    match a, b:
        case Product(), Product() if a.scale == b.scale and _equal(a.left, b.left) and _equal(a.right, b.right):
            return replace(b, scale=0.0)  # exactly: the difference of equal products below would leave rounding
        case Product(), Product():
            left = np.concatenate([b.scale * _double(b.left), -a.scale * _double(a.left)], axis=1)
            return Product(left, np.concatenate([_double(b.right), _double(a.right)], axis=0))
        case Blocks(), Blocks() if a.blocks.shape == b.blocks.shape:
            return Blocks(_minus(b.blocks, a.blocks))
        case Convolution(), Convolution() if _geometry(a) == _geometry(b):
            return replace(b, kernel=_minus(b.kernel, a.kernel))
        case np.ndarray() | Product(), np.ndarray() | Product():
            return _minus(_formed(b), _formed(a))
        case _:
            raise MatrixError(f"{before}: cannot be subtracted from a matrix that is held in another form.")


def _formed(operand: Array | Product) -> Array:
    if isinstance(operand, Product):
        return operand.scale * (_double(operand.left) @ _double(operand.right))
    return operand


def _minus(b: Array, a: Array) -> Array:
    """In float32, where the difference of close numbers is exact, unless one of them is stored in float64."""
    wide = np.float64 if np.float64 in (a.dtype, b.dtype) else np.float32
    if a.shape != b.shape:
        raise MatrixError(f"expected one shape, read {a.shape} and {b.shape}.")
    return np.subtract(b, a, dtype=wide) if a.dtype == b.dtype == wide else b.astype(wide) - a.astype(wide)


def _geometry(w: Convolution) -> tuple[object, ...]:
    return w.kernel.shape, w.grid, w.stride, w.dilation, w.groups


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool((a == b).all())


def _double(a: Array) -> Array:
    return np.asarray(a, dtype=np.float64)
