"""Exact significance of all edges of a pair of layers, against the singular vectors and the matrix products behind them."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import Ratio, Size, clocked, compare

from modescope.laws.haar_overlap import conditional_tail
from modescope.matrix import Array, Matrix
from modescope.spectral_graph.nulls import rotation
from modescope.spectral_graph.nulls._conditional import spectra
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from modescope.spectrum import decompose


def rows(size: Size, /) -> Iterator[Ratio]:
    """A convolution with smooth kernels at two levels, the same without thresholds, and a dense layer."""
    n = 32 if size is Size.SMOKE else 512
    random = np.random.default_rng(0)
    writer, reader = _noise(n, n, 9, random), _smooth(n, random)
    pair = _pair(writer, reader)
    weights = overlaps(pair)
    theirs = clocked(partial(_decomposed, writer, reader))
    for most, what in ((0.05, "every edge below 5 %"), (0.05 / n**2, "Bonferroni over the pair")):
        ours = partial(rotation.test, pair, weights, most=most, draws=0, seed=0)
        kept = f"{what}: {ours().reader.size} of {weights.size} edges get an exact p-value"
        name = f"significance {n}x{n}, 3x3 kernels"
        yield compare(name, "vector SVDs of both layers", clocked(ours), theirs, limit=1.0, rounds=3, remark=kept)
    every = clocked(partial(_unthinned, pair, weights))
    thinned = clocked(partial(rotation.test, pair, weights, most=0.05, draws=0, seed=0))
    yield compare(
        f"significance {n}x{n}, 3x3 kernels",
        "an exact p-value of every edge",
        thinned,
        every,
        limit=1.0,
        rounds=1,
        remark="thresholds first, lossless",
    )
    side = 48 if size is Size.SMOKE else 1024
    dense = _pair(_noise(side, side, 1, random), _noise(side, side, 1, random))
    table = overlaps(dense)
    yield compare(
        f"significance {side}x{side}, dense",
        "the product of both layers' vectors",
        clocked(partial(rotation.test, dense, table, most=1e-3, draws=0, seed=0)),
        clocked(partial(overlaps, dense)),
        limit=0.5,
        rounds=5,
        remark="every edge below .001",
    )


def _noise(out: int, channels: int, taps: int, random: np.random.Generator) -> Array:
    return random.standard_normal((out, channels * taps), dtype=np.float32)


def _smooth(n: int, random: np.random.Generator) -> Array:
    """Kernels whose taps are nearly copies of each other, as in trained networks."""
    taps = np.linalg.qr(random.standard_normal((9, 9)))[0]
    kernels: Array = (random.standard_normal((n, n, 9)) * 0.6 ** np.arange(9) @ taps.T).reshape(n, -1).astype(np.float32)
    return kernels


def _decomposed(*weights: Array) -> list[tuple[Array, Array]]:
    found = []
    for weight in weights:
        modes = decompose(Matrix("weight", "dense", weight.shape, "float32", partial(np.asarray, weight)), vectors=True)
        assert modes.u is not None
        assert modes.vh is not None
        found.append((modes.u, modes.vh))
    return found


def _pair(writer: Array, reader: Array) -> Pair:
    (u, _), (_, vh) = _decomposed(writer, reader)
    n = u.shape[0]
    nodes = tuple((i, i + 1) for i in range(n))
    return Pair(u, vh.reshape(vh.shape[0], n, -1), n, nodes, nodes)


def _unthinned(pair: Pair, weights: Array) -> float:
    least = 0.0
    for nodes, gamma in spectra(pair.reader, pair.reader_nodes):
        for i, row in zip(nodes, gamma, strict=True):
            least = min(least, float(conditional_tail(np.tile(row, (weights.shape[1], 1)), pair.dimension, weights[i]).min()))
    return math.exp(least)
