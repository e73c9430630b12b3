"""All singular vectors of a square layer, and only the first ten modes, against torch's float32 SVD."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from _measure import Clock, Ratio, Size, clocked, compare

from modescope.matrix import Array, Matrix
from modescope.spectrum import decompose

ORTHOGONAL = 1e-12


def rows(size: Size, /) -> Iterator[Ratio]:
    """Time of all vectors, their orthogonality, and the time of the first ten."""
    torch.set_num_threads(1)
    n, large = (64, 256) if size is Size.SMOKE else (1024, 2048)
    random = np.random.default_rng(0)
    square = random.standard_normal((n, n), dtype=np.float32)
    yield compare(
        f"all vectors {n}x{n} f32",
        "torch svd f32",
        clocked(partial(decompose, _matrix(square), vectors=True)),
        _svd(square),
        limit=0.8,
        rounds=3,
        if_missed="nearly all of it are three float64 calls, SYRK, eigenvectors and GEMM; torch computes in float32",
    )
    yield _orthogonality(_matrix(square))
    noise = random.standard_normal((large, large), dtype=np.float32)
    u, v = (np.linalg.qr(random.standard_normal((large, 20)))[0] for _ in range(2))
    planted = noise + ((u * np.linspace(2.0, 6.0, 20) * np.sqrt(large)) @ v.T).astype(np.float32)
    name = f"top 10 modes {large}x{large} f32"
    for a, what, why in (
        (planted, "20 modes planted in noise", ""),
        (noise, "noise alone, whose flat spectrum is the hardest", "200 products in float64, as close modes need"),
    ):
        ours = clocked(partial(decompose, _matrix(a), vectors=True, k=10))
        yield compare(name, "torch svd f32", ours, _svd(a), limit=0.1, rounds=2, remark=what, if_missed=why)


def _matrix(a: Array) -> Matrix:
    return Matrix("weight", "dense", a.shape, "float32", partial(np.asarray, a))


def _svd(a: Array) -> Clock:
    return clocked(partial(torch.linalg.svd, torch.from_numpy(a), full_matrices=False))


def _orthogonality(matrix: Matrix) -> Ratio:
    found = decompose(matrix, vectors=True)
    assert found.u is not None
    assert found.vh is not None
    errors = [float(np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()) for basis in (found.u, found.vh.T)]
    name = f"orthogonality {matrix.shape[0]}x{matrix.shape[1]}"
    remark = f"largest entry of U'U - I and V'V - I: {max(errors):.0e}"
    return Ratio(name, "1e-12", 1.0, max(errors) / ORTHOGONAL, max(errors), ORTHOGONAL, remark=remark)
