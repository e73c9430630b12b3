"""The spectral graph of a network: its nodes, its tested edges, what the overlaps say in blocks and chains, and every gap."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.reports import Report
from modescope.spectral_graph.wiring import Gap
from modescope.svd import Values

if TYPE_CHECKING:
    from networkx import MultiDiGraph
    from pandas import DataFrame

    from modescope.spectral_graph.paths import Trace

SCHEMA = "modescope.graph/1"


@dataclass(frozen=True, eq=False)
class Column:
    """The nodes of one layer.

    Attributes:
        name: Unique in a graph: the name of the tensor, followed by the view where a tensor is seen in several ways.
        kind: Layer kind.
        shape: (out, in) of the matrix that was decomposed.
        dtype: As stored.
        position: Column from the left; layers side by side share one.
        channels: Input channels.
        taps: Kernel positions per input channel.
        groups: Blocks of the matrix.
        s: (k,) singular values, descending, in the gauge of the graph.
        nodes: Half-open ranges of modes that are one node each; most are single modes.
        blur: (nodes,) bound on the angle by which the rounding of the stored weights may have turned the node.
        bias: (nodes,) share of the bias that lies in each node, summing to at most 1; None where there is no bias.
        outputs: (out, k) output directions of a layer that no other reads, where they are no more than 4096; None elsewhere.
        status: "ok", or why there are no nodes.
        note: A sentence, or empty.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    dtype: str
    position: int
    channels: int
    taps: int
    groups: int
    s: Values
    nodes: tuple[tuple[int, int], ...]
    blur: Values
    bias: Values | None = None
    outputs: Values | None = None
    status: str = "ok"
    note: str = ""


