"""What can be shown: frozen blocks of pure data that an analysis yields and a renderer draws; neither knows the other.

The set is closed: every renderer handles every block. Arrays are cut or binned before they become blocks, all numbers are plain
Python numbers, None is a missing value, and every text is untrusted: a renderer escapes it.
"""

from collections.abc import Sized
from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | None
Numbers = tuple[float | None, ...]

Role = Literal["data", "null", "law", "fit"]
"""What a drawn thing is: measured, drawn from a null, a theoretical law, or a fit to the data. Its colour is the renderer's."""


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    A table with pictures is an overview: a page draws them as a strip, one small picture per row, coloured by a chosen column.

    Attributes:
        title: One line, or empty.
        columns: Names of the columns.
        rows: Cells in the order of the columns; None is a missing value.
        about: One sentence per column, or empty.
        links: Key of the section that each row opens, "" for none; or empty.
        pictures: A small curve per row, drawn without axes; or empty.
        picture: What the pictures show, one sentence.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    about: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    pictures: tuple[Numbers, ...] = ()
    picture: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r}: expected {len(self.columns)} cells in every row.")
        _same("table", self.title, "about", self.about, self.columns)
        _same("table", self.title, "links", self.links, self.rows)
        _same("table", self.title, "pictures", self.pictures, self.rows)


@dataclass(frozen=True)
class Axis:
    """What an axis measures, with its unit, and whether it is logarithmic."""

    label: str
    log: bool = False


@dataclass(frozen=True)
class Series:
    """Points of one thing.

    Attributes:
        name: For the legend.
        x: Abscissae.
        y: Ordinates; None interrupts a line.
        role: What it is.
        drawn: "line", "points", or "steps".
        low: Lower ends of a band around `y`, or empty.
        high: Upper ends of that band, or empty.
        texts: A name for every point, or empty; named points are labelled.
    """

    name: str
    x: Numbers
    y: Numbers
    role: Role = "data"
    drawn: Literal["line", "points", "steps"] = "line"
    low: Numbers = ()
    high: Numbers = ()
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"series {self.name!r}: expected as many y as x, got {len(self.y)} and {len(self.x)}.")
        for field in ("low", "high", "texts"):
            _same("series", self.name, field, getattr(self, field), self.x)


@dataclass(frozen=True)
class Mark:
    """A named place on an axis: a straight line across the drawing."""

    at: float
    text: str
    axis: Literal["x", "y"] = "x"


