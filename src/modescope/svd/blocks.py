"""The SVD of a block-diagonal matrix: the union of the blocks' values, sorted."""

import numpy as np

from modescope.matrix import Blocks
from modescope.svd import Factors
from modescope.svd.lapack import FLOOR


def blocks(w: Blocks, /, *, vectors: bool = False) -> Factors:
    """Decompose a stack of blocks.

    Args:
        w: `blocks` (count, out, in): the matrix is (count * out, count * in).
        vectors: Also compute all vectors, each zero outside its block.

    Returns:
        `Factors` with `count * min(out, in)` values.
    """
    stack = np.asarray(w.blocks, dtype=np.float64)
    count, out, inn = stack.shape
    name = f"float64 SVD of {count} blocks"
    if not vectors:
        s = np.sort(np.linalg.svd(stack, compute_uv=False), axis=None)[::-1]
        return Factors(np.ascontiguousarray(s), None, None, name, FLOOR)
    u, s, vh = np.linalg.svd(stack, full_matrices=False)
    k = s.shape[1]
    order = np.argsort(-s, axis=None, kind="stable")
    left, right = np.zeros((count * out, count * k)), np.zeros((count * k, count * inn))
    for i in range(count):
        left[i * out : (i + 1) * out, i * k : (i + 1) * k] = u[i]
        right[i * k : (i + 1) * k, i * inn : (i + 1) * inn] = vh[i]
    return Factors(s.ravel()[order], left[:, order], right[order], name, FLOOR)
