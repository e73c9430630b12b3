"""All singular values of one float32 matrix, square and 1:4, against torch and against the bare BLAS and LAPACK calls."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from _measure import Ratio, Size, clocked, compare

from modescope.matrix import Array, Matrix
from modescope.spectrum import decompose

SQUARE = "eigenvalues of NumPy's OpenBLAS against those of torch's LAPACK: it differs from machine to machine"


def rows(size: Size, /) -> Iterator[Ratio]:
    """Square matrices first, then wide ones as stored."""
    torch.set_num_threads(1)
    side = 64 if size is Size.SMOKE else 2048
    for n in (side, 4096) if size is Size.LARGE else (side,):
        yield from _square(n, rounds=2 if n > 2048 else 3)
    yield from _wide(side // 2, 2 * side)


def _square(n: int, rounds: int) -> Iterator[Ratio]:
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    x, name = torch.from_numpy(a), f"all values {n}x{n} f32"
    double = a.astype(np.float64)
    ours = clocked(partial(decompose, _matrix(a)))
    single = clocked(partial(torch.linalg.svdvals, x))
    yield compare(name, "torch svdvals f32", ours, single, limit=1.0, rounds=rounds, if_missed=SQUARE)
    exact = clocked(partial(torch.linalg.svdvals, x.double()))
    yield compare(name, "torch svdvals f64", ours, exact, limit=0.65, rounds=rounds, if_missed=SQUARE)
    bare = clocked(partial(_bare, double))
    yield compare(name, "bare SYRK and eigenvalues f64", ours, bare, limit=1.35, rounds=rounds)


def _wide(out: int, inputs: int) -> Iterator[Ratio]:
    a = np.random.default_rng(1).standard_normal((out, inputs), dtype=np.float32)
    x, name = torch.from_numpy(a), f"all values {out}x{inputs} f32"
    ours = clocked(partial(decompose, _matrix(a)))
    stored = clocked(partial(torch.linalg.svdvals, x))
    yield compare(name, "torch svdvals f32 as stored", ours, stored, limit=0.25, rounds=3)
    turned = clocked(partial(torch.linalg.svdvals, x.T.contiguous()))
    yield compare(name, "torch svdvals f32 tall", ours, turned, limit=None, rounds=3)
    exact = clocked(partial(torch.linalg.svdvals, x.T.contiguous().double()))
    yield compare(name, "torch svdvals f64 tall", ours, exact, limit=0.60, rounds=3)


def _matrix(a: Array) -> Matrix:
    return Matrix("weight", "dense", a.shape, "float32", partial(np.asarray, a))


def _bare(b: Array) -> Array:
    values: Array = np.linalg.eigvalsh(b.T @ b)
    return values
