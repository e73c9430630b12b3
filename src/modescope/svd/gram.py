"""Singular values by the float64 Gram matrix of the short side: float64 accuracy for the price of float32.

The relative error of `s_i` at `r = s_i / s_1` is about `1e-17 / r**2`: 1e-6 at r = 3e-6, noise at 1e-8. A Gram matrix in float32
is never formed: it would lose half the digits of every value.
"""

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array
from modescope.svd import Factors
from modescope.svd._tall import double, pieces, scale, tall

FLOOR = 3e-8  # where the error law reaches 1 %
SAFE = 3e-6  # where it reaches 1e-6
CLEAN = 3e-2  # above it the long side comes out orthogonal to 1e-12 by itself


def gram(a: Array, /, *, vectors: bool = False) -> Factors:
    """Decompose by the eigenvalues of the smaller Gram matrix.

    Args:
        a: (out, in), finite, any real dtype.
        vectors: Also compute all vectors: `eigh` for the short side, one product for the long side. Vectors of values below
            `SAFE * s[0]` are not trustworthy on this route; `policy.exact` turns to LAPACK there.

    Returns:
        `Factors` with `floor` 3e-8. Negative rounding in the eigenvalues is clipped to zero.

    Raises:
        numpy.linalg.LinAlgError: The eigenvalue iteration did not converge.
    """
    b = tall(a)
    factor = scale(b)
    g = _gram(b, factor)
    if not vectors:
        return Factors(_roots(np.linalg.eigvalsh(g)) / factor, None, None, "float64 Gram", FLOOR)
    squares, short = np.linalg.eigh(g)
    del g
    s, short = _roots(squares), np.ascontiguousarray(short[:, ::-1])
    long = double(b, factor=factor) @ short
    long /= np.where(s > 0, s, 1.0)
    _straighten(long, int((s >= CLEAN * s[0]).sum()))
    u, vh = (long, short.T) if b is a else (short, long.T)
    return Factors(s / factor, u, vh, "float64 Gram", FLOOR)


def _gram(b: Array, factor: float) -> NDArray[np.float64]:
    """`b.T @ b` times `factor**2`, summed over row blocks; NumPy sees the transpose and calls the symmetric product."""
    g: NDArray[np.float64] | None = None
    part: NDArray[np.float64] | None = None
    for block in pieces(b, factor=factor):
        if g is None:
            g = block.T @ block
        else:
            part = np.matmul(block.T, block, out=part)
            g += part
    assert g is not None
    return g


def _roots(squares: Array) -> NDArray[np.float64]:
    roots: NDArray[np.float64] = np.sqrt(np.clip(squares[::-1], 0.0, None))
    return roots


def _straighten(long: NDArray[np.float64], clean: int) -> None:
    """Make the columns from `clean` on orthogonal to all, in place.

    Small values leave cosines of order `1e-16 / (r_i r_j)` between columns i and j; one Newton-Schulz step squares that error.
    """
    if clean == long.shape[1]:
        return
    first, rest = long[:, :clean], long[:, clean:]
    overlap = rest.T @ rest
    overlap[np.diag_indices_from(overlap)] -= 1.0
    rest -= first @ (first.T @ rest) + 0.5 * rest @ overlap
