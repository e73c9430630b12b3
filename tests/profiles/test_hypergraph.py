"""Measures of hypergraphs against sets, networkx and enumeration, and the facts that hold for all of them."""

import itertools
from collections import Counter

import networkx
import numpy as np
import pytest

from modescope.errors import UsageError
from modescope.profiles import hypergraph as hyper
from modescope.profiles.hif import to_hif
from modescope.profiles.membership import Membership, membership
from profiles_hyper_cases import RNG, modes, planted, random_graph, sets, statistics

SEEDS = range(6)


def ratio(a: int, b: int) -> float:
    return a / b if b else 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_overlaps_are_those_of_sets(seed: int) -> None:
    graph = random_graph(seed)
    held = sets(graph)
    index, inside = hyper.jaccard(graph), hyper.containment(graph)
    for a, b in itertools.product(range(len(held)), repeat=2):
        assert index.matrix[a, b] == ratio(len(held[a] & held[b]), len(held[a] | held[b]))
        assert inside.matrix[a, b] == ratio(len(held[a] & held[b]), len(held[a]))
    pairs = [index.matrix[a, b] for a, b in itertools.combinations(range(len(held)), 2)]
    assert index.mean == pytest.approx(np.mean(pairs), rel=1e-12)
    off = [inside.matrix[a, b] for a, b in itertools.permutations(range(len(held)), 2)]
    assert inside.mean == pytest.approx(np.mean(off), rel=1e-12)
    assert index.empty == tuple(e for e, one in enumerate(held) if not one)
    assert 0 in index.empty
    assert not index.matrix[0].any()
    np.testing.assert_array_equal(index.matrix, index.matrix.T)
    assert ((index.matrix >= 0) & (index.matrix <= 1)).all()
    assert index.matrix[1, -1] == 1  # equal edges
    assert graph.sizes.tolist() == [len(one) for one in held]
    counted = Counter(v for one in held for v in one)
    assert graph.degrees.tolist() == [counted[v] for v in range(len(graph.vertices))]
    assert all(set(graph.members(e)) == {graph.vertices[v] for v in one} for e, one in enumerate(held))


