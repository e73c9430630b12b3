"""The spectral graph as plain JSON data: layers, wiring, edges, block statistics, chains and gaps under a published schema.

Modes are counted from 0, the largest singular value. A node of several modes, values so near that only their subspace means
something, is told as its first mode and the number of its modes: `from_mode: 7, from_modes: 3` are the modes 7, 8 and 9.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.plain_data import number, plain
from modescope.spectral_graph.result import SCHEMA, Chain, Column, Connection, SpectralGraph
from modescope.spectral_graph.wiring import Gap
from modescope.svd import Values

SHORT = 6  # of overlaps and p-values, of which there are many

# What statistics of blocks call the two sides, and what they measure, in the words of the document.
RENAMED = {
    "writer": "from_modes",
    "reader": "to_modes",
    "writer_kernel": "from_kernel",
    "reader_kernel": "to_kernel",
    "overlap": "statistic",
    "score": "z",
}


def document(
    graph: SpectralGraph, /, *, values: bool = False, kept: bool = False, most: int | None = None, pairs: int | None = None
) -> dict[str, Any]:
    """The graph under the schema `modescope.graph/1`.

    Args:
        graph: What was found.
        values: Add the singular values of every layer, and of every node the share of the bias and the stability.
        kept: Add the strongest edges that are not significant, those that the graph keeps.
        most: List at most this many edges, those of the smallest p-values; `summary` says how many there are.
        pairs: List at most this many connections, with their blocks: those of the most significant edges.

    Returns:
        Plain data. A number that is not finite is null; `p` is 0 where it is below 1e-308, and `log_p` beside it goes on.
    """
    chosen = edges_of(graph, kept=kept, most=most)
    connections = connections_of(graph, most=pairs)
    columns = {column.name: column for column in graph.columns}
    return {
        "schema": SCHEMA,
        "version": graph.meta.get("modescope", ""),
        "source": plain(graph.source),
        "options": plain(graph.options),
        "complete": graph.complete,
        "summary": summary(graph) | {"listed": int(chosen.size), "listed_connections": len(connections)},
        "how": graph.wiring,
        "notes": list(graph.notes),
        "layers": [_layer(column, values=values) for column in graph.columns],
        "wiring": [_connection(connection, fixed_taps(graph, connection)) for connection in connections],
        "edges": list(edge_rows(graph, chosen)),
        "blocks": [block for connection in connections for block in _blocks(connection)],
        "chains": [_chain(chain, columns) for chain in graph.chains],
        "gaps": [_gap(gap) for gap in graph.gaps],
    }


def summary(graph: SpectralGraph, /) -> dict[str, int]:
    """Counts over the whole graph."""
    return {
        "layers": len(graph.columns),
        "failed": len(graph.failed),
        "connections": len(graph.connections),
        "gaps": len(graph.gaps),
        "tested": sum(connection.tested for connection in graph.connections),
        "significant": sum(connection.significant for connection in graph.connections),
        "kept": len(graph.edges),
    }


def edges_of(graph: SpectralGraph, /, *, kept: bool, most: int | None = None) -> NDArray[np.int64]:
    """Places of the edges that are significant, or with `kept` of all, in their order; of the strongest where `most` are wanted."""
    found = np.arange(len(graph.edges)) if kept else np.flatnonzero(graph.edges.significant)
    if most is not None and found.size > most:
        found = np.sort(found[np.argsort(graph.edges.log_p[found], kind="stable")[:most]])
    return found


def connections_of(graph: SpectralGraph, /, *, most: int | None) -> tuple[Connection, ...]:
    """All connections, or where `most` are wanted those of the most significant edges, in their order."""
    if most is None or len(graph.connections) <= most:
        return graph.connections
    counts = np.array([connection.significant for connection in graph.connections])
    return tuple(graph.connections[at] for at in np.sort(np.argsort(-counts, kind="stable")[:most]))


def fixed_taps(graph: SpectralGraph, connection: Connection, /) -> Values:
    """Effective numbers of taps of the single modes on the side that has them; a group of modes can exceed the taps there are."""
    side = connection.source if graph.options.get("convention") == "cosvr" else connection.target
    nodes = next((column.nodes for column in graph.columns if column.name == side), ())
    if len(nodes) != connection.effective.size:
        return connection.effective
    single = np.array([stop - start == 1 for start, stop in nodes], dtype=np.bool_)
    return connection.effective[single & (connection.effective > 0)]  # 0: a mode that reads nothing of the shared channels


def edge_rows(graph: SpectralGraph, chosen: NDArray[np.int64], /) -> Iterator[dict[str, Any]]:
    """One plain mapping per edge."""
    edges, columns = graph.edges, {column.name: column for column in graph.columns}
    for at in chosen.tolist():
        connection = graph.connections[edges.connection[at]]
        start, stop = columns[connection.source].nodes[edges.writer[at]]
        first, last = columns[connection.target].nodes[edges.reader[at]]
        log_p, family = float(edges.log_p[at]), float(edges.log_p_family[at])
        yield {
            "from": connection.source,
            "from_mode": start,
            "from_modes": stop - start,
            "to": connection.target,
            "to_mode": first,
            "to_modes": last - first,
            "weight": number(float(edges.weight[at]), SHORT),
            "p": number(math.exp(min(log_p, 0.0)), SHORT),
            "log_p": number(log_p, SHORT),
            "p_family": number(math.exp(min(family, 0.0)), SHORT),
            "significant": bool(edges.significant[at]),
            "exact": bool(edges.exact[at]),
            "unstable": bool(edges.unstable[at]),
            "silent": bool(edges.silent[at]),
        }


def _layer(column: Column, *, values: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": column.name,
        "kind": column.kind,
        "shape": list(column.shape),
        "dtype": column.dtype,
        "position": column.position,
        "channels": column.channels,
        "taps": column.taps,
        "groups": column.groups,
        "modes": int(column.s.size),
        "clusters": [{"mode": start, "modes": stop - start} for start, stop in column.nodes if stop - start > 1],
        "status": column.status,
        "note": column.note or None,
    }
    if values:
        told["values"] = plain(column.s)
        told["bias"] = plain(column.bias)
        told["blur"] = plain(column.blur)
    return told


def _connection(connection: Connection, taps: Values) -> dict[str, Any]:
    return {
        "from": connection.source,
        "to": connection.target,
        "relation": connection.relation,
        "shared": connection.shared,
        "dimension": connection.dimension,
        "multiplicity": connection.multiplicity,
        "through": list(connection.through),
        "tested": connection.tested,
        "significant": connection.significant,
        "effective": _range(taps),
        "composition": number(connection.composition),
        "entropy": number(connection.entropy),
        "note": connection.note or None,
    }


def _range(values: Values) -> dict[str, float | None] | None:
    if not values.size:
        return None
    least, median, largest = (float(value) for value in np.quantile(values, (0, 0.5, 1)))
    return {"least": number(least), "median": number(median), "most": number(largest)}


def _blocks(connection: Connection) -> Iterator[dict[str, Any]]:
    """One entry per block; a statistic of several blocks gives one for each, with what they have in common."""
    ends = {"from": connection.source, "to": connection.target}
    for test, found in connection.structure.items():
        told = {RENAMED.get(name, name): value for name, value in plain(found).items()}
        parts = {name: value for name, value in told.items() if isinstance(value, dict)}
        common = {name: value for name, value in told.items() if name not in parts}
        if not parts:
            yield ends | {"test": test} | common
        for name, part in parts.items():
            yield ends | {"test": f"{test} {name}"} | common | {RENAMED.get(key, key): value for key, value in part.items()}


def _chain(chain: Chain, columns: Mapping[str, Column]) -> dict[str, Any]:
    spans = [(name, *columns[name].nodes[node]) for name, node in zip(chain.layers, chain.modes, strict=True)]
    return {
        "path": [{"layer": name, "mode": start, "modes": stop - start} for name, start, stop in spans],
        "weights": [number(weight, SHORT) for weight in chain.weights],
        "log_p": [number(log_p, SHORT) for log_p in chain.log_p],
        "p": number(chain.p, SHORT),
        "chosen": chain.chosen,
        "longest": chain.longest,
        "note": chain.note or None,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"from": gap.source or None, "to": gap.target or None, "reason": gap.reason}
