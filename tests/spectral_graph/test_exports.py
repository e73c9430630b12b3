"""Exports of a spectral graph, each opened by the program it is for."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import networkx
import numpy as np
import pandas
import pytest

from graph_cases import HOSTILE_LAYER, large, planted
from modescope.errors import UsageError
from modescope.spectral_graph.exports import XML, save, to_networkx, to_pandas
from modescope.spectral_graph.result import SpectralGraph

ODD = {  # names as files may hold them: how XML shows them
    "\x1b[31mred\x00": r"\x1b[31mred\x00",
    "a\nb\tc\r": r"a\nb\tc\r",
    "half \ud800 pair \ufffe": r"half \ud800 pair \ufffe",
    "back\\slash": r"back\\slash",
    "=1+1": "=1+1",
    "ü<q\"&'>]]>": "ü<q\"&'>]]>",
}


def odd(graph: SpectralGraph) -> SpectralGraph:
    """The graph with the names of layers that no file format likes."""
    names = dict(zip((column.name for column in graph.columns), ODD, strict=True))
    columns = tuple(replace(column, name=names[column.name]) for column in graph.columns)
    connections = tuple(replace(c, source=names[c.source], target=names[c.target]) for c in graph.connections)
    return replace(graph, columns=columns, connections=connections, wiring="\x1b <odd>")


def ends(graph: SpectralGraph, *, kept: bool) -> set[tuple[str, int, str, int]]:
    """Layers and first modes of every edge, straight from the arrays."""
    found = set()
    columns = {column.name: column for column in graph.columns}
    for at in range(len(graph.edges)):
        if kept or graph.edges.significant[at]:
            c = graph.connections[graph.edges.connection[at]]
            writer = columns[c.source].nodes[graph.edges.writer[at]][0]
            found.add((c.source, writer, c.target, columns[c.target].nodes[graph.edges.reader[at]][0]))
    return found


def ends_of(made: Any) -> set[tuple[str, int, str, int]]:
    """The same of a networkx graph."""
    node = made.nodes
    return {(node[a]["layer"], node[a]["mode"], node[b]["layer"], node[b]["mode"]) for a, b in made.edges()}


def test_networkx_has_every_node_and_the_significant_edges() -> None:
    graph = planted()
    made = to_networkx(graph)
    assert made.number_of_nodes() == sum(len(column.nodes) for column in graph.columns)
    assert ends_of(made) == ends(graph, kept=False)
    assert ends_of(to_networkx(graph, kept=True)) == ends(graph, kept=True)
    assert made.number_of_edges() == graph.edges.significant.sum()
    assert networkx.is_directed_acyclic_graph(made)
    node = made.nodes["block.up.weight#28"]
    assert (node["layer"], node["mode"], node["modes"], node["value"], node["position"]) == ("block.up.weight", 28, 4, 0.0, 1)
    edge = next(iter(made["embed.weight#0"]["block.up.weight#0"].values()))
    assert edge["weight"] == pytest.approx(graph.edges.weight[0], rel=1e-5)
    assert made.graph["null"] == "rotation"


def test_two_ways_in_which_layers_are_joined_are_two_edges() -> None:
    graph = planted()
    twice = tuple(replace(c, relation="stated") if k else c for k, c in enumerate(graph.connections[:1] * 2))
    edges = replace(
        graph.edges, connection=(np.arange(len(graph.edges)) % 2), writer=0 * graph.edges.writer, reader=0 * graph.edges.reader
    )
    made = to_networkx(replace(graph, connections=twice, edges=edges), kept=True)
    assert set(made["embed.weight#0"]["block.up.weight#0"]) == {"next", "stated"}


@pytest.mark.parametrize("make", [planted, lambda: odd(planted()), lambda: large(100)])
def test_graphml_opens_in_networkx_as_the_same_graph(make: Any, tmp_path: Path) -> None:
    graph, path = make(), tmp_path / "g.graphml"
    save(graph, path)
    made, read = to_networkx(graph), networkx.read_graphml(path)
    assert read.is_directed()
    assert [told["mode"] for told in read.nodes.values()] == [told["mode"] for told in made.nodes.values()]
    assert [told.get("value") for told in read.nodes.values()] == [told["value"] for told in made.nodes.values()]
    place = {key: f"n{k}" for k, key in enumerate(made.nodes)}
    edges = {(place[a], place[b]): {k: v for k, v in told.items() if v is not None} for a, b, told in made.edges(data=True)}
    assert {(a, b): {k: v for k, v in told.items() if k != "id"} for a, b, told in read.edges(data=True)} == edges
    assert {k: v for k, v in read.graph.items() if k in made.graph} == made.graph | {"wiring": read.graph["wiring"]}


def test_graphml_keeps_names_that_xml_can_hold_and_escapes_the_others_visibly(tmp_path: Path) -> None:
    save(planted(), tmp_path / "g.graphml")
    read = networkx.read_graphml(tmp_path / "g.graphml")
    assert {"embed.weight", "head.weight"} < {told["layer"] for told in read.nodes.values()}
    assert all(told["label"] == f"{told['layer']}#{told['mode']}" for told in read.nodes.values())
    graph = odd(planted())
    save(graph, tmp_path / "odd.graphml")
    seen = list(dict.fromkeys(told["layer"] for told in networkx.read_graphml(tmp_path / "odd.graphml").nodes.values()))
    assert seen == [ODD[column.name] for column in graph.columns if column.nodes]


def test_graphml_is_valid_by_its_own_rules(tmp_path: Path) -> None:
    graph = odd(planted())
    save(graph, tmp_path / "g.graphml")
    root = ElementTree.parse(tmp_path / "g.graphml").getroot()
    spaced = f"{{{XML}}}"
    ids = [item.get("id") for item in root.iter() if item.get("id") is not None]
    assert len(ids) == len(set(ids))
    keys = {item.get("id"): item.get("for") for item in root.iter(f"{spaced}key")}
    for what in ("node", "edge"):
        used = {item.get("key") for holder in root.iter(f"{spaced}{what}") for item in holder.iter(f"{spaced}data")}
        assert {keys[key] for key in used} == {what}
    nodes = {item.get("id") for item in root.iter(f"{spaced}node")}
    assert all({item.get("source"), item.get("target")} <= nodes for item in root.iter(f"{spaced}edge"))


@pytest.mark.parametrize("make", [planted, lambda: odd(planted())])
def test_node_link_json_opens_in_networkx_as_the_same_graph(make: Any, tmp_path: Path) -> None:
    graph, path = make(), tmp_path / "g.nodelink.json"
    save(graph, path)
    read = networkx.node_link_graph(json.loads(path.read_text(), parse_constant=pytest.fail), edges="edges")
    made = to_networkx(graph)
    assert dict(read.nodes(data=True)) == dict(made.nodes(data=True))
    assert list(read.edges(keys=True, data=True)) == list(made.edges(keys=True, data=True))
    assert read.graph == made.graph


@pytest.mark.parametrize("make", [planted, lambda: large(3000)])
def test_parquet_opens_in_duckdb_with_every_kept_edge(make: Any, tmp_path: Path) -> None:
    graph, path = make(), tmp_path / "it's here.parquet"
    save(graph, path)
    read = duckdb.from_parquet(str(path))
    assert set(read.project('"from", from_mode, "to", to_mode').fetchall()) == ends(graph, kept=True)
    columns = read.fetchnumpy()
    for name, own in (("weight", graph.edges.weight), ("log_p", graph.edges.log_p), ("significant", graph.edges.significant)):
        assert np.array_equal(columns[name], own)
    values = {column.name: column.s for column in graph.columns}
    want = [values[name][mode] for name, mode in zip(columns["from"], columns["from_mode"], strict=True)]
    assert np.array_equal(columns["from_value"], want)
    assert [path.name for path in tmp_path.iterdir()] == ["it's here.parquet"]


def test_parquet_holds_names_that_are_no_utf8(tmp_path: Path) -> None:
    graph = odd(planted())
    save(graph, tmp_path / "g.parquet")
    read = duckdb.from_parquet(str(tmp_path / "g.parquet")).fetchnumpy()["to"]
    assert set(read) == {c.target.replace("\ud800", "\\ud800") for c in graph.connections}


def test_data_frames_have_one_row_per_kept_edge_and_the_columns_of_the_parquet_file(tmp_path: Path) -> None:
    graph = planted()
    frame = to_pandas(graph)
    assert len(frame) == len(graph.edges)
    assert frame["significant"].sum() == graph.edges.significant.sum()
    save(graph, tmp_path / "g.parquet")
    read = duckdb.from_parquet(str(tmp_path / "g.parquet")).df()
    pandas.testing.assert_frame_equal(read, frame, check_dtype=False)
    strongest = frame.loc[frame["log_p"].idxmin()]
    assert strongest["p"] == pytest.approx(np.exp(graph.edges.log_p.min()))
    assert {"next", "product", "residual"} == set(frame["relation"])


def test_a_graph_without_edges_or_layers_can_be_written(tmp_path: Path) -> None:
    graph = planted()
    empty = replace(graph, columns=(), connections=(), edges=type(graph.edges)(*(np.empty(0, np.int64),) * 10))
    for name in ("g.graphml", "g.nodelink.json", "g.parquet"):
        save(empty, tmp_path / name)
    assert networkx.read_graphml(tmp_path / "g.graphml").number_of_nodes() == 0
    assert duckdb.from_parquet(str(tmp_path / "g.parquet")).fetchall() == []
    assert to_pandas(empty).empty


@pytest.mark.parametrize("name", ["g.svg", "g", "g.graphml.gz"])
def test_a_suffix_nobody_writes_is_refused_with_those_that_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.graphml.*\.nodelink\.json.*\.parquet"):
        save(planted(), tmp_path / name)


@pytest.mark.parametrize("name", ["g.graphml", "g.nodelink.json", "g.parquet"])
def test_a_file_that_cannot_be_written_is_an_error_of_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written") as caught:
        save(planted(), tmp_path / "no folder" / name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["g.graphml", "g.nodelink.json", "g.parquet"])
def test_what_could_not_be_put_in_place_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "full").mkdir(parents=True)
    with pytest.raises(UsageError, match="cannot be written"):
        save(planted(), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_number_that_is_not_finite_is_left_out_of_graphml_and_null_in_json(tmp_path: Path) -> None:
    graph = planted()
    edges = replace(graph.edges, log_p=np.full(len(graph.edges), -np.inf))
    for name in ("g.graphml", "g.nodelink.json"):
        save(replace(graph, edges=edges), tmp_path / name)
    told = next(iter(networkx.read_graphml(tmp_path / "g.graphml").edges(data=True)))[2]
    assert told["p"] == 0.0
    assert "log_p" not in told
    assert json.loads((tmp_path / "g.nodelink.json").read_text())["edges"][0]["log_p"] is None


@pytest.mark.parametrize(
    ("library", "make", "extra"),
    [
        ("networkx", to_networkx, "networkx"),
        ("pandas", to_pandas, "pandas"),
        ("duckdb", lambda graph: save(graph, "x.parquet"), "store"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    library: str, make: Any, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"expected {library}.*'modescope\[{extra}\]'"):
        make(planted())


def test_parquet_needs_no_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\nfrom graph_cases import planted\n"
        "from modescope.spectral_graph.exports import save\nsave(planted(), 'g.parquet')"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    assert (tmp_path / "g.parquet").stat().st_size > 0


def test_hostile_names_reach_every_export_as_text(tmp_path: Path) -> None:
    graph = planted()
    assert HOSTILE_LAYER in set(to_pandas(graph)["to"])
    assert any(told["layer"] == HOSTILE_LAYER for told in to_networkx(graph).nodes.values())


def test_corrected_p_values_of_pairs_are_exported_where_there_are_some(tmp_path: Path) -> None:
    graph = planted()
    first = int(np.flatnonzero(graph.edges.significant)[0])
    family = np.where(np.arange(len(graph.edges)) == first, np.log(0.02), np.nan)
    graph = replace(graph, edges=replace(graph.edges, log_p_family=family))
    told = [edge["p_family"] for _, _, edge in to_networkx(graph).edges(data=True)]
    assert sorted(told, key=str)[0] == 0.02
    assert told.count(None) == len(told) - 1
    assert to_pandas(graph)["p_family"].dropna().tolist() == pytest.approx([0.02])
    save(graph, tmp_path / "g.graphml")
    assert (tmp_path / "g.graphml").read_text().count('<data key="edge-p_family">') == 1
    save(graph, tmp_path / "g.parquet")
    assert duckdb.from_parquet(str(tmp_path / "g.parquet")).filter("p_family < 1").fetchnumpy()["p_family"] == pytest.approx([0.02])
