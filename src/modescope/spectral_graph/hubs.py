"""Hubs: nodes that many significant edges enter or leave, and how the overlaps of a gap are spread."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.result import SpectralGraph
from modescope.svd import Values


@dataclass(frozen=True)
class Hubs:
    """Significant edges at the nodes of one layer; one entry per node.

    Attributes:
        layer: Its name.
        edges_in: How many enter.
        edges_out: How many leave.
        strength_in: Sum of their overlaps.
        strength_out: Sum of their overlaps.
        fan_in: Effective number that enter: (sum a)^2 / sum a^2, as many as there are if they are equal, 0 if there are none.
        fan_out: Effective number that leave.
        largest_in: The node of largest `strength_in`, or None where no edge enters the layer.
        largest_out: The node of largest `strength_out`, or None where no edge leaves it.
        status: "ok", or why there is nothing.
    """

    layer: str
    edges_in: tuple[int, ...]
    edges_out: tuple[int, ...]
    strength_in: tuple[float, ...]
    strength_out: tuple[float, ...]
    fan_in: tuple[float, ...]
    fan_out: tuple[float, ...]
    largest_in: int | None
    largest_out: int | None
    status: str = "ok"


def hubs(graph: SpectralGraph, /) -> Mapping[str, Hubs]:
    """Count the significant edges at every node of every layer.

    Args:
        graph: Only its significant edges are used, over all connections of a layer.
    """
    edges, kept = graph.edges, graph.edges.significant
    connection = edges.connection[kept]
    found = {}
    for column in graph.columns:
        into = np.isin(connection, [i for i, c in enumerate(graph.connections) if c.target == column.name])
        out = np.isin(connection, [i for i, c in enumerate(graph.connections) if c.source == column.name])
        count = len(column.nodes)
        entering = _ends(edges.reader[kept][into], edges.weight[kept][into], count)
        leaving = _ends(edges.writer[kept][out], edges.weight[kept][out], count)
        found[column.name] = Hubs(
            layer=column.name,
            edges_in=entering.edges,
            edges_out=leaving.edges,
            strength_in=entering.strength,
            strength_out=leaving.strength,
            fan_in=entering.fan,
            fan_out=leaving.fan,
            largest_in=entering.largest,
            largest_out=leaving.largest,
            status=column.status if column.status != "ok" or into.any() or out.any() else "no significant edge at any node",
        )
    return found


def entropy(weights: Values, /, *, modes: Values | None = None) -> float:
    """-sum a ln a over all overlaps of a gap, with 0 ln 0 = 0.

    Args:
        weights: (n, m) overlaps, not negative.
        modes: (n, m) number of pairs of modes behind each overlap, over which it is then spread evenly; None: one.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, and its public code, which gives no number where an overlap is 0.
    """
    found = weights > 0
    each = weights[found] if modes is None else (weights / modes)[found]
    return max(float(-(weights[found] * np.log(np.minimum(each, 1.0))).sum()), 0.0)


def fan_in(weights: Values, /) -> Values:
    """Effective number of writer nodes that each reader node reads: (sum a)^2 / sum a^2 along its row; 0 for an empty row."""
    total, square = weights.sum(axis=1), (weights**2).sum(axis=1)
    found: Values = np.divide(total**2, square, out=np.zeros(total.shape), where=square > 0)
    return found


def fan_out(weights: Values, /) -> Values:
    """Effective number of reader nodes that read each writer node: the same down its column."""
    return fan_in(weights.T)


def intensity(weights: Values, dimension: int, /) -> Values:
    """How dark the authors of the representation draw the writer nodes of a gap, between 0 and 1.

    The largest excess of the overlaps over chance, `max_i sum_{n <= i} (N a[n, m] - 1)`, not below 0 and relative to the largest of
    the layer. Their last layer, which writes into none, is all ones.

    Args:
        weights: (n, m) overlaps between single modes.
        dimension: N.

    Returns:
        (m,) intensities; all 0 where no node exceeds chance.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, and its public code.
    """
    excess = np.maximum((dimension * weights - 1).cumsum(axis=0).max(axis=0, initial=0.0), 0.0)
    top = float(excess.max(initial=0.0))
    found: Values = excess / top if top > 0 else excess
    return found


@dataclass(frozen=True)
class _Ends:
    edges: tuple[int, ...]
    strength: tuple[float, ...]
    fan: tuple[float, ...]
    largest: int | None


def _ends(nodes: NDArray[np.int64], weights: Values, count: int) -> _Ends:
    edges = np.bincount(nodes, minlength=count)
    strength = np.bincount(nodes, weights=weights, minlength=count)
    square = np.bincount(nodes, weights=weights**2, minlength=count)
    fan = np.divide(strength**2, square, out=np.zeros(square.shape), where=square > 0)
    largest = int(np.argmax(strength)) if nodes.size else None
    return _Ends(tuple(edges.tolist()), tuple(strength.tolist()), tuple(fan.tolist()), largest)
