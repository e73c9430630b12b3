"""The spectral graph as blocks: an overview of the layers, the graph, every connection, and a section for each layer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.blocks import Axis, Block, Cell, Curve, Edge, Graph, Node, Note, Section, Series, Table
from modescope.pictures import VISIBLE, number, numbers, small, thinned
from modescope.reports import Report
from modescope.spectral_graph.bias_nodes import LEVEL, BiasRead
from modescope.spectral_graph.dead_channels import DeadChannels
from modescope.spectral_graph.document import connections_of, document, fixed_taps
from modescope.spectral_graph.internal_dimensions import InternalDimensions
from modescope.spectral_graph.layout import ranks
from modescope.spectral_graph.near_kernels import NearKernels
from modescope.spectral_graph.result import Chain, Column, Connection, Edges, SpectralGraph

DRAWN = 10_000  # edges in a drawing
TOLD = 500  # edges in the document beside it, so that a page stays small
PAIRS = 200  # connections in their table and in the document beside it, for the same reason
EDGES = 200  # in the table of the strongest
WEAKER = 1_000  # of them at most that are not significant
TOP = 4  # strongest modes of a layer that are drawn with or without an edge
LISTED = 12  # edges of a layer in its tables, on either side
SHARED = 1_200  # of them in all sections together: of a graph of hundreds of layers each lists fewer
UNDERFLOW = math.log(1e-300)  # of p, below which its power is told
WIDE = 30.0  # largest over smallest drawn singular value from which their axis is logarithmic
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
CONVENTIONS = {
    "svr": "kernels are unfolded as outputs × (inputs, taps), and overlaps summed over the taps of the reader",
    "cosvr": "kernels are unfolded as (outputs, taps) × inputs, and overlaps summed over the taps of the writer",
    "channel": "writers are unfolded as outputs × (inputs, taps), readers as (outputs, taps) × inputs",
}
GAUGES = {
    "raw": "weights as they are stored, without the gains of normalisations",
    "folded": "gains of normalisations multiplied into the weights beside them",
    "unit_rows": "normalisations folded, and every channel scaled so that its row has length 1",
    "balanced": "normalisations folded, and every channel scaled so that its row is as long as what reads it",
}
NULLS = {
    "rotation": "the directions that a layer writes are random, those that the next one reads are as they are",
    "positivity": "the same random directions for what is left of both when the mean over the channels is taken out",
    "beta": "the kernels that read are random too, over channels and taps alike",
    "matched_beta": "as rotation, by a Beta of the right mean and variance for every reader: p-values deep out are too small",
    "chi_squared": "kernels are random and channels many, the rule the method was published with",
    "permutation": "the channels of the writer are shuffled",
    "shuffle": "whole kernels change places inside both weights, which are decomposed again",
}
DEFAULTS: Mapping[str, Any] = {  # of `graph`: what code need not say
    "view": None,
    "flatten": None,
    "activation": None,
    "convention": "svr",
    "gauge": "folded",
    "level": 0.05,
    "correction": "bonferroni",
    "null": "rotation",
    "draws": 1000,
    "seed": 0,
    "keep": 1e-3,
    "structure": ["near_kernels"],
    "search": 0,
    "include": [],
    "exclude": [],
    "device": None,
}
NOTHING = (
    "Nothing could be joined: no layer is known to read what another one writes, so there are no edges. Select at least two "
    "layers, and say what feeds what: a list of (from, to) names as wiring=[...], a JSON file of such pairs (--wiring FILE), "
    "wiring='order' for one chain in the order of the file, or for a module an example input as inputs=..."
)
BY_PAIR = "Westfall-Young within each pair, Bonferroni over the pairs, for the chance of any false edge in the whole graph"
CORRECTIONS = {
    "bonferroni": "Bonferroni, for the chance of any false edge in the whole graph",
    "bh": "Benjamini-Hochberg, for the share of false edges among those found",
    "by": "Benjamini-Yekutieli, for the share of false edges among those found, whatever their dependence",
    "none": "no correction: false edges are to be expected at this rate",
}
_SVR = "Meller & Berkouk (2023), arXiv:2302.08183"
_WEDIN = "Wedin (1972), doi:10.1007/BF01932678"


@dataclass(frozen=True)
class _View:
    """A graph with what its page asks for again and again.

    Attributes:
        graph: Itself.
        place: Index of every column by its name.
        ends: Of every connection the indices of its writer and its reader.
        order: Edges by significance, then p, then weight.
        beside: Edges that leave each column, and those that enter it, in this order.
    """

    graph: SpectralGraph
    place: Mapping[str, int]
    ends: tuple[tuple[int, int], ...]
    order: Sequence[int]
    beside: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]

    @property
    def listed(self) -> int:
        """Edges in a table of a section."""
        return max(3, min(LISTED, SHARED // max(2 * len(self.graph.columns), 1)))


def report(graph: SpectralGraph) -> Report:
    """The page of a spectral graph, `SpectralGraph.report`."""
    place = {column.name: index for index, column in enumerate(graph.columns)}
    edges = _heard(graph.edges)
    ends = tuple((place[one.source], place[one.target]) for one in graph.connections)
    order = np.lexsort((-edges.weight, edges.log_p, ~edges.significant))
    view = _View(
        replace(graph, edges=edges),
        place,
        ends,
        order.tolist(),
        (_sided(graph, edges, ends, order, 0), _sided(graph, edges, ends, order, 1)),
    )
    code = _code(graph)
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
            *_notes(graph),
            overview,
            *_drawing(view),
            *_cautions(view),
            *_silence(graph),
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


def _sided(
    graph: SpectralGraph, edges: Edges, ends: Sequence[tuple[int, int]], order: NDArray[np.int64], side: int
) -> Sequence[Sequence[int]]:
    """Edges that leave (side 0) or enter (side 1) each column, in their order."""
    of = np.array([pair[side] for pair in ends], dtype=np.int64)[edges.connection[order]]
    by_column = np.argsort(of, kind="stable")
    cuts = np.cumsum(np.bincount(of, minlength=len(graph.columns)))[:-1]
    return [part.tolist() for part in np.split(order[by_column], cuts)] if len(graph.columns) else []


def _code(graph: SpectralGraph) -> str:
    """Lines of Python that make the same graph; what was an object in memory has a name and a comment."""
    path, wiring = graph.source.get("path"), graph.options.get("wiring")
    comments, said = [], ["model" if path is None else repr(str(path))]
    if path is None:
        comments.append("# model: the module or the arrays that the graph was made of")
    if wiring == "traced":
        comments.append("# inputs: the example input that the module was traced with")
        said.append("inputs=inputs")
    elif wiring == "stated":
        comments.append("# pairs: the (from, to) names that were stated")
        said.append("wiring=pairs")
    elif wiring is not None:
        said.append(f"wiring={wiring!r}")
    given = {name: graph.options.get(name, usual) for name, usual in DEFAULTS.items()}
    said += [f"{name}={value!r}" for name, value in given.items() if value != DEFAULTS[name]]
    lines = ["import modescope as ms", "", *comments, f"graph = ms.graph({', '.join(said)})"]
    return "\n".join(lines)


def _notes(graph: SpectralGraph) -> Iterator[Note]:
    """What was done, and what the graph does not say."""
    said = graph.options
    layers, pairs = _count(len(graph.columns), "layer"), _count(len(graph.connections), "connection")
    failed = f", {len(graph.failed)} without modes" if graph.failed else ""
    yield Note(
        f"{layers}{failed}, {pairs}: {int(graph.edges.significant.sum()):,} of {said['tested']:,} edges tested are significant at "
        f"level {said['level']:g} ({_correction(graph)}). Null: {_null(said['null'])}."
        + ("" if graph.complete else " Interrupted before the rest.")
    )
    if not graph.connections and graph.complete:
        yield Note(NOTHING, "caution")
    yield Note(
        f"An edge says how much of what its writer writes its reader reads: the squared cosine between two modes. Gauge: "
        f"{said['gauge']}, {GAUGES.get(said['gauge'], said['gauge'])}. Convention: {said['convention']}, "
        f"{CONVENTIONS.get(said['convention'], said['convention'])}. Wiring: {graph.wiring or 'unknown'}. "
        "Modes are counted from 0.",
        source=_SVR,
    )
    yield Note(
        "The graph does not say what a direction means, nor how often it is active: it knows weights alone, and leaves "
        "nonlinearities between the layers out."
    )


def _correction(graph: SpectralGraph) -> str:
    if graph.options.get("log_p_family_limit") is not None:
        return BY_PAIR
    named = str(graph.options["correction"])
    return CORRECTIONS.get(named, named)


def _null(name: str) -> str:
    said = NULLS.get(name)
    return name.replace("_", " ") + (f", {said}" if said else "")


def _heard(edges: Edges) -> Edges:
    """Edges along which something passes."""
    return Edges(*(getattr(edges, name)[~edges.silent] for name in Edges.__dataclass_fields__))


def _silence(graph: SpectralGraph) -> Iterator[Note]:
    """How many edges are left out because nothing passes along them."""
    silent = int((graph.edges.silent & graph.edges.significant).sum())
    if silent:
        yield Note(
            f"{silent:,} of the significant edges {'is' if silent == 1 else 'are'} silent and not shown: one end has the singular "
            "value 0, as the direction has that a layer norm takes out. The directions agree, but nothing passes along."
        )


def _cautions(view: _View) -> Iterator[Note]:
    """What must be known of edges and nodes before one of them is believed."""
    graph, edges = view.graph, view.graph.edges
    shaky = int((edges.unstable & edges.significant).sum())
    if shaky:
        are = "edge may" if shaky == 1 else "edges may"
        yield Note(
            f"{shaky:,} significant {are} change with the rounding of the stored weights alone: singular values beside theirs "
            "are too near to tell the modes apart.",
            "caution",
            _WEDIN,
        )
    bound = int((~edges.exact & edges.significant).sum())
    if bound:
        yield Note(
            f"{bound:,} significant {'edge has a p-value that is' if bound == 1 else 'edges have p-values that are'} not exact but "
            "simulated, matched by moments or bounded from above.",
            "caution",
        )
    groups = sum(stop - start > 1 for column in graph.columns for start, stop in column.nodes)
    if groups:
        yield Note(
            f"{_count(groups, 'node')} {'stands' if groups == 1 else 'stand'} for several modes of equal singular values: only "
            "the space they span means something, and its edges can weigh more than 1."
        )
    if any(one.multiplicity > 1 for one in graph.connections):
        yield Note(
            "Where a reader has several taps, its edges have the law of its own kernel: two edges of equal weight can differ in p."
        )
    for note in graph.notes:
        yield Note(_sentence(note), "caution")


def _sentence(text: str) -> str:
    """With a full stop; the first letter stays, since it may be that of a layer."""
    return f"{text.rstrip('.')}."


def _line(view: _View, index: int) -> tuple[Cell, ...]:
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


def _drawing(view: _View) -> Iterator[Graph]:
    """The graph itself: the strongest edges, the nodes they join, and the leading modes of every layer."""
    graph = view.graph
    chosen = view.order[: min(DRAWN, int(graph.edges.significant.sum()) + WEAKER)]
    ends = [_ends(view, edge) for edge in chosen]
    kept = {node for pair in ends for node in pair}
    kept |= {(index, node) for index, column in enumerate(graph.columns) for node in range(min(TOP, len(column.nodes)))}
    nodes = sorted(kept)
    if not nodes:
        return
    at = {node: index for index, node in enumerate(nodes)}
    layer = np.array([index for index, _ in nodes])
    position = np.array([graph.columns[index].position for index, _ in nodes])
    source, target = np.array([[at[a], at[b]] for a, b in ends], dtype=np.int64).reshape(-1, 2).T
    pull = np.where(graph.edges.significant[chosen], 1.0, 0.1) * graph.edges.weight[chosen]
    rank = ranks(position, layer, source, target, pull)
    lane = _lanes(position, layer, source, target, pull)
    degree = np.bincount(
        np.concatenate([source, target]), np.tile(graph.edges.significant[chosen], 2).astype(np.float64), len(nodes)
    )
    order = sorted(set(layer.tolist()), key=lambda index: (graph.columns[index].position, lane[index]))
    values = np.array([_height(graph.columns[index], node) for index, node in nodes])
    there = values[values > 0]
    yield Graph(
        "Spectral graph",
        tuple(
            Node(
                f"{index}.{node}",
                _named(graph.columns[index], node),
                graph.columns[index].position,
                int(degree[k]),
                f"layer={graph.columns[index].name}",
                number(float(values[k])),
                int(rank[k]),
                lane[index],
            )
            for k, (index, node) in enumerate(nodes)
        ),
        tuple(_edge(view, edge, pair) for edge, pair in zip(chosen, ends, strict=True)),
        "significant edges",
        _caption(view, len(chosen)),
        tuple(graph.columns[index].name for index in order),
        Axis("singular value", log=bool(there.size and there.max() > WIDE * there.min())),
    )


def _height(column: Column, node: int) -> float:
    """The largest singular value of a node; what is rounding beside the largest of the layer is 0."""
    value = float(column.s[column.nodes[node][0]])
    return value if value > VISIBLE * float(column.s[0]) else 0.0


def _lanes(position: Any, layer: Any, source: Any, target: Any, pull: Any) -> dict[int, int]:
    """Where layers that share a column stand side by side: those that are joined to each other's neighbours together."""
    layers, first, place = np.unique(layer, return_index=True, return_inverse=True)
    found = ranks(position[first], position[first], place[source], place[target], pull)
    return dict(zip(layers.tolist(), found.tolist(), strict=True))


