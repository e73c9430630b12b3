"""Matrices made from a chosen spectrum, as the library would read them."""

from functools import partial
from typing import Any

import numpy as np

from modescope.matrix import Array, Matrix, Operand


def held(operand: Any) -> Operand:
    return operand


def as_matrix(a: Any, *, name: str = "layer.weight", view: str = "dense", shape: tuple[int, int] | None = None) -> Matrix:
    """A Matrix whose thunk gives `a`."""
    return Matrix(
        name, view, shape or a.shape, getattr(getattr(a, "dtype", None), "name", "float32"), partial(held, a), kind="dense"
    )


def orthogonal(rng: np.random.Generator, n: int, k: int) -> Array:
    """(n, k) with orthonormal columns, Haar."""
    q, r = np.linalg.qr(rng.standard_normal((n, k)))
    return q * np.sign(np.diag(r))


def planted(s: Array, shape: tuple[int, int], *, seed: int = 0) -> Array:
    """A float64 matrix (out, in) with singular values `s` and Haar vectors."""
    rng = np.random.default_rng(seed)
    k = len(s)
    return (orthogonal(rng, shape[0], k) * np.asarray(s)) @ orthogonal(rng, shape[1], k).T
