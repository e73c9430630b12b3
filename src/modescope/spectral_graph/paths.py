"""Paths: which modes feed a mode or an output class through significant edges, and which it feeds in turn."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modescope.errors import UsageError
from modescope.spectral_graph.pairs import Nodes
from modescope.spectral_graph.result import Connection, SpectralGraph
from modescope.svd import Values

Place = tuple[str, int]
"""A layer and one of its nodes."""


@dataclass(frozen=True)
class Step:
    """A significant edge on the way.

    Attributes:
        source: Layer that writes.
        writer: Its node.
        target: Layer that reads.
        reader: Its node.
        weight: Overlap.
        log_p: Natural logarithm of its p-value.
    """

    source: str
    writer: int
    target: str
    reader: int
    weight: float
    log_p: float


@dataclass(frozen=True)
class Reached:
    """A node that is joined to the start by significant edges.

    Attributes:
        layer: Its layer.
        node: Its place there.
        strength: Largest product of overlaps over the paths to the start, times the share of the start they lead to.
    """

    layer: str
    node: int
    strength: float


@dataclass(frozen=True)
class Path:
    """The strongest path to the outermost layer that is reached.

    Attributes:
        steps: From the input side to the output side.
        strength: Product of the overlaps along it, times the share of the start it leads to.
        status: "ok", or where and why it ends.
    """

    steps: tuple[Step, ...]
    strength: float
    status: str = "ok"


@dataclass(frozen=True)
class Trace:
    """Everything significant that leads to a start, and everything it leads to.

    Attributes:
        layer: Where the trace starts.
        starts: The nodes it starts from, with shares that sum to 1.
        ancestors: Nodes that lead to the start, those of the first layers first; the start is not among them.
        descendants: Nodes it leads to.
        edges: All significant edges between these, in the order of the layers.
        back: The strongest path from the input side.
        forward: The strongest path to the output side.
    """

    layer: str
    starts: tuple[tuple[int, float], ...]
    ancestors: tuple[Reached, ...]
    descendants: tuple[Reached, ...]
    edges: tuple[Step, ...]
    back: Path
    forward: Path


def trace(graph: SpectralGraph, layer: str, node: int, /) -> Trace:
    """Follow the significant edges from one node back to the input and on to the output.

    A path is as strong as the product of its overlaps. The path that is told is the strongest of those that lead farthest, to the
    first layer that is reached at all. Edges from a layer to itself or an earlier one (a layer used several times) are left out.

    Args:
        graph: Only its significant edges are used.
        layer: Name of a layer.
        node: One of its nodes, counted from 0.

    Raises:
        UsageError: No such layer, no such node, or a number that is not whole.
    """
    count = len(_nodes(graph, layer))
    node = _whole(layer, "node", node)
    if not 0 <= node < count:
        raise UsageError(f"{layer}: expected a node from 0 to {count - 1}, got {node}.")
    return _trace(graph, layer, {node: 1.0})


def trace_output(graph: SpectralGraph, layer: str, u: Values, output: int, /) -> Trace:
    """Follow the significant edges back from one output of a layer, such as a class of the last one.

    The row of an output is `sum_m u[c, m] s_m vh[m]`, so that node m makes up the share `u[c, m]^2 s_m^2` of its energy.

    Args:
        graph: Only its significant edges are used.
        layer: Name of a layer, usually the last.
        u: (out, modes) its output directions, in the gauge of the graph.
        output: Row of `u`.

    Raises:
        UsageError: No such layer or output, directions that do not fit, or an output that no mode writes.
    """
    nodes = _nodes(graph, layer)
    s = next(column.s for column in graph.columns if column.name == layer)
    if u.ndim != 2 or u.shape[1] != s.size:
        raise UsageError(f"{layer}: expected output directions of shape (out, {s.size}), got {u.shape}.")
    output = _whole(layer, "output", output)
    if not 0 <= output < u.shape[0]:
        raise UsageError(f"{layer}: expected an output from 0 to {u.shape[0] - 1}, got {output}.")
    shares = shares_of(u[output], s, nodes)
    if not shares.any():
        raise UsageError(f"{layer}: output {output} is zero: no mode writes it.")
    return _trace(graph, layer, {int(node): float(shares[node]) for node in np.flatnonzero(shares)})


def shares_of(row: Values, s: Values, nodes: Nodes, /) -> Values:
    """(nodes,) share of each node in the energy of one output, summing to 1; all 0 for an output that is zero.

    Args:
        row: (k,) its row of `u`.
        s: (k,) singular values.
        nodes: Ranges of modes that are one node each.
    """
    energy = (row * s) ** 2
    total = float(energy.sum())
    by_node = np.add.reduceat(energy, [start for start, _ in nodes]) if nodes else np.zeros(0)
    found: Values = by_node / total if total > 0 else np.zeros(len(nodes))
    return found


def path_metric(overlaps: Sequence[Values], s: Sequence[Values], /, *, least: float = 0.0) -> float:
    """Sum over all paths from the first layer to the last of the product of all overlaps and singular values along them.

    Args:
        overlaps: One (n, m) array per gap.
        s: One (k,) array per layer, one more than there are gaps; ones instead leave the singular values out.
        least: Nodes whose singular value is below are left out.

    Raises:
        ValueError: The sizes do not fit.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183, and its public code.
    """
    sizes = [values.size for values in s]
    if [a.shape for a in overlaps] != list(zip(sizes[1:], sizes[:-1], strict=True)) or not s:
        raise ValueError(f"path_metric: overlaps of shapes {[a.shape for a in overlaps]} do not join layers of sizes {sizes}.")
    gains = [np.where(values >= least, values, 0.0) for values in s]
    total = gains[0]
    for a, gain in zip(overlaps, gains[1:], strict=True):
        total = gain * (a @ total)
    return float(total.sum())


def _whole(layer: str, word: str, given: int) -> int:
    try:
        return operator.index(given)
    except TypeError:
        raise UsageError(
            f"{layer}: expected the number of {'an' if word == 'output' else 'a'} {word}, a whole one, got {given!r}."
        ) from None


def _nodes(graph: SpectralGraph, layer: str) -> Nodes:
    for column in graph.columns:
        if column.name == layer:
            return column.nodes
    names = ", ".join(column.name for column in graph.columns)
    raise UsageError(f"no layer {layer!r} in the graph: expected one of {names}.")


def _source(step: Step) -> Place:
    return step.source, step.writer


def _target(step: Step) -> Place:
    return step.target, step.reader


@dataclass(frozen=True)
class _Direction:
    """A way to walk along edges.

    Attributes:
        near: The end of an edge that is passed first.
        far: Its other end.
        outermost: The last of several columns.
        joins: The layer of a connection that lies where a walk can go on.
        side: Of the network, to which it leads.
    """

    near: Callable[[Step], Place]
    far: Callable[[Step], Place]
    outermost: Callable[[Iterable[int]], int]
    joins: Callable[[Connection], str]
    side: str


_BACK = _Direction(_target, _source, min, lambda connection: connection.target, "input")
_FORWARD = _Direction(_source, _target, max, lambda connection: connection.source, "output")


@dataclass(frozen=True, eq=False)
class _Walk:
    """Natural logarithm of the strength of every place reached, and the edge of its strongest path that is next to it."""

    strength: Mapping[Place, float]
    edge: Mapping[Place, Step]


def _trace(graph: SpectralGraph, layer: str, starts: Mapping[int, float]) -> Trace:
    order = {column.name: index for index, column in enumerate(graph.columns)}
    steps = sorted(
        (step for step in _steps(graph) if order[step.source] < order[step.target]),
        key=lambda step: (order[step.source], order[step.target], step.writer, step.reader),
    )
    begin = {(layer, node): math.log(share) for node, share in starts.items()}
    back = _walked(_BACK, begin, sorted(steps, key=lambda step: -order[step.target]))
    forward = _walked(_FORWARD, begin, steps)
    return Trace(
        layer=layer,
        starts=tuple(sorted(starts.items())),
        ancestors=_reached(back, begin, order),
        descendants=_reached(forward, begin, order),
        edges=tuple(step for step in steps if _target(step) in back.strength or _source(step) in forward.strength),
        back=_path(_BACK, graph, back, order),
        forward=_path(_FORWARD, graph, forward, order),
    )


def _steps(graph: SpectralGraph) -> Iterable[Step]:
    edges = graph.edges
    for index in np.flatnonzero(edges.significant & ~edges.silent & (edges.weight > 0)):
        connection = graph.connections[edges.connection[index]]
        yield Step(
            source=connection.source,
            writer=int(edges.writer[index]),
            target=connection.target,
            reader=int(edges.reader[index]),
            weight=float(edges.weight[index]),
            log_p=float(edges.log_p[index]),
        )


def _walked(direction: _Direction, begin: Mapping[Place, float], steps: Iterable[Step]) -> _Walk:
    """Where a walk from the start leads; edges near the start come first, so that what they start from is settled."""
    strength, edge = dict(begin), {}
    for step in steps:
        here, there = direction.near(step), direction.far(step)
        if here in strength and (through := strength[here] + math.log(step.weight)) > strength.get(there, -math.inf):
            strength[there], edge[there] = through, step
    return _Walk(strength, edge)


def _reached(walk: _Walk, begin: Mapping[Place, float], order: Mapping[str, int]) -> tuple[Reached, ...]:
    places = sorted((place for place in walk.strength if place not in begin), key=lambda place: (order[place[0]], place[1]))
    return tuple(Reached(layer, node, math.exp(walk.strength[layer, node])) for layer, node in places)


def _path(direction: _Direction, graph: SpectralGraph, walk: _Walk, order: Mapping[str, int]) -> Path:
    outermost = direction.outermost(order[layer] for layer, _ in walk.strength)
    place = end = _strongest(walk, [place for place in walk.strength if order[place[0]] == outermost])
    steps = []
    while place in walk.edge:
        steps.append(walk.edge[place])
        place = direction.near(steps[-1])
    unfinished = any(direction.joins(connection) == end[0] for connection in graph.connections)
    status = f"ends at {end[0]}: no significant edge leads farther towards the {direction.side}" if unfinished else "ok"
    along = sorted(steps, key=lambda step: order[step.source])
    return Path(tuple(along), math.exp(walk.strength[end]), status)


def _strongest(walk: _Walk, places: Iterable[Place]) -> Place:
    """The strongest of several places; the first node of those as strong."""
    return max(places, key=lambda place: (walk.strength[place], -place[1]))
