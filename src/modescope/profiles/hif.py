"""Class hypergraphs as HIF, the interchange format for hypergraphs, and back, without loss.

Vertices are called `layer:index` or `layer:index:+`, edges `layer|class=label`, or `class=label` where they span the network. In
names of layers and classes the characters %, : and | are written as %25, %3A and %7C, so that every id can be read back.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.errors import UsageError
from modescope.profiles.hypergraph import ClassHypergraph, Edge, Vertex, hypergraph

KEYS = ("network-type", "metadata", "incidences", "nodes", "edges")
ESCAPES = {"%": "%25", ":": "%3A", "|": "%7C"}
SIGNS = {1: "+", -1: "-"}
CLASS = "class="
LARGEST = sys.float_info.max


@dataclass(frozen=True, eq=False)
class Imported:
    """What a HIF document holds: the hypergraph, and what is said about it."""

    graph: ClassHypergraph
    metadata: Mapping[str, Any]


def vertex_id(vertex: Vertex, /) -> str:
    """`layer:index`, or `layer:index:+` and `layer:index:-`."""
    return ":".join((_escaped(vertex.layer), str(vertex.index), *([SIGNS[vertex.sign]] if vertex.sign else [])))


def edge_id(edge: Edge, /) -> str:
    """`layer|class=label`, or `class=label` of the whole network."""
    name = CLASS + _escaped(edge.label)
    return name if edge.layer is None else f"{_escaped(edge.layer)}|{name}"


def to_hif(graph: ClassHypergraph, /, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A class hypergraph as one JSON object; equal hypergraphs give equal objects.

    Args:
        graph: Vertices and edges may be in any order: they are written by layer, index and sign, or by layer and class.
        metadata: What is said about it; the generator is added.

    Returns:
        An object of the schema of HIF. Isolated vertices and empty edges are listed like all others. Where there was no bootstrap,
        the stability is null.

    Raises:
        UsageError: The metadata are no JSON, with numbers that are not finite among them.

    References:
        Coll et al. (2025), HIF: the hypergraph interchange format for higher-order networks, doi:10.1017/nws.2025.10018.
    """
    vertices = sorted(range(len(graph.vertices)), key=lambda i: _vertex_key(graph.vertices[i]))
    edges = sorted(range(len(graph.edges)), key=lambda i: _edge_key(graph.edges[i]))
    vertex_place = {old: new for new, old in enumerate(vertices)}
    edge_place = {old: new for new, old in enumerate(edges)}
    names = [vertex_id(one) for one in graph.vertices]
    labels = [edge_id(one) for one in graph.edges]
    rows = sorted(
        zip(graph.edge.tolist(), graph.vertex.tolist(), graph.weight.tolist(), graph.stability.tolist(), strict=True),
        key=lambda row: (edge_place[row[0]], vertex_place[row[1]]),
    )
    told = {**(metadata or {}), "generator": "modescope"}
    try:
        told = json.loads(json.dumps(told, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(f"metadata: expected what JSON can hold, got {error}.") from error
    return {
        "network-type": "undirected",
        "metadata": told,
        "nodes": [{"node": names[i], "attrs": _vertex_attributes(graph.vertices[i])} for i in vertices],
        "edges": [{"edge": labels[i], "attrs": _edge_attributes(graph.edges[i])} for i in edges],
        "incidences": [
            {"edge": labels[e], "node": names[v]}
            | ({"weight": weight} if math.isfinite(weight) else {})
            | {"attrs": {"stability": stability if math.isfinite(stability) else None}}
            for e, v, weight, stability in rows
        ],
    }


def text(document: Mapping[str, Any], /) -> str:
    """A document as it is written into a file: ASCII, one line."""
    return json.dumps(document, allow_nan=False) + "\n"


def from_hif(document: Any, /) -> Imported:
    """Read what `to_hif` made.

    Args:
        document: The JSON object, of any origin.

    Returns:
        `Imported`, whose hypergraph gives the same document again.

    Raises:
        UsageError: It does not follow the schema, or its vertices and edges are no modes and classes as `to_hif` writes them.
    """
    given = _object(document, "document")
    if extra := sorted(set(given) - set(KEYS)):
        raise UsageError(f"HIF: expected the keys {', '.join(KEYS)}, got {extra[0]!r}.")
    if given.get("network-type", "undirected") != "undirected":
        raise UsageError(f"HIF: expected an undirected hypergraph, got {given['network-type']!r}.")
    vertices = [_vertex(one, f"nodes[{i}]") for i, one in enumerate(_list(given, "nodes"))]
    edges = [_edge(one, f"edges[{i}]") for i, one in enumerate(_list(given, "edges"))]
    vertices.sort(key=_vertex_key)
    edges.sort(key=_edge_key)
    place = {vertex_id(one): i for i, one in enumerate(vertices)}
    edge_place = {edge_id(one): i for i, one in enumerate(edges)}
    if len(place) < len(vertices) or len(edge_place) < len(edges):
        raise UsageError("HIF: expected every node and every edge to be listed once, got one twice.")
    if "incidences" not in given:
        raise UsageError("HIF: expected the key 'incidences', got none.")
    rows = [_incidence(one, f"incidences[{i}]", place, edge_place) for i, one in enumerate(_list(given, "incidences"))]
    return Imported(hypergraph(vertices, edges, rows), _object(given.get("metadata", {}), "metadata"))


def _vertex_key(vertex: Vertex) -> tuple[int, str, int, int]:
    return vertex.order, vertex.layer, vertex.index, -vertex.sign


def _edge_key(edge: Edge) -> tuple[int, str, int, str]:
    return edge.order, edge.layer or "", edge.number, edge.label


def _vertex_attributes(vertex: Vertex) -> dict[str, Any]:
    return {
        "layer": vertex.layer,
        "order": int(vertex.order),
        "index": int(vertex.index),
        "sign": int(vertex.sign),
        "sigma": float(vertex.sigma),
        "ratio": None if vertex.ratio is None else float(vertex.ratio),
        "group": None if vertex.group is None else int(vertex.group),
    }


def _edge_attributes(edge: Edge) -> dict[str, Any]:
    return {
        "class": int(edge.number),
        "label": edge.label,
        "layer": edge.layer,
        "order": int(edge.order),
        "n_images": int(edge.images),
    }


def _vertex(record: Any, where: str) -> Vertex:
    attributes = _attributes(record, where, "node")
    group, ratio = attributes.get("group"), attributes.get("ratio")
    found = Vertex(
        layer=_text(attributes, "layer", where),
        order=_whole(attributes, "order", where),
        index=_whole(attributes, "index", where),
        sign=_whole(attributes, "sign", where, least=-1),
        sigma=_number(attributes, "sigma", where),
        ratio=None if ratio is None else _number(attributes, "ratio", where),
        group=None if group is None else _whole(attributes, "group", where),
    )
    if found.sign not in {-1, 0, 1}:
        raise UsageError(f"HIF: {where}: expected a sign of -1, 0 or 1, got {found.sign}.")
    _named(record, "node", vertex_id(found), where)
    return found


def _edge(record: Any, where: str) -> Edge:
    attributes = _attributes(record, where, "edge")
    found = Edge(
        label=_text(attributes, "label", where),
        number=_whole(attributes, "class", where),
        layer=None if attributes.get("layer") is None else _text(attributes, "layer", where),
        order=_whole(attributes, "order", where),
        images=_whole(attributes, "n_images", where),
    )
    _named(record, "edge", edge_id(found), where)
    return found


def _incidence(record: Any, where: str, place: Mapping[str, int], edge_place: Mapping[str, int]) -> tuple[int, int, float, float]:
    given = _object(record, where)
    if extra := sorted(set(given) - {"edge", "node", "weight", "attrs"}):
        raise UsageError(f"HIF: {where}: expected an edge, a node, a weight and attrs, got {extra[0]!r}.")
    ends = []
    for kind, known in (("edge", edge_place), ("node", place)):
        name = given.get(kind)
        if not isinstance(name, str) or name not in known:
            raise UsageError(f"HIF: {where}: expected the {kind} to be one that is listed, got {_shown(name)}.")
        ends.append(known[name])
    weight = _number(given, "weight", where) if "weight" in given else math.nan
    attributes = _object(given.get("attrs", {}), where)
    stability = math.nan if attributes.get("stability") is None else _number(attributes, "stability", where)
    return ends[0], ends[1], weight, stability


def _attributes(record: Any, where: str, kind: str) -> Mapping[str, Any]:
    given = _object(record, where)
    if extra := sorted(set(given) - {kind, "weight", "attrs"}):
        raise UsageError(f"HIF: {where}: expected {kind}, weight and attrs, got {extra[0]!r}.")
    return _object(given.get("attrs", {}), where)


def _named(record: Any, kind: str, name: str, where: str) -> None:
    if record.get(kind) != name:
        raise UsageError(f"HIF: {where}: expected the {kind} {name!r}, as its attributes say, got {_shown(record.get(kind))}.")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"HIF: {where}: expected an object, got {type(value).__name__}.")
    return value


def _list(given: Mapping[str, Any], key: str) -> list[Any]:
    value = given.get(key, [])
    if not isinstance(value, list):
        raise UsageError(f"HIF: {key}: expected an array, got {type(value).__name__}.")
    return value


def _text(attributes: Mapping[str, Any], key: str, where: str) -> str:
    value = attributes.get(key)
    if not isinstance(value, str):
        raise UsageError(f"HIF: {where}: expected {key!r} in attrs as text, got {_shown(value)}.")
    return value


def _whole(attributes: Mapping[str, Any], key: str, where: str, least: int = 0) -> int:
    value = attributes.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        raise UsageError(f"HIF: {where}: expected {key!r} in attrs as an integer of at least {least}, got {_shown(value)}.")
    return value


def _number(attributes: Mapping[str, Any], key: str, where: str) -> float:
    value = attributes.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= LARGEST:
        raise UsageError(f"HIF: {where}: expected {key!r} as a finite number, got {_shown(value)}.")
    return float(value)


def _shown(value: Any) -> str:
    """A value from a document, short enough for an error."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."


def _escaped(name: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in name)
