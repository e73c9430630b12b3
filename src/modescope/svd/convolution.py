"""The singular values of a convolution with circular padding, frequency by frequency, on half of the spectrum.

On a grid the operator is block diagonal in the Fourier basis: at frequency `f` stands the (out, in) block
`F(f) = sum_k K[k] exp(2 pi i f.k / n)` (Sedghi, Gupta & Long 2019, arXiv:1805.10408). A stride `t` aliases the frequencies
`f + j n / t`, whose blocks then stand side by side and are divided by the root of the number of aliases. A real kernel gives
`F(-f) = conj F(f)`: one of the two is enough.
"""

from itertools import product as every

import numpy as np
from numpy.typing import NDArray

from modescope.errors import MatrixError
from modescope.matrix import Array, Convolution
from modescope.svd import Factors
from modescope.svd.gram import FLOOR, SAFE
from modescope.svd.lapack import FLOOR as EXACT

BUDGET = 4e12  # complex multiply-adds of the eigenvalues, some minutes of one core; beyond it the caller must choose a smaller grid
PIECE = 1 << 20  # complex entries of the blocks held at a time: 16 MB

Complex = NDArray[np.complex128]


def convolution(w: Convolution, /) -> Factors:
    """All singular values of the operator; vectors are not offered, as each would live on the whole grid.

    Args:
        w: Kernel, grid, stride, dilation and groups.

    Returns:
        `Factors` with min(out / groups, in / groups * aliases) * groups * prod(grid / stride) values, equal pairs kept as two.

    Raises:
        MatrixError: The stride does not divide the grid, or the work exceeds `BUDGET`.
    """
    if any(n % t for n, t in zip(w.grid, w.stride, strict=True)):
        raise MatrixError(f"operator view: expected a stride that divides the grid, got stride {w.stride} on grid {w.grid}.")
    out, inn = w.kernel.shape[0] // w.groups, w.kernel.shape[1] * int(np.prod(w.stride))
    coarse = tuple(n // t for n, t in zip(w.grid, w.stride, strict=True))
    work = w.groups * float(np.prod(coarse)) / 2 * max(out, inn) * min(out, inn) ** 2
    if work > BUDGET:
        raise MatrixError(
            f"operator view: {work:.1e} multiply-adds on grid {w.grid} exceed the budget of {BUDGET:.0e}. Choose a smaller grid; "
            "the unfolding's largest value bounds the operator's norm within a factor sqrt(kernel positions)."
        )
    values = [_group(kernel, w, coarse) for kernel in np.split(np.asarray(w.kernel, dtype=np.float64), w.groups)]
    s = np.sort(np.concatenate([found for found, _ in values]))[::-1]
    redone = any(exactly for _, exactly in values)
    name = f"{'SVD' if redone else 'Gram'} per frequency, complex128, half spectrum"
    return Factors(np.ascontiguousarray(s), None, None, name, EXACT if redone else FLOOR)


def _group(kernel: NDArray[np.float64], w: Convolution, coarse: tuple[int, ...]) -> tuple[NDArray[np.float64], bool]:
    """Values of one group, and whether the Gram route was not enough."""
    frequencies, weights = half(coarse)
    found = _values(kernel, w, coarse, frequencies, exactly=False)
    exactly = bool(found.min() < SAFE * found.max())
    if exactly:
        found = _values(kernel, w, coarse, frequencies, exactly=True)
    return np.repeat(found, weights, axis=0).ravel(), exactly


def half(grid: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """One frequency of each pair `{f, -f}` on a grid: (orbits, axes), and how many frequencies each stands for (1 or 2)."""
    f = np.stack(np.meshgrid(*(np.arange(n) for n in grid), indexing="ij"), axis=-1).reshape(-1, len(grid))
    here = np.ravel_multi_index(tuple(f.T), grid)
    there = np.ravel_multi_index(tuple((-f).T % np.array(grid)[:, None]), grid)
    kept = here <= there
    return f[kept], np.where(here == there, 1, 2)[kept]


def _values(
    kernel: NDArray[np.float64], w: Convolution, coarse: tuple[int, ...], frequencies: NDArray[np.int64], *, exactly: bool
) -> NDArray[np.float64]:
    out, inn, *sides = kernel.shape
    places = np.stack(np.meshgrid(*(np.arange(k) for k in sides), indexing="ij"), axis=-1).reshape(-1, len(sides)) * w.dilation
    taps = kernel.reshape(out * inn, -1).T  # (positions, out * in)
    aliases = np.array(list(every(*(range(0, n, c) for n, c in zip(w.grid, coarse, strict=True)))))  # offsets j n / t
    step = max(1, PIECE // (out * inn * len(aliases)))
    found = []
    for top in range(0, len(frequencies), step):
        f = frequencies[top : top + step, None, :] + aliases  # (chunk, aliases, axes)
        phases = np.exp(2j * np.pi * ((f / np.array(w.grid)) @ places.T))  # (chunk, aliases, positions)
        blocks = (phases.reshape(-1, len(places)) @ taps).reshape(len(f), len(aliases), out, inn)
        side_by_side = blocks.transpose(0, 2, 1, 3).reshape(len(f), out, -1) / np.sqrt(len(aliases))
        found.append(_svd(side_by_side) if exactly else _gram(side_by_side))
    return np.concatenate(found)


def _gram(blocks: Complex) -> NDArray[np.float64]:
    adjoint = blocks.conj().transpose(0, 2, 1)
    g: Complex = blocks @ adjoint if blocks.shape[1] <= blocks.shape[2] else adjoint @ blocks
    squares: NDArray[np.float64] = np.clip(np.linalg.eigvalsh(g), 0.0, None)
    return np.sqrt(squares)


def _svd(blocks: Complex) -> NDArray[np.float64]:
    tall = blocks if blocks.shape[1] >= blocks.shape[2] else blocks.transpose(0, 2, 1)
    values: Array = np.linalg.svd(tall, compute_uv=False)
    return values
