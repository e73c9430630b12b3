"""The largest few modes by a Krylov method (implicitly restarted Lanczos, ARPACK), then one Rayleigh-Ritz step in float64."""

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array
from modescope.svd import Factors
from modescope.svd._tall import double, scale, tall

FLOOR = 1e-15
RESIDUAL = 1e-12  # of an eigenpair of the squared matrix, relative to the eigenvalue: the values are then right to its square
PROBE = 1e-7  # the same for the largest value outside the space that was found


def krylov(a: Array, k: int, /, *, vectors: bool = False) -> Factors:
    """The `k` largest singular values, worth it for k up to about a twentieth of the short side.

    Args:
        a: (out, in), finite, any real dtype.
        k: How many, at least 1 and below min(out, in).
        vectors: Return the vectors too; they are computed in any case.

    Returns:
        `Factors` with `complete` False. Accurate to `1e-13 * s[0]`: the Ritz step repairs what squaring lost.

    Raises:
        numpy.linalg.LinAlgError: The iteration did not converge, or passed over one of several equal values.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    b = tall(a)
    factor = scale(b)
    d = double(b, factor=factor)
    n = d.shape[1]
    squared = LinearOperator((n, n), matvec=lambda x: d.T @ (d @ x), dtype=np.float64)
    start: Array = np.random.default_rng(0).standard_normal((n,))  # ARPACK's own start would differ from call to call

    def outside(x: Array) -> Array:
        out: Array = x - basis @ (basis.T @ x)
        return out

    rest = LinearOperator((n, n), matvec=lambda x: outside(d.T @ (d @ outside(x))), dtype=np.float64)
    try:
        pairs: tuple[Array, Array] = eigsh(squared, k=k, which="LM", v0=start, ncv=min(n, max(2 * k + 10, 20)), tol=RESIDUAL)
        basis: Array = np.linalg.qr(pairs[1]).Q
        # one start sees one direction of a space of equal values: what is left must not hold another
        left: Array = eigsh(rest, k=1, which="LM", v0=outside(start[::-1]), tol=PROBE, return_eigenvectors=False)
    except ArpackError as error:
        raise np.linalg.LinAlgError(f"ARPACK: {error}") from error
    if left.max() > pairs[0].min() * (1 + PROBE):
        raise np.linalg.LinAlgError("the Krylov method passed over a repeated value")
    u, s, rotation = np.linalg.svd(d @ basis, full_matrices=False)
    s = s / factor
    name = f"Krylov, top {k}"
    if not vectors:
        return Factors(s, None, None, name, FLOOR, complete=False)
    vh: NDArray[np.float64] = rotation @ basis.T
    return Factors(s, u, vh, name, FLOOR, complete=False) if b is a else Factors(s, vh.T, u.T, name, FLOOR, complete=False)
