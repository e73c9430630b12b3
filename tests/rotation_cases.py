"""Hidden data, rotations and spectra for the tests of the closed form."""

import numpy as np

from modescope.descrambling.operators import Smoothness, of_matrix


def haar(m: int, seed: int) -> np.ndarray:
    """(m, m) orthogonal, uniform over all."""
    q, r = np.linalg.qr(np.random.default_rng([17, seed]).standard_normal((m, m)))
    return q * np.sign(np.diag(r))


def layer(m: int, n: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A Gaussian weight, its outputs on coloured samples (one per row), and their second moment."""
    rng = np.random.default_rng([m, n, count, seed])
    weight = rng.standard_normal((m, n))
    samples = rng.standard_normal((count, n)) @ rng.standard_normal((n, n)) / np.sqrt(n) @ weight.T
    return weight, samples, samples.T @ samples / count


def with_eigenvalues(b: np.ndarray, seed: int) -> np.ndarray:
    """A second moment with the spectrum that is asked for."""
    u = haar(len(b), seed)
    return (u * b) @ u.T


def costs(a: np.ndarray) -> Smoothness:
    """An operator with the spectrum that is asked for, in a random basis."""
    return of_matrix(np.sqrt(a)[:, None] * haar(len(a), 99))


def waves(m: int) -> np.ndarray:
    """(m, m) orthonormal rows const, cos 1, sin 1, cos 2, ..., written from the definition."""
    x = 2 * np.pi * np.arange(m) / m
    rows = [np.ones(m)]
    for k in range(1, (m + 1) // 2):
        rows += [np.cos(k * x), np.sin(k * x)]
    if m % 2 == 0:
        rows.append(np.cos(m // 2 * x))
    return np.array([row / np.linalg.norm(row) for row in rows])
