"""Eigenvalues of pure Gaussian noise, drawn exactly and without a matrix."""

import numpy as np
from numpy.typing import NDArray


def sample(n: int, m: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw the eigenvalues of `W.T @ W` for one matrix of independent standard normal entries.

    Orthogonal transformations from both sides bring the matrix to bidiagonal form with independent chi entries, so `2m` random
    numbers and O(m**2) work take the place of `n m` and O(n m**2).

    Args:
        n: Long side.
        m: Short side, 1 <= m <= n.
        generator: Source of the randomness.

    Returns:
        (m,) eigenvalues in ascending order, in units of the variance of an entry.

    References:
        Dumitriu & Edelman (2002), doi:10.1063/1.1507823.
    """
    from scipy.linalg import eigh_tridiagonal

    if not 1 <= m <= n:
        raise ValueError(f"sample: expected sides n >= m >= 1, got n={n} and m={m}. Swap them?")
    squares = generator.chisquare(np.arange(n, n - m, -1))
    below = generator.chisquare(np.arange(m - 1, 0, -1)) if m > 1 else np.zeros(0)
    # L L^T for L lower bidiagonal with `sqrt(squares)` on the diagonal and `sqrt(below)` under it
    diagonal = squares.copy()
    diagonal[1:] += below
    values: NDArray[np.float64] = eigh_tridiagonal(
        diagonal, np.sqrt(squares[:-1] * below), eigvals_only=True, lapack_driver="sterf"
    )
    return np.clip(values, 0.0, None)
