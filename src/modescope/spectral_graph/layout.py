"""Where the nodes of a layered graph stand so that few of its edges cross: sweeps of weighted means of neighbours.

Nodes stand in *stands*: a column, or a lane of one. The height of a node is its place in its stand over the size of the stand, so
that stands of different size are equally tall. An edge that leads past columns runs straight from end to end.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.svd import Values

Indices = NDArray[np.int64]

SWEEPS = 24  # half of them there, half of them back
PATIENCE = 6  # sweeps without fewer crossings after which no more are made
WORK = 1_500_000  # pieces of edges between neighbouring columns that are counted at most in all sweeps


def ranks(column: ArrayLike, stand: ArrayLike, source: ArrayLike, target: ArrayLike, weight: ArrayLike) -> Indices:
    """Place of every node in its stand, counted from 0, by repeated weighted means of the heights of its neighbours.

    Each column in turn is sorted by its neighbours on the left, then by those on the right; the order with the fewest crossings
    of all that were met is kept, the given one included. Nothing is random: ties stay in the given order.

    Args:
        column: (nodes,) column of each, from the left.
        stand: (nodes,) stand of each; no stand reaches over two columns.
        source: (edges,) nodes in the lesser column.
        target: (edges,) nodes in the greater one.
        weight: (edges,) how much an edge pulls, at least 0.

    References:
        Sugiyama, Tagawa & Toda (1981), doi:10.1109/TSMC.1981.4308636.
    """
    column, stand, source, target = (np.asarray(part, dtype=np.int64) for part in (column, stand, source, target))
    weight = np.asarray(weight, dtype=np.float64)
    _, stand = np.unique(stand, return_inverse=True)
    now = _ranked(stand, np.arange(stand.size))
    best, least, idle = now, crossings(column, heights(stand, now), source, target), 0
    depth, start, stop = np.unique(column), column[source], column[target]
    ways = (
        [(np.flatnonzero(column == at), np.flatnonzero(stop == at), target, source) for at in depth[1:]],
        [(np.flatnonzero(column == at), np.flatnonzero(start == at), source, target) for at in depth[-2::-1]],
    )
    pieces = int((np.searchsorted(depth, stop) - np.searchsorted(depth, start)).sum())
    for sweep in range(min(SWEEPS, max(WORK // max(pieces, 1), 2))):
        height = heights(stand, now)
        for nodes, edges, own, other in ways[sweep % 2]:
            mean = _means(own[edges], height[other[edges]], weight[edges], height)
            now[nodes] = _ranked(stand[nodes], mean[nodes], now[nodes])
            height = heights(stand, now)
        found = crossings(column, height, source, target)
        best, least, idle = (now.copy(), found, 0) if found < least else (best, least, idle + 1)
        if least == 0 or idle == PATIENCE:
            break
    return best


def heights(stand: Indices, rank: Indices) -> Values:
    """Middle of each node's share of its stand, between 0 and 1."""
    return (rank + 0.5) / np.bincount(stand)[stand]


def crossings(column: ArrayLike, height: ArrayLike, source: ArrayLike, target: ArrayLike) -> int:
    """How many pairs of edges cross, counted between each column and the next, where every edge is straight from end to end.

    Edges that meet at a height, as those of one node do, do not cross there. It takes O(S log S) for S pieces of edges between
    neighbouring columns.
    """
    column, source, target = (np.asarray(part, dtype=np.int64) for part in (column, source, target))
    height = np.asarray(height, dtype=np.float64)
    depth, place = np.unique(column, return_inverse=True)
    start, stop = place[source], place[target]
    rise = (height[target] - height[source]) / np.maximum(stop - start, 1)
    found = 0
    for at in range(depth.size - 1):
        here = np.flatnonzero((start <= at) & (stop > at))
        before = height[source[here]] + rise[here] * (at - start[here])
        after = np.where(stop[here] == at + 1, height[target[here]], before + rise[here])
        found += _inversions(_level(before), _level(after))
    return found


def _level(height: Values) -> Indices:
    """Heights as whole numbers, those that differ by rounding alone as one."""
    _, level = np.unique(np.round(height, 12), return_inverse=True)
    return level


def _inversions(first: Indices, second: Indices) -> int:
    """Pairs in which `first` grows and `second` falls, counted bit by bit of `second` from the highest: O(n log n)."""
    values = second[np.lexsort((second, first))]
    found, group = 0, np.zeros(values.size, dtype=np.int64)
    for bit in range(int(second.max(initial=0)).bit_length() - 1, -1, -1):
        high = (values >> bit) & 1
        ahead = np.cumsum(high) - high
        begins = np.flatnonzero(np.diff(group, prepend=-1))
        size = np.diff(begins, append=group.size)
        ahead -= np.repeat(ahead[begins], size)  # of its own group
        found += int(ahead[high == 0].sum())
        group = 2 * group + high
        order = np.argsort(group, kind="stable")
        values, group = values[order], group[order]
    return found


def _means(node: Indices, value: Values, weight: Values, otherwise: Values) -> Values:
    """Weighted mean of the values at each node; nodes without any keep what they have."""
    size = otherwise.size
    total = np.bincount(node, weight, size)
    mean = np.bincount(node, weight * value, size) / np.where(total > 0, total, 1)
    return np.where(total > 0, mean, otherwise)


def _ranked(stand: Indices, *keys: NDArray[np.generic]) -> Indices:
    """Place of each within its stand by the first key, ties by the next."""
    order = np.lexsort((*keys[::-1], stand))
    sorted_stand = stand[order]
    begins = np.flatnonzero(np.diff(sorted_stand, prepend=-1))
    place = np.arange(stand.size) - np.repeat(begins, np.diff(begins, append=stand.size))
    found = np.empty(stand.size, dtype=np.int64)
    found[order] = place
    return found
