"""The page of a spectral graph: every layer has its section, the drawing shows the strongest edges, every number has its null."""

import inspect
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import modescope
from graph_cases import FAILED_LAYER, HOSTILE_LAYER, N, large, planted
from modescope.blocks import Block, Curve, Graph, Node, Note, Section, Table
from modescope.render import csv, html
from modescope.render import table as text
from modescope.reports import Report
from modescope.reports.form import dumps, loads
from modescope.spectral_graph import page
from modescope.spectral_graph.bias_nodes import BiasRead
from modescope.spectral_graph.dead_channels import DeadChannels
from modescope.spectral_graph.internal_dimensions import InternalDimensions
from modescope.spectral_graph.near_kernels import Block as Overlap
from modescope.spectral_graph.near_kernels import NearKernels
from modescope.spectral_graph.nulls import nulls
from modescope.spectral_graph.page import report
from modescope.spectral_graph.result import Edges, SpectralGraph


def flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from flat(block.blocks)


def drawing(made: Report) -> Graph:
    return next(block for block in made.blocks if isinstance(block, Graph))


def table(made: Report, title: str) -> Table:
    return next(block for block in made.blocks if isinstance(block, Table) and block.title == title)


def notes(made: Report) -> list[Note]:
    return [block for block in made.blocks if isinstance(block, Note)]


def section(made: Report, name: str) -> Section:
    return next(block for block in made.blocks if isinstance(block, Section) and block.key == f"layer={name}")


def test_the_first_notes_say_what_was_tested_and_what_the_graph_does_not_say() -> None:
    graph = planted()
    first, second, third = notes(report(graph))[:3]
    assert f"9 of {graph.options['tested']:,} edges tested are significant at level 0.05 (Bonferroni" in first.text
    assert "Null: rotation" in first.text
    assert "1 without modes" in first.text
    assert "Interrupted" in first.text
    assert "Interrupted" not in notes(report(replace(graph, complete=True)))[0].text
    assert "Gauge: folded" in second.text
    assert "Convention: svr" in second.text
    assert "order of the file" in second.text
    assert "does not say what a direction means" in third.text
    assert "how often it is active" in third.text
    assert "nonlinearities" in third.text


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
        assert node.key in ends or mode < page.TOP
        assert node.height == pytest.approx(column.s[column.nodes[mode][0]], rel=1e-3)
        assert node.column == column.position
        assert node.link == f"layer={column.name}"
        significant = [edge for edge in drawn.edges if edge.significant and node.key in (edge.source, edge.target)]
        assert node.value == len(significant)
    leading = {f"{index}.{mode}" for index, column in enumerate(graph.columns) for mode in range(min(page.TOP, len(column.nodes)))}
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


def test_cautions_stand_for_edges_that_are_unstable_or_not_exact() -> None:
    graph = planted()
    cautions = [note.text for note in notes(report(graph)) if note.level == "caution"]
    assert not [text for text in cautions if "rounding of the stored weights" in text or "not exact" in text]
    top = int(np.flatnonzero(graph.edges.significant)[0])
    graph.edges.unstable[top] = True
    graph.edges.exact[top] = False
    cautions = [note.text for note in notes(report(graph)) if note.level == "caution"]
    assert [text for text in cautions if text.startswith("1 significant edge may change with the rounding")]
    assert [text for text in cautions if text.startswith("1 significant edge has a p-value that is not exact")]
    assert [text for text in cautions if "was folded" in text]


def test_of_more_edges_than_are_drawn_the_significant_ones_stay_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = planted()
    monkeypatch.setattr(page, "DRAWN", 12)
    drawn = drawing(report(graph))
    assert sum(edge.significant for edge in drawn.edges) == 9
    assert len(drawn.edges) == 12
    assert f"{len(graph.edges) - 12} are left out, none of them significant" in drawn.caption
    monkeypatch.setattr(page, "DRAWN", 4)
    assert f"{len(graph.edges) - 4} are left out, 5 of them significant" in drawing(report(graph)).caption
    monkeypatch.setattr(page, "DRAWN", 1000)
    monkeypatch.setattr(page, "WEAKER", 5)
    assert len(drawing(report(graph)).edges) == 9 + 5


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
    assert len(drawing(report(unjoined)).nodes) == 5 * page.TOP


def test_ten_thousand_edges_are_a_page_below_three_megabytes() -> None:
    made = report(large(14_000))
    assert len(drawing(made).edges) > 7_000
    assert len(html.render(made)) < 3_000_000


def test_the_strands_of_a_planted_chain_are_side_by_side_when_untangled() -> None:
    drawn = drawing(report(planted()))
    rank = {node.key: node.rank or 0 for node in drawn.nodes}
    size = {place: sum((n.column, n.lane) == place for n in drawn.nodes) for place in {(n.column, n.lane) for n in drawn.nodes}}
    at = {node.key: (rank[node.key] + 0.5) / size[node.column, node.lane] for node in drawn.nodes}
    strong = [edge for edge in drawn.edges if edge.significant]
    lines = [(edge.source.partition(".")[0], edge.target.partition(".")[0], at[edge.source], at[edge.target]) for edge in strong]
    crossed = sum(one[:2] == two[:2] and (one[2] - two[2]) * (one[3] - two[3]) < 0 for one, two in itertools.combinations(lines, 2))
    assert crossed == 0


