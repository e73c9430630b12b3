"""Reports to draw: one with every block, hostile names in every text, an overview of any size, a long table, a broken block."""

import base64
import math

from modescope.blocks import (
    Axis,
    Block,
    Cell,
    Counts,
    Curve,
    Edge,
    Graph,
    Heatmap,
    Histogram,
    Image,
    Mark,
    Node,
    Note,
    Section,
    Series,
    Table,
)
from modescope.reports import Report

HOSTILE = '<img src=x onerror="alert(1)"></script><b>"it\'s"</b>&amp;\n\x1b[2J|`*_\u202e\u2028層'
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFklEQVR4nGM8ceIEAzbAhFV00EoAACt/AiEEwwXAAAAAAElFTkSuQmCC")
EDGE = 1.5  # where the bulk of the planted spectrum ends


def every_block() -> Report:
    """Every type of block with every field in use, in a section per layer, under hostile names."""
    layers = ("conv1.weight", "conv2.weight", f"fc {HOSTILE}", "head.weight")
    blocks: tuple[Block, ...] = (
        overview(layers),
        Note("Four matrices, one of them with a hostile name."),
        Note(
            "The tail of conv2.weight is short: its exponent rests on 12 values.",
            level="caution",
            source="Clauset et al. (2009), §3.3",
        ),
        Note("head.weight could not be read.", level="error"),
        Section("Network", (graph(), heatmap(), image()), key="view=network", layout="grid", code="ms.graph('demo')"),
        *(layer(name, index) for index, name in enumerate(layers)),
        Section("Neurons at their values", (layered(),), key="view=neurons", folded=True),
    )
    document = {"schema": "modescope.scan/1", "matrices": [{"name": name} for name in layers]}
    return Report(blocks, document, "matrices", title="Sample network", code="import modescope as ms\nms.report('sample.npz')\n")


def overview(names: tuple[str, ...]) -> Table:
    """A table with pictures, links and a missing number in every fourth row."""
    rows: list[tuple[Cell, ...]] = []
    for index, name in enumerate(names):
        alpha = None if index % 4 == 3 else 2 + (index * 0.37) % 5
        rows.append(
            (name, "dense", f"{64 + index}×32", 1.5 + (index * 7919 % 97) / 10, index % 9, alpha, "" if index % 3 else "short tail")
        )
    return Table(
        "Layers",
        ("matrix", "kind", "shape", "norm", "signal modes", "alpha", "note"),
        tuple(rows),
        about=(
            "Name of the tensor.",
            "Layer kind.",
            "Rows × columns.",
            "Largest singular value.",
            "Singular values above the threshold.",
            "Exponent of the tail; means nothing for short tails.",
            "What to know beside the numbers.",
        ),
        links=tuple(f"layer={name}" for name in names),
        pictures=tuple(tuple(math.exp(-k / (4 + index % 7)) * (1 + index % 3) for k in range(24)) for index in range(len(names))),
        picture="Singular values, largest first.",
    )


def layer(name: str, index: int = 0) -> Section:
    """The folded view of one layer: spectrum, tail, the numbers, a note."""
    numbers = Table(
        "Numbers",
        ("number", "value", "meaning"),
        (
            ("tail.alpha", 3.2 + index, "Exponent of the tail."),
            ("tail.ks", None, f"Distance. {HOSTILE}"),
            ("bulk.outliers", 2, "Signal modes."),
        ),
    )
    blocks = (spectrum(), tail(), numbers, Note("Two modes stand out of the noise.", source="Marchenko & Pastur (1967)"))
    return Section(name, blocks, key=f"layer={name}", folded=True, layout="grid", code=f"scan[{name!r}]")


def spectrum() -> Histogram:
    """A bulk with two outliers, a null behind, a law over it, a threshold."""
    edges = tuple(k * 0.1 for k in range(31))
    centres = [edge + 0.05 for edge in edges[:-1]]
    law = tuple(math.sqrt(max(EDGE**2 - (x - 0.75) ** 2 * 4, 0.0)) for x in centres)
    counts = tuple(
        float(round(v * 20)) if x < EDGE else float(k in (22, 28)) for k, (x, v) in enumerate(zip(centres, law, strict=True))
    )
    return Histogram(
        "Singular values",
        Axis("singular value"),
        Axis("count"),
        edges,
        (
            Counts("weights", counts),
            Counts(
                "null twin", tuple(round(v * 19) + 1.0 if x < EDGE else None for x, v in zip(centres, law, strict=True)), "null"
            ),
        ),
        curves=(Series("Marchenko-Pastur", tuple(centres), tuple(v * 20 for v in law), "law"),),
        marks=(Mark(EDGE, "edge"), Mark(1.7, "threshold")),
        caption="The bulk follows the law; two values stand outside.",
    )


