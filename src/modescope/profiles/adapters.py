"""Class hypergraphs for other libraries, which are loaded only when they are asked for: NetworkX, XGI and HyperNetX."""

from importlib import import_module
from typing import Any

from modescope.errors import UsageError
from modescope.profiles.hif import edge_id, to_hif, vertex_id
from modescope.profiles.hypergraph import ClassHypergraph, s_line_graph


def to_networkx(graph: ClassHypergraph, /) -> Any:
    """The bipartite graph of a hypergraph, as a `networkx.Graph`.

    Returns:
        Nodes are called as in HIF and have `bipartite`, 0 for a vertex and 1 for an edge, and the attributes of HIF; links have
        their weight, and a stability where there was a bootstrap.

    Raises:
        UsageError: networkx is missing.
    """
    networkx = _library("networkx", "networkx", "pip install 'modescope[networkx]'")
    document = to_hif(graph)
    made = networkx.Graph()
    for kind, side in (("node", 0), ("edge", 1)):
        made.add_nodes_from((one[kind], {"bipartite": side, **_told(one["attrs"])}) for one in document[f"{kind}s"])
    for one in document["incidences"]:
        weight = {"weight": one["weight"]} if "weight" in one else {}
        made.add_edge(one["edge"], one["node"], **weight, **_told(one["attrs"]))
    return made


def line_to_networkx(graph: ClassHypergraph, s: int, /) -> Any:
    """The s-line graph as a `networkx.Graph` of the edges, called as in HIF; the weight of a link is how many vertices are shared.

    Raises:
        UsageError: networkx is missing, or `s` is below 1.
    """
    networkx = _library("networkx", "networkx", "pip install 'modescope[networkx]'")
    line = s_line_graph(graph, s)
    names = [edge_id(graph.edges[i]) for i in line.nodes.tolist()]
    made = networkx.Graph()
    made.add_nodes_from(names)
    pairs = line.weight.tocoo()
    for i, j, weight in zip(pairs.row.tolist(), pairs.col.tolist(), pairs.data.tolist(), strict=True):
        made.add_edge(names[i], names[j], weight=weight)
    return made


def to_xgi(graph: ClassHypergraph, /) -> Any:
    """An `xgi.Hypergraph`, with isolated vertices, empty edges and the attributes of both; XGI keeps none of an incidence.

    Raises:
        UsageError: xgi is missing.
    """
    return _library("xgi", "xgi", "pip install xgi").from_hif_dict(to_hif(graph))


def to_hypernetx(graph: ClassHypergraph, /) -> Any:
    """A `hypernetx.Hypergraph` of the incidences; it holds no empty edges and no isolated vertices.

    Raises:
        UsageError: hypernetx is missing.
    """
    library = _library("hypernetx", "hypernetx", "pip install hypernetx")
    members: dict[str, list[str]] = {edge_id(edge): [] for edge in graph.edges}
    names, labels = [vertex_id(one) for one in graph.vertices], list(members)
    for e, v in zip(graph.edge.tolist(), graph.vertex.tolist(), strict=True):
        members[labels[e]].append(names[v])
    return library.Hypergraph({label: held for label, held in members.items() if held})


def _library(name: str, called: str, remedy: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"expected {called}, which is not installed. {remedy}.") from error


def _told(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes that are known: most formats that networkx writes hold no null."""
    return {name: value for name, value in attributes.items() if value is not None}
