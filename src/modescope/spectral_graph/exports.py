"""The spectral graph for other programs: GraphML, node-link JSON, Parquet, networkx and pandas.

Every export has the same nodes, called by the layer, "#" and the first mode of the node, and the same edges from writers
to readers. Two layers may be joined in several ways, so the graph is a multigraph whose edges are told apart by their relation.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.plain_data import number
from modescope.render import by_suffix, replace
from modescope.spectral_graph.document import edge_rows, edges_of
from modescope.spectral_graph.pairs import Indices
from modescope.spectral_graph.result import SpectralGraph
from modescope.svd import Values

if TYPE_CHECKING:
    from networkx import MultiDiGraph
    from pandas import DataFrame

XML = "http://graphml.graphdrawing.org/xmlns"
NODE = {
    "label": "string",
    "layer": "string",
    "mode": "int",
    "modes": "int",
    "value": "double",
    "position": "int",
    "kind": "string",
    "bias": "double",
}
EDGE = {
    "relation": "string",
    "weight": "double",
    "p": "double",
    "log_p": "double",
    "p_family": "double",
    "significant": "boolean",
    "exact": "boolean",
    "unstable": "boolean",
    "silent": "boolean",
}
# What XML 1.0 cannot hold or would change, and the escape itself.
ILLEGAL = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff\ufffe\uffff]")
TYPES = {
    "from": "VARCHAR",
    "from_mode": "INTEGER",
    "from_modes": "INTEGER",
    "to": "VARCHAR",
    "to_mode": "INTEGER",
    "to_modes": "INTEGER",
    "weight": "DOUBLE",
    "p": "DOUBLE",
    "log_p": "DOUBLE",
    "p_family": "DOUBLE",
    "significant": "BOOLEAN",
    "exact": "BOOLEAN",
    "unstable": "BOOLEAN",
    "silent": "BOOLEAN",
    "relation": "VARCHAR",
    "from_value": "DOUBLE",
    "to_value": "DOUBLE",
}


def save(graph: SpectralGraph, path: str | Path, /) -> None:
    """Write the graph in the form that the suffix of the file names.

    Args:
        graph: What was found.
        path: `.graphml` (Gephi, yEd, Cytoscape, networkx) and `.nodelink.json` (networkx, d3) hold all nodes and the significant
            edges, `.parquet` one line per kept edge, significant or not. Every other suffix is that of a report: the page
            (`.html`), its saved form (`.json`), or text (`.md`, `.csv`).

    Raises:
        UsageError: Another suffix, a file that cannot be written, or for Parquet DuckDB is missing.
    """
    path = Path(path)
    writer = export(path)
    if writer is not None:
        writer(graph, path)
        return
    known = [*EXPORTS, *by_suffix()]
    if path.suffix not in known:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(sorted(known))}, got {path.suffix or 'no suffix'!r}.")
    graph.report().save(path)


def export(path: Path, /) -> Callable[[SpectralGraph, Path], None] | None:
    """What writes a graph into a file of this name, or None where it is a report that is wanted."""
    return next((writer for suffix, writer in EXPORTS.items() if path.name.endswith(suffix)), None)


def to_networkx(graph: SpectralGraph, /, *, kept: bool = False) -> "MultiDiGraph[str]":
    """All nodes, and the significant edges, as a `networkx.MultiDiGraph`.

    Args:
        graph: What was found.
        kept: Add the edges that are kept though not significant.

    Returns:
        Nodes are keyed "layer#mode" and have layer, mode, modes, value, position and kind, and bias where there is one; edges are
        keyed by their relation and have the numbers of the document. The graph itself has its options.

    Raises:
        UsageError: networkx is missing.
    """
    try:
        from networkx import MultiDiGraph
    except ImportError as error:
        raise UsageError("to_networkx: expected networkx, which is not installed. pip install 'modescope[networkx]'.") from error
    made: MultiDiGraph[str] = MultiDiGraph(**_about(graph))
    made.add_nodes_from(_nodes(graph))
    made.add_edges_from(_edges(graph, kept=kept))
    return made


def to_pandas(graph: SpectralGraph, /) -> "DataFrame":
    """Every kept edge as a row, with the singular values of its ends; `significant` says which ones are.

    Raises:
        UsageError: pandas is missing.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
    return DataFrame(_table(graph))


def graphml(graph: SpectralGraph, path: Path, /) -> None:
    """Write GraphML; characters that XML cannot hold, and the backslash, become visible escapes."""
    replace(path, "".join(_graphml(graph)))


def nodelink(graph: SpectralGraph, path: Path, /) -> None:
    """Write node-link JSON, as `networkx.node_link_graph` reads it."""
    told = {
        "directed": True,
        "multigraph": True,
        "graph": _about(graph),
        "nodes": [{"id": key, **told} for key, told in _nodes(graph)],
        "edges": [
            {"source": source, "target": target, "key": relation, **told}
            for source, target, relation, told in _edges(graph, kept=False)
        ],
    }
    replace(path, json.dumps(told, allow_nan=False) + "\n")


def parquet(graph: SpectralGraph, path: Path, /) -> None:
    """Write every kept edge as a line of a Parquet file.

    Raises:
        UsageError: DuckDB is missing, or the file cannot be written.
    """
    try:
        import duckdb
    except ImportError as error:
        raise UsageError(f"{path}: expected duckdb, which is not installed. pip install 'modescope[store]'.") from error
    chosen = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in TYPES.items())
    new = path.with_name(f".{path.name}.{os.getpid()}")
    target = str(new).replace("'", "''")
    with duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}) as connection:
        connection.register("edges", _table(graph))
        try:
            connection.execute(f"COPY (SELECT {chosen} FROM edges) TO '{target}' (FORMAT parquet)")
            new.replace(path)
        except (duckdb.Error, OSError) as error:
            raise UsageError(f"{path}: cannot be written ({str(error).splitlines()[0]}).") from error
        finally:
            new.unlink(missing_ok=True)


