"""Pairs of layers whose overlaps have a known law: Haar frames, kernels with structure, planted edges."""

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.pairs import Nodes, Pair

Values = NDArray[np.float64]


def haar(n: int, k: int, random: np.random.Generator, *, draws: int | None = None) -> Values:
    """(n, k) orthonormal columns, Haar distributed, or a stack of them."""
    shape = (n, k) if draws is None else (draws, n, k)
    q, r = np.linalg.qr(random.standard_normal(shape))
    signs: Values = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return signs


def directions(n: int, count: int, random: np.random.Generator) -> Values:
    """(n, count) independent directions, each Haar distributed."""
    g = random.standard_normal((n, count))
    unit: Values = g / np.linalg.norm(g, axis=0)
    return unit


def smooth(n: int, channels: int, random: np.random.Generator, *, decay: float = 0.45) -> Values:
    """(n, channels, 9) orthonormal kernels whose taps are nearly copies of each other, as trained ones have them."""
    taps = haar(9, 9, random)
    mixed = random.standard_normal((n, channels, 9)) * decay ** np.arange(9) @ taps.T
    rows: Values = np.linalg.qr(mixed.reshape(n, -1).T)[0].T.reshape(n, channels, 9)
    return rows


def eigenvalues(reader: Values) -> Values:
    """(n, z) eigenvalues of each kernel's Gram matrix, one by one."""
    return np.array([np.linalg.eigvalsh(b.T @ b).clip(0) for b in reader])


def single(count: int) -> Nodes:
    return tuple((i, i + 1) for i in range(count))


def pair(
    writer: Values, reader: Values, *, writer_nodes: Nodes | None = None, reader_nodes: Nodes | None = None, dimension: int = 0
) -> Pair:
    """A pair of one block; by default the reader meets all outputs of the writer and every mode is a node."""
    reader = reader[:, :, None] if reader.ndim == 2 else reader
    return Pair(
        writer=writer,
        reader=reader,
        dimension=dimension or writer.shape[0],
        writer_nodes=writer_nodes or single(writer.shape[1]),
        reader_nodes=reader_nodes or single(reader.shape[0]),
    )


def binomial(size: int, p: float, *, level: float = 0.01) -> tuple[float, float]:
    """Counts between which a binomial lies with probability at least `1 - level`."""
    from scipy.stats import binom

    return float(binom.ppf(level / 2, size, p)), float(binom.ppf(1 - level / 2, size, p))
