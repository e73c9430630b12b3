"""Overlaps of random writers with readers as they are: one threshold per reader, and exact p-values of what passes it."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from modescope.laws import haar_block, haar_overlap
from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.pairs import Indices, Nodes, Pair
from modescope.svd import Values

CHUNK = 4 << 20  # numbers in one work array
ROUNDING = 1e-14  # share of the largest possible overlap by which rounding may carry an overlap past it
MATCHED = "p-values of groups of modes are matched by moments down to 1e-4, and proven bounds below"


def conditional(reader: Values, nodes: Nodes, weights: Values, sizes: Indices, dimension: int, most: float) -> Tested:
    """Test overlaps against the law of a writer that is Haar distributed while the reader stays.

    Args:
        reader: (n, p, z) modes of the reader in the channels they share with the writer.
        nodes: Ranges of reader modes that are one node each.
        weights: (reader nodes, writer nodes) overlaps.
        sizes: (writer nodes,) dimensions of each writer node.
        dimension: N of the space in which a writer is distributed.
        most: Largest p-value of interest.

    Returns:
        Edges with a p-value of at most `most`, not sorted.
    """
    found = []
    single = np.flatnonzero((sizes == 1) & (dimension > 1))
    groups = [np.flatnonzero(sizes == k) for k in np.unique(sizes) if 1 < k < dimension]
    for rows, gamma in spectra(reader, nodes):
        if single.size:
            found.append(_singles(rows, single, gamma, weights, dimension, most))
        found += [_groups(rows, columns, gamma, weights, int(sizes[columns[0]]), dimension, most) for columns in groups]
    return joined(found)


def spectra(reader: Values, nodes: Nodes) -> Iterator[tuple[Indices, Values]]:
    """Eigenvalues of the Gram matrices of reader nodes: indices of nodes of one size, and their (R, r) eigenvalues.

    A node of several modes has their kernels side by side: its law is that of the sum of their overlaps.
    """
    _, p, z = reader.shape
    ranges = np.array(nodes, dtype=np.int64).reshape(-1, 2)
    sizes = ranges[:, 1] - ranges[:, 0]
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        step = max(1, CHUNK // max(int(size) * p * z, 1))
        for start in range(0, rows.size, step):
            some = rows[start : start + step]
            modes = ranges[some, 0][:, None] + np.arange(size)
            frames = reader[modes].transpose(0, 2, 1, 3).reshape(some.size, p, int(size) * z)
            turned = frames.transpose(0, 2, 1)
            gram = frames @ turned if p < frames.shape[2] else turned @ frames
            yield some, np.maximum(np.linalg.eigvalsh(gram) if gram.shape[1] > 1 else gram[:, :, 0], 0.0)


def joined(parts: list[Tested]) -> Tested:
    """Several lists of edges as one, with the sentences of all."""
    parts = [_none(), *parts]
    notes = dict.fromkeys(part.note for part in parts if part.note)
    return Tested(
        np.concatenate([part.reader for part in parts]),
        np.concatenate([part.writer for part in parts]),
        np.concatenate([part.log_p for part in parts]),
        np.concatenate([part.exact for part in parts]),
        "; ".join(notes),
    )


def node_sizes(nodes: Nodes) -> Indices:
    """Modes in each node."""
    return np.array([stop - start for start, stop in nodes], dtype=np.int64)


def writer_blocks(pair: Pair) -> Indices:
    """Block of each writer node; a node lies in one."""
    assert pair.writer_block is not None
    return pair.writer_block[[start for start, _ in pair.writer_nodes]]


Law = Callable[[Values, Nodes, Values, Indices, int, float], Tested]
"""From reader, reader nodes, overlaps, dimensions of the writer nodes, N and the largest p-value to the edges, as `conditional`."""


def by_block(pair: Pair, weights: Values, law: Law, most: float) -> Tested:
    """Test a pair by a law of one block: a writer with several is random within each, in the dimensions of one."""
    sizes = node_sizes(pair.writer_nodes)
    if pair.writer_block is None or pair.channel_block is None:
        return law(pair.reader, pair.reader_nodes, weights, sizes, pair.dimension, most)
    blocks = writer_blocks(pair)
    parts = []
    for block in np.unique(blocks):
        columns, channels = np.flatnonzero(blocks == block), pair.channel_block == block
        if not channels.any():  # the reader meets nothing of this block
            continue
        part = law(pair.reader[:, channels], pair.reader_nodes, weights[:, columns], sizes[columns], pair.dimension, most)
        parts.append(Tested(part.reader, columns[part.writer], part.log_p, part.exact, part.note))
    return joined(parts)


def kept(log_p: Values, exact: NDArray[np.bool_], most: float, note: str = "") -> Tested:
    """Edges of a whole table of p-values that are at most `most`."""
    reader, writer = np.nonzero(log_p <= math.log(most))
    return Tested(reader, writer, log_p[reader, writer], exact[reader, writer], note)


def _singles(rows: Indices, columns: Indices, gamma: Values, weights: Values, dimension: int, most: float) -> Tested:
    """Single writer modes: only overlaps above the threshold of their reader are given a p-value."""
    level = math.log(most)
    table = weights[np.ix_(rows, columns)]
    n, m = np.nonzero(table > haar_overlap.threshold(gamma, dimension, level)[:, None])
    largest = gamma.max(axis=1)
    overlap = np.minimum(table[n, m], largest[n] * (1 - ROUNDING))
    log_p = np.empty(n.size)
    step = max(1, CHUNK // gamma.shape[1])
    for start in range(0, n.size, step):
        some = slice(start, start + step)
        log_p[some] = haar_overlap.conditional_tail(gamma[n[some]], dimension, overlap[some])
    keep = log_p <= level
    return Tested(rows[n[keep]], columns[m[keep]], log_p[keep], np.ones(int(keep.sum()), dtype=np.bool_))


def _groups(rows: Indices, columns: Indices, gamma: Values, weights: Values, k: int, dimension: int, most: float) -> Tested:
    """Writer nodes of k modes each, all of which are given a p-value."""
    found = []
    for column in columns:
        log_p, exact = haar_block.tail(gamma, dimension, k, weights[rows, column])
        keep = np.flatnonzero(log_p <= math.log(most))
        note = "" if exact[keep].all() else MATCHED
        found.append(Tested(rows[keep], np.full(keep.size, column), log_p[keep], exact[keep], note))
    return joined(found)


def _none() -> Tested:
    empty = np.empty(0, dtype=np.int64)
    return Tested(empty, empty, np.empty(0), np.empty(0, dtype=np.bool_))
