"""Hypergraphs of classes: the modes are vertices, and every class is an edge that holds the modes it uses.

The functions below ask nothing about classes: they hold for any vertices and edges, so that the dual, whose vertices are classes,
is measured by the same ones.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_matrix

from modescope.errors import UsageError
from modescope.profiles.basis import Basis, Indices
from modescope.profiles.membership import Membership
from modescope.svd import Values

V = TypeVar("V")
E = TypeVar("E")


@dataclass(frozen=True)
class Vertex:
    """A mode, or one direction of it.

    Attributes:
        layer: Name of its site.
        order: Place of the site in the order in which layers run, from 0.
        index: Of the mode, 0 for the largest singular value.
        sign: 1 or -1, or 0 where directions are not told apart.
        sigma: Singular value.
        ratio: Eigenvalue over the edge of noise, or None where that is not known.
        group: First mode of the group of equal singular values that it is in, which cannot be told apart; None outside of such.
    """

    layer: str
    order: int
    index: int
    sign: int
    sigma: float
    ratio: float | None = None
    group: int | None = None


@dataclass(frozen=True)
class Edge:
    """A class, at one layer or in the whole network.

    Attributes:
        label: Name of the class.
        number: Its index.
        layer: Name of the site; None for the whole network.
        order: Place of the site, 0 for the whole network.
        images: How many images the class has.
    """

    label: str
    number: int
    layer: str | None
    order: int
    images: int


@dataclass(frozen=True, eq=False)
class Hypergraph(Generic[V, E]):
    """Vertices, edges, and which vertices each edge holds. Isolated vertices and empty edges are there like all others.

    Attributes:
        vertices: In a fixed order.
        edges: In a fixed order.
        edge: (n,) index of the edge of each incidence; incidences are sorted by edge, then by vertex.
        vertex: (n,) index of its vertex.
        weight: (n,) how strongly the edge holds it.
        stability: (n,) share of bootstrap replicates in which it does, NaN where there are none.
    """

    vertices: tuple[V, ...]
    edges: tuple[E, ...]
    edge: Indices
    vertex: Indices
    weight: Values
    stability: Values

    @property
    def incidence(self) -> csr_matrix:
        """(edges, vertices) of 0 and 1, sparse."""
        shape = (len(self.edges), len(self.vertices))
        return csr_matrix((np.ones(self.edge.size, np.int64), (self.edge, self.vertex)), shape=shape)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of vertices of each edge."""
        return np.bincount(self.edge, minlength=len(self.edges)).astype(np.int64)

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Number of edges of each vertex: 1 where one class alone uses a mode."""
        return np.bincount(self.vertex, minlength=len(self.vertices)).astype(np.int64)

    def members(self, edge: int) -> tuple[V, ...]:
        """Vertices of one edge."""
        return tuple(self.vertices[i] for i in self.vertex[self.edge == edge].tolist())


ClassHypergraph = Hypergraph[Vertex, Edge]


@dataclass(frozen=True, eq=False)
class Overlap:
    """A number for every pair of edges.

    Attributes:
        matrix: (E, E).
        mean: Over all ordered pairs of two edges; None where there are no two.
        empty: Indices of edges without vertices: their numbers are 0 by convention.
    """

    matrix: Values
    mean: float | None
    empty: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LineGraph:
    """Edges that hold at least s vertices, joined where they share at least s.

    Attributes:
        s: See above.
        nodes: (n,) indices of these edges.
        weight: (n, n) sparse, number of shared vertices where that is at least s; nothing on the diagonal.
    """

    s: int
    nodes: Indices
    weight: csr_matrix


@dataclass(frozen=True)
class Toplex:
    """A set of vertices that no edge strictly contains, and the edges that are this set."""

    edges: tuple[int, ...]

    @property
    def multiplicity(self) -> int:
        """How many edges are this set."""
        return len(self.edges)


def by_layer(
    memberships: Sequence[Membership],
    bases: Mapping[str, Basis],
    classes: Sequence[str],
    /,
    *,
    noise: Mapping[str, float] | None = None,
) -> ClassHypergraph:
    """One edge for every class at every layer.

    Args:
        memberships: Of the sites, in the order in which they run.
        bases: Modes by the name of the site.
        classes: Names of the classes.
        noise: Largest singular value that noise explains, by the name of the site.

    Raises:
        UsageError: Names of classes or sites are not as many as there are, or occur twice.
    """
    vertices = _vertices(memberships, bases, classes, noise or {})
    found = tuple(
        Edge(str(label), c, one.site, order, int(one.counts[c]))
        for order, one in enumerate(memberships)
        for c, label in enumerate(classes)
    )
    return _joined(memberships, vertices, found, len(classes))


def of_network(
    memberships: Sequence[Membership],
    bases: Mapping[str, Basis],
    classes: Sequence[str],
    /,
    *,
    noise: Mapping[str, float] | None = None,
) -> ClassHypergraph:
    """One edge for every class, which holds what its edges at all layers hold; arguments as of `by_layer`."""
    vertices = _vertices(memberships, bases, classes, noise or {})
    counts = memberships[0].counts
    found = tuple(Edge(str(label), c, None, 0, int(counts[c])) for c, label in enumerate(classes))
    return _joined(memberships, vertices, found, 0)


SCOPES: Mapping[str, Callable[..., ClassHypergraph]] = {"layer": by_layer, "network": of_network}


def hypergraph(
    vertices: Iterable[V], edges: Iterable[E], incidences: Iterable[tuple[int, int, float, float]], /
) -> Hypergraph[V, E]:
    """A hypergraph out of its parts; incidences are (edge, vertex, weight, stability), in any order.

    Raises:
        UsageError: An incidence is given twice.
    """
    rows = sorted(incidences, key=lambda row: row[:2])
    if len({row[:2] for row in rows}) < len(rows):
        raise UsageError("hypergraph: expected every vertex at most once in an edge, got one twice.")
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Hypergraph(
        tuple(vertices),
        tuple(edges),
        table[:, 0].astype(np.intp),
        table[:, 1].astype(np.intp),
        table[:, 2].copy(),
        table[:, 3].copy(),
    )


def dual(graph: Hypergraph[V, E], /) -> Hypergraph[E, V]:
    """Edges become vertices and vertices become edges: every mode holds the classes that use it."""
    order = np.lexsort((graph.edge, graph.vertex))
    return Hypergraph(
        graph.edges, graph.vertices, graph.vertex[order], graph.edge[order], graph.weight[order], graph.stability[order]
    )


def of_edges(graph: Hypergraph[V, E], wanted: Callable[[E], bool], /) -> Hypergraph[V, E]:
    """The edges that are wanted, with all vertices."""
    kept = [i for i, edge in enumerate(graph.edges) if wanted(edge)]
    new = np.full(len(graph.edges), -1)
    new[kept] = np.arange(len(kept))
    held = new[graph.edge] >= 0
    return Hypergraph(
        graph.vertices,
        tuple(graph.edges[i] for i in kept),
        new[graph.edge[held]].astype(np.intp),
        graph.vertex[held],
        graph.weight[held],
        graph.stability[held],
    )


def shared(graph: Hypergraph[Any, Any], /) -> csr_matrix:
    """(E, E) number of vertices that two edges share, sparse; sizes of the edges on the diagonal."""
    incidence = graph.incidence
    return (incidence @ incidence.T).tocsr()


def jaccard(graph: Hypergraph[Any, Any], /) -> Overlap:
    """Shared vertices over vertices of either; 0 for two empty edges, which `empty` tells."""
    sizes = graph.sizes
    both = shared(graph).toarray()
    return _overlap(both, sizes[:, None] + sizes - both, sizes)


def containment(graph: Hypergraph[Any, Any], /) -> Overlap:
    """Shared vertices over those of the edge of the row: not symmetric."""
    sizes = graph.sizes
    both = shared(graph).toarray()
    return _overlap(both, np.broadcast_to(sizes[:, None], both.shape), sizes)


@lru_cache(maxsize=4096)
def chance_jaccard(r: int, m: int, other: int | None = None, /, *, signed: bool = False) -> float:
    """Expected Jaccard index of two random sets of modes, exactly.

    Args:
        r: Modes there are.
        m: Modes in one set.
        other: Modes in the other, by default as many.
        signed: Every mode of a set has a random sign, and is shared only where signs agree.

    Returns:
        The mean of k / (m + other - k) over the hypergeometric law of the shared modes k, of which a signed set keeps a binomial
        number with probability one half; 0 for two empty sets.

    Raises:
        UsageError: A set has more modes than there are.
    """
    other = m if other is None else other
    if not 0 <= m <= r or not 0 <= other <= r:
        raise UsageError(f"chance: expected sets of at most {r} modes, got {m} and {other}.")
    total = math.comb(r, other)

    def mean(k: int) -> float:
        if not signed:
            return k / (m + other - k) if k else 0.0
        return math.fsum(math.comb(k, j) / 2**k * j / (m + other - j) for j in range(1, k + 1))

    return math.fsum(math.comb(m, k) * math.comb(r - m, other - k) / total * mean(k) for k in range(1, min(m, other) + 1))


def s_line_graph(graph: Hypergraph[Any, Any], s: int, /) -> LineGraph:
    """Which edges share at least s vertices; edges with fewer than s are left out.

    Raises:
        UsageError: `s` is below 1.

    References:
        Aksoy et al. (2020), doi:10.1140/epjds/s13688-020-00231-0.
    """
    if s < 1:
        raise UsageError(f"s: expected a number of shared vertices, at least 1, got {s}.")
    nodes = np.flatnonzero(graph.sizes >= s)
    both = shared(graph)[nodes][:, nodes].tocoo()
    held = (both.data >= s) & (both.row != both.col)
    weight = csr_matrix((both.data[held], (both.row[held], both.col[held])), shape=both.shape)
    return LineGraph(s, nodes, weight)


def s_components(graph: Hypergraph[Any, Any], s: int, /) -> tuple[tuple[int, ...], ...]:
    """Edges that are joined by steps of at least s shared vertices, each group in order, groups by their first edge."""
    line = s_line_graph(graph, s)
    if not line.nodes.size:
        return ()
    _, label = csgraph.connected_components(line.weight, directed=False)
    groups: dict[int, list[int]] = {}
    for node, group in zip(line.nodes.tolist(), label.tolist(), strict=True):
        groups.setdefault(group, []).append(node)
    return tuple(sorted(map(tuple, groups.values())))


def s_distances(graph: Hypergraph[Any, Any], s: int, /) -> Values:
    """(n, n) fewest steps between the nodes of the s-line graph, infinity where there is no way."""
    line = s_line_graph(graph, s)
    if not line.nodes.size:
        return np.zeros((0, 0))
    found: Values = csgraph.shortest_path(line.weight, directed=False, unweighted=True)
    return found


def s_diameters(graph: Hypergraph[Any, Any], s: int, /) -> tuple[int, ...]:
    """Largest distance inside each of the s-components, in their order."""
    nodes = s_line_graph(graph, s).nodes
    distances = s_distances(graph, s)
    places = (np.searchsorted(nodes, group) for group in s_components(graph, s))
    return tuple(int(distances[np.ix_(place, place)].max()) for place in places)


def s_closeness(graph: Hypergraph[Any, Any], s: int, /) -> Values:
    """(n,) one over the mean distance to the nodes that can be reached, times the share of nodes that can; 0 for a node alone."""
    distances = s_distances(graph, s)
    within = np.isfinite(distances)
    reached = within.sum(axis=1) - 1
    steps = np.where(within, distances, 0).sum(axis=1)
    found: Values = reached / np.maximum(steps, 1) * reached / max(len(distances) - 1, 1)
    return found


def toplexes(graph: Hypergraph[Any, Any], /) -> tuple[Toplex, ...]:
    """Edges that no other strictly contains; equal ones are one toplex. An empty edge is one only where all are empty."""
    sizes = graph.sizes
    if not sizes.any():
        return (Toplex(tuple(range(sizes.size))),) if sizes.size else ()
    both = shared(graph).tocoo()
    inside = (both.data == sizes[both.row]) & (sizes[both.col] > sizes[both.row])
    covered = np.zeros(sizes.size, bool)
    covered[both.row[inside]] = True
    same: dict[bytes, list[int]] = {}
    for i in np.flatnonzero(~covered & (sizes > 0)).tolist():
        same.setdefault(graph.vertex[graph.edge == i].tobytes(), []).append(i)
    return tuple(Toplex(tuple(edges)) for edges in same.values())


def _overlap(both: NDArray[np.int64], whole: NDArray[np.int64], sizes: NDArray[np.int64]) -> Overlap:
    matrix = both / np.maximum(whole, 1)
    n = sizes.size
    mean = None if n < 2 else float((matrix.sum() - matrix.trace()) / (n * (n - 1)))
    return Overlap(matrix, mean, tuple(np.flatnonzero(sizes == 0).tolist()))


def _vertices(
    memberships: Sequence[Membership], bases: Mapping[str, Basis], classes: Sequence[str], noise: Mapping[str, float]
) -> tuple[Vertex, ...]:
    """Vertices of all sites in order."""
    for name, given in (("layers", [one.site for one in memberships]), ("classes", list(map(str, classes)))):
        if not given or len(set(given)) < len(given):
            raise UsageError(f"{name}: expected names of which none occurs twice, got {given}.")
    for one in memberships:
        if len(one.counts) != len(classes):
            raise UsageError(f"classes: expected {len(one.counts)} names, one for each class, got {len(classes)}.")
    found = []
    for order, one in enumerate(memberships):
        basis = bases[one.site]
        edge = noise.get(one.site)
        group = {i: start for start, stop in basis.ties for i in range(start, stop)}
        for i, sign in zip(one.index.tolist(), one.sign.tolist(), strict=True):
            value = float(basis.s[i])
            ratio = (value / edge) ** 2 if edge else None
            found.append(Vertex(one.site, order, i, sign, value, ratio, group.get(i)))
    return tuple(found)


def _joined(memberships: Sequence[Membership], vertices: tuple[Vertex, ...], edges: tuple[Edge, ...], step: int) -> ClassHypergraph:
    """Incidences of all sites; the edges of the next site come `step` later."""
    parts: list[tuple[Indices, Indices, Values, Values]] = []
    before = 0
    for order, one in enumerate(memberships):
        c, v = np.nonzero(one.member)
        parts.append((c + order * step, v + before, one.weight[c, v], one.stability[c, v]))
        before += one.index.size
    edge, vertex, weight, stability = (np.concatenate(column) for column in zip(*parts, strict=True))
    order_of = np.lexsort((vertex, edge))
    return Hypergraph(vertices, edges, edge[order_of], vertex[order_of], weight[order_of], stability[order_of])