@dataclass(frozen=True, eq=False)
class Connection:
    """One writer and one reader.

    Attributes:
        source: Name of the writer.
        target: Name of the reader.
        relation: How they are joined.
        shared: p, channels they share.
        dimension: N, dimensions in which the writer's directions are Haar distributed under the null.
        multiplicity: z, taps and flattened positions per shared channel.
        through: Operations in between.
        tested: Edges tested: writer nodes times reader nodes.
        significant: How many of them are, after the correction.
        effective: (nodes of the side whose directions have taps: the reader, in "cosvr" the writer) effective number of taps,
            (sum gamma)**2 / sum gamma**2, between 1 and z for single modes.
        composition: ||W_reader W_writer||^2 / (||W_reader||^2 ||W_writer||^2), the mean overlap weighted by s^2 of both ends.
        entropy: -sum a ln a over all edges.
        structure: Block statistics by name ("near_kernels", "internal_dimensions", "dead_channels"), each a frozen dataclass.
        note: A sentence, or empty.
    """

    source: str
    target: str
    relation: str
    shared: int
    dimension: int
    multiplicity: int
    through: tuple[str, ...]
    tested: int
    significant: int
    effective: Values
    composition: float
    entropy: float
    structure: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges that are kept, as columns of equal length, sorted by connection, then by p.

    Attributes:
        connection: Index into the connections.
        writer: Node of the source.
        reader: Node of the target.
        weight: Overlap a; between two single modes at most 1.
        log_p: Natural logarithm of its own p-value, before the correction.
        significant: After the correction.
        exact: The p-value is exact under the null; False for one that is simulated, matched by moments or bounded from above.
        unstable: Rounding of the stored weights alone may change the square root of the weight by more than 0.1.
        silent: The value of one of its ends is zero up to rounding: the directions agree, but nothing passes along the edge.
        log_p_family: Natural logarithm of its p-value corrected for all edges of its pair where the null is simulated, else NaN.
    """

    connection: NDArray[np.int64]
    writer: NDArray[np.int64]
    reader: NDArray[np.int64]
    weight: Values
    log_p: Values
    significant: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    unstable: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    log_p_family: Values

    def __len__(self) -> int:
        return int(self.connection.size)


@dataclass(frozen=True)
class Chain:
    """A path of modes through consecutive layers.

    Attributes:
        layers: Names, from the input side.
        modes: One node of each, counted from 0.
        weights: Overlaps along it.
        log_p: Of each edge by itself.
        p: Of the whole path: Fisher's for one that was fixed in advance, against a simulated null for one that was searched.
        chosen: "fixed" or "searched".
        longest: Edges of its longest run of significant ones.
        note: What the p-value means, in a sentence.
    """

    layers: tuple[str, ...]
    modes: tuple[int, ...]
    weights: tuple[float, ...]
    log_p: tuple[float, ...]
    p: float
    chosen: str
    longest: int
    note: str = ""


@dataclass(frozen=True, eq=False)
class SpectralGraph:
    """Which modes of a network feed which.

    Attributes:
        columns: One per layer, in the order in which they act.
        connections: Every pair that was tested.
        edges: All significant edges, and the strongest of the others.
        gaps: Pairs that were left out, with the reason.
        chains: Paths that were tested as a whole.
        source: path, format, sha256, number of tensors and of parameters.
        options: Everything the numbers depend on besides the data; "tested" is the number of edges corrected for.
        wiring: Where the wiring comes from.
        notes: What must be said of the graph as a whole.
        meta: Versions of what computed it.
        complete: False where it was interrupted.
    """

    columns: tuple[Column, ...]
    connections: tuple[Connection, ...]
    edges: Edges
    gaps: tuple[Gap, ...]
    chains: tuple[Chain, ...]
    source: Mapping[str, Any]
    options: Mapping[str, Any]
    wiring: str = ""
    notes: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.connections)

    def __len__(self) -> int:
        return len(self.connections)

    @property
    def failed(self) -> tuple[Column, ...]:
        """Layers without modes."""
        return tuple(column for column in self.columns if column.status != "ok")

    def __getitem__(self, name: str) -> Column:
        """The column of a layer by its name.

        Raises:
            KeyError: No such layer; the message names some that there are.
        """
        found = {column.name: column for column in self.columns}
        if name not in found:
            raise KeyError(f"{name}: expected a layer of the graph, one of {', '.join(list(found)[:8])} ...")
        return found[name]

    def to_dict(self, *, values: bool = False, kept: bool = False) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.graph/1`.

        Args:
            values: Add the singular values of every layer.
            kept: Add the strongest edges that are not significant.
        """
        from modescope.spectral_graph.document import document

        return document(self, values=values, kept=kept)

    def to_pandas(self) -> "DataFrame":
        """Every kept edge as a row; the column `significant` says which ones are.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.spectral_graph.exports import to_pandas

        return to_pandas(self)

    def to_networkx(self, *, kept: bool = False) -> "MultiDiGraph[str]":
        """All nodes and the significant edges, and with `kept` the others, as a networkx graph.

        Raises:
            UsageError: networkx is missing.
        """
        from modescope.spectral_graph.exports import to_networkx

        return to_networkx(self, kept=kept)

    def trace(self, layer: str | None = None, *, node: int | None = None, output: int | None = None) -> "Trace":
        """Follow significant edges from one node, or from one output such as a class, back to the input and on to the output.

        Args:
            layer: Where to start; by default the last layer that no other reads.
            node: One of its nodes, counted from 0.
            output: One of its outputs, counted from 0, in place of a node.

        Raises:
            UsageError: No such layer, node or output, or not exactly one of the two.
        """
        from modescope.spectral_graph.paths import trace, trace_output

        if (node is None) == (output is None):
            raise UsageError("trace: expected a node or an output, got both or none.")
        if layer is None:
            read = {connection.source for connection in self.connections}
            last = (column.name for column in reversed(self.columns) if column.name not in read and column.status == "ok")
            layer = next(last, "")
        if node is not None:
            return trace(self, layer, node)
        assert output is not None
        u = next((column.outputs for column in self.columns if column.name == layer), None)
        if u is None:
            raise UsageError(f"trace: {layer!r} is no last layer whose outputs were kept. Start from a node.")
        return trace_output(self, layer, u, output)

    def report(self) -> Report:
        """The graph as a page: the drawing, an overview of layers and connections, and a folded section per layer."""
        from modescope.spectral_graph.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write `.graphml`, `.nodelink.json`, `.parquet`, or a report by its suffix (`.html`, `.json`, `.md`, `.csv`).

        Raises:
            UsageError: Another suffix, a file that cannot be written, or for Parquet DuckDB is missing.
        """
        from modescope.spectral_graph.exports import save

        save(self, path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()
