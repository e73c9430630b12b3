"""The spectral graph as blocks: an overview of the layers, the graph, every connection, and a section for each layer."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Note, Section, Series, Table
from modescope.pictures import VISIBLE, number, numbers, small, thinned
from modescope.reports import Report
from modescope.spectral_graph.bias_nodes import LEVEL, BiasRead
from modescope.spectral_graph.dead_channels import DeadChannels
from modescope.spectral_graph.document import connections_of, document, fixed_taps
from modescope.spectral_graph.drawing import axis, drawing
from modescope.spectral_graph.internal_dimensions import InternalDimensions
from modescope.spectral_graph.near_kernels import NearKernels
from modescope.spectral_graph.preface import cautions, code_of, notes, sentence, silence
from modescope.spectral_graph.result import Chain, Column, Connection, SpectralGraph
from modescope.spectral_graph.viewing import View, ends_of, law, modes_of, named, span, viewed

TOLD = 500  # edges in the document beside it, so that a page stays small
PAIRS = 200  # connections in their table and in the document beside it, for the same reason
EDGES = 200  # in the table of the strongest
LISTED = 12  # edges of a layer in its tables, on either side
SHARED = 1_200  # of them in all sections together: of a graph of hundreds of layers each lists fewer
HEADINGS = (
    ("layer", "Name of the tensor, and the view where it has several."),
    ("shape", "Outputs × inputs of the matrix that was decomposed."),
    ("edges out", "Significant edges to layers that read what this one writes."),
    ("edges in", "Significant edges from layers that write what this one reads."),
    ("strongest in", "Largest overlap of a significant edge into the layer."),
    ("modes", "Singular triples, all of them."),
    ("column", "Place in the graph from the left."),
    ("note", "What a reader of the numbers must know beside them."),
)
CONNECTIONS = (
    ("from", "Writer."),
    ("to", "Reader."),
    ("joined", "How what the one writes is what the other reads."),
    ("N", "Channels they share."),
    ("z", "Kernel positions and flattened positions per shared channel."),
    ("effective z", "Effective number of taps of a single mode, the middle one of all, between 1 and z."),
    ("tested", "Edges tested: writer nodes times reader nodes."),
    ("significant", "Edges that are, after the correction over all of the graph."),
    ("composition", "Mean overlap weighted by the squares of both singular values; 1/N for unrelated weights."),
    ("entropy", "-sum a ln a over all overlaps a."),
)
STRUCTURES = {  # of a connection, where they were asked for
    "near_kernels": (
        ("near-kernel z", "How far the directions that both layers hardly use agree beyond chance, in standard deviations."),
        ("weakest quarter z", "The same for the weakest quarter of both layers."),
    ),
    "dead_channels": (("dead channels", "Channels that the one hardly writes and the other hardly reads."),),
    "internal_dimensions": (("internal dimensions", "Leading reader modes × leading writer modes that keep to themselves."),),
    "bias": (
        ("bias edges", f"Reader nodes that read the bias of the writer, at level {LEVEL:g} within the pair."),
        ("bias read by", "The reader node of the smallest p-value, its overlap with the bias, and p."),
    ),
}
PICTURE = "Singular values, the largest first, on a logarithmic scale."


def report(graph: SpectralGraph) -> Report:
    """The page of a spectral graph, `SpectralGraph.report`."""
    view = viewed(graph)
    code = code_of(graph)
    keys = tuple(f"layer={column.name}" for column in graph.columns)
    overview = Table(
        "",
        tuple(heading for heading, _ in HEADINGS),
        tuple(_line(view, index) for index in range(len(graph.columns))),
        about=tuple(about for _, about in HEADINGS),
        links=keys,
        pictures=tuple(small(column.s) for column in graph.columns),
        picture=PICTURE,
    )
    return Report(
        (
            *notes(graph),
            overview,
            *drawing(view),
            *cautions(view),
            *silence(graph),
            *_connections(graph),
            *_clearest(view),
            *_chains(graph),
            *_gaps(graph),
            *(_section(view, index, key, code) for index, key in enumerate(keys)),
        ),
        document(graph, most=TOLD, pairs=PAIRS),
        "edges",
        title=f"Spectral graph of {Path(str(graph.source.get('path') or 'a live model')).name}",
        code=f'{code}\ngraph.report().save("graph.html")\n',
    )


def _line(view: View, index: int) -> tuple[Cell, ...]:
    graph = view.graph
    column = graph.columns[index]
    out, into = view.beside[0][index], view.beside[1][index]
    strongest = max((float(graph.edges.weight[e]) for e in into if graph.edges.significant[e]), default=None)
    failed = column.status != "ok"
    written = sum(one.significant for one, ends in zip(graph.connections, view.ends, strict=True) if ends[0] == index)
    read = sum(one.significant for one, ends in zip(graph.connections, view.ends, strict=True) if ends[1] == index)
    return (
        column.name,
        "×".join(map(str, column.shape)),
        None if failed or not (out or any(ends[0] == index for ends in view.ends)) else written,
        None if failed or not (into or any(ends[1] == index for ends in view.ends)) else read,
        None if strongest is None else number(strongest),
        None if failed else int(column.s.size),
        column.position,
        "; ".join(part for part in ("" if not failed else column.status, column.note) if part),
    )


def _connections(graph: SpectralGraph) -> Iterator[Table]:
    """Every connection; statistics of blocks where any connection has them."""
    if not graph.connections:
        return
    chosen = connections_of(graph, most=PAIRS)
    told = [name for name in STRUCTURES if any(name in one.structure for one in chosen)]
    headings = (*CONNECTIONS, *(heading for name in told for heading in STRUCTURES[name]), HEADINGS[-1])
    more = f": the {len(chosen):,} with the most significant edges of {len(graph.connections):,}"
    yield Table(
        "Connections" + (more if len(chosen) < len(graph.connections) else ""),
        tuple(heading for heading, _ in headings),
        tuple((*_connection(graph, one), *(cell for name in told for cell in _structure(one, name)), one.note) for one in chosen),
        about=tuple(about for _, about in headings),
        links=tuple(f"layer={one.target}" for one in chosen),
    )


def _connection(graph: SpectralGraph, one: Connection) -> tuple[Cell, ...]:
    taps = fixed_taps(graph, one)
    return (
        one.source,
        one.target,
        " · ".join(dict.fromkeys((one.relation, *one.through))),
        one.shared,
        one.multiplicity,
        number(float(np.median(taps))) if taps.size else None,
        one.tested,
        one.significant,
        number(one.composition),
        number(one.entropy),
    )


def _structure(one: Connection, name: str) -> tuple[Cell, ...]:
    """Cells of a block statistic, missing where this connection has none of it."""
    found = one.structure.get(name)
    match found:
        case NearKernels():
            return tuple(None if block.z is None else number(block.z) for block in (found.small, found.quarter))
        case DeadChannels():
            return (len(found.joint),)
        case InternalDimensions():
            return ("none" if found.reader is None else f"{found.reader} × {found.writer}",)
        case BiasRead():
            if found.mode is None or found.modes is None or found.p is None:
                return (None, found.status)
            return (found.significant, f"{span(found.mode, found.mode + found.modes)}: {found.weight:.3g}, p = {found.p:.3g}")
        case _:
            return (None,) * len(STRUCTURES[name])


def _clearest(view: View) -> Iterator[Table]:
    """The edges themselves, for those who read or compute and see no drawing."""
    graph, edges = view.graph, view.graph.edges
    chosen = view.order[:EDGES]
    if not chosen:
        return
    ends = [ends_of(view, edge) for edge in chosen]
    rows = tuple(
        (
            graph.columns[a].name,
            span(*graph.columns[a].nodes[m]),
            graph.columns[b].name,
            span(*graph.columns[b].nodes[n]),
            number(float(edges.weight[edge])),
            number(math.exp(float(edges.log_p[edge]))),
            "yes" if edges.significant[edge] else "no",
        )
        for edge, ((a, m), (b, n)) in zip(chosen, ends, strict=True)
    )
    yield Table(
        "Strongest edges" + (f": the first {EDGES} of {len(edges):,}" if len(edges) > EDGES else ""),
        ("from", "from mode", "to", "to mode", "overlap", "p", "significant"),
        rows,
        about=(
            "Writer.",
            "Its mode, counted from 0; several where they are one node.",
            "Reader.",
            "Its mode.",
            "Squared cosine, summed over the taps.",
            "Of this edge by itself, before the correction; 0 below the smallest number.",
            "After the correction over all of the graph.",
        ),
        links=tuple(f"layer={graph.columns[b].name}" for _, (b, _) in ends),
    )


def _chains(graph: SpectralGraph) -> Iterator[Table]:
    if graph.chains:
        yield Table(
            "Chains",
            ("path", "edges", "product of overlaps", "longest run", "p", "chosen", "note"),
            tuple(map(_chain, graph.chains)),
            about=(
                "One node of each layer, from the input side.",
                "Edges in the path.",
                "Product of the overlaps along it.",
                "Edges of its longest run of significant ones.",
                "Of the path as a whole, under the null.",
                "Fixed before looking, or the best that was found.",
                "What the p-value means.",
            ),
        )


def _chain(chain: Chain) -> tuple[Cell, ...]:
    return (
        " → ".join(f"{layer} {mode}" for layer, mode in zip(chain.layers, chain.modes, strict=True)),
        len(chain.weights),
        number(math.prod(chain.weights)),
        chain.longest,
        number(chain.p),
        chain.chosen,
        chain.note,
    )


def _gaps(graph: SpectralGraph) -> Iterator[Table]:
    if graph.gaps:
        yield Table(
            "Not joined",
            ("from", "to", "reason"),
            tuple((gap.source, gap.target, gap.reason) for gap in graph.gaps),
        )


def _section(view: View, index: int, key: str, code: str) -> Section:
    """One layer: its spectrum, and its strongest edges on either side."""
    graph = view.graph
    column = graph.columns[index]
    blocks: list[Block] = [
        Note(
            f"{column.kind}, {column.shape[0]} outputs × {column.shape[1]} inputs, stored as {column.dtype}"
            + (f", {column.taps} taps" if column.taps > 1 else "")
            + (f", {column.groups} groups" if column.groups > 1 else "")
            + f". Column {column.position} of the graph."
        )
    ]
    if column.status != "ok":
        blocks.append(Note(f"No modes: {column.status.rstrip('.')}.", "error"))
    if column.note:
        blocks.append(Note(sentence(column.note), "caution"))
    blocks += _bias(column)
    blocks += _spectrum(view, index)
    blocks += _strongest(view, index, 1, "It reads")
    blocks += _strongest(view, index, 0, "It is read by")
    lookup = f"column = next(column for column in graph.columns if column.name == {column.name!r})"
    return Section(column.name, tuple(blocks), key, folded=True, code=f"{code}\n{lookup}\ncolumn.s, column.nodes\n")


def _bias(column: Column) -> Iterator[Note]:
    if column.bias is not None and column.bias.size:
        top = int(column.bias.argmax())
        yield Note(
            f"Of the bias, {float(column.bias.sum()):.0%} lies in the directions that the modes write, the most of it, "
            f"{float(column.bias[top]):.0%}, in {modes_of(column, top)}."
        )


def _spectrum(view: View, index: int) -> Iterator[Curve]:
    """Singular values, and which of them have a significant edge."""
    column = view.graph.columns[index]
    if not column.s.size:
        return
    s = np.where(column.s > VISIBLE * column.s[0], column.s, np.nan)
    at = thinned(s.size)
    series = [Series("singular values", numbers(at), numbers(s[at]))]
    for side, name in ((1, "with an edge in"), (0, "with an edge out")):
        linked = {ends_of(view, edge)[side][1] for edge in view.beside[side][index] if view.graph.edges.significant[edge]}
        modes = np.array(sorted(column.nodes[node][0] for node in linked), dtype=np.int64)
        modes = modes[thinned(modes.size)]
        if modes.size:
            series.append(Series(name, numbers(modes), numbers(s[modes]), "fit" if side else "law", "points"))
    yield Curve(
        "Singular values",
        Axis("mode"),
        axis(s),
        tuple(series),
        caption=f"In the gauge of the graph, {view.graph.options['gauge']}. Marked: modes with a significant edge.",
    )


def _listed(view: View) -> int:
    """Edges in a table of a section."""
    return max(3, min(LISTED, SHARED // max(2 * len(view.graph.columns), 1)))


def _strongest(view: View, index: int, side: int, title: str) -> Iterator[Table]:
    """The most surprising edges on one side of a layer."""
    graph, edges = view.graph, view.graph.edges
    found = view.beside[side][index]
    if not found:
        return
    rows = []
    listed = _listed(view)
    for edge in found[:listed]:
        ends = ends_of(view, edge)
        own, other = ends[side], ends[1 - side]
        rows.append(
            (
                modes_of(graph.columns[index], own[1]),
                named(graph.columns[other[0]], other[1]),
                number(float(edges.weight[edge])),
                number(math.exp(float(edges.log_p[edge]))),
                "yes" if edges.significant[edge] else "no",
                law(view, edge),
            )
        )
    more = f": the first {listed} of {len(found):,} edges" if len(found) > listed else ""
    yield Table(
        title + more,
        ("its", "other", "overlap", "p", "significant", "p from"),
        tuple(rows),
        about=(
            "Mode of this layer.",
            "Mode of the other layer.",
            "Squared cosine, summed over the taps.",
            "Of this edge by itself, before the correction.",
            "After the correction over all of the graph.",
            "The law that p rests on, and what must be known of the edge.",
        ),
        links=tuple(f"layer={graph.columns[ends_of(view, edge)[1 - side][0]].name}" for edge in found[:listed]),
    )
