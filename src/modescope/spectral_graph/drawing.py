"""The drawing of a spectral graph: its strongest edges, the nodes they join, and the leading modes of every layer."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.blocks import Axis, Edge, Graph, Node
from modescope.pictures import VISIBLE, number
from modescope.spectral_graph.layout import ranks
from modescope.spectral_graph.result import Column
from modescope.spectral_graph.viewing import View, ends_of, law, named

DRAWN = 10_000  # edges in a drawing
WEAKER = 1_000  # of them at most that are not significant
TOP = 4  # strongest modes of a layer that are drawn with or without an edge
WIDE = 30.0  # largest over smallest drawn singular value from which their axis is logarithmic


def drawing(view: View, /) -> Iterator[Graph]:
    """The graph itself: the strongest edges, the nodes they join, and the leading modes of every layer."""
    graph = view.graph
    chosen = view.order[: min(DRAWN, int(graph.edges.significant.sum()) + WEAKER)]
    ends = [ends_of(view, edge) for edge in chosen]
    kept = {node for pair in ends for node in pair}
    kept |= {(index, node) for index, column in enumerate(graph.columns) for node in range(min(TOP, len(column.nodes)))}
    nodes = sorted(kept)
    if not nodes:
        return
    at = {node: index for index, node in enumerate(nodes)}
    layer = np.array([index for index, _ in nodes])
    position = np.array([graph.columns[index].position for index, _ in nodes])
    source, target = np.array([[at[a], at[b]] for a, b in ends], dtype=np.int64).reshape(-1, 2).T
    pull = np.where(graph.edges.significant[chosen], 1.0, 0.1) * graph.edges.weight[chosen]
    rank = ranks(position, layer, source, target, pull)
    lane = _lanes(position, layer, source, target, pull)
    degree = np.bincount(
        np.concatenate([source, target]), np.tile(graph.edges.significant[chosen], 2).astype(np.float64), len(nodes)
    )
    order = sorted(set(layer.tolist()), key=lambda index: (graph.columns[index].position, lane[index]))
    values = np.array([_height(graph.columns[index], node) for index, node in nodes])
    yield Graph(
        "Spectral graph",
        tuple(
            Node(
                f"{index}.{node}",
                named(graph.columns[index], node),
                graph.columns[index].position,
                int(degree[k]),
                f"layer={graph.columns[index].name}",
                number(float(values[k])),
                int(rank[k]),
                lane[index],
            )
            for k, (index, node) in enumerate(nodes)
        ),
        tuple(_edge(view, edge, pair) for edge, pair in zip(chosen, ends, strict=True)),
        "significant edges",
        _caption(view, len(chosen)),
        tuple(graph.columns[index].name for index in order),
        axis(values),
    )


def axis(values: NDArray[np.float64], /) -> Axis:
    """The axis of singular values, logarithmic where they span much."""
    there = values[values > 0]
    return Axis("singular value", log=bool(there.size and there.max() > WIDE * there.min()))


def _height(column: Column, node: int) -> float:
    """The largest singular value of a node; what is rounding beside the largest of the layer is 0."""
    value = float(column.s[column.nodes[node][0]])
    return value if value > VISIBLE * float(column.s[0]) else 0.0


def _lanes(position: Any, layer: Any, source: Any, target: Any, pull: Any) -> dict[int, int]:
    """Where layers that share a column stand side by side: those that are joined to each other's neighbours together."""
    layers, first, place = np.unique(layer, return_index=True, return_inverse=True)
    found = ranks(position[first], position[first], place[source], place[target], pull)
    return dict(zip(layers.tolist(), found.tolist(), strict=True))


def _caption(view: View, drawn: int) -> str:
    edges = view.graph.edges
    shown = int(edges.significant[view.order[:drawn]].sum())
    told = ["Columns are layers, nodes their modes at the height of their singular values. Edges: the most surprising first"]
    if drawn > shown:
        told.append(f"{drawn - shown:,} that are not significant wait behind the slider")
    if len(edges) > drawn:
        lost = int(edges.significant.sum()) - shown
        told.append(f"{len(edges) - drawn:,} are left out, {f'{lost:,}' if lost else 'none'} of them significant")
    return f"{'; '.join(told)}. A click on a node or an edge lights the path of significant edges through it."


def _edge(view: View, edge: int, ends: tuple[tuple[int, int], tuple[int, int]]) -> Edge:
    edges = view.graph.edges
    (a, m), (b, n) = ends
    return Edge(
        f"{a}.{m}",
        f"{b}.{n}",
        number(float(edges.weight[edge])) or 0.0,
        number(math.exp(float(edges.log_p[edge]))),
        bool(edges.significant[edge]),
        f"p from {law(view, edge)}",
    )
