"""The page of a spectral graph: every layer has its section, every connection and every strong edge its row."""

import math
from dataclasses import replace

import numpy as np
import pytest

from graph_cases import FAILED_LAYER, HOSTILE_LAYER, N, drawing, large, planted, section, table
from modescope.blocks import Curve, Graph, Note, Section, Table
from modescope.render import csv, html
from modescope.render import table as text
from modescope.reports.form import dumps, loads
from modescope.spectral_graph import drawing as drawings
from modescope.spectral_graph import page
from modescope.spectral_graph.bias_nodes import BiasRead
from modescope.spectral_graph.dead_channels import DeadChannels
from modescope.spectral_graph.internal_dimensions import InternalDimensions
from modescope.spectral_graph.near_kernels import Block as Overlap
from modescope.spectral_graph.near_kernels import NearKernels
from modescope.spectral_graph.page import report
from modescope.spectral_graph.result import Edges, SpectralGraph


def test_the_overview_links_a_folded_section_for_every_layer_also_one_that_failed() -> None:
    graph = planted()
    made = report(graph)
    overview = next(block for block in made.blocks if isinstance(block, Table) and block.pictures)
    sections = [block for block in made.blocks if isinstance(block, Section)]
    assert overview.links == tuple(one.key for one in sections) == tuple(f"layer={column.name}" for column in graph.columns)
    assert all(one.folded for one in sections)
    failed = next(row for row in overview.rows if row[0] == FAILED_LAYER)
    assert failed[2:6] == (None, None, None, None)
    assert "not finite" in str(failed[-1])
    assert any(isinstance(block, Note) and block.level == "error" for block in section(made, FAILED_LAYER).blocks)


def test_the_overview_counts_the_significant_edges_on_either_side() -> None:
    graph = planted()
    rows = {row[0]: row for row in report(graph).blocks[3].rows}  # type: ignore[union-attr]
    assert rows["embed.weight"][2:5] == (5, None, None)
    assert rows["block.gate.weight"][2:4] == (0, 2)
    assert rows[HOSTILE_LAYER][2:4] == (2, 2)
    assert rows["head.weight"][2] is None
    edges = graph.edges
    into = [graph.connections[c].target == "head.weight" for c in edges.connection]
    assert rows["head.weight"][4] == pytest.approx(edges.weight[into & edges.significant].max(), rel=1e-3)


def test_connections_chains_and_gaps_have_tables() -> None:
    graph = planted()
    made = report(graph)
    connections = table(made, "Connections")
    for row, one in zip(connections.rows, graph.connections, strict=True):
        assert row[:2] == (one.source, one.target)
        assert row[3:5] == (one.shared, one.multiplicity)
        assert row[6:8] == (one.tested, one.significant)
    assert connections.columns[-1] == "note"
    assert "bounded from above" in str(connections.rows[-1][-1])
    chains = table(made, "Chains")
    assert chains.rows[0][0] == f"embed.weight 0 → block.up.weight 0 → {HOSTILE_LAYER} 0 → head.weight 0"
    assert chains.rows[0][2] == pytest.approx(0.9**3, rel=1e-3)
    assert table(made, "Not joined").rows == tuple((gap.source, gap.target, gap.reason) for gap in graph.gaps)


def test_statistics_of_blocks_have_columns_where_they_were_asked_for() -> None:
    small = Overlap(3, 4, 2.5, 0.83, 0.4, 0, 7.25, 1e-6)
    quarter = replace(small, z=None, status="a whole space")
    structure = {
        "near_kernels": NearKernels(N, 0, 0, small, quarter),
        "dead_channels": DeadChannels(N, 3, 4, (1, 5), 0.4, 0.03),
        "internal_dimensions": InternalDimensions(4, 7, 6.0, 4.0, 0.005),
    }
    plain, with_structure = table(report(planted()), "Connections"), table(report(planted(structure)), "Connections")
    assert "near-kernel z" not in plain.columns
    told = [dict(zip(with_structure.columns, row, strict=True)) for row in with_structure.rows]
    asked = ("near-kernel z", "weakest quarter z", "dead channels", "internal dimensions")
    assert [told[0][name] for name in asked] == [7.25, None, 2, "4 × 7"]
    assert [told[1][name] for name in asked] == [None] * 4


def test_a_section_shows_the_spectrum_and_the_strongest_edges_on_both_sides() -> None:
    graph = planted()
    blocks = section(report(graph), HOSTILE_LAYER).blocks
    curve = next(block for block in blocks if isinstance(block, Curve))
    assert curve.series[0].y == pytest.approx(graph.columns[3].s, rel=1e-3)
    marked = {series.name: series.x for series in curve.series[1:]}
    assert marked == {"with an edge in": (0, 4), "with an edge out": (0, 4)}
    tables = [block for block in blocks if isinstance(block, Table)]
    assert [one.title.partition(":")[0] for one in tables] == ["It reads", "It is read by"]
    for one in tables:
        assert [row[4] for row in one.rows[:3]] == ["yes", "yes", "no"]
        assert len(one.rows) <= page.LISTED
    assert {row[1] for row in tables[0].rows[:2]} == {"mode 0 of block.up.weight", "mode 3 of block.up.weight"}
    assert tables[0].links[0] == "layer=block.up.weight"
    assert any(isinstance(block, Note) and "Of the bias, 50%" in block.text for block in blocks)


