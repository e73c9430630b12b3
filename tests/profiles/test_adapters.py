"""Adapters: NetworkX against the incidences, XGI and HyperNetX where they are installed, and what happens where they are not."""

import sys
from types import SimpleNamespace

import pytest

from modescope.errors import UsageError
from modescope.profiles import adapters
from modescope.profiles import hypergraph as hyper
from modescope.profiles.hif import edge_id, to_hif, vertex_id
from profiles_hyper_cases import random_graph


def test_the_bipartite_graph_has_the_incidences_and_all_that_is_alone() -> None:
    graph = random_graph(0)
    made = adapters.to_networkx(graph)
    names = [vertex_id(one) for one in graph.vertices]
    labels = [edge_id(one) for one in graph.edges]
    assert {name for name, side in made.nodes(data="bipartite") if side == 0} == set(names)
    assert {name for name, side in made.nodes(data="bipartite") if side == 1} == set(labels)
    assert made.number_of_edges() == graph.edge.size
    for e, v, weight, stability in zip(graph.edge, graph.vertex, graph.weight, graph.stability, strict=True):
        assert made.edges[labels[e], names[v]] == {"weight": weight, "stability": stability}
    assert made.degree[labels[0]] == 0
    assert made.nodes[names[1]]["sigma"] == graph.vertices[1].sigma
    assert "ratio" not in made.nodes[names[0]]


@pytest.mark.parametrize("s", [1, 2, 3])
def test_the_line_graph_has_the_shared_vertices_as_weights(s: int) -> None:
    graph = random_graph(1, share=0.4)
    made = adapters.line_to_networkx(graph, s)
    both, labels = hyper.shared(graph).toarray(), [edge_id(one) for one in graph.edges]
    large = [i for i, size in enumerate(graph.sizes) if size >= s]
    assert list(made.nodes) == [labels[i] for i in large]
    expected = {(labels[i], labels[j]): both[i, j] for i in large for j in large if i < j and both[i, j] >= s}
    assert {(a, b): weight for a, b, weight in made.edges(data="weight")} == expected


def test_the_libraries_are_given_what_they_read(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(2)
    monkeypatch.setitem(sys.modules, "xgi", SimpleNamespace(from_hif_dict=lambda document: document))
    monkeypatch.setitem(sys.modules, "hypernetx", SimpleNamespace(Hypergraph=dict))
    assert adapters.to_xgi(graph) == to_hif(graph)
    expected = {edge_id(edge): [vertex_id(v) for v in graph.members(i)] for i, edge in enumerate(graph.edges) if graph.sizes[i]}
    assert adapters.to_hypernetx(graph) == expected


@pytest.mark.parametrize(
    ("name", "call", "remedy"),
    [
        ("networkx", adapters.to_networkx, r"pip install 'modescope\[networkx\]'"),
        ("networkx", lambda graph: adapters.line_to_networkx(graph, 1), r"pip install 'modescope\[networkx\]'"),
        ("xgi", adapters.to_xgi, "pip install xgi"),
        ("hypernetx", adapters.to_hypernetx, "pip install hypernetx"),
    ],
)
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, name: str, call: object, remedy: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert callable(call)
    with pytest.raises(UsageError, match=f"expected {name}, which is not installed. {remedy}"):
        call(random_graph(0))


def test_xgi_reads_all_nodes_and_edges() -> None:
    pytest.importorskip("xgi")
    graph = random_graph(3)
    made = adapters.to_xgi(graph)
    assert set(made.nodes) == {vertex_id(one) for one in graph.vertices}
    assert set(made.edges) == {edge_id(one) for one in graph.edges}
    for i, edge in enumerate(graph.edges):
        assert made.edges.members(edge_id(edge)) == {vertex_id(one) for one in graph.members(i)}
    assert made.nodes[vertex_id(graph.vertices[0])]["sigma"] == graph.vertices[0].sigma
    assert made.edges[edge_id(graph.edges[0])]["n_images"] == graph.edges[0].images


@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_hypernetx_finds_the_same_components(s: int) -> None:
    pytest.importorskip("hypernetx")
    graph = random_graph(4, share=0.4)
    made = adapters.to_hypernetx(graph)
    labels = [edge_id(one) for one in graph.edges]
    theirs = {frozenset(one) for one in made.s_connected_components(s=s, edges=True, return_singletons=True) if len(one) > 1}
    ours = {frozenset(labels[i] for i in one) for one in hyper.s_components(graph, s) if len(one) > 1}
    assert ours == theirs
    held = {edge_id(edge): {vertex_id(v) for v in graph.members(i)} for i, edge in enumerate(graph.edges) if graph.sizes[i]}
    assert {label: set(members) for label, members in made.incidence_dict.items()} == held
