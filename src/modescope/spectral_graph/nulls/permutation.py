"""Permutation: the channels of the writer are shuffled against those of the reader; credits only which channels match.

Sparse directions, and directions of one sign throughout, match under `rotation` whatever the channels are; here they do not.
Nothing is credited that is smaller than one in the number of draws: over a network the p-values corrected for a whole pair decide.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from modescope.seeds import generator
from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._simulated import simulated
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from modescope.svd import Values

SIMULATED = True


def test(pair: Pair, weights: Values, /, *, most: float, draws: int, seed: int) -> Tested:
    """Test overlaps by permutations of the shared channels, each of which serves all edges of the pair.

    Args:
        pair: The two layers. Where the writer has several blocks, channels are permuted within each.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: R permutations, each as dear as the overlaps; p is at least `1 / (R + 1)`.
        seed: Of the permutations.

    Returns:
        Edges with `p = (1 + number of draws as large) / (1 + R)` of at most `most`: an exact test at any number of draws.

    References:
        Phipson & Smyth (2010), doi:10.2202/1544-6115.1585, for the p-value.
    """
    return simulated(pair, weights, draw(pair, draws, seed), most, "permutations")


def draw(pair: Pair, draws: int, seed: int) -> Iterator[Values]:
    """Overlaps of the pair, its channels permuted: (reader nodes, writer nodes), once per draw."""
    random = generator(seed, "channel permutation")
    p = pair.writer.shape[0]
    blocks = np.zeros(p, dtype=np.int64) if pair.channel_block is None else pair.channel_block
    inside = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    for _ in range(draws):
        order = np.empty(p, dtype=np.int64)
        for channels in inside:
            order[channels] = random.permutation(channels)
        yield overlaps(replace(pair, writer=pair.writer[order]))


def mean(pair: Pair, /) -> Values:
    """Mean overlap of single modes over all permutations, exact for a writer of one block that meets all p channels of the reader.

    `1/p + (S_u^2 - 1)(S_B - |B|^2) / (p (p - 1))` for a unit u and |B| = 1, with `S_u = sum u` and `S_B = sum_tap (sum_c B)^2`:
    sums, that is what both sides have along the all-ones direction, stay whatever the order.

    Returns:
        (reader modes, writer modes).
    """
    p = pair.writer.shape[0]
    size = np.einsum("npz,npz->n", pair.reader, pair.reader)
    along = (pair.reader.sum(axis=1) ** 2).sum(axis=1)
    length = (pair.writer**2).sum(axis=0)
    total = pair.writer.sum(axis=0) ** 2
    found: Values = np.outer(size, length) / p + np.outer(along - size, total - length) / (p * max(p - 1, 1))
    return found
