"""The preface of a spectral graph: what was done, what must be known before an edge is believed, and the code that repeats it."""

from collections.abc import Iterator, Mapping
from typing import Any

from modescope.blocks import Note
from modescope.spectral_graph.result import SpectralGraph
from modescope.spectral_graph.viewing import View

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


def notes(graph: SpectralGraph, /) -> Iterator[Note]:
    """What was done, and what the graph does not say."""
    said = graph.options
    layers, pairs = counted(len(graph.columns), "layer"), counted(len(graph.connections), "connection")
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


def cautions(view: View, /) -> Iterator[Note]:
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
            f"{counted(groups, 'node')} {'stands' if groups == 1 else 'stand'} for several modes of equal singular values: only "
            "the space they span means something, and its edges can weigh more than 1."
        )
    if any(one.multiplicity > 1 for one in graph.connections):
        yield Note(
            "Where a reader has several taps, its edges have the law of its own kernel: two edges of equal weight can differ in p."
        )
    for note in graph.notes:
        yield Note(sentence(note), "caution")


def silence(graph: SpectralGraph, /) -> Iterator[Note]:
    """How many edges are left out because nothing passes along them."""
    silent = int((graph.edges.silent & graph.edges.significant).sum())
    if silent:
        yield Note(
            f"{silent:,} of the significant edges {'is' if silent == 1 else 'are'} silent and not shown: one end has the singular "
            "value 0, as the direction has that a layer norm takes out. The directions agree, but nothing passes along."
        )


def code_of(graph: SpectralGraph, /) -> str:
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


def sentence(text: str, /) -> str:
    """With a full stop; the first letter stays, since it may be that of a layer."""
    return f"{text.rstrip('.')}."


def counted(count: int, one: str, /) -> str:
    """A number of things in words."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def _correction(graph: SpectralGraph) -> str:
    if graph.options.get("log_p_family_limit") is not None:
        return BY_PAIR
    named = str(graph.options["correction"])
    return CORRECTIONS.get(named, named)


def _null(name: str) -> str:
    said = NULLS.get(name)
    return name.replace("_", " ") + (f", {said}" if said else "")
