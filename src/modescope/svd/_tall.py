"""The tall orientation, read in float64 pieces through a buffer that each thread keeps.

Every dense engine works on `B` of shape (p, k) with p >= k: the SVD of a 1:4 wide matrix costs four times that of its transpose.
`B` is `a` or `a.T`, whichever is tall. Conversion into a kept buffer is several times cheaper than into fresh memory.
"""

import math
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array

ROWS = 2 << 20  # entries of B in one piece: 16 MB in float64

_kept = threading.local()


def tall(a: Array) -> Array:
    """View of `a` with at least as many rows as columns."""
    return a if a.shape[0] >= a.shape[1] else a.T


def scale(b: Array) -> float:
    """A power of two that brings entries of float64 storage into the range where squares neither overflow nor vanish; else 1."""
    if b.dtype != np.float64:
        return 1.0
    peak = max(float(b.max()), -float(b.min()))
    return 1.0 if peak == 0 or 1e-100 < peak < 1e100 else math.ldexp(1.0, -max(-1000, min(1000, math.frexp(peak)[1])))


def pieces(b: Array, *, rows: int = 0, factor: float = 1.0) -> Iterator[NDArray[np.float64]]:
    """Consecutive row blocks of `factor * b` in float64, in the memory order of `b`; each is overwritten by the next.

    Args:
        b: (p, k), any strides.
        rows: Rows of a block; by default as many as hold `ROWS` entries, so that the result depends on the shape alone.
        factor: Multiplies every entry.
    """
    step = min(b.shape[0], rows or max(1, ROWS // b.shape[1]))
    buffer = _buffer(step * b.shape[1])
    for top in range(0, b.shape[0], step):
        piece = b[top : top + step]
        flat = buffer[: piece.size]
        # a block keeps the order of its source: copying across orders is slow, and BLAS takes both
        fortran = abs(piece.strides[0]) < abs(piece.strides[1])
        block = flat.reshape(piece.shape[::-1]).T if fortran else flat.reshape(piece.shape)
        np.copyto(block, piece, casting="unsafe")
        if factor != 1.0:
            block *= factor
        yield block


def double(b: Array, *, factor: float = 1.0) -> NDArray[np.float64]:
    """All of `factor * b` in new float64 memory, in the memory order of `b`."""
    whole = np.empty_like(b, dtype=np.float64)
    np.copyto(whole, b, casting="unsafe")
    if factor != 1.0:
        whole *= factor
    return whole


def _buffer(size: int) -> NDArray[np.float64]:
    kept: NDArray[np.float64] | None = getattr(_kept, "buffer", None)
    if kept is None or kept.size < size:
        _kept.buffer = kept = np.empty(size)
    return kept
