"""Signals with classes, statistics of them, random hypergraphs, and the slow ways to measure them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.profiles.basis import Basis
from modescope.profiles.class_sums import ClassStatistics, ClassSums
from modescope.profiles.hypergraph import ClassHypergraph, Edge, Vertex, hypergraph
from modescope.profiles.passing import Passed

Values = NDArray[np.float64]
RNG = np.random.default_rng


def planted(seed: int = 0, *, n: int = 120, r: int = 8, classes: int = 4, apart: float = 2.0) -> tuple[Values, NDArray[np.int64]]:
    """Signals (n, r) of images whose class means differ, and labels in no order."""
    rng = RNG(seed)
    labels = rng.permutation(np.arange(n) % classes)
    means = apart * rng.standard_normal((classes, r))
    return means[labels] + rng.standard_normal((n, r)) + 3 * rng.standard_normal(r), labels


def batches(signals: Mapping[str, Values], size: int) -> Iterator[Passed]:
    """The same signals as a pass over them would give."""
    count = len(next(iter(signals.values())))
    for start in range(0, count, size):
        part = {name: value[start : start + size] for name, value in signals.items()}
        yield Passed(start, None, part, {}, None, None)


def statistics(signals: Values, labels: NDArray[np.int64], *, batch: int = 16, **options: Any) -> ClassStatistics:
    """Of one site."""
    sums = ClassSums(labels, {"site": np.arange(signals.shape[1])}, **options)
    for passed in batches({"site": signals}, batch):
        sums.add(passed)
    return sums.value()["site"]


def modes(s: Values, layer: str = "site") -> Basis:
    """Modes with chosen singular values, in the coordinates of the layer."""
    r = s.size
    return Basis(layer, "Linear", (r,), 1, s, np.eye(r), np.eye(r), np.zeros(r, np.intp), np.zeros(r), np.ones(r))


def random_graph(seed: int, *, edges: int = 12, vertices: int = 15, share: float = 0.25) -> ClassHypergraph:
    """Random edges, among them empty and equal ones, over signed modes of two layers."""
    rng = RNG(seed)
    held = rng.random((edges, vertices)) < share * rng.random((edges, 1)) * 2
    held[0] = False
    held[1, :2] = True
    held[-1] = held[1]
    points = [
        Vertex(f"layer{v % 2}", v % 2, v // 4, 1 - 2 * (v // 2 % 2), float(rng.random()), float(rng.random()) if v else None)
        for v in range(vertices)
    ]
    classes = [Edge(f"class {e}", e, "layer0", 0, e) for e in range(edges)]
    rows = [(int(e), int(v), float(rng.random()), float(rng.random())) for e, v in np.argwhere(held)]
    return hypergraph(points, classes, [rows[i] for i in rng.permutation(len(rows))])


def sets(graph: Any) -> list[frozenset[int]]:
    """Edges as sets of vertex numbers."""
    return [frozenset(graph.vertex[graph.edge == e].tolist()) for e in range(len(graph.edges))]
