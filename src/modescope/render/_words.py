"""What a text says in place of a drawing."""

from typing import assert_never

from modescope.blocks import Curve, Graph, Heatmap, Histogram, Image, Numbers, Series

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 40  # characters of a small curve
EDGES = 12  # edges of a graph that are named

Drawing = Curve | Histogram | Heatmap | Graph | Image


def words(block: Drawing) -> list[str]:
    """Lines of a drawing for those who read: its title, what it shows in numbers, its marks and its caption."""
    return [block.title, *_lines(block), *([block.caption] if block.caption else [])]


def _lines(block: Drawing) -> list[str]:
    match block:
        case Curve():
            return [
                *(_said(series) for series in block.series),
                *(f"{mark.text}: {mark.at:.4g}" for mark in block.marks),
            ]
        case Histogram():
            ends = f"{block.x.label}, {block.edges[0]:.4g} to {block.edges[-1]:.4g}" if block.edges else block.x.label
            counts = [f"{counts.name}: {small(counts.values)} ({ends})" for counts in block.counts]
            return counts + [f"{mark.text}: {mark.at:.4g}" for mark in block.marks]
        case Heatmap():
            found = [value for row in block.values for value in row if value is not None]
            size = f"{len(block.values)} × {len(block.values[0]) if block.values else 0}"
            values = f"{size} values" + (f", {min(found):.4g} to {max(found):.4g}" if found else "")
            return [values, *(_said(series) for series in block.series)]
        case Graph():
            shown = sorted((edge for edge in block.edges if edge.significant), key=lambda edge: -abs(edge.weight))
            text = {node.key: node.text for node in block.nodes}
            lines = [f"{len(block.nodes)} nodes, {len(shown)} significant of {len(block.edges)} edges"]
            return lines + [f"{text[edge.source]} → {text[edge.target]}: {edge.weight:.4g}{_p(edge.p)}" for edge in shown[:EDGES]]
        case Image():
            return [block.alt]
        case _:
            assert_never(block)


def _p(p: float | None) -> str:
    return "" if p is None else f", p = {p:.3g}"


def _said(series: Series) -> str:
    shown = [y for y in series.y if y is not None]
    ends = f", {min(shown):.4g} to {max(shown):.4g}" if shown else ""
    return f"{series.name}: {small(series.y)} ({len(series.x)} points{ends})"


def small(values: Numbers) -> str:
    """A curve in one line of block characters, at most `WIDTH` of them; a missing value is a space."""
    step = max(1, -(-len(values) // WIDTH))
    parts = [[v for v in values[i : i + step] if v is not None] for i in range(0, len(values), step)]
    tops = [max(part) if part else None for part in parts]
    known = [top for top in tops if top is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if top is None else BARS[round((top - low) * scale)] for top in tops)