def _caption(view: _View, drawn: int) -> str:
    edges = view.graph.edges
    shown = int(edges.significant[view.order[:drawn]].sum())
    told = ["Columns are layers, nodes their modes at the height of their singular values. Edges: the most surprising first"]
    if drawn > shown:
        told.append(f"{drawn - shown:,} that are not significant wait behind the slider")
    if len(edges) > drawn:
        lost = int(edges.significant.sum()) - shown
        told.append(f"{len(edges) - drawn:,} are left out, {f'{lost:,}' if lost else 'none'} of them significant")
    return f"{'; '.join(told)}. A click on a node or an edge lights the path of significant edges through it."


def _ends(view: _View, edge: int) -> tuple[tuple[int, int], tuple[int, int]]:
    edges = view.graph.edges
    source, target = view.ends[int(edges.connection[edge])]
    return (source, int(edges.writer[edge])), (target, int(edges.reader[edge]))


def _edge(view: _View, edge: int, ends: tuple[tuple[int, int], tuple[int, int]]) -> Edge:
    edges = view.graph.edges
    (a, m), (b, n) = ends
    return Edge(
        f"{a}.{m}",
        f"{b}.{n}",
        number(float(edges.weight[edge])) or 0.0,
        number(math.exp(float(edges.log_p[edge]))),
        bool(edges.significant[edge]),
        f"p from {_law(view, edge)}",
    )


