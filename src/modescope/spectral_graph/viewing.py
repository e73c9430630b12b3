"""Viewing: a spectral graph as its page shows it, without silent edges, with the order of its edges and the names of its nodes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.result import Column, Edges, SpectralGraph

UNDERFLOW = math.log(1e-300)  # of p, below which its power is told


@dataclass(frozen=True)
class View:
    """A graph with what its page asks for again and again; edges along which nothing passes are left out.

    Attributes:
        graph: Itself.
        ends: Of every connection the indices of its writer and its reader.
        order: Edges by significance, then p, then weight.
        beside: Edges that leave each column, and those that enter it, in this order.
    """

    graph: SpectralGraph
    ends: tuple[tuple[int, int], ...]
    order: Sequence[int]
    beside: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]


def viewed(graph: SpectralGraph, /) -> View:
    """A graph in the order in which its page shows it."""
    place = {column.name: index for index, column in enumerate(graph.columns)}
    edges = _heard(graph.edges)
    ends = tuple((place[one.source], place[one.target]) for one in graph.connections)
    order = np.lexsort((-edges.weight, edges.log_p, ~edges.significant))
    return View(
        replace(graph, edges=edges),
        ends,
        order.tolist(),
        (_sided(graph, edges, ends, order, 0), _sided(graph, edges, ends, order, 1)),
    )


def ends_of(view: View, edge: int, /) -> tuple[tuple[int, int], tuple[int, int]]:
    """Column and node of the writer, and of the reader."""
    edges = view.graph.edges
    source, target = view.ends[int(edges.connection[edge])]
    return (source, int(edges.writer[edge])), (target, int(edges.reader[edge]))


def law(view: View, edge: int, /) -> str:
    """What the p-value of an edge rests on, and what must be known of the edge."""
    graph, edges = view.graph, view.graph.edges
    connection = graph.connections[int(edges.connection[edge])]
    (a, m), (b, n) = ends_of(view, edge)
    fixed = m if graph.options["convention"] == "cosvr" else n  # the side that is conditioned on
    sizes = [stop - start for start, stop in (graph.columns[a].nodes[m], graph.columns[b].nodes[n])]
    taps = float(connection.effective[fixed]) if fixed < connection.effective.size else 1.0
    size = connection.dimension
    if graph.options["null"] != "rotation":
        parts = [f"the null {graph.options['null'].replace('_', ' ')}"]
    elif taps <= 1 + 1e-9 and min(sizes) == 1:
        parts = [f"Beta({_half(max(sizes))}, {_half(size - max(sizes))})"]
    else:
        parts = [f"the kernel it meets: {size} dimensions, {taps:.3g} effective of {connection.multiplicity} taps"]
    if edges.log_p[edge] < UNDERFLOW:
        parts.append(f"p = 10^{edges.log_p[edge] / math.log(10):.0f}")
    if not edges.exact[edge]:
        parts.append("p is not exact")
    if edges.unstable[edge]:
        parts.append("unstable under the rounding of the weights")
    return "; ".join(parts)


def named(column: Column, node: int, /) -> str:
    """A node and its layer in words."""
    return f"{modes_of(column, node)} of {column.name}"


def modes_of(column: Column, node: int, /) -> str:
    """A node in words."""
    start, stop = column.nodes[node]
    return f"mode{'s' if stop - start > 1 else ''} {span(start, stop)}"


def span(start: int, stop: int, /) -> str:
    """A range of modes by its first and its last."""
    return str(start) if stop - start == 1 else f"{start}-{stop - 1}"


def _heard(edges: Edges) -> Edges:
    """Edges along which something passes."""
    return Edges(*(getattr(edges, name)[~edges.silent] for name in Edges.__dataclass_fields__))


def _sided(
    graph: SpectralGraph, edges: Edges, ends: Sequence[tuple[int, int]], order: NDArray[np.int64], side: int
) -> Sequence[Sequence[int]]:
    """Edges that leave (side 0) or enter (side 1) each column, in their order."""
    of = np.array([pair[side] for pair in ends], dtype=np.int64)[edges.connection[order]]
    by_column = np.argsort(of, kind="stable")
    cuts = np.cumsum(np.bincount(of, minlength=len(graph.columns)))[:-1]
    return [part.tolist() for part in np.split(order[by_column], cuts)] if len(graph.columns) else []


def _half(value: int) -> str:
    return str(value // 2) if value % 2 == 0 else f"{value}/2"