def test_what_code_need_not_say_is_the_default_of_the_library() -> None:
    """A list in the options stands for the sequence that was given."""
    theirs = {name: item.default for name, item in inspect.signature(modescope.graph).parameters.items()}
    ours = {name: tuple(value) if isinstance(value, list) else value for name, value in page.DEFAULTS.items()}
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"source", "wiring", "inputs", "workers", "memory", "progress"}


def test_code_makes_the_same_graph_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a.weight": (8, 6), "b.weight": (12, 8), "c.weight": (5, 12), "d.weight": (5, 5)}
    path = tmp_path / "it's.safetensors"
    save_file({name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, path)
    given = {
        "wiring": "order",
        "gauge": "raw",
        "convention": "channel",
        "level": 0.2,
        "correction": "by",
        "null": "permutation",
        "draws": 7,
        "seed": 3,
        "keep": 0.5,
        "structure": ["dead_channels", "bias"],
        "flatten": "channels_last",
        "activation": "relu",
        "exclude": ["d.*"],
        "include": ["*.weight"],
    }
    graph = modescope.graph(path, **given)
    code = report(graph).code
    space: dict[str, Any] = {}
    exec(code.replace('graph.report().save("graph.html")', ""), space)
    assert space["graph"].options == graph.options
    assert space["graph"].to_dict(kept=True) == graph.to_dict(kept=True)
    for name, value in given.items():
        assert f"{name}={value!r}" in code
    assert "draws" not in report(planted()).code


def test_code_has_a_name_and_a_comment_for_what_was_an_object_in_memory() -> None:
    graph = planted()
    live = replace(graph, source={"path": None}, options={**graph.options, "wiring": "traced"})
    assert "ms.graph(model, inputs=inputs" in report(live).code
    assert "# inputs: the example input" in report(live).code
    stated = replace(graph, options={**graph.options, "wiring": "stated"})
    assert "wiring=pairs" in report(stated).code
    assert "# pairs: the (from, to) names" in report(stated).code
    compile(report(live).code, "code", "exec")


def test_every_null_is_named_with_what_it_takes_as_random() -> None:
    graph = planted()
    assert page.NULLS.keys() == nulls().keys()
    for name, words in page.NULLS.items():
        made = report(replace(graph, options={**graph.options, "null": name}))
        assert f"Null: {name.replace('_', ' ')}, {words}." in notes(made)[0].text


def test_of_a_simulated_null_the_sentence_names_the_correction_within_pairs() -> None:
    graph = planted()
    made = report(replace(graph, options={**graph.options, "null": "permutation", "log_p_family_limit": -4.0}))
    assert "(Westfall-Young within each pair, Bonferroni over the pairs" in notes(made)[0].text
    plain = report(replace(graph, options={**graph.options, "log_p_family_limit": None}))
    assert "(Bonferroni, for the chance" in notes(plain)[0].text


def test_names_of_layers_that_begin_a_sentence_keep_their_letters() -> None:
    graph = planted()
    column = replace(graph.columns[0], note="fc.weight is tied")
    made = report(replace(graph, notes=("block.up.weight was left out",), columns=(column, *graph.columns[1:])))
    assert "block.up.weight was left out." in [note.text for note in notes(made)]
    inside = [block.text for block in section(made, column.name).blocks if isinstance(block, Note)]
    assert "fc.weight is tied." in inside


def test_taps_are_spoken_of_only_where_a_reader_has_some() -> None:
    graph = planted()
    wide = replace(graph.connections[0], effective=np.full(len(graph.columns[1].nodes), 4.0))  # groups of modes, one tap
    one = replace(graph, connections=(wide, *graph.connections[1:]))
    several = replace(graph, connections=(replace(wide, multiplicity=9), *graph.connections[1:]))
    assert [any("several taps" in note.text for note in notes(report(made))) for made in (graph, one, several)] == [
        False,
        False,
        True,
    ]


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


def test_where_nothing_is_joined_the_page_says_so_and_what_to_pass() -> None:
    graph = planted()
    nothing = replace(graph.edges, **{name: getattr(graph.edges, name)[:0] for name in Edges.__dataclass_fields__})
    alone = replace(graph, connections=(), edges=nothing, chains=(), complete=True)
    said = [note.text for note in notes(report(alone)) if "Nothing could be joined" in note.text]
    assert len(said) == 1
    assert "wiring=" in said[0]
    assert not [note for note in notes(report(graph)) if "Nothing could be joined" in note.text]
    assert not [note for note in notes(report(replace(alone, complete=False))) if "Nothing could be joined" in note.text]


def test_what_reads_a_bias_has_columns_where_it_was_asked_for() -> None:
    found = BiasRead(nodes=10, significant=2, mode=3, modes=2, weight=0.5, p=1e-9, log_p=math.log(1e-9))
    told = table(report(planted({"bias": found})), "Connections")
    row = dict(zip(told.columns, told.rows[0], strict=True))
    assert (row["bias edges"], row["bias read by"]) == (2, "3-4: 0.5, p = 1e-09")
    none = BiasRead(0, 0, None, None, None, None, None, status="no bias")
    told = table(report(planted({"bias": none})), "Connections")
    row = dict(zip(told.columns, told.rows[0], strict=True))
    assert (row["bias edges"], row["bias read by"]) == (None, "no bias")