def _law(view: _View, edge: int) -> str:
    """What the p-value of an edge rests on, and what must be known of the edge."""
    graph, edges = view.graph, view.graph.edges
    connection = graph.connections[int(edges.connection[edge])]
    (a, m), (b, n) = _ends(view, edge)
    fixed = m if graph.options["convention"] == "cosvr" else n  # the side that is conditioned on
    sizes = [stop - start for start, stop in (graph.columns[a].nodes[m], graph.columns[b].nodes[n])]
    taps = float(connection.effective[fixed]) if fixed < connection.effective.size else 1.0
    size = connection.dimension
    if graph.options["null"] != "rotation":
        parts = [f"the null {graph.options['null'].replace('_', ' ')}"]
    elif taps <= 1 + 1e-9 and min(sizes) == 1:
        parts = [f"Beta({_half(max(sizes))}, {_half(size - max(sizes))})"]
    else:
        parts = [f"the kernel it meets: {size} dimensions, {taps:.3g} effective of {connection.multiplicity} taps"]
    if edges.log_p[edge] < UNDERFLOW:
        parts.append(f"p = 10^{edges.log_p[edge] / math.log(10):.0f}")
    if not edges.exact[edge]:
        parts.append("p is not exact")
    if edges.unstable[edge]:
        parts.append("unstable under the rounding of the weights")
    return "; ".join(parts)


