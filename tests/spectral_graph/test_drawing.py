"""The drawing of a spectral graph shows the strongest edges, each with what its p-value rests on."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from graph_cases import N, drawing, notes, planted, table
from modescope.blocks import Node
from modescope.spectral_graph import drawing as drawings
from modescope.spectral_graph.page import report


def test_the_drawing_holds_every_edge_with_its_ends_its_weight_and_its_p() -> None:
    graph = planted()
    drawn = drawing(report(graph))
    edges = graph.edges
    assert len(drawn.edges) == len(edges)
    told = {(edge.source, edge.target): edge for edge in drawn.edges}
    place = {column.name: index for index, column in enumerate(graph.columns)}
    for k in range(len(edges)):
        one = graph.connections[edges.connection[k]]
        edge = told[f"{place[one.source]}.{edges.writer[k]}", f"{place[one.target]}.{edges.reader[k]}"]
        assert edge.weight == pytest.approx(edges.weight[k], rel=1e-3)
        assert edge.p == pytest.approx(math.exp(edges.log_p[k]), rel=1e-3)
        assert edge.significant == edges.significant[k]


def test_edges_come_significant_first_and_then_by_p() -> None:
    edges = drawing(report(planted())).edges
    order = [(not edge.significant, edge.p) for edge in edges]
    assert order == sorted(order)
    assert sum(edge.significant for edge in edges) == 9


def test_nodes_are_the_ends_of_edges_and_the_leading_modes_at_their_values() -> None:
    graph = planted()
    drawn = drawing(report(graph))
    ends = {key for edge in drawn.edges for key in (edge.source, edge.target)}
    for node in drawn.nodes:
        index, mode = map(int, node.key.split("."))
        column = graph.columns[index]
        assert node.key in ends or mode < drawings.TOP
        assert node.height == pytest.approx(column.s[column.nodes[mode][0]], rel=1e-3)
        assert node.column == column.position
        assert node.link == f"layer={column.name}"
        significant = [edge for edge in drawn.edges if edge.significant and node.key in (edge.source, edge.target)]
        assert node.value == len(significant)
    leading = {
        f"{index}.{mode}" for index, column in enumerate(graph.columns) for mode in range(min(drawings.TOP, len(column.nodes)))
    }
    assert leading <= {node.key for node in drawn.nodes}


def test_layers_side_by_side_have_lanes_and_headings_and_every_stand_is_ranked() -> None:
    graph = planted()
    drawn = drawing(report(graph))
    stands: dict[tuple[int, int], list[Node]] = {}
    for node in drawn.nodes:
        stands.setdefault((node.column, node.lane), []).append(node)
    assert sorted(stands) == [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0)]
    headings = dict(zip(sorted(stands), drawn.columns, strict=True))
    for place, nodes in stands.items():
        assert {node.link for node in nodes} == {f"layer={headings[place]}"}
        assert sorted(node.rank or 0 for node in nodes) == list(range(len(nodes)))
    assert drawn.y.label == "singular value"


def test_a_node_of_several_modes_is_named_by_all_of_them() -> None:
    graph = planted()
    column = graph.columns[1]
    node = len(column.nodes) - 1
    edges = graph.edges
    index = next(k for k in range(len(edges)) if graph.connections[edges.connection[k]].target == column.name)
    edges.reader[index] = node
    made = report(graph)
    assert "modes 28-31 of block.up.weight" in {one.text for one in drawing(made).nodes}
    edge = next(edge for edge in drawing(made).edges if edge.target == f"1.{node}")
    assert f"Beta(2, {(N - 4) // 2})" in edge.text
    assert any("several modes of equal singular values" in note.text for note in notes(made))


def test_edges_along_which_nothing_passes_are_counted_and_not_drawn() -> None:
    graph = planted()
    before = drawing(report(graph)).edges
    index = int(np.flatnonzero(graph.edges.significant)[0])
    graph.edges.silent[index] = True
    made = report(graph)
    assert len(drawing(made).edges) == len(before) - 1
    assert any("1 of the significant edges is silent" in note.text for note in notes(made))


def test_an_edge_names_its_law_and_what_weakens_it() -> None:
    graph = planted()
    graph.edges.exact[0] = False
    graph.edges.unstable[:] = [k == 0 for k in range(len(graph.edges))]
    graph.edges.log_p[0] = -2000.0
    edges = drawing(report(graph)).edges
    assert f"p from Beta(1/2, {N - 1}/2)" == edges[1].text
    assert "p = 10^-869" in edges[0].text
    assert "not exact" in edges[0].text
    assert "unstable" in edges[0].text
    assert edges[0].p == 0


@pytest.mark.parametrize("convention", ["svr", "cosvr"])
def test_an_edge_of_a_kernel_names_the_effective_taps_of_the_side_that_is_fixed(convention: str) -> None:
    graph = planted()
    one = graph.connections[0]
    taps = np.full(len(graph.columns[0].nodes), 1.0) + np.arange(len(graph.columns[0].nodes)) / 8
    connections = (replace(one, multiplicity=9, effective=taps), *graph.connections[1:])
    made = report(replace(graph, connections=connections, options={**graph.options, "convention": convention}))
    for edge in drawing(made).edges:
        if edge.source.startswith("0.") and edge.target.startswith("1."):
            mode = int((edge.target if convention == "svr" else edge.source).partition(".")[2])
            law = f"{taps[mode]:.3g} effective of 9 taps" if mode else "Beta"
            assert law in edge.text


def test_another_null_is_named_and_claims_no_beta_law() -> None:
    graph = planted()
    made = report(replace(graph, options={**graph.options, "null": "weight_shuffle"}))
    assert {edge.text.partition(";")[0] for edge in drawing(made).edges} == {"p from the null weight shuffle"}
    assert "Null: weight shuffle." in notes(made)[0].text


def test_of_more_edges_than_are_drawn_the_significant_ones_stay_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = planted()
    monkeypatch.setattr(drawings, "DRAWN", 12)
    drawn = drawing(report(graph))
    assert sum(edge.significant for edge in drawn.edges) == 9
    assert len(drawn.edges) == 12
    assert f"{len(graph.edges) - 12} are left out, none of them significant" in drawn.caption
    monkeypatch.setattr(drawings, "DRAWN", 4)
    assert f"{len(graph.edges) - 4} are left out, 5 of them significant" in drawing(report(graph)).caption
    monkeypatch.setattr(drawings, "DRAWN", 1000)
    monkeypatch.setattr(drawings, "WEAKER", 5)
    assert len(drawing(report(graph)).edges) == 9 + 5


def test_the_strands_of_a_planted_chain_are_side_by_side_when_untangled() -> None:
    drawn = drawing(report(planted()))
    rank = {node.key: node.rank or 0 for node in drawn.nodes}
    size = {place: sum((n.column, n.lane) == place for n in drawn.nodes) for place in {(n.column, n.lane) for n in drawn.nodes}}
    at = {node.key: (rank[node.key] + 0.5) / size[node.column, node.lane] for node in drawn.nodes}
    strong = [edge for edge in drawn.edges if edge.significant]
    lines = [(edge.source.partition(".")[0], edge.target.partition(".")[0], at[edge.source], at[edge.target]) for edge in strong]
    crossed = sum(one[:2] == two[:2] and (one[2] - two[2]) * (one[3] - two[3]) < 0 for one, two in itertools.combinations(lines, 2))
    assert crossed == 0


def test_effective_taps_are_those_of_single_modes() -> None:
    graph = planted()
    taps = np.full(len(graph.columns[1].nodes), 2.0)
    taps[-20:] = 50.0
    nodes = graph.columns[1].nodes
    nodes = (*nodes[:-20], *((start, stop + 1) for start, stop in nodes[-20:]))
    column = replace(graph.columns[1], nodes=nodes)
    one = replace(graph.connections[0], effective=taps, multiplicity=9)
    made = report(replace(graph, columns=(graph.columns[0], column, *graph.columns[2:]), connections=(one, *graph.connections[1:])))
    assert table(made, "Connections").rows[0][5] == 2.0