EXPORTS = {".graphml": graphml, ".nodelink.json": nodelink, ".parquet": parquet}


def _about(graph: SpectralGraph) -> dict[str, str | float | int]:
    """What the numbers depend on, as far as it is one number or text."""
    told = {"version": graph.meta.get("modescope", ""), "wiring": graph.wiring, **graph.options}
    return {name: value for name, value in told.items() if isinstance(value, str | int | float) and value == value}  # noqa: PLR0124


def _nodes(graph: SpectralGraph) -> Iterator[tuple[str, dict[str, Any]]]:
    for column in graph.columns:
        for node, (start, stop) in enumerate(column.nodes):
            told: dict[str, Any] = {
                "layer": column.name,
                "mode": start,
                "modes": stop - start,
                "value": number(float(column.s[start])),
                "position": column.position,
                "kind": column.kind,
            }
            if column.bias is not None:
                told["bias"] = number(float(column.bias[node]))
            yield _key(column.name, start), told


def _edges(graph: SpectralGraph, *, kept: bool) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    chosen = edges_of(graph, kept=kept)
    for at, row in zip(chosen.tolist(), edge_rows(graph, chosen), strict=True):
        relation = graph.connections[graph.edges.connection[at]].relation
        told = {name: row[name] for name in EDGE if name in row}
        yield _key(row["from"], row["from_mode"]), _key(row["to"], row["to_mode"]), relation, {"relation": relation, **told}


def _key(layer: str, mode: int) -> str:
    return f"{layer}#{mode}"


def _table(graph: SpectralGraph) -> dict[str, NDArray[Any]]:
    """The kept edges as columns, numbers at full precision."""
    edges = graph.edges
    sources = [connection.source for connection in graph.connections]
    targets = [connection.target for connection in graph.connections]
    starts, stops, values, first = _flat(graph)
    writers = np.array([first[name] for name in sources], dtype=np.int64)[edges.connection] + edges.writer
    readers = np.array([first[name] for name in targets], dtype=np.int64)[edges.connection] + edges.reader
    return {
        "from": _texts(sources, edges.connection),
        "from_mode": starts[writers],
        "from_modes": (stops - starts)[writers],
        "to": _texts(targets, edges.connection),
        "to_mode": starts[readers],
        "to_modes": (stops - starts)[readers],
        "weight": edges.weight,
        "p": np.exp(np.minimum(edges.log_p, 0.0)),
        "log_p": edges.log_p,
        "p_family": np.exp(np.minimum(edges.log_p_family, 0.0)),
        "significant": edges.significant,
        "exact": edges.exact,
        "unstable": edges.unstable,
        "silent": edges.silent,
        "relation": _texts([connection.relation for connection in graph.connections], edges.connection),
        "from_value": values[writers],
        "to_value": values[readers],
    }


def _flat(graph: SpectralGraph) -> tuple[Indices, Indices, Values, dict[str, int]]:
    """First modes, ends and values of the nodes of all layers in one row, and where in it each layer begins."""
    spans = np.array([span for column in graph.columns for span in column.nodes], dtype=np.int64).reshape(-1, 2)
    values = [column.s[[start for start, _ in column.nodes]] for column in graph.columns if column.nodes]
    counts = [len(column.nodes) for column in graph.columns]
    first = {column.name: sum(counts[:place]) for place, column in enumerate(graph.columns)}
    return spans[:, 0], spans[:, 1], np.concatenate(values) if values else np.empty(0), first


def _texts(names: list[str], at: Indices) -> NDArray[np.object_]:
    """One text per edge; half a surrogate pair, which no file can hold, becomes a visible escape."""
    told = [name.encode("utf-8", "backslashreplace").decode() for name in names]
    return np.array(told, dtype=object)[at]


def _graphml(graph: SpectralGraph) -> Iterator[str]:
    about = _about(graph)
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n<graphml xmlns="{XML}">\n'
    for what, known in (("graph", {name: _kind(value) for name, value in about.items()}), ("node", NODE), ("edge", EDGE)):
        for name, kind in known.items():
            yield f'<key id="{what}-{name}" for="{what}" attr.name="{name}" attr.type="{kind}"/>\n'
    yield '<graph edgedefault="directed">\n' + _data("graph", about)
    ids: dict[str, str] = {}
    for count, (key, told) in enumerate(_nodes(graph)):
        ids[key] = f"n{count}"
        yield f'<node id="{ids[key]}">{_data("node", {"label": key, **told})}</node>\n'
    for count, (source, target, _, told) in enumerate(_edges(graph, kept=False)):
        yield f'<edge id="e{count}" source="{ids[source]}" target="{ids[target]}">{_data("edge", told)}</edge>\n'
    yield "</graph>\n</graphml>\n"


def _kind(value: str | float | int) -> str:
    return "string" if isinstance(value, str) else "boolean" if isinstance(value, bool) else "double"


def _data(what: str, told: Mapping[str, Any]) -> str:
    return "".join(f'<data key="{what}-{name}">{_said(value)}</data>' for name, value in told.items() if value is not None)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return escape(ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value)))
