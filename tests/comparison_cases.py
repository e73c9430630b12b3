"""Pairs of matrices whose modes are chosen, for tests of comparisons."""

import numpy as np
from numpy.typing import NDArray

from modescope.comparison.matching import Modes

Values = NDArray[np.float64]


def frame(n: int, k: int, rng: np.random.Generator) -> Values:
    """(n, k) orthonormal columns, Haar distributed."""
    q, r = np.linalg.qr(rng.standard_normal((n, k)))
    signed: Values = q * np.sign(np.diag(r))
    return signed


def rotation(angle: float) -> Values:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def modes(s: Values, u: Values, v: Values) -> Modes:
    """Modes in descending order, from columns of `u` and `v` in any order."""
    order = np.argsort(-s)
    return Modes(s[order], u[:, order], v[:, order].T)


def dense(found: Modes) -> Values:
    product: Values = (found.u * found.s) @ found.vh
    return product


def noise(shape: tuple[int, int], seed: int, sigma: float = 1.0) -> Values:
    return sigma * np.random.default_rng(seed).standard_normal(shape)


def svd(w: Values) -> Modes:
    """All modes of a matrix."""
    u, s, vh = np.linalg.svd(w, full_matrices=False)
    return Modes(s, u, vh)


def planted_rank_one(shape: tuple[int, int], strength: float, seed: int) -> tuple[Values, Values]:
    """Gaussian noise with the upper edge `1 + sqrt(short / long)`, and the same with one new mode."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(shape) / np.sqrt(max(shape))
    return w, w + strength * frame(shape[0], 1, rng) @ frame(shape[1], 1, rng).T
