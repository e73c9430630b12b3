"""Internal dimensions: where the overlaps of two layers fall into blocks, against the largest block score of random frames.

If the first i directions of the reader live in what the first j directions of the writer span, the sum of their overlaps stands
above its mean `i j / N`. The score is that excess in standard deviations under a Haar distributed writer; the corner where it is
largest gives the internal dimensions, and only a score that random frames rarely reach is reported as one.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from modescope.seeds import generator
from modescope.spectral_graph.overlaps import aggregated
from modescope.spectral_graph.pairs import Nodes, Pair
from modescope.spectral_graph.random_writers import random_overlaps
from modescope.svd import Values

DRAWS = 200
LEVEL = 0.05
PART = 512  # rows of a reader, taps counted, that are taken at a time
FLAT = 1e-9  # variance relative to its largest at and below which a corner cannot vary: it holds a whole space


_Ends = tuple[tuple[int, ...], tuple[int, ...]]  # modes up to and with each node, of reader and writer


@dataclass(frozen=True)
class InternalDimensions:
    """The corner in which the overlaps of two layers exceed chance most.

    Attributes:
        reader: Number of leading modes of the reader in it, counted from 1; None where there is none.
        writer: Number of leading modes of the writer.
        score: Excess of the sum of the overlaps in the best corner, in standard deviations; None where nothing could be scored.
        high: What the best score of random frames exceeds with probability `level`; None where nothing was drawn.
        p: (1 + draws at or above the score) / (1 + draws), or None.
        level: Of the decision.
        draws: Number of random frames.
        status: "ok", or why there are no internal dimensions.
    """

    reader: int | None
    writer: int | None
    score: float | None
    high: float | None
    p: float | None
    level: float = LEVEL
    draws: int = DRAWS
    status: str = "ok"


@dataclass(frozen=True, eq=False)
class Corner:
    """A corner of a matrix of overlaps and its score.

    Attributes:
        reader: Number of leading reader modes, counted from 1.
        writer: Number of leading writer modes.
        score: What was maximised.
    """

    reader: int
    writer: int
    score: float


def internal_dimensions(
    pair: Pair, weights: Values, /, *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> InternalDimensions:
    """Find the corner of the overlaps with the largest score, and test it against random writers.

    The score of the first i readers and j writers is `(T - E T) / sqrt(Var T)` with `T` the sum of their overlaps and, for a writer
    that is Haar distributed in N dimensions, `E T = j tr G / N` and
    `Var T = 2 j (N - j) (tr G^2 - (tr G)^2 / N) / (N (N - 1) (N + 2))`, `G` the sum of `B_n B_n^T` over the first i readers.
    Corners end at nodes: a cut through a group of equal singular values would depend on an arbitrary basis. The null keeps the
    reader and the nodes and draws the writer anew.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) their overlaps.
        draws: Random writers, at least `1 / level`, so that the level can be reached at all.
        level: Probability that random layers get internal dimensions.
        seed: Of the draws.

    Returns:
        The corner, or a status that says why there is none. Where the reader has one tap the null depends on the numbers of modes
        alone and is kept for the next pair of the same size; elsewhere every draw costs as much as the overlaps did.

    Raises:
        UsageError: Too few draws for the level.
    """
    if draws + 1 < 1 / level:
        raise UsageError(f"draws: expected at least {math.ceil(1 / level) - 1} for the level {level}, got {draws}.")
    ends = _ends_of(pair)
    if pair.writer_block is not None:
        return InternalDimensions(
            None, None, None, None, None, level, 0, "not tested: the directions of a writer in several groups are not free to turn"
        )
    spread = _spread(pair)
    best = _best(weights, spread, ends, pair.dimension)
    if best is None:
        return InternalDimensions(None, None, None, None, None, level, 0, "not tested: no corner can vary")
    null = np.array(_null_of(pair, spread, ends, draws, seed))
    p = (1 + int(np.count_nonzero(null >= best.score))) / (1 + draws)
    high = float(np.quantile(null, 1 - level))
    if p > level:
        status = f"none: random layers reach a score of {best.score:.2f} with probability {p:.2g}"
        return InternalDimensions(None, None, best.score, high, p, level, draws, status)
    return InternalDimensions(best.reader, best.writer, best.score, high, p, level, draws)


def svr(weights: Values, dimension: int, /) -> Corner:
    """The corner of largest excess as the authors of the representation define it: `D = N sum a - i j`, not scaled by its spread.

    It prefers corners near the middle, where the excess scatters most, and has no null; their code counts from 0, this from 1.

    Args:
        weights: (n, m) overlaps between single modes.
        dimension: N.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, and its public code.
    """
    excess = dimension * weights.cumsum(axis=0).cumsum(axis=1)
    excess -= np.outer(np.arange(1, weights.shape[0] + 1), np.arange(1, weights.shape[1] + 1))
    i, j = np.unravel_index(int(np.argmax(excess)), excess.shape)
    return Corner(int(i) + 1, int(j) + 1, float(excess[i, j]))


@dataclass(frozen=True, eq=False)
class _Spread:
    """tr G and tr G^2 of the first readers, up to each node."""

    trace: Values
    square: Values
    whole: bool  # one tap, and orthonormal readers: the null depends on the numbers of modes alone


def _spread(pair: Pair) -> _Spread:
    stops = np.array([stop for _, stop in pair.reader_nodes]) - 1
    n, p, z = pair.reader.shape
    trace = np.cumsum(np.einsum("npz,npz->n", pair.reader, pair.reader))[stops]
    whole = z == 1 and bool(np.abs(trace - (stops + 1)).max(initial=0.0) < 1e-9 * n)
    if whole:
        return _Spread(trace, trace.copy(), whole=True)
    total = np.zeros((p, p))
    square = np.empty(n)
    before, step = 0.0, max(1, PART // max(z, 1))
    for start in range(0, n, step):
        # tr (G + S)^2 = tr G^2 + 2 tr G S + tr S^2, with G of the readers before this part and S of those in it
        b = np.ascontiguousarray(pair.reader[start : start + step].transpose(0, 2, 1)).reshape(-1, p)
        count = b.shape[0] // z
        mixed = np.einsum("ap,ap->a", b @ total, b).reshape(count, z).sum(axis=1).cumsum()
        inner = ((b @ b.T) ** 2).reshape(count, z, count, z).sum(axis=(1, 3)).cumsum(axis=0).cumsum(axis=1)
        square[start : start + count] = before + 2 * mixed + np.diagonal(inner)
        before = square[start + count - 1]
        total += b.T @ b
    return _Spread(trace, square[stops], whole=False)


def _ends_of(pair: Pair) -> _Ends:
    return tuple(stop for _, stop in pair.reader_nodes), tuple(stop for _, stop in pair.writer_nodes)


def _nodes(ends: tuple[int, ...]) -> Nodes:
    return tuple(pairwise((0, *ends)))


def _best(weights: Values, spread: _Spread, ends: _Ends, dimension: int) -> Corner | None:
    """The admissible corner of largest score, None where none can vary."""
    if not weights.size or dimension < 2:
        return None
    j = np.array(ends[1], dtype=np.float64)
    readers = np.maximum(spread.square - spread.trace**2 / dimension, 0.0)
    writers = np.maximum(2 * j * (dimension - j) / (dimension * (dimension - 1.0) * (dimension + 2.0)), 0.0)
    rows, columns = np.flatnonzero(readers > FLAT * spread.square), np.flatnonzero(writers > FLAT / dimension)
    if not rows.size or not columns.size:
        return None
    total = weights.cumsum(axis=0).cumsum(axis=1)[np.ix_(rows, columns)]
    total -= np.outer(spread.trace[rows] / dimension, j[columns])
    total /= np.sqrt(readers[rows])[:, None]
    total /= np.sqrt(writers[columns])
    a, b = np.unravel_index(int(np.argmax(total)), total.shape)
    return Corner(ends[0][rows[a]], ends[1][columns[b]], float(total[a, b]))


def _null_of(pair: Pair, spread: _Spread, ends: _Ends, draws: int, seed: int) -> tuple[float, ...]:
    if spread.whole:
        return _whole_null(pair.dimension, *ends, draws, seed)
    return tuple(_null(pair, spread, ends, draws, seed))


@lru_cache(maxsize=256)
def _whole_null(dimension: int, readers: tuple[int, ...], writers: tuple[int, ...], draws: int, seed: int) -> tuple[float, ...]:
    """Largest scores of corners of Haar matrices: with one tap and orthonormal readers nothing else of the layers enters."""
    n, m = readers[-1], writers[-1]
    rng = generator(seed, "internal dimensions", str(dimension), str(n), str(m))
    trace = np.array(readers, dtype=np.float64)
    spread = _Spread(trace, trace, whole=True)
    found = []
    for _ in range(draws):
        corner = frame(rng, min(n, m), dimension).T[: max(n, m)]
        weights = aggregated((corner if n >= m else corner.T) ** 2, _nodes(readers), _nodes(writers))
        best = _best(weights, spread, (readers, writers), dimension)
        found.append(best.score if best is not None else -np.inf)
    return tuple(found)


def _null(pair: Pair, spread: _Spread, ends: _Ends, draws: int, seed: int) -> Iterator[float]:
    rng = generator(seed, "internal dimensions", str(pair.dimension), str(ends[0][-1]), str(ends[1][-1]))
    for _ in range(draws):
        best = _best(random_overlaps(pair, rng), spread, ends, pair.dimension)
        yield best.score if best is not None else -np.inf