def test_disjoint_edges_share_nothing() -> None:
    graph = hyper.hypergraph("abcd", "xy", [(0, 0, 1, 1), (0, 1, 1, 1), (1, 2, 1, 1), (1, 3, 1, 1)])
    assert hyper.jaccard(graph).mean == 0
    assert hyper.jaccard(graph).matrix.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_walks_of_width_s_are_those_of_networkx_on_the_line_graph(seed: int, s: int) -> None:
    graph, line = random_graph(seed, share=0.4), networkx.Graph()
    held = sets(graph)
    line.add_nodes_from(e for e, one in enumerate(held) if len(one) >= s)
    line.add_edges_from((a, b) for a, b in itertools.combinations(line.nodes, 2) if len(held[a] & held[b]) >= s)
    ours = hyper.s_line_graph(graph, s)
    assert ours.nodes.tolist() == sorted(line.nodes)
    weight = ours.weight.toarray()
    for (i, a), (j, b) in itertools.product(enumerate(ours.nodes.tolist()), repeat=2):
        assert weight[i, j] == (len(held[a] & held[b]) if line.has_edge(a, b) else 0)
    components = sorted(tuple(sorted(one)) for one in networkx.connected_components(line))
    assert list(hyper.s_components(graph, s)) == components
    lengths = dict(networkx.all_pairs_shortest_path_length(line))
    expected = [[lengths[a].get(b, np.inf) for b in ours.nodes.tolist()] for a in ours.nodes.tolist()]
    np.testing.assert_array_equal(hyper.s_distances(graph, s), np.reshape(expected, (len(ours.nodes), -1)) if expected else weight)
    assert hyper.s_diameters(graph, s) == tuple(networkx.diameter(line.subgraph(one)) for one in components)
    closeness = networkx.closeness_centrality(line)
    np.testing.assert_allclose(hyper.s_closeness(graph, s), [closeness[e] for e in ours.nodes.tolist()], atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_components_of_a_larger_s_lie_inside_those_of_a_smaller(seed: int) -> None:
    graph = random_graph(seed, share=0.4)
    for s in range(1, 5):
        wide = [set(one) for one in hyper.s_components(graph, s)]
        assert all(any(set(one) <= large for large in wide) for one in hyper.s_components(graph, s + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_components_of_s_one_are_those_of_the_bipartite_graph(seed: int) -> None:
    graph = random_graph(seed, share=0.1)
    bipartite: networkx.Graph[tuple[str, int]] = networkx.Graph()
    bipartite.add_edges_from((("e", int(e)), ("v", int(v))) for e, v in zip(graph.edge, graph.vertex, strict=True))
    parts = sorted(tuple(sorted(i for kind, i in one if kind == "e")) for one in networkx.connected_components(bipartite))
    assert list(hyper.s_components(graph, 1)) == parts
    assert len(parts) > 1


def test_no_edge_is_large_enough_for_a_large_s() -> None:
    graph = random_graph(0)
    assert hyper.s_components(graph, 100) == ()
    assert hyper.s_distances(graph, 100).shape == (0, 0)
    assert hyper.s_diameters(graph, 100) == ()
    assert hyper.s_closeness(graph, 100).size == 0
    with pytest.raises(UsageError, match="at least 1, got 0"):
        hyper.s_line_graph(graph, 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_toplexes_are_the_sets_that_no_other_strictly_contains(seed: int, share: float) -> None:
    graph = random_graph(seed, share=share, vertices=6)
    held = sets(graph)
    top = {one for one in held if not any(one < other for other in held)}
    found = hyper.toplexes(graph)
    assert {held[one.edges[0]] for one in found} == top
    assert all({e for e, other in enumerate(held) if other == held[one.edges[0]]} == set(one.edges) for one in found)
    assert any(one.multiplicity == sum(other == held[one.edges[0]] for other in held) > 1 for one in found) or held[1] not in top


def test_an_empty_edge_is_a_toplex_only_among_empty_ones() -> None:
    assert [one.edges for one in hyper.toplexes(hyper.hypergraph("ab", "xyz", []))] == [(0, 1, 2)]
    assert [one.edges for one in hyper.toplexes(hyper.hypergraph("ab", "xyz", [(1, 0, 1.0, 1.0)]))] == [(1,)]
    assert hyper.toplexes(hyper.hypergraph("ab", "", [])) == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_dual_of_the_dual_is_the_hypergraph_with_all_that_is_alone(seed: int) -> None:
    graph = random_graph(seed)
    turned = hyper.dual(graph)
    assert (turned.vertices, turned.edges) == (graph.edges, graph.vertices)
    np.testing.assert_array_equal(turned.incidence.toarray(), graph.incidence.toarray().T)
    np.testing.assert_array_equal(turned.sizes, graph.degrees)
    assert (graph.sizes == 0).any()
    assert (np.diff(turned.edge * len(turned.vertices) + turned.vertex) > 0).all()
    assert to_hif(hyper.dual(turned)) == to_hif(graph)


def test_an_incidence_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="got one twice"):
        hyper.hypergraph("ab", "x", [(0, 1, 1.0, 1.0), (0, 1, 2.0, 1.0)])


@pytest.mark.parametrize(("r", "m", "expected"), [(32, 4, 0.075), (64, 8, 0.0705), (16, 2, 0.086), (10, 2, 0.141), (9, 2, 0.157)])
def test_the_chance_level_has_the_values_of_the_note(r: int, m: int, expected: float) -> None:
    assert hyper.chance_jaccard(r, m) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("r", "m", "other"), [(5, 2, 2), (6, 1, 4), (4, 4, 4), (5, 0, 3), (5, 0, 0), (6, 3, 5)])
def test_the_chance_level_is_the_mean_over_all_pairs_of_sets(r: int, m: int, other: int) -> None:
    plain, signed = [], []
    for a, b in itertools.product(itertools.combinations(range(r), m), itertools.combinations(range(r), other)):
        plain.append(ratio(len({*a} & {*b}), len({*a} | {*b})))
        for one, two in itertools.product(itertools.product((1, -1), repeat=m), itertools.product((1, -1), repeat=other)):
            left, right = set(zip(a, one, strict=True)), set(zip(b, two, strict=True))
            signed.append(ratio(len(left & right), len(left | right)))
    assert hyper.chance_jaccard(r, m, other) == pytest.approx(np.mean(plain), rel=1e-12, abs=1e-15)
    assert hyper.chance_jaccard(r, m, other, signed=True) == pytest.approx(np.mean(signed), rel=1e-12, abs=1e-15)


def test_the_chance_level_holds_for_many_modes_and_refuses_sets_that_do_not_fit() -> None:
    assert hyper.chance_jaccard(4096, 512) == pytest.approx(1 / 15, rel=0.01)  # (m / r) / (2 - m / r)
    with pytest.raises(UsageError, match="at most 5 modes, got 6"):
        hyper.chance_jaccard(5, 6)


def two_sites(*, signed: bool = True) -> list[Membership]:
    made = []
    for i, name in enumerate(("first", "second")):
        signals, labels = planted(i)
        numbers = statistics(signals, labels, resamples=20)
        one = membership(numbers, np.ones(8), signed=signed, value=3)
        made.append(Membership(**{**vars(one), "site": name}))
    return made


@pytest.mark.parametrize("signed", [True, False])
def test_edges_of_layers_are_the_members_with_their_weights_and_stability(signed: bool) -> None:
    sites = two_sites(signed=signed)
    s = np.array([5.0, 4, 3, 3, 2, 1, 1, 1])
    bases = {one.site: modes(s, one.site) for one in sites}
    graph = hyper.by_layer(sites, bases, "abcd", noise={"second": 2.0})
    assert len(graph.vertices) == (32 if signed else 16)
    assert [(one.label, one.layer, one.number) for one in graph.edges] == [
        (label, name, c) for name in ("first", "second") for c, label in enumerate("abcd")
    ]
    assert [one.images for one in graph.edges] == [30] * 8
    for e, edge in enumerate(graph.edges):
        one = sites[edge.order]
        held = {(one.site, int(one.index[v]), int(one.sign[v])) for v in np.flatnonzero(one.member[edge.number])}
        assert {(v.layer, v.index, v.sign) for v in graph.members(e)} == held
        row = graph.edge == e
        np.testing.assert_array_equal(graph.weight[row], one.weight[edge.number][one.member[edge.number]])
        np.testing.assert_array_equal(graph.stability[row], one.stability[edge.number][one.member[edge.number]])
    for vertex in graph.vertices:
        assert vertex.sigma == s[vertex.index]
        assert vertex.group == {2: 2, 3: 2, 5: 5, 6: 5, 7: 5}.get(vertex.index)
        assert vertex.ratio == (None if vertex.layer == "first" else (s[vertex.index] / 2) ** 2)


def test_the_edge_of_a_class_in_the_network_is_the_union_of_its_edges_at_layers() -> None:
    sites = two_sites()
    bases = {one.site: modes(np.ones(8), one.site) for one in sites}
    layers, network = hyper.by_layer(sites, bases, "abcd"), hyper.of_network(sites, bases, "abcd")
    assert network.vertices == layers.vertices
    assert [(one.label, one.layer) for one in network.edges] == [(label, None) for label in "abcd"]
    for c in range(4):
        assert sets(network)[c] == sets(layers)[c] | sets(layers)[c + 4]
    assert sorted(network.weight) == sorted(layers.weight)
    assert set(hyper.SCOPES) == {"layer", "network"}


def test_edges_of_one_layer_keep_all_vertices() -> None:
    graph = random_graph(3)
    part = hyper.of_edges(graph, lambda edge: edge.number % 2 == 1)
    assert [edge.number for edge in part.edges] == [1, 3, 5, 7, 9, 11]
    assert sets(part) == sets(graph)[1::2]
    assert part.vertices == graph.vertices


def test_names_that_occur_twice_or_do_not_fit_are_refused() -> None:
    sites = two_sites()
    bases = {one.site: modes(np.ones(8), one.site) for one in sites}
    with pytest.raises(UsageError, match="classes: expected names of which none occurs twice"):
        hyper.by_layer(sites, bases, "aacd")
    with pytest.raises(UsageError, match="layers: expected names of which none occurs twice"):
        hyper.by_layer([sites[0], sites[0]], bases, "abcd")
    with pytest.raises(UsageError, match="layers: expected names"):
        hyper.by_layer([], bases, "abcd")
    with pytest.raises(UsageError, match="expected 4 names, one for each class, got 3"):
        hyper.of_network(sites, bases, "abc")


def test_classes_with_the_same_images_have_the_same_edges() -> None:
    signals, labels = planted(4, classes=3)
    doubled = np.concatenate([signals, signals[labels == 0]])
    marks = np.concatenate([labels, np.full(int((labels == 0).sum()), 3)])
    one = membership(statistics(doubled, marks), np.ones(8), value=3)
    graph = hyper.by_layer([one], {"site": modes(np.ones(8))}, "abcd")
    assert hyper.jaccard(graph).matrix[0, 3] == 1


def test_one_class_and_no_members_at_all_can_be_measured() -> None:
    one = membership(statistics(RNG(0).standard_normal((5, 3)), np.zeros(5, int)), np.ones(3))
    graph = hyper.by_layer([one], {"site": modes(np.ones(3))}, ["only"])
    assert hyper.jaccard(graph).mean is None
    assert hyper.jaccard(graph).empty == (0,)
    assert hyper.s_components(graph, 1) == ()
    assert [t.edges for t in hyper.toplexes(graph)] == [(0,)]
    assert hyper.dual(graph).sizes.tolist() == [0] * 6