def tail() -> Curve:
    """Log-log points with names, a fit with its band, a gap, marks on both axes."""
    x = tuple(1.3**k for k in range(20))
    y = tuple(v**-1.5 if k != 7 else None for k, v in enumerate(x))
    fit = tuple(v**-1.5 for v in x)
    return Curve(
        "Tail",
        Axis("eigenvalue", log=True),
        Axis("share above", log=True),
        (
            Series("data", x, y, drawn="points", texts=tuple(f"mode {k}" if k > 17 else "" for k in range(20))),
            Series("fit", x, fit, "fit", low=tuple(v * 0.8 for v in fit), high=tuple(v * 1.25 for v in fit)),
            Series("null twin", x, tuple(v**-2.5 for v in x), "null", "steps"),
        ),
        marks=(Mark(2.0, "xmin"), Mark(0.01, "one value", "y")),
        caption="The tail on double logarithmic axes.",
    )


def heatmap() -> Heatmap:
    """Both signs, a missing value, names on one side."""
    values = tuple(tuple(None if (i, j) == (2, 3) else math.sin(i) * math.cos(j / 2) for j in range(12)) for i in range(6))
    return Heatmap(
        "Overlaps",
        Axis("mode of conv1"),
        Axis("mode of conv2"),
        values,
        (0, 12),
        (0, 6),
        y_names=tuple(f"mode {i}" for i in range(6)),
        value="overlap",
        centred=True,
        caption="Overlap of output and input directions.",
    )


def graph() -> Graph:
    """Three columns of modes, significant and other edges."""
    nodes = tuple(
        Node(f"{c}.{i}", f"mode {i} of {name}", c, 3.0 - i / 2, f"layer={name}")
        for c, name in enumerate(("conv1.weight", "conv2.weight", "head.weight"))
        for i in range(4)
    )
    edges = tuple(
        Edge(
            f"{c}.{i}",
            f"{c + 1}.{j}",
            0.9 / (1 + abs(i - j) * 2),
            p=0.001 * 10 ** abs(i - j),
            significant=i == j,
            text="" if i else "strongest",
        )
        for c in range(2)
        for i in range(4)
        for j in range(4)
    )
    return Graph("Spectral neurons", nodes, edges, value="singular value", caption="Modes of one layer feed modes of the next.")


def layered() -> Graph:
    """Modes at the height of their values, two layers side by side, one value of zero, hostile names."""
    names = ("conv1.weight", f"fc {HOSTILE}", "gate.weight", "head.weight")
    places = ((0, 0), (1, 0), (1, 1), (2, 0))
    nodes = tuple(
        Node(f"{k}.{i}", f"mode {i} of {name}", column, None, f"layer={name}", 0 if i == 3 else 3.0 - i, 3 - i, lane)
        for k, (name, (column, lane)) in enumerate(zip(names, places, strict=True))
        for i in range(4)
    )
    edges = (
        Edge("0.0", "1.0", 0.9, 1e-9, text=HOSTILE),
        Edge("0.0", "2.1", 0.7, 1e-6),
        Edge("1.0", "3.2", 0.8, 0.0),
        Edge("0.3", "3.3", -0.2, 0.2, significant=False),
    )
    return Graph("Neurons at their values", nodes, edges, columns=names, y=Axis("singular value", log=True))


def image() -> Image:
    """Eight by eight pixels."""
    return Image("Feature", PIXEL, "A plain grey square.", "What the mode looks for.")


def wide(count: int) -> Report:
    """An overview of many layers with a folded section each."""
    names = tuple(f"blocks.{index // 6}.{('q', 'k', 'v', 'out', 'up', 'down')[index % 6]}.{index}" for index in range(count))
    return Report(
        (overview(names), *(Section(name, (Note(f"This is {name}."),), f"layer={name}", folded=True) for name in names)),
        {"rows": []},
        "rows",
        "Wide",
    )


def long(count: int) -> Report:
    """One table of many rows."""
    rows = tuple((f"row {index}", index * 7919 % 10_007, index / 3) for index in range(count))
    return Report((Table("Long", ("name", "number", "third"), rows),), {"rows": []}, "rows", "Long")
