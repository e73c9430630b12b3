"""HIF: its schema, bytes that depend on the hypergraph alone, a way back without loss, and documents from elsewhere."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modescope.errors import UsageError
from modescope.profiles import hif
from modescope.profiles.hypergraph import ClassHypergraph, Edge, Vertex, by_layer, hypergraph, of_network
from modescope.profiles.membership import membership
from profiles_hyper_cases import RNG, modes, planted, random_graph, statistics

SCHEMA = json.loads((Path(__file__).parent / "hif-schema.json").read_text())
NAMES = st.one_of(st.text(max_size=6), st.text(alphabet="%:|3A25class=+-", max_size=8))


def valid(document: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(json.dumps(document, allow_nan=False)), SCHEMA, cls=jsonschema.Draft202012Validator)


def example(*, resamples: int = 10, signed: bool = True, network: bool = False) -> ClassHypergraph:
    signals, labels = planted(0, classes=3)
    one = membership(statistics(signals, labels, classes=4, resamples=resamples), np.ones(8), signed=signed)
    scope = of_network if network else by_layer
    return scope([one], {"site": modes(np.ones(8))}, ["cat", "dog", "a|b:c%", "none"])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("resamples", [0, 10])
def test_documents_follow_the_schema_and_come_back_without_loss(signed: bool, network: bool, resamples: int) -> None:
    graph = example(signed=signed, network=network, resamples=resamples)
    document = hif.to_hif(graph, {"name": "net", "seed": 0})
    valid(document)
    read = hif.from_hif(json.loads(hif.text(document)))
    assert (read.graph.vertices, read.graph.edges) == (graph.vertices, graph.edges)
    for name in ("edge", "vertex", "weight", "stability"):
        np.testing.assert_array_equal(getattr(read.graph, name), getattr(graph, name))
    assert hif.text(hif.to_hif(read.graph, read.metadata)) == hif.text(document)
    assert read.metadata == {"name": "net", "seed": 0, "generator": "modescope"}


def test_ids_and_records_have_the_form_of_the_note() -> None:
    document = hif.to_hif(example())
    assert [one["edge"] for one in document["edges"]] == [f"site|class={name}" for name in ("cat", "dog", "a%7Cb%3Ac%25", "none")]
    assert [one["node"] for one in document["nodes"][:3]] == ["site:0:+", "site:0:-", "site:1:+"]
    assert document["network-type"] == "undirected"
    assert document["edges"][2]["attrs"] == {"class": 2, "label": "a|b:c%", "layer": "site", "order": 0, "n_images": 40}
    assert [one["edge"] for one in hif.to_hif(example(network=True))["edges"]][:2] == ["class=cat", "class=dog"]
    assert hif.to_hif(example(signed=False))["nodes"][1]["node"] == "site:1"
    used = {one["edge"] for one in document["incidences"]}
    assert "site|class=none" not in used
    assert len(document["nodes"]) == 16 > len({one["node"] for one in document["incidences"]})


def test_without_a_bootstrap_the_stability_is_null() -> None:
    assert {one["attrs"]["stability"] for one in hif.to_hif(example(resamples=0))["incidences"]} == {None}


@pytest.mark.parametrize("seed", range(4))
def test_equal_hypergraphs_give_equal_bytes_in_whatever_order_their_parts_are(seed: int) -> None:
    graph = random_graph(seed)
    rng = RNG(seed)
    v, e = rng.permutation(len(graph.vertices)), rng.permutation(len(graph.edges))
    rows = [
        (int(np.argwhere(e == a)[0, 0]), int(np.argwhere(v == b)[0, 0]), w, s)
        for a, b, w, s in zip(graph.edge, graph.vertex, graph.weight, graph.stability, strict=True)
    ]
    other = hypergraph([graph.vertices[i] for i in v], [graph.edges[i] for i in e], rows)
    assert hif.text(hif.to_hif(other)) == hif.text(hif.to_hif(graph))
    assert hif.text(hif.to_hif(random_graph(seed + 1))) != hif.text(hif.to_hif(graph))
    shuffled = hif.to_hif(graph)
    for key in ("nodes", "edges", "incidences"):
        rng.shuffle(shuffled[key])
    read = hif.from_hif(shuffled).graph
    assert hif.to_hif(read) == hif.to_hif(graph)
    assert (read.vertices, read.edges) == ((ours := hif.from_hif(hif.to_hif(graph)).graph).vertices, ours.edges)


def test_nodes_and_edges_are_in_the_order_of_layers_and_classes() -> None:
    vertices = [Vertex("a", 1, 0, 1, 1.0), Vertex("b", 0, 10, 1, 1.0), Vertex("b", 0, 9, -1, 1.0), Vertex("b", 0, 9, 1, 1.0)]
    edges = [Edge("x", 10, "b", 0, 1), Edge("y", 9, "b", 0, 1), Edge("z", 0, "a", 1, 1)]
    document = hif.to_hif(hypergraph(vertices, edges, [(0, 1, 1.0, 1.0), (2, 0, 1.0, 1.0), (1, 2, 1.0, 1.0)]))
    assert [one["node"] for one in document["nodes"]] == ["b:9:+", "b:9:-", "b:10:+", "a:0:+"]
    assert [one["edge"] for one in document["edges"]] == ["b|class=y", "b|class=x", "a|class=z"]
    assert [one["node"] for one in document["incidences"]] == ["b:9:-", "b:10:+", "a:0:+"]


@settings(max_examples=60, deadline=None)
@given(layers=st.lists(NAMES, min_size=1, max_size=3, unique=True), labels=st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_every_name_of_a_layer_and_of_a_class_gives_an_id_of_its_own(layers: list[str], labels: list[str]) -> None:
    vertices = [Vertex(name, i, 3, sign, 0.1) for i, name in enumerate(layers) for sign in (-1, 0, 1)]
    edges = [Edge(label, c, name, i, 0) for i, name in enumerate([*layers, None]) for c, label in enumerate(labels)]
    document = hif.to_hif(hypergraph(vertices, edges, [(0, 0, 0.5, 0.25)]))
    assert len({one["node"] for one in document["nodes"]}) == len(vertices)
    assert len({one["edge"] for one in document["edges"]}) == len(edges)
    read = hif.from_hif(json.loads(hif.text(document))).graph
    assert set(read.vertices) == set(vertices)
    assert set(read.edges) == set(edges)


def test_numbers_of_numpy_are_cast_and_what_is_not_finite_is_left_out() -> None:
    vertex = Vertex("a", np.int64(0), np.int64(1), np.int8(1), np.float32(0.5), np.float64(2))  # type: ignore[arg-type]
    graph = hypergraph([vertex], [Edge("x", np.int64(0), "a", 0, np.int64(3))], [(0, 0, math.nan, math.inf)])  # type: ignore[arg-type]
    document = json.loads(hif.text(hif.to_hif(graph)))
    assert document["incidences"] == [{"edge": "a|class=x", "node": "a:1:+", "attrs": {"stability": None}}]
    assert math.isnan(hif.from_hif(document).graph.weight[0])
    valid(document)


def test_an_empty_hypergraph_is_a_document_too() -> None:
    document = hif.to_hif(hypergraph((), (), []))
    valid(document)
    assert hif.to_hif(hif.from_hif(document).graph) == document
    assert hif.from_hif({"incidences": []}).graph.vertices == ()


def test_metadata_that_json_cannot_hold_are_refused() -> None:
    for bad in ({"x": math.nan}, {"x": object()}):
        with pytest.raises(UsageError, match="metadata: expected what JSON can hold"):
            hif.to_hif(example(), bad)


def put(*path: Any, value: Any) -> Any:
    """A document with one part changed."""
    document = copy.deepcopy(hif.to_hif(example()))
    part = document
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "document: expected an object, got list"),
        ({}, "expected the key 'incidences'"),
        (put("extra", value=1), "got 'extra'"),
        (put("network-type", value="directed"), "undirected hypergraph, got 'directed'"),
        (put("metadata", value=[]), "metadata: expected an object"),
        (put("nodes", value={}), "nodes: expected an array, got dict"),
        (put("nodes", 2, value="a"), "nodes\\[2\\]: expected an object, got str"),
        (put("nodes", 2, "attr", value={}), "nodes\\[2\\]: expected node, weight and attrs, got 'attr'"),
        (put("nodes", 2, "node", value="site:7:+"), "expected the node 'site:1:\\+', as its attributes say, got 'site:7:\\+'"),
        (put("nodes", 2, "attrs", "sign", value=2), "expected a sign of -1, 0 or 1, got 2"),
        (put("nodes", 2, "attrs", "index", value=-1), "'index' in attrs as an integer of at least 0, got -1"),
        (put("nodes", 2, "attrs", "index", value=True), "'index' in attrs as an integer of at least 0, got True"),
        (put("nodes", 2, "attrs", "index", value=10**5000), "integer of at least 0, got an integer of 16610 bits"),
        (put("nodes", 2, "attrs", "sigma", value=math.nan), "'sigma' as a finite number, got nan"),
        (put("nodes", 2, "attrs", "sigma", value="x" * 100), "got 'xxx.*\\.\\.\\.\\.$"),
        (put("nodes", 2, "attrs", "layer", value=None), "'layer' in attrs as text, got None"),
        (put("nodes", 2, "attrs", value={}), "'layer' in attrs as text, got None"),
        (put("nodes", 1, value=hif.to_hif(example())["nodes"][0]), "listed once, got one twice"),
        (put("edges", 1, value=hif.to_hif(example())["edges"][0]), "listed once, got one twice"),
        (put("edges", 1, "attrs", "n_images", value=1.5), "'n_images' in attrs as an integer"),
        (put("edges", 1, "edge", value=7), "expected the edge 'site|class=dog', as its attributes say, got 7"),
        (put("incidences", 0, "node", value="site:99:+"), "incidences\\[0\\]: expected the node to be one that is listed"),
        (put("incidences", 0, "edge", value=["a"]), "incidences\\[0\\]: expected the edge to be one that is listed"),
        (put("incidences", 0, "direction", value="head"), "got 'direction'"),
        (put("incidences", 0, "weight", value="heavy"), "'weight' as a finite number, got 'heavy'"),
        (put("incidences", 0, "weight", value=10**400), "'weight' as a finite number, got an integer of"),
        (put("incidences", 0, "attrs", "stability", value=math.inf), "'stability' as a finite number, got inf"),
        (put("incidences", 1, value=hif.to_hif(example())["incidences"][0]), "at most once in an edge"),
    ],
)
def test_documents_that_are_not_ours_are_refused_by_place(document: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        hif.from_hif(document)
