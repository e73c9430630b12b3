"""Chains: paths of modes through consecutive layers, fixed in advance or searched, each tested as a whole.

The overlaps of different gaps are independent when the layers are Gaussian: the output and the input directions of one matrix are.
A path fixed before looking is therefore judged by Fisher's sum of logarithms. The best of all paths is not: it is compared with
the best path through random layers, found by the same search.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc
from scipy.stats import chi2

from modescope.errors import UsageError
from modescope.laws import haar_block
from modescope.seeds import generator
from modescope.spectral_graph.pairs import Indices, Nodes, Pair
from modescope.spectral_graph.random_writers import random_overlaps
from modescope.spectral_graph.result import Chain
from modescope.svd import Values

DRAWS = 200
MOST = 700.0  # evidence that one edge can give: a p-value beyond it is no float
LEAST = 1e-300  # overlap that stands for none, so that its logarithm is a number

Score = Callable[[Pair, Values], Values]
"""From overlaps (reader nodes, writer nodes) to what is added up along a path, larger where there is more evidence."""

Tail = Callable[[Pair, Indices, Indices, Values], Values]
"""From reader nodes (e,), writer nodes (e,) and their overlaps (e,) to natural logarithms of their p-values."""


@dataclass(frozen=True)
class BestPath:
    """The path of largest sum.

    Attributes:
        nodes: One of every layer, from the input side.
        score: The sum along it.
    """

    nodes: tuple[int, ...]
    score: float


def fixed(
    layers: Sequence[str], nodes: Sequence[int], weights: Sequence[float], log_p: Sequence[float], /, *, most: float = -math.inf
) -> Chain:
    """Test a path that was chosen before looking, such as the first modes of all layers.

    Args:
        layers: Names, from the input side.
        nodes: One node of each.
        weights: Overlaps along it, one fewer than there are layers.
        log_p: Natural logarithms of their p-values.
        most: Logarithm of the largest significant p-value, for the longest run.

    Returns:
        The chain with Fisher's p: `-2 sum ln p` is chi-squared with two degrees of freedom an edge.

    Raises:
        ValueError: The lengths do not fit.

    References:
        Fisher (1932), Statistical Methods for Research Workers, 4th edition.
    """
    if not len(layers) == len(nodes) == len(weights) + 1 == len(log_p) + 1 or len(weights) < 1:
        raise ValueError(
            f"fixed: expected nodes of {len(layers)} layers and the edges between, got {len(nodes)} and {len(weights)}."
        )
    return Chain(
        layers=tuple(layers),
        modes=tuple(int(node) for node in nodes),
        weights=tuple(map(float, weights)),
        log_p=tuple(map(float, log_p)),
        p=float(chi2.sf(-2 * math.fsum(log_p), 2 * len(log_p))),
        chosen="fixed",
        longest=longest_run([value <= most for value in log_p]),
        note="The p-value holds for this path chosen before looking, not for the best of several.",
    )


def longest_run(significant: Sequence[bool], /) -> int:
    """Edges of the longest run of significant ones."""
    longest = run = 0
    for edge in significant:
        run = run + 1 if edge else 0
        longest = max(longest, run)
    return longest


def share(chain: Chain, /) -> float:
    """Product of the overlaps along a chain."""
    return math.prod(chain.weights)


def best_path(scores: Sequence[Values], /) -> BestPath:
    """The path of largest sum through consecutive gaps, by dynamic programming.

    Args:
        scores: One (reader nodes, writer nodes) array per gap; the readers of one are the writers of the next.

    Raises:
        ValueError: No gaps, or neighbours that do not fit.
    """
    if not scores:
        raise ValueError("best_path: expected at least one gap.")
    reached = np.zeros(scores[0].shape[1])
    back: list[Indices] = []
    for w in scores:
        reached, pointers = _advanced(reached, w)
        back.append(pointers)
    return BestPath(_traced(back, int(np.argmax(reached))), float(reached.max()))


def log_weight(_pair: Pair, weights: Values, /) -> Values:
    """Logarithm of the overlap: comparable where every reader has one tap and every node one mode."""
    found: Values = np.log(np.maximum(weights, LEAST))
    return found


def evidence(pair: Pair, weights: Values, /) -> Values:
    """Minus the logarithm of a p-value matched by moments: comparable between readers of different kernels, and between nodes.

    Given the reader, the overlap of a node of k modes has mean `k tr G / N` and variance
    `2 k (N - k) (tr G^2 - (tr G)^2 / N) / (N (N - 1) (N + 2))`; a Beta law with these moments stands for its own. With one tap and
    one mode on one side it is its own. Elsewhere its far tail is too thin or too thick, in a search and in its null alike.
    """
    found = np.zeros(weights.shape)
    sizes = _sizes(pair.writer_nodes)
    for rows, columns in _blocks(pair):
        trace, square = _moments(pair, rows)
        for size in np.unique(sizes[columns]):
            chosen = columns[sizes[columns] == size]
            found[:, chosen] = _evidence(weights[:, chosen], int(size), pair, trace, square)
    return found


def exact_tail(pair: Pair, readers: Indices, writers: Indices, weights: Values, /) -> Values:
    """Logarithms of p-values given the reader: exact where the writer node is one mode, never less than is warranted elsewhere."""
    found = np.zeros(weights.shape)
    sizes = _sizes(pair.writer_nodes)[writers]
    for rows, columns in _blocks(pair):
        inside = np.isin(writers, columns)
        for size in np.unique(sizes[inside]):
            edges = np.flatnonzero(inside & (sizes == size))
            kernels = [_spectrum(pair, int(reader), rows) for reader in readers[edges]]
            gamma = np.zeros((len(kernels), max(kernel.size for kernel in kernels)))
            for row, kernel in zip(gamma, kernels, strict=True):
                row[: kernel.size] = kernel
            found[edges], _ = haar_block.tail(gamma, pair.dimension, int(size), weights[edges])
    return found


def searched(
    layers: Sequence[str],
    gaps: Iterable[tuple[Pair, Values]],
    /,
    *,
    score: Score = evidence,
    tail: Tail = exact_tail,
    most: float = -math.inf,
    draws: int = DRAWS,
    seed: int = 0,
) -> Chain:
    """The best of all paths through a line of layers, against the best path of random writers.

    The null keeps the input directions of all layers and replaces the output directions by Haar distributed frames of the same
    shape. It goes gap by gap, so that one pair of layers is in memory at a time.

    Args:
        layers: Names, from the input side.
        gaps: For every two neighbours their pair and its overlaps between nodes; consumed once.
        score: What is added up along a path.
        tail: For the p-value of each edge by itself.
        most: Logarithm of the largest significant p-value, for the longest run.
        draws: Random networks; no p is smaller than 1 / (1 + draws).
        seed: Of the draws.

    Raises:
        UsageError: The number of gaps is not that of the layers less one, or there are none.
        ValueError: Neighbours do not fit.
    """
    reached: list[Values] = []
    steps: list[_Step] = []
    for pair, weights, tables in _tables(layers, gaps, score, draws, seed):
        if not steps:
            reached = [np.zeros(weights.shape[1])] * (1 + draws)
        pointers = None
        for index, w in enumerate(tables):
            reached[index], chosen = _advanced(reached[index], w)
            pointers = chosen if pointers is None else pointers
        assert pointers is not None
        steps.append(_step(pair, weights, pointers, tail))
    totals = np.array([values.max() for values in reached])
    p = (1 + int(np.count_nonzero(totals[1:] >= totals[0]))) / (1 + draws)
    note = f"Best of all paths, against the best path through {draws} random networks; no p is below {1 / (1 + draws):.2g}."
    return _chain(layers, steps, int(np.argmax(reached[0])), p, most, note)


def searched_part(
    layers: Sequence[str],
    gaps: Iterable[tuple[Pair, Values]],
    /,
    *,
    score: Score = evidence,
    tail: Tail = exact_tail,
    most: float = -math.inf,
    draws: int = DRAWS,
    seed: int = 0,
    shortest: int = 2,
) -> Chain:
    """The best path through any part of a line of layers, where a chain that does not run through the whole network shows.

    For every part of at least `shortest` gaps the best sum is measured from its median over the network and the random ones
    together, which keeps the p-value exact. The part with the largest excess is reported: a gap without evidence adds less to the
    sum than to its median. The null maximises over parts as well.

    Args:
        layers: Names, from the input side.
        gaps: For every two neighbours their pair and its overlaps between nodes; consumed once.
        score: What is added up along a path.
        tail: For the p-value of each edge by itself.
        most: Logarithm of the largest significant p-value, for the longest run.
        draws: Random networks; no p is smaller than 1 / (1 + draws).
        seed: Of the draws.
        shortest: Gaps of the shortest part; a line with fewer has one part, the whole.

    Raises:
        UsageError: The number of gaps is not that of the layers less one, or there are none.
        ValueError: Neighbours do not fit.
    """
    shortest = max(1, min(shortest, len(layers) - 1))
    fronts: list[list[Values]] = []  # by the gap a part begins with: what each network reaches
    steps: list[list[_Step]] = []
    found: list[tuple[int, int, int, Values]] = []  # first gap, gap after the last, node it ends in, sum of each network
    for pair, weights, tables in _tables(layers, gaps, score, draws, seed):
        fronts.append([np.zeros(weights.shape[1])] * (1 + draws))
        steps.append([])
        pointers: list[Indices] = []
        for index, w in enumerate(tables):
            for front in fronts:
                front[index], chosen = _advanced(front[index], w)
                if index == 0:
                    pointers.append(chosen)
        for first, (front, part) in enumerate(zip(fronts, steps, strict=True)):
            part.append(_step(pair, weights, pointers[first], tail))
            if len(part) >= shortest:
                found.append((first, first + len(part), int(np.argmax(front[0])), np.array([values.max() for values in front])))
    totals = np.array([sums for *_, sums in found])
    excess = totals - np.median(totals, axis=1, keepdims=True)
    first, after, end, _ = found[int(np.argmax(excess[:, 0]))]
    largest = excess.max(axis=0)
    p = (1 + int(np.count_nonzero(largest[1:] >= largest[0]))) / (1 + draws)
    note = f"Best path of all parts of {len(layers)} layers, against the best through parts of {draws} random networks."
    return _chain(layers[first : after + 1], steps[first][: after - first], end, p, most, note)


@dataclass(frozen=True, eq=False)
class _Step:
    """For every reader node of a gap the writer node that the best path comes from, with overlap and log p of that edge."""

    pointers: Indices
    weights: Values
    log_p: Values


def _step(pair: Pair, weights: Values, pointers: Indices, tail: Tail) -> _Step:
    readers = np.arange(pointers.size)
    chosen = weights[readers, pointers]
    return _Step(pointers, chosen, tail(pair, readers, pointers, chosen))


def _chain(layers: Sequence[str], steps: Sequence[_Step], end: int, p: float, most: float, note: str) -> Chain:
    nodes = _traced([step.pointers for step in steps], end)
    log_p = [float(step.log_p[node]) for step, node in zip(steps, nodes[1:], strict=True)]
    return Chain(
        layers=tuple(layers),
        modes=nodes,
        weights=tuple(float(step.weights[node]) for step, node in zip(steps, nodes[1:], strict=True)),
        log_p=tuple(log_p),
        p=p,
        chosen="searched",
        longest=longest_run([value <= most for value in log_p]),
        note=note,
    )


def _tables(
    layers: Sequence[str], gaps: Iterable[tuple[Pair, Values]], score: Score, draws: int, seed: int
) -> Iterator[tuple[Pair, Values, Iterator[Values]]]:
    """Of every gap its pair, its overlaps, and the scores of the network followed by those of each random one."""
    count = 0
    for pair, weights in gaps:
        count += 1
        yield pair, weights, _scored(pair, weights, score, draws, generator(seed, "best path", str(count)))
    if not 0 < count == len(layers) - 1:
        raise UsageError(f"chain: expected a gap between every two of {len(layers)} layers, got {count}.")


def _scored(pair: Pair, weights: Values, score: Score, draws: int, rng: np.random.Generator) -> Iterator[Values]:
    yield score(pair, weights)
    for _ in range(draws):
        yield score(pair, random_overlaps(pair, rng))


def _advanced(reached: Values, w: Values) -> tuple[Values, Indices]:
    """Best sums one gap on, and where they come from."""
    if w.shape[1] != reached.size or not w.size:
        raise ValueError(f"chain: expected scores from {reached.size} nodes, got an array of shape {w.shape}.")
    total = w + reached
    pointers = total.argmax(axis=1)
    return total[np.arange(pointers.size), pointers], pointers


def _traced(back: Sequence[Indices], end: int) -> tuple[int, ...]:
    nodes = [end]
    for pointers in reversed(back):
        nodes.append(int(pointers[nodes[-1]]))
    return tuple(reversed(nodes))


def _sizes(nodes: Nodes) -> Indices:
    return np.array([stop - start for start, stop in nodes], dtype=np.int64)


def _blocks(pair: Pair) -> Iterator[tuple[Indices | slice, Indices]]:
    """Shared channels and writer nodes of every block of the writer."""
    if pair.writer_block is None or pair.channel_block is None:
        yield slice(None), np.arange(len(pair.writer_nodes))
        return
    of_node = pair.writer_block[[start for start, _ in pair.writer_nodes]]
    for block in np.unique(of_node):
        yield np.flatnonzero(pair.channel_block == block), np.flatnonzero(of_node == block)


def _spectrum(pair: Pair, reader: int, rows: Indices | slice) -> Values:
    """Eigenvalues of G of a reader node within the given channels, as many as can be positive."""
    start, stop = pair.reader_nodes[reader]
    b = pair.reader[start:stop, rows].transpose(1, 0, 2).reshape(-1, (stop - start) * pair.reader.shape[2])
    gram = b.T @ b if b.shape[1] <= b.shape[0] else b @ b.T
    found: Values = np.maximum(np.linalg.eigvalsh(gram), 0.0)
    return found


def _moments(pair: Pair, rows: Indices | slice) -> tuple[Values, Values]:
    """Traces of G and of G^2 for every reader node within the given channels."""
    reader = pair.reader[:, rows]
    n, _, z = reader.shape
    starts = [start for start, _ in pair.reader_nodes]
    trace = np.add.reduceat(np.einsum("npz,npz->n", reader, reader), starts)
    if z == 1 and len(starts) == n:
        return trace, trace**2
    square = np.empty(len(starts))
    for index, (start, stop) in enumerate(pair.reader_nodes):
        b = reader[start:stop].transpose(1, 0, 2).reshape(reader.shape[1], -1)
        gram = b.T @ b if b.shape[1] <= b.shape[0] else b @ b.T
        square[index] = np.vdot(gram, gram)
    return trace, square


def _evidence(weights: Values, size: int, pair: Pair, trace: Values, square: Values) -> Values:
    """-ln P(Beta >= a) per reader, the Beta on the interval from 0 to a bound of the overlap."""
    dimension = pair.dimension
    free = 2.0 * size * (dimension - size) * (square - trace**2 / dimension)
    variance = free / (dimension * max(dimension - 1.0, 1.0) * (dimension + 2.0))
    largest = np.minimum(trace, size * (1.0 if pair.reader.shape[2] == 1 else np.sqrt(square)))
    varies = (variance > 1e-12 * trace**2 / dimension**2) & (largest > 0)
    top = np.where(varies, largest, 1.0)
    mean = np.where(varies, size * trace / dimension / top, 0.5)
    both = np.where(varies, mean * (1 - mean) * top**2 / np.where(varies, variance, 1.0), 2.0) - 1
    x = np.clip(weights / top[:, None], 0.0, 1.0)
    tail = betainc(((1 - mean) * both)[:, None], (mean * both)[:, None], 1 - x)
    found = np.minimum(-np.log(np.maximum(tail, np.exp(-MOST))), MOST)
    return np.where(varies[:, None], np.maximum(found, 0.0), 0.0)
