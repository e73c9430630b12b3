"""LAPACK's float64 singular value decomposition, in the tall orientation: exact to rounding for every value, at twice the price.

A matrix at least twice as tall as wide is first reduced to a triangle, block by block, so that no float64 copy of it is held.
"""

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array
from modescope.svd import Factors
from modescope.svd._tall import double, pieces, scale, tall

FLOOR = 1e-15


def lapack(a: Array, /, *, vectors: bool = False) -> Factors:
    """Decompose by divide and conquer (`gesdd`), and by implicit QR (`gesvd`) where that does not converge.

    Args:
        a: (out, in), finite, any real dtype.
        vectors: Also compute all vectors.

    Returns:
        `Factors`; `engine` names the fallback where it was needed.

    Raises:
        numpy.linalg.LinAlgError: Neither driver converged.
    """
    b = tall(a)
    factor = scale(b)
    if not vectors:
        core = _triangle(b, factor) if b.shape[0] >= 2 * b.shape[1] else double(b, factor=factor)
        try:
            values: Array = np.linalg.svd(core, compute_uv=False)
            return Factors(values / factor, None, None, "float64 SVD", FLOOR)
        except np.linalg.LinAlgError:
            values = _implicit_qr(core, vectors=False)[1]
            return Factors(values / factor, None, None, "float64 SVD (gesvd, as gesdd did not converge)", FLOOR)
    core, name = double(b, factor=factor), "float64 SVD"
    try:
        u, s, vh = np.linalg.svd(core, full_matrices=False)
    except np.linalg.LinAlgError:
        u, s, vh = _implicit_qr(core, vectors=True)
        name = "float64 SVD (gesvd, as gesdd did not converge)"
    return Factors(s / factor, u, vh, name, FLOOR) if b is a else Factors(s / factor, vh.T, u.T, name, FLOOR)


def _triangle(b: Array, factor: float) -> NDArray[np.float64]:
    """The R of a QR factorisation of `factor * b`, updated block by block (Golub & Van Loan, Matrix Computations, 6.5)."""
    k = b.shape[1]
    r: Array = np.empty((0, k))
    for block in pieces(b, rows=max(4 * k, 1 << 12), factor=factor):
        r = np.asarray(np.linalg.qr(np.concatenate((r, block)), mode="r"))
    return r


def _implicit_qr(core: NDArray[np.float64], *, vectors: bool) -> tuple[NDArray[np.float64], ...]:
    from scipy.linalg import svd

    if vectors:
        return tuple(svd(core, full_matrices=False, lapack_driver="gesvd"))
    return np.empty(0), svd(core, compute_uv=False, lapack_driver="gesvd"), np.empty(0)
