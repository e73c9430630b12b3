"""Haar frames: random directions and frames, uniform over all rotations, against which what is found is held."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

Values = NDArray[np.float64]

TALL = 2  # size over rows from which the condition of Gaussian entries stays below about 6


def frame(rng: np.random.Generator, rows: int, size: int, /) -> Values:
    """(rows, size) orthonormal rows, Haar distributed; rows is at most size.

    References:
        Mezzadri (2007), Notices of the AMS 54, 592-604: the signs of the diagonal of R make QR unique, and so the law invariant.
    """
    drawn = rng.standard_normal((size, rows))
    if TALL * rows <= size:  # well conditioned, so that a Cholesky factor does the same several times faster
        few: Values = solve_triangular(np.linalg.cholesky(drawn.T @ drawn), drawn.T, lower=True, check_finite=False)
        return few
    q, r = np.linalg.qr(drawn)
    signs = np.where(np.diagonal(r) < 0, -1.0, 1.0)
    turned: Values = (q * signs).T
    return turned


def directions(rng: np.random.Generator, count: int, size: int, /) -> Values:
    """(count, size) independent unit vectors, uniform on the sphere."""
    drawn = rng.standard_normal((count, size))
    unit: Values = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit
