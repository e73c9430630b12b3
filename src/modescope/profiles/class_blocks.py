"""Classes as blocks: how far they are apart from layer to layer, which modes each uses, and how much they share."""

from collections.abc import Iterator, Sequence

import numpy as np

from modescope.blocks import Axis, Block, Curve, Graph, Heatmap, Node, Note, Section, Series
from modescope.blocks import Edge as Line
from modescope.pictures import number, numbers
from modescope.profiles.hif import vertex_id
from modescope.profiles.hypergraph import ClassHypergraph, Vertex, of_edges
from modescope.profiles.membership import Flags, Membership
from modescope.profiles.result import NetworkProfile, ProfiledLayer
from modescope.profiles.separation import STABLE, Measured
from modescope.svd import Values

CLASSES = 48  # in a drawing
MODES = 64  # columns of a heat map
LINES = 1200  # edges of the graph
LABELLED = 16  # layers whose names stand in a curve
LABELLED_NODES = 120  # of a graph, where all names have room
BINS = 32
MOST = 10  # classes whose distributions are drawn
SIGNS = {1: " +", -1: " −", 0: ""}
NULL = "permuted labels"
SHARED = "A cell: how many modes both classes use, over how many modes either uses. Compare a layer with chance in the same layer."
UNITS = {"z": "standard deviations", "rms": "root mean squares", "sigma": "singular values"}
RULES = {
    "topm": "its mean signal is among the strongest of the class",
    "threshold": "its mean signal exceeds the threshold",
    "fraction": "it matters for enough of its images",
}
HOW = {
    "none": "signals as they are",
    "rms": "signals over their root mean square",
    "sigma": "signals over the singular value",
    "z": "standardised signals",
}


def separation(result: NetworkProfile, /) -> Iterator[Section]:
    """Both measures of separation by depth, each beside chance and permuted labels."""
    layers = [layer for layer in result.layers if layer.separation]
    if not layers:
        return
    how = str(result.options.get("standardise", "z"))
    ways = list(dict.fromkeys((how, "none")))
    drawn: list[Block] = [
        _depth(
            "Share of the variance between classes",
            "share",
            layers,
            [("between classes", [layer.separation[how].eta for layer in layers])],
            "1 where images of a class all give the same signals. Band: 95 % of bootstrap samples of the images; their means "
            "scatter more than those of the data, so that it may lie above the line where classes are small.",
        )
    ]
    drawn += [
        _depth(
            f"Modes that two classes share, {HOW.get(way, way)}",
            "mean Jaccard index",
            layers,
            [("mean over pairs", [layer.separation[way].jaccard for layer in layers])],
            _said(way),
        )
        for way in ways
    ]
    yield Section("Classes from layer to layer", tuple(drawn), layout="grid")


def graph(result: NetworkProfile, /) -> Iterator[Block]:
    """The hypergraph: classes on the left, the modes they use by layer."""
    whole = result.hypergraph
    if whole is None:
        return
    numbered = {edge.number: edge for edge in whole.edges}
    some = sorted(numbered)[:CLASSES]
    found = of_edges(whole, lambda edge: edge.number in some)
    order, stable = _chosen(found)
    kept = order[:LINES]
    used = sorted({int(found.vertex[i]) for i in kept})
    if not used:
        yield Note("No class uses any mode by this rule: there is no hypergraph to draw.", "caution")
        return
    column = {name: place for place, name in enumerate((layer.site for layer in result.layers), start=1)}
    present = sorted({column[found.vertices[v].layer] for v in used})
    place = {old: new for new, old in enumerate(present, start=1)}
    nodes = [Node(f"class {number}", numbered[number].label, rank=rank) for rank, number in enumerate(some)]
    ranks = _ranks(found, used)
    degrees = found.degrees
    nodes += [
        Node(
            vertex_id(found.vertices[v]),
            _vertex(found.vertices[v]),
            column=place[column[found.vertices[v].layer]],
            value=int(degrees[v]),
            link=f"layer={found.vertices[v].layer}",
            rank=ranks[v],
        )
        for v in used
    ]
    lines = [
        Line(
            f"class {found.edges[found.edge[i]].number}",
            vertex_id(found.vertices[found.vertex[i]]),
            number(float(found.weight[i])) or 0,
            significant=bool(stable[i]),
            text=_stability(float(found.stability[i])),
        )
        for i in kept
    ]
    names = [layer.site for layer in result.layers]
    yield Graph(
        "Classes and the modes they use",
        tuple(nodes),
        tuple(lines),
        value="classes that use the mode",
        caption=_caption(result, found, len(kept), len(some), len(numbered)),
        columns=("classes", *(names[old - 1] for old in present)) if len(nodes) > LABELLED_NODES else (),
    )


def overlaps(result: NetworkProfile, /) -> Iterator[Section]:
    """Jaccard index of every two classes at every layer, beside chance."""
    drawn = [block for layer in result.layers for block in _overlap(result, layer)]
    if drawn:  # the note comes last: a drawing without a neighbour would fill the row, and its cells would be no squares
        yield Section("What two classes share", (*drawn, Note(SHARED)), layout="grid")


def means(layer: ProfiledLayer, names: Sequence[str], /) -> Iterator[Heatmap]:
    """Standardised mean signals of classes, for the modes that are followed."""
    one = layer.membership
    if one is None or layer.statistics is None:
        return
    rows, columns = _rows(one), layer.statistics.modes[:MODES]
    values = one.profile[rows][:, : columns.size]
    cut = [f"the first {columns.size} modes of {one.profile.shape[1]}"] if columns.size < one.profile.shape[1] else []
    cut += [f"{len(rows)} classes of {len(names)}"] if len(rows) < len(names) else []
    yield Heatmap(
        "Mean signals of the classes",
        Axis("mode"),
        Axis("class"),
        tuple(numbers(row) for row in values),
        (-0.5, columns.size - 0.5),
        (-0.5, len(rows) - 0.5),
        x_names=tuple(map(str, columns.tolist())),
        y_names=tuple(names[row] for row in rows),
        value=UNITS.get(one.standardise, "signal"),
        centred=True,
        caption=f"{_meaning(one.standardise)}{' Shown: ' + ', '.join(cut) + '.' if cut else ''}",
    )


def distribution(result: NetworkProfile, layer: ProfiledLayer, mode: int, /) -> Iterator[Heatmap]:
    """How the signal of a mode is distributed over the images of a sample, by class."""
    signals = result.sample.signals[layer.site][:, mode].astype(np.float64)
    labels, names = result.sample.labels, result.source.get("classes", ())
    groups: list[tuple[str, Values]] = [("all", signals)]
    present = 0
    if labels is not None:
        by_class = [(names[c], signals[labels == c]) for c in np.unique(labels).tolist()]
        by_class.sort(key=lambda pair: -float(pair[1].mean()))
        present = len(by_class)
        if present > MOST:
            by_class = by_class[: MOST // 2] + by_class[-MOST // 2 :]
        groups += by_class
    low, high = float(signals.min()), float(signals.max())
    if not low < high:
        return
    edges = np.linspace(low, high, BINS + 1)
    rows = [np.histogram(values, edges)[0] / values.size for _, values in groups]
    said = f"Each row sums to 1, over a sample of {signals.size:,} images."
    if present:
        said += " Classes by their mean, the largest on top" + (
            f"; the {MOST} farthest apart of {present}." if present > MOST else "."
        )
    yield Heatmap(
        f"Signals of mode {mode} by class" if present else f"Signals of mode {mode}",
        Axis("signal"),
        Axis("class" if present else ""),
        tuple(numbers(row) for row in rows),
        (low, high),
        (-0.5, len(rows) - 0.5),
        y_names=tuple(name for name, _ in groups),
        value="share of images",
        caption=said,
    )


def _depth(
    title: str, what: str, layers: Sequence[ProfiledLayer], lines: Sequence[tuple[str, Sequence[Measured]]], caption: str
) -> Curve:
    x, names = tuple(range(len(layers))), tuple(layer.site for layer in layers)
    texts = names if len(names) <= LABELLED else ()
    series = []
    for name, found in lines:
        whole = all(one.interval is not None for one in found)
        low, high = (_values([one.interval[end] if one.interval else None for one in found]) if whole else () for end in (0, 1))
        series.append(Series(name, x, _values([one.value for one in found]), low=low, high=high, texts=texts))
        series.append(Series("chance", x, _values([one.expected for one in found]), "law"))
        nulls = [one.null for one in found]
        if any(null is not None for null in nulls):
            ends = ([getattr(null, end) if null else None for null in nulls] for end in ("mean", "low", "high"))
            mean, low, high = (_values(end) for end in ends)
            full = all(null is not None for null in nulls)
            series.append(Series(NULL, x, mean, "null", low=low if full else (), high=high if full else ()))
    return Curve(title, Axis("layer, in the order in which they run"), Axis(what), tuple(series), caption=caption)


def _values(values: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if value is None else number(value) for value in values)


def _said(way: str) -> str:
    shared = "0: no mode in common. 1: the same modes. Narrow layers share by chance: compare with that, not with other layers. "
    if way == "none":
        return shared + "What all classes have in common, such as brightness, counts as overlap here."
    return shared + "Only what tells a class from the mean of all images counts here."


def _meaning(standardise: str) -> str:
    if standardise == "z":
        return "How far the mean of a class lies from the mean of all images, in standard deviations of single images."
    return f"Mean signals of the classes: {HOW.get(standardise, standardise)}."


def _chosen(found: ClassHypergraph) -> tuple[list[int], Flags]:
    """Incidences, the stable ones first and the strong ones first among these; without replicates all count as stable."""
    stable: Flags = np.isnan(found.stability) | (found.stability >= STABLE)
    return np.lexsort((-found.weight, ~stable)).tolist(), stable


def _ranks(found: ClassHypergraph, used: Sequence[int]) -> dict[int, int]:
    """Places of modes from above, by the mean number of the classes that use them, so that few lines cross."""
    middle = {v: float(np.mean([found.edges[e].number for e in found.edge[found.vertex == v].tolist()])) for v in used}
    by_column: dict[str, list[int]] = {}
    for v in sorted(used, key=lambda v: (middle[v], v)):
        by_column.setdefault(found.vertices[v].layer, []).append(v)
    return {v: rank for column in by_column.values() for rank, v in enumerate(column)}


def _vertex(vertex: Vertex) -> str:
    return f"mode {vertex.index}{SIGNS[vertex.sign]} of {vertex.layer}"


def _stability(value: float) -> str:
    return "" if np.isnan(value) else f"in {value:.0%} of bootstrap samples"


def _caption(result: NetworkProfile, found: ClassHypergraph, lines: int, classes: int, there: int) -> str:
    rule = str(result.options.get("rule", ""))
    said = f"A line: the class uses the mode, because {RULES.get(rule, rule)}. "
    if np.isnan(found.stability).all():
        said += "There was no bootstrap: how far lines depend on the sample of images is not known."
    else:
        said += f"Counted as significant, and drawn first, without a test: lines that {STABLE:.0%} of bootstrap samples of the "
        said += "images have too; the rest by the slider."
    if classes < there:
        said += f" The first {classes} classes of {there}."
    if lines < found.edge.size:
        said += f" {lines:,} lines of {found.edge.size:,}."
    return f"{said} Modes that no class uses are left out."


def _rows(one: Membership) -> list[int]:
    """Classes that are drawn: those with images, the first of them."""
    found: list[int] = np.flatnonzero(one.counts > 0)[:CLASSES].tolist()
    return found


def _overlap(result: NetworkProfile, layer: ProfiledLayer) -> Iterator[Heatmap]:
    one = layer.membership
    rows = [] if one is None else _rows(one)
    if one is None or len(rows) < 2:
        return
    names = result.source.get("classes", ())
    held = one.member[rows].astype(np.float64)
    both = held @ held.T
    sizes = held.sum(axis=1)
    values = both / np.maximum(sizes[:, None] + sizes - both, 1)
    said = [f"By {HOW.get(one.standardise, one.standardise)}."]
    found = layer.separation[one.standardise].jaccard
    if found.value is not None and found.expected is not None:
        said.append(f"The mean is {found.value:.3g}, by chance {found.expected:.3g}.")
    if len(rows) < int((one.counts > 0).sum()):
        said.append(f"The first {len(rows)} classes.")
    ends, labels = (-0.5, len(rows) - 0.5), tuple(names[row] for row in rows)
    yield Heatmap(
        layer.site,
        Axis("class"),
        Axis("class"),
        tuple(numbers(row) for row in values),
        ends,
        ends,
        x_names=labels,
        y_names=labels,
        value="Jaccard index",
        caption=" ".join(said),
    )
