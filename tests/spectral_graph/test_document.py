"""The document of a spectral graph: its schema, what it says of nodes and edges, and what it does with odd numbers."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import modescope
from graph_cases import FAILED_LAYER, HOSTILE_LAYER, large, planted
from modescope.plain_data import plain
from modescope.spectral_graph.bias_nodes import BiasRead
from modescope.spectral_graph.dead_channels import DeadChannels
from modescope.spectral_graph.document import RENAMED, document
from modescope.spectral_graph.internal_dimensions import InternalDimensions
from modescope.spectral_graph.near_kernels import Block, NearKernels
from modescope.spectral_graph.result import SpectralGraph

SCHEMA = json.loads((Path(modescope.__file__).parent / "schemas" / "graph-1.json").read_text())


def checked(graph: SpectralGraph, **options: Any) -> dict[str, Any]:
    """The document as a program reads it: without NaN, and as the schema says."""
    told = json.loads(json.dumps(document(graph, **options), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("options", [{}, {"values": True}, {"kept": True}, {"kept": True, "values": True, "most": 5}])
def test_documents_follow_their_schema(options: dict[str, Any]) -> None:
    checked(planted(), **options)
    checked(large(200), **options)


def test_an_empty_graph_is_a_document() -> None:
    graph = planted()
    empty = replace(graph, columns=(), connections=(), gaps=(), chains=(), edges=type(graph.edges)(*(np.empty(0, int),) * 10))
    told = checked(empty, kept=True)
    assert told["edges"] == []
    assert told["summary"] == dict.fromkeys(told["summary"], 0)


def test_a_document_that_breaks_the_schema_is_noticed() -> None:
    told = document(planted())
    told["edges"][0]["from_mode"] = -1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_only_significant_edges_are_listed_and_on_request_all_that_are_kept() -> None:
    graph = planted()
    few, all_ = checked(graph), checked(graph, kept=True)
    assert len(few["edges"]) == graph.edges.significant.sum() == few["summary"]["listed"]
    assert all(edge["significant"] for edge in few["edges"])
    assert len(all_["edges"]) == len(graph.edges) > len(few["edges"])
    assert [edge for edge in all_["edges"] if edge["significant"]] == few["edges"]


def test_of_many_edges_those_of_the_smallest_p_are_listed_in_the_order_of_the_graph() -> None:
    graph = large(400)
    every, some = checked(graph, kept=True)["edges"], checked(graph, kept=True, most=40)
    worst = sorted(edge["log_p"] for edge in every)[39]
    assert some["edges"] == [edge for edge in every if edge["log_p"] <= worst]
    assert some["summary"]["listed"] == 40
    assert some["summary"]["kept"] == len(every)


def test_every_edge_names_its_ends_by_the_first_mode_and_the_number_of_modes_of_the_node() -> None:
    graph = planted()
    columns = {column.name: column for column in graph.columns}
    groups = 0
    for at, edge in enumerate(checked(graph, kept=True)["edges"]):
        connection = graph.connections[graph.edges.connection[at]]
        assert (edge["from"], edge["to"]) == (connection.source, connection.target)
        writer = columns[edge["from"]].nodes[graph.edges.writer[at]]
        reader = columns[edge["to"]].nodes[graph.edges.reader[at]]
        assert (edge["from_mode"], edge["from_mode"] + edge["from_modes"]) == writer
        assert (edge["to_mode"], edge["to_mode"] + edge["to_modes"]) == reader
        groups += edge["from_modes"] > 1 or edge["to_modes"] > 1
        assert edge["weight"] == pytest.approx(graph.edges.weight[at], rel=1e-5)
    told = {layer["name"]: layer["clusters"] for layer in checked(graph)["layers"]}
    assert told["block.up.weight"] == [{"mode": 28, "modes": 4}]
    assert not any(clusters for name, clusters in told.items() if name != "block.up.weight")


def test_a_node_of_several_modes_is_told_as_such_in_its_edges() -> None:
    graph = planted()
    last = len(next(column for column in graph.columns if column.name == "block.up.weight").nodes) - 1
    moved = replace(graph.edges, reader=np.where(graph.edges.connection == 0, last, graph.edges.reader))
    edge = checked(replace(graph, edges=moved))["edges"][0]
    assert (edge["to"], edge["to_mode"], edge["to_modes"]) == ("block.up.weight", 28, 4)
    chain = replace(graph.chains[1], layers=graph.chains[1].layers[:2], modes=(1, last))
    step = checked(replace(graph, chains=(chain,)))["chains"][0]["path"][1]
    assert step == {"layer": "block.up.weight", "mode": 28, "modes": 4}


def test_a_p_value_below_the_smallest_number_is_zero_and_its_logarithm_goes_on() -> None:
    graph = planted()
    log_p = graph.edges.log_p.copy()
    log_p[:3] = -2000.0, -math.inf, 1e-4
    first, second, third = checked(replace(graph, edges=replace(graph.edges, log_p=log_p)), kept=True)["edges"][:3]
    assert (first["p"], first["log_p"]) == (0.0, -2000.0)
    assert (second["p"], second["log_p"]) == (0.0, None)
    assert third["p"] == 1.0


def test_numbers_that_are_not_finite_are_null() -> None:
    graph = planted()
    column = replace(graph.columns[0], blur=np.full(32, np.inf))
    connection = replace(graph.connections[0], composition=math.nan, effective=np.empty(0))
    told = checked(
        replace(graph, columns=(column, *graph.columns[1:]), connections=(connection, *graph.connections[1:])), values=True
    )
    assert set(told["layers"][0]["blur"]) == {None}
    assert told["wiring"][0]["composition"] is None
    assert told["wiring"][0]["effective"] is None


def test_values_and_shares_of_the_bias_are_there_on_request_only() -> None:
    graph = planted()
    assert not {"values", "bias", "blur"} & set(checked(graph)["layers"][0])
    first, second = checked(graph, values=True)["layers"][:2]
    assert first["values"] == pytest.approx(graph.columns[0].s, rel=1e-8)
    assert first["bias"] is None
    assert len(second["bias"]) == len(second["blur"]) == len(graph.columns[1].nodes) < second["modes"]


def test_gaps_and_failed_layers_say_why_and_an_unknown_end_is_null() -> None:
    told = checked(planted())
    assert told["gaps"][1] == {"from": "head.weight", "to": None, "reason": "nothing is known of what reads it"}
    failed = next(layer for layer in told["layers"] if layer["name"] == FAILED_LAYER)
    assert (failed["status"], failed["modes"]) == ("3 entries are not finite", 0)
    assert (told["summary"]["failed"], told["summary"]["gaps"]) == (1, 2)


def test_effective_positions_are_told_as_their_range() -> None:
    graph = planted()
    spread = replace(graph.connections[0], effective=np.array([1.0, 9.0, 2.5]), multiplicity=9)
    told = checked(replace(graph, connections=(spread, *graph.connections[1:])))["wiring"][0]
    assert told["effective"] == {"least": 1.0, "median": 2.5, "most": 9.0}


def test_block_statistics_are_listed_in_the_words_of_the_document() -> None:
    inner = InternalDimensions(reader=3, writer=5, score=math.inf, high=4.5, p=0.005)
    small = Block(writer=6, reader=4, overlap=3.5, share=0.875, expected=0.75, forced=0, z=11.0, p=1e-9)
    quarter = replace(small, writer=8, overlap=math.nan, z=None, p=None, status="nothing to test")
    kernels = NearKernels(32, 2, 1, small, quarter)
    dead = DeadChannels(32, 6, 5, (3, 30), 0.9375, 0.2)
    told = checked(planted({"near_kernels": kernels, "internal_dimensions": inner, "dead_channels": dead}))["blocks"]
    assert {(block["from"], block["to"]) for block in told} == {("embed.weight", "block.up.weight")}
    assert [block["test"] for block in told] == [
        "near_kernels small",
        "near_kernels quarter",
        "internal_dimensions",
        "dead_channels",
    ]
    assert [(block.get("from_modes"), block.get("to_modes")) for block in told] == [(6, 4), (8, 4), (5, 3), (None, None)]
    assert [block.get("z") for block in told] == [11.0, None, None, None]
    assert [block.get("statistic") for block in told] == [3.5, None, None, None]
    assert [block["p"] for block in told] == [1e-9, None, 0.005, 0.2]
    assert [block["status"] for block in told] == ["ok", "nothing to test", "ok", "ok"]
    assert all((block["from_kernel"], block["to_kernel"], block["dimension"]) == (2, 1, 32) for block in told[:2])
    assert told[3]["joint"] == [3, 30]


def test_the_schema_describes_every_number_that_a_block_statistic_has() -> None:
    described = set(SCHEMA["properties"]["blocks"]["items"]["properties"])
    for noun in (InternalDimensions, Block, NearKernels, DeadChannels):
        told = {RENAMED.get(item.name, item.name) for item in fields(noun)} - {"small", "quarter"}
        assert told <= described, noun


def test_hostile_names_are_text_and_stay_as_they_are() -> None:
    told = checked(planted())
    assert HOSTILE_LAYER in {layer["name"] for layer in told["layers"]}
    assert any(edge["to"] == HOSTILE_LAYER for edge in told["edges"])


def test_plain_data_has_no_type_of_numpy_in_it() -> None:
    told = plain({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), 4: (np.array([1.0, np.nan]), None, "x")})
    assert told == {"a": 0.5, "b": 3, "c": True, "4": [[1.0, None], None, "x"]}
    assert [type(told[name]) for name in "abc"] == [float, int, bool]


def test_a_p_value_corrected_for_its_pair_is_told_where_there_is_one() -> None:
    graph = planted()
    family = np.where(np.arange(len(graph.edges)) == 1, np.log(0.02), np.nan)
    told = checked(replace(graph, edges=replace(graph.edges, log_p_family=family)), kept=True)["edges"]
    assert [edge["p_family"] for edge in told[:3]] == [None, 0.02, None]


def test_of_many_connections_those_of_the_most_significant_edges_are_listed_with_their_blocks() -> None:
    small = Block(writer=6, reader=4, overlap=3.5, share=0.875, expected=0.75, forced=0, z=11.0, p=1e-9)
    graph = planted()
    asked = {"near_kernels": NearKernels(32, 0, 0, small, small)}
    graph = replace(graph, connections=tuple(replace(one, structure=asked) for one in graph.connections))
    told = checked(graph, pairs=4)
    most = sorted(graph.connections, key=lambda one: -one.significant)[:4]
    assert [(pair["from"], pair["to"]) for pair in told["wiring"]] == [
        (one.source, one.target) for one in graph.connections if one in most
    ]
    assert {(block["from"], block["to"]) for block in told["blocks"]} == {(one.source, one.target) for one in most}
    assert (told["summary"]["connections"], told["summary"]["listed_connections"]) == (7, 4)
    assert checked(graph)["summary"]["listed_connections"] == 7


@pytest.mark.parametrize("convention", ["svr", "cosvr"])
def test_effective_positions_are_those_of_single_modes_that_read_anything(convention: str) -> None:
    graph = planted()
    side = "block.up.weight" if convention == "svr" else HOSTILE_LAYER
    place = next(k for k, one in enumerate(graph.connections) if side in ((one.target,) if convention == "svr" else (one.source,)))
    nodes = next(column.nodes for column in graph.columns if column.name == side)
    if convention == "cosvr":
        nodes = (*nodes[:-2], (nodes[-2][0], nodes[-1][1]))
        graph = replace(
            graph, columns=tuple(replace(c, nodes=nodes, blur=c.blur[1:]) if c.name == side else c for c in graph.columns)
        )
    taps = np.linspace(2, 5, len(nodes))
    taps[0], taps[-1] = 0.0, 27.0  # nothing is read, and a group of several modes
    one = replace(graph.connections[place], effective=taps, multiplicity=9)
    connections = (*graph.connections[:place], one, *graph.connections[place + 1 :])
    told = checked(replace(graph, connections=connections, options={**graph.options, "convention": convention}), most=0)
    assert told["wiring"][place]["effective"]["most"] == pytest.approx(taps[-2])
    assert told["wiring"][place]["effective"]["least"] == pytest.approx(taps[1])


def test_what_reads_a_bias_is_a_block_of_its_own() -> None:
    found = BiasRead(nodes=10, significant=2, mode=3, modes=1, weight=0.5, p=0.0, log_p=-900.0)
    none = BiasRead(0, 0, None, None, None, None, None, status="no bias")
    blocks = checked(planted({"bias": found}))["blocks"] + checked(planted({"bias": none}))["blocks"]
    assert [block["test"] for block in blocks] == ["bias", "bias"]
    assert [blocks[0][name] for name in ("nodes", "significant", "mode", "weight", "log_p")] == [10, 2, 3, 0.5, -900.0]
    assert (blocks[1]["status"], blocks[1]["mode"]) == ("no bias", None)