@dataclass(frozen=True)
class Curve:
    """Series over common axes, with marks; `caption` says in a sentence or two what is to be seen."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Counts:
    """Heights of the bins of a histogram; None is a bin without a value."""

    name: str
    values: Numbers
    role: Role = "data"


@dataclass(frozen=True)
class Histogram:
    """Heights over common bins, with curves and marks on the same axes.

    Attributes:
        title: One line.
        x: Axis of the bins.
        y: Axis of the heights.
        edges: Ends of the bins, one more than there are bins, ascending.
        counts: One or more sets of heights; a null is drawn behind the data.
        curves: Laws or fits, drawn over the bins.
        marks: Named places.
        caption: A sentence or two.
    """

    title: str
    x: Axis
    y: Axis
    edges: tuple[float, ...]
    counts: tuple[Counts, ...]
    curves: tuple[Series, ...] = ()
    marks: tuple[Mark, ...] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        for counts in self.counts:
            if len(counts.values) != len(self.edges) - 1:
                raise ValueError(f"histogram {self.title!r}: expected {len(self.edges) - 1} heights, got {len(counts.values)}.")


@dataclass(frozen=True)
class Heatmap:
    """A matrix as colours, first row on top.

    Attributes:
        title: One line.
        x: Axis of the columns.
        y: Axis of the rows.
        values: Rows of equal length, binned to at most a few hundred a side.
        x_range: What the left edge of the first and the right edge of the last column stand for.
        y_range: The same for the rows, first to last.
        x_names: Names of the columns, or empty.
        y_names: Names of the rows, or empty.
        value: What the colour measures.
        centred: Zero lies in the middle of a scale with two ends.
        caption: A sentence or two.
        series: Lines or points drawn over the colours, on the same axes; bands and names of points are not.
    """

    title: str
    x: Axis
    y: Axis
    values: tuple[Numbers, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_names: tuple[str, ...] = ()
    y_names: tuple[str, ...] = ()
    value: str = ""
    centred: bool = False
    caption: str = ""
    series: tuple[Series, ...] = ()

    def __post_init__(self) -> None:
        if len({len(row) for row in self.values}) > 1:
            raise ValueError(f"heat map {self.title!r}: expected rows of equal length.")
        _same("heat map", self.title, "y_names", self.y_names, self.values)
        _same("heat map", self.title, "x_names", self.x_names, self.values[0] if self.values else ())


@dataclass(frozen=True)
class Node:
    """A node of a graph.

    Attributes:
        key: Unique in the graph.
        text: Its name.
        column: Where it stands from the left.
        value: What its colour shows, or None.
        link: Key of the section it opens, or empty.
        height: Its place on the vertical axis, or None where the graph has none, or where the node has no value on it.
        rank: Its place from above in its column and lane, so that few edges cross; or None, then nodes stand as they are given.
        lane: Where it stands inside its column, from the left.
    """

    key: str
    text: str
    column: int = 0
    value: float | None = None
    link: str = ""
    height: float | None = None
    rank: int | None = None
    lane: int = 0


@dataclass(frozen=True)
class Edge:
    """An edge between two keys: its weight, and the evidence that it is no accident, where that was tested."""

    source: str
    target: str
    weight: float
    p: float | None = None
    significant: bool = True
    text: str = ""


@dataclass(frozen=True)
class Graph:
    """Nodes in columns and weighted edges; a page shows the significant ones first, and the rest on demand.

    Attributes:
        title: One line.
        nodes: In their order from above where they have no rank.
        edges: Those of equal weight and p in the order in which they are to be shown.
        value: What the colour of the nodes measures.
        caption: A sentence or two.
        columns: A heading for every column and lane that holds a node, from the left; or empty.
        y: What the height of the nodes measures; without a label nothing.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    value: str = ""
    caption: str = ""
    columns: tuple[str, ...] = ()
    y: Axis = Axis("")

    def __post_init__(self) -> None:
        keys = {node.key for node in self.nodes}
        for edge in self.edges:
            if not {edge.source, edge.target} <= keys:
                raise ValueError(f"graph {self.title!r}: the edge {edge.source!r} to {edge.target!r} has an end that is no node.")
        _same("graph", self.title, "columns", self.columns, {(node.column, node.lane) for node in self.nodes})


@dataclass(frozen=True)
class Image:
    """A picture: the bytes of a PNG file, and its description in words for those who do not see it."""

    title: str
    png: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError(f"image {self.title!r}: expected the bytes of a PNG file.")


@dataclass(frozen=True)
class Note:
    """One or more plain sentences.

    Attributes:
        text: The sentences.
        level: "caution" where a number does not mean what it seems to, "error" where something could not be made.
        source: Where the statement comes from: paper and equation, or empty.
    """

    text: str
    level: Literal["plain", "caution", "error"] = "plain"
    source: str = ""


@dataclass(frozen=True)
class Section:
    """Blocks under a heading.

    Attributes:
        title: The heading.
        blocks: What is in it, in order.
        key: Unique in a report, "layer=fc1.weight"; it is the address of the section in a page, and what links name. Empty: none.
        folded: Opened on demand: a page shows it when it is addressed, a text leaves it out.
        layout: "grid" puts blocks side by side where there is room.
        code: Lines of Python that lead to what is shown, or empty.
    """

    title: str
    blocks: tuple["Block", ...]
    key: str = ""
    folded: bool = False
    layout: Literal["stack", "grid"] = "stack"
    code: str = ""


Block = Table | Curve | Histogram | Heatmap | Graph | Image | Note | Section


def _same(what: str, title: str, field: str, given: Sized, reference: Sized) -> None:
    if len(given) not in (0, len(reference)):
        raise ValueError(f"{what} {title!r}: expected {len(reference)} {field}, got {len(given)}.")