@pytest.mark.parametrize("graph", [planted(), large(300, layers=3, width=40)], ids=["planted", "large"])
def test_a_saved_page_opens_again_with_the_document_of_the_graph(graph: SpectralGraph) -> None:
    made = report(graph)
    assert loads(dumps(made), "x") == made
    assert made.document["schema"] == "modescope.graph/1"
    assert len(made.document[made.items]) == int(graph.edges.significant.sum())
    assert "<img src=x" not in html.render(made)


def test_a_graph_of_nothing_has_a_page() -> None:
    full = planted()
    nothing = replace(full.edges, **{name: getattr(full.edges, name)[:0] for name in Edges.__dataclass_fields__})
    empty = SpectralGraph((), (), nothing, (), (), {}, {**full.options, "tested": 0})
    assert not [block for block in report(empty).blocks if isinstance(block, Graph)]
    unjoined = replace(full, connections=(), edges=nothing, chains=())
    assert drawing(report(unjoined)).edges == ()
    assert len(drawing(report(unjoined)).nodes) == 5 * drawings.TOP


def test_ten_thousand_edges_are_a_page_below_three_megabytes() -> None:
    made = report(large(14_000))
    assert len(drawing(made).edges) > 7_000
    assert len(html.render(made)) < 3_000_000


def test_the_strongest_edges_are_a_table_with_both_ends_weight_and_p(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = planted()
    edges, made = graph.edges, report(graph)
    told = table(made, "Strongest edges")
    assert [row[6] for row in told.rows] == ["yes"] * 9 + ["no"] * (len(edges) - 9)
    best = int(np.lexsort((edges.log_p, ~edges.significant))[0])
    one = graph.connections[edges.connection[best]]
    assert told.rows[0][:4] == (one.source, str(edges.writer[best]), one.target, str(edges.reader[best]))
    assert told.rows[0][4:6] == (pytest.approx(edges.weight[best], rel=1e-3), pytest.approx(math.exp(edges.log_p[best]), rel=1e-3))
    assert told.links[0] == f"layer={one.target}"
    lines = csv.render(made)
    assert "from,from mode,to,to mode,overlap,p,significant" in lines
    assert f"embed.weight,0,block.up.weight,0,{told.rows[0][4]}" in lines or one.target != "block.up.weight"
    monkeypatch.setattr(page, "EDGES", 5)
    few = next(block for block in report(graph).blocks if isinstance(block, Table) and block.title.startswith("Strongest"))
    assert few.rows == told.rows[:5]
    assert few.title == f"Strongest edges: the first 5 of {len(edges):,}"


def test_a_text_gives_p_beside_the_weight_of_an_edge() -> None:
    made = report(planted())
    edge = max((edge for edge in drawing(made).edges if edge.significant), key=lambda edge: edge.weight)
    assert f": {edge.weight:.4g}, p = {edge.p:.3g}\n" in text.render(made)


def test_of_many_connections_the_page_shows_those_of_the_most_significant_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAIRS", 3)
    made = report(planted())
    told = next(block for block in made.blocks if isinstance(block, Table) and block.title.startswith("Connections"))
    assert told.title == "Connections: the 3 with the most significant edges of 7"
    assert len(told.rows) == len(told.links) == len(made.document["wiring"]) == 3
    assert made.document["summary"]["connections"] == 7


def test_a_graph_of_three_hundred_layers_and_thousands_of_connections_is_a_page_below_four_megabytes() -> None:
    graph = large(13_000, layers=300, width=16)
    small = Overlap(3, 4, 2.5, 0.83, 0.4, 0, 7.25, 1e-6)
    names = {column.name: f"encoder.{column.name}.attention.query.weight head 3" for column in graph.columns}
    joined = [
        replace(
            one, source=names[one.source], target=names[one.target], structure={"near_kernels": NearKernels(16, 0, 0, small, small)}
        )
        for one in graph.connections
    ]
    columns = tuple(replace(column, name=names[column.name]) for column in graph.columns)
    made = report(replace(graph, columns=columns, connections=(*joined, *joined * 26)))
    assert len(html.render(made)) < 4_000_000
    assert made.document["summary"]["connections"] == 27 * 299


def test_what_reads_a_bias_has_columns_where_it_was_asked_for() -> None:
    found = BiasRead(nodes=10, significant=2, mode=3, modes=2, weight=0.5, p=1e-9, log_p=math.log(1e-9))
    told = table(report(planted({"bias": found})), "Connections")
    row = dict(zip(told.columns, told.rows[0], strict=True))
    assert (row["bias edges"], row["bias read by"]) == (2, "3-4: 0.5, p = 1e-09")
    none = BiasRead(0, 0, None, None, None, None, None, status="no bias")
    told = table(report(planted({"bias": none})), "Connections")
    row = dict(zip(told.columns, told.rows[0], strict=True))
    assert (row["bias edges"], row["bias read by"]) == (None, "no bias")