def _half(value: int) -> str:
    return str(value // 2) if value % 2 == 0 else f"{value}/2"


def _named(column: Column, node: int) -> str:
    return f"{_modes(column, node)} of {column.name}"


def _modes(column: Column, node: int) -> str:
    start, stop = column.nodes[node]
    return f"mode{'s' if stop - start > 1 else ''} {_span(start, stop)}"


def _span(start: int, stop: int) -> str:
    return str(start) if stop - start == 1 else f"{start}-{stop - 1}"


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
            return (found.significant, f"{_span(found.mode, found.mode + found.modes)}: {found.weight:.3g}, p = {found.p:.3g}")
        case _:
            return (None,) * len(STRUCTURES[name])


def _clearest(view: _View) -> Iterator[Table]:
    """The edges themselves, for those who read or compute and see no drawing."""
    graph, edges = view.graph, view.graph.edges
    chosen = view.order[:EDGES]
    if not chosen:
        return
    ends = [_ends(view, edge) for edge in chosen]
    rows = tuple(
        (
            graph.columns[a].name,
            _span(*graph.columns[a].nodes[m]),
            graph.columns[b].name,
            _span(*graph.columns[b].nodes[n]),
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


def _section(view: _View, index: int, key: str, code: str) -> Section:
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
        blocks.append(Note(_sentence(column.note), "caution"))
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
            f"{float(column.bias[top]):.0%}, in {_modes(column, top)}."
        )


def _spectrum(view: _View, index: int) -> Iterator[Curve]:
    """Singular values, and which of them have a significant edge."""
    column = view.graph.columns[index]
    if not column.s.size:
        return
    s = np.where(column.s > VISIBLE * column.s[0], column.s, np.nan)
    at = thinned(s.size)
    series = [Series("singular values", numbers(at), numbers(s[at]))]
    for side, name in ((1, "with an edge in"), (0, "with an edge out")):
        linked = {_ends(view, edge)[side][1] for edge in view.beside[side][index] if view.graph.edges.significant[edge]}
        modes = np.array(sorted(column.nodes[node][0] for node in linked), dtype=np.int64)
        modes = modes[thinned(modes.size)]
        if modes.size:
            series.append(Series(name, numbers(modes), numbers(s[modes]), "fit" if side else "law", "points"))
    there = s[np.isfinite(s)]
    log = bool(there.size and there.max() > WIDE * there.min())
    yield Curve(
        "Singular values",
        Axis("mode"),
        Axis("singular value", log=log),
        tuple(series),
        caption=f"In the gauge of the graph, {view.graph.options['gauge']}. Marked: modes with a significant edge.",
    )


def _strongest(view: _View, index: int, side: int, title: str) -> Iterator[Table]:
    """The most surprising edges on one side of a layer."""
    graph, edges = view.graph, view.graph.edges
    found = view.beside[side][index]
    if not found:
        return
    rows = []
    for edge in found[: view.listed]:
        ends = _ends(view, edge)
        own, other = ends[side], ends[1 - side]
        rows.append(
            (
                _modes(graph.columns[index], own[1]),
                _named(graph.columns[other[0]], other[1]),
                number(float(edges.weight[edge])),
                number(math.exp(float(edges.log_p[edge]))),
                "yes" if edges.significant[edge] else "no",
                _law(view, edge),
            )
        )
    more = f": the first {view.listed} of {len(found):,} edges" if len(found) > view.listed else ""
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
        links=tuple(f"layer={graph.columns[_ends(view, edge)[1 - side][0]].name}" for edge in found[: view.listed]),
    )


def _count(count: int, one: str) -> str:
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"
