"""The SVD of a product that is never formed, through two thin QR factorisations and an r x r core."""

import numpy as np

from modescope.matrix import Product
from modescope.svd import Factors
from modescope.svd.lapack import FLOOR


def product(w: Product, /, *, vectors: bool = False) -> Factors:
    """Decompose `scale * left @ right`.

    `left = Ql Rl`, `right.T = Qr Rr`, and with the SVD of the core `scale * Rl Rr.T = X S Y.T` the factors are `Ql X`, `S`,
    `(Qr Y).T`. Cost is that of the QR factorisations; the error is of order `1e-16 * s[0]`.

    Args:
        w: `left` (out, r) and `right` (r, in).
        vectors: Also compute all vectors.

    Returns:
        `Factors` with min(out, r, in) values.
    """
    q_left, r_left = np.linalg.qr(np.asarray(w.left, dtype=np.float64))
    q_right, r_right = np.linalg.qr(np.asarray(w.right, dtype=np.float64).T)
    x, s, y = np.linalg.svd(w.scale * (r_left @ r_right.T), full_matrices=False)
    name = "SVD of the factors, by QR"
    if not vectors:
        return Factors(s, None, None, name, FLOOR)
    return Factors(s, q_left @ x, y @ q_right.T, name, FLOOR)
