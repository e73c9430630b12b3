"""The modes of a matrix, and the one convention every part of Modescope keeps.

- `W` is (out, in) and acts as `y = W x`. `W = u @ diag(s) @ vh`. Columns of `u` are output directions, **rows of `vh` are input
  directions**. Mode 0 has the largest singular value.
- `s` is descending, float64 and never scaled. A law that needs `s**2 / n` writes it where the formula stands.
- Sign rule: the entry of largest modulus in each column of `u` is positive, the first one where two tie; `vh` follows.
- Values closer than `1e-6 * s[0]` form a group: its subspace means something, the single vectors inside do not.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from modescope.entries import Entries, survey
from modescope.errors import MatrixError, UsageError
from modescope.matrix import Array, Blocks, Convolution, Matrix, Operand, Product
from modescope.svd import Engine, Factors, Values
from modescope.svd.blocks import blocks
from modescope.svd.convolution import convolution
from modescope.svd.krylov import krylov
from modescope.svd.policy import exact
from modescope.svd.product import product

DEGENERATE = 1e-6  # relative gap below which neighbouring modes are one subspace
KRYLOV_SHARE = 0.05  # share of the modes up to which the Krylov method is the cheaper one


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Singular values of one matrix, and its vectors where they were asked for.

    Attributes:
        matrix: The matrix it belongs to.
        s: (k,) singular values, descending, float64, in units of the weights; k = min(out, in) where `complete`
            (r for a product through a space of r dimensions, the number of all blocks' values for a block-diagonal one).
        u: (out, k) output directions, or None.
        vh: (k, in) input directions, or None.
        entries: What the entries themselves say; None for an operand that is never formed.
        engine: How the values were computed, as a phrase.
        floor: Values below `floor * s[0]` are rounding of the algorithm, not of the storage.
        complete: False where only the largest values were computed.
        note: A sentence for the row, or empty.
    """

    matrix: Matrix
    s: Values
    u: Values | None = None
    vh: Values | None = None
    entries: Entries | None = None
    engine: str = ""
    floor: float = 0.0
    complete: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        for array in (self.s, self.u, self.vh):
            if array is not None:
                array.flags.writeable = False

    @property
    def tolerance(self) -> float:
        """Values at or below this cannot be told from zero: the rounding edge of the storage or the algorithm's floor."""
        top = float(self.s[0]) if self.s.size else 0.0
        return max(self.entries.rounding if self.entries is not None else 0.0, self.floor * top)

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges `(start, stop)` of modes whose neighbouring values differ by less than `DEGENERATE * s[0]`."""
        if not self.s.size:
            return ()
        cuts = np.flatnonzero(self.s[:-1] - self.s[1:] >= DEGENERATE * self.s[0]) + 1 if self.s[0] > 0 else np.array([], int)
        edges = [0, *(int(cut) for cut in cuts), int(self.s.size)]
        return tuple(pairwise(edges))


def decompose(matrix: Matrix, /, *, vectors: bool = False, k: int | None = None, engine: Engine = exact) -> Spectrum:
    """Read one matrix and take its singular values.

    Args:
        matrix: Where the numbers are; they are read here and let go on return.
        vectors: Also return the vectors.
        k: Only the k largest modes, k >= 1; by default all.
        engine: A function from `svd` for matrices that are formed. Products, blocks and convolution operators have their own.

    Returns:
        `Spectrum`. Every value above `1e-5 * s[0]` agrees with a float64 LAPACK SVD to 1e-6 relative, whichever engine ran.

    Raises:
        MatrixError: No entries, an unexpected shape, entries that are not finite or not real, or no driver converged; the message
            names tensor and view.
        UsageError: `k` is below 1.
    """
    if k is not None and k < 1:
        raise UsageError(f"decompose: expected k, the number of modes, at least 1, got {k}.")
    operand = matrix.read()
    entries: Entries | None = None
    if isinstance(operand, Product | Blocks | Convolution):
        _check_parts(matrix, operand)
    else:
        entries = _check(matrix, operand)
    try:
        found = _factors(operand, entries, vectors, k, engine)
    except np.linalg.LinAlgError as error:
        raise MatrixError(f"{matrix}: no driver converged ({error}).") from error
    except MatrixError as error:
        raise MatrixError(f"{matrix}: {error}") from error
    s, u, vh = found.s, found.u, found.vh
    complete = found.complete
    if k is not None and k < s.size:
        s, u, vh, complete = s[:k], None if u is None else u[:, :k], None if vh is None else vh[:k], False
    if u is not None and vh is not None:
        u, vh = signed(u, vh)
    u, vh = (None if x is None else np.ascontiguousarray(x) for x in (u, vh))
    return Spectrum(matrix, np.ascontiguousarray(s), u, vh, entries, found.engine, found.floor, complete, matrix.note)


def signed(u: Values, vh: Values) -> tuple[Values, Values]:
    """Apply the sign rule: the entry of largest modulus in each column of `u`, the first where two tie, becomes positive."""
    if u.shape[0] == 0:
        return u, vh
    high, low = u.max(axis=0), -u.min(axis=0)  # several times cheaper than to look for the place of the largest modulus
    sign = np.where(high >= low, 1.0, -1.0)
    for tie in np.flatnonzero(high == low):
        sign[tie] = -1.0 if u[np.argmax(np.abs(u[:, tie])), tie] < 0 else 1.0
    return u * sign, vh * sign[:, None]


def _factors(operand: Operand, entries: Entries | None, vectors: bool, k: int | None, engine: Engine) -> Factors:
    if isinstance(operand, Product):
        return product(operand, vectors=vectors)
    if isinstance(operand, Blocks):
        return blocks(operand, vectors=vectors)
    if isinstance(operand, Convolution):
        if vectors:
            raise MatrixError(
                "vectors of a convolution operator live on the whole grid and are not offered; ask for the unfolding."
            )
        return convolution(operand)
    if k is not None and k <= KRYLOV_SHARE * min(operand.shape):
        try:
            return krylov(operand, k, vectors=vectors)
        except np.linalg.LinAlgError as error:
            full = engine(operand, vectors=vectors)
            return replace(full, engine=f"{full.engine} (all modes, as {error})")
    assert entries is not None
    if engine is exact:
        return exact(operand, vectors=vectors, rounding=entries.rounding)
    return engine(operand, vectors=vectors)


def _check(matrix: Matrix, a: Array) -> Entries:
    """Look once at the entries, so that nothing to the right checks again."""
    if a.shape != matrix.shape:
        raise MatrixError(f"{matrix}: expected shape {matrix.shape}, read {a.shape}. Stored transposed?")
    if 0 in a.shape:
        raise MatrixError(f"{matrix}: no entries, shape {a.shape}.")
    if not np.can_cast(a.dtype, np.float64, "same_kind") and a.dtype.kind != "V":
        raise MatrixError(f"{matrix}: expected real floating-point entries, read {a.dtype}.")
    entries = survey(a)
    if entries.finite < entries.count:
        raise MatrixError(f"{matrix}: {entries.count - entries.finite} of {entries.count} entries are not finite.")
    return entries


def _check_parts(matrix: Matrix, operand: Product | Blocks | Convolution) -> None:
    """The same for a matrix that is not formed: its parts fit together, make the declared shape, and are finite."""
    parts: tuple[Array, ...]
    match operand:
        case Product():
            parts = (operand.left, operand.right)
            shape = (operand.left.shape[0], operand.right.shape[1])
            if operand.left.shape[1] != operand.right.shape[0]:
                raise MatrixError(f"{matrix}: factors of shapes {operand.left.shape} and {operand.right.shape} do not multiply.")
        case Blocks():
            parts = (operand.blocks,)
            count, out, inn = operand.blocks.shape
            shape = (count * out, count * inn)
        case Convolution():
            parts = (operand.kernel,)
            positions = math.prod(operand.grid)
            outputs = math.prod(n // t for n, t in zip(operand.grid, operand.stride, strict=True))
            shape = (operand.kernel.shape[0] * outputs, operand.kernel.shape[1] * operand.groups * positions)
    if shape != matrix.shape:
        raise MatrixError(f"{matrix}: expected shape {matrix.shape}, read parts that make {shape}.")
    for part in parts:
        if not part.size:
            raise MatrixError(f"{matrix}: no entries, shape {part.shape}.")
        bad = part.size - int(np.isfinite(part.astype(np.float64)).sum())
        if bad:
            raise MatrixError(f"{matrix}: {bad} of {part.size} entries are not finite.")
