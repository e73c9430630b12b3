"""Aligned tables for the terminal."""

from textwrap import fill
from typing import assert_never

from rich.cells import cell_len

from modescope.blocks import Block, Curve, Graph, Heatmap, Histogram, Image, Note, Section, Table
from modescope.render._plain import cell, plain
from modescope.render._words import words
from modescope.reports import Report

SUFFIX = ".txt"

LINE = 110  # characters of a note's line; tables are as wide as their content
GAP = "   "


def render(report: Report, /) -> str:
    """Tables as wide as their content, without colour, so that a pipe gets what a person saw; folded sections are left out."""
    return "\n\n".join(text for block in report.blocks if (text := _text(block))) + "\n"


def _text(block: Block) -> str:
    match block:
        case Table():
            return _grid(block)
        case Note():
            said = plain(block.text) if block.level == "plain" else f"{block.level.capitalize()}: {plain(block.text)}"
            return fill(said, width=LINE, break_long_words=False, break_on_hyphens=False)
        case Section():
            parts = [] if block.folded else [text for inner in block.blocks if (text := _text(inner))]
            title = plain(block.title)
            return "\n\n".join([f"{title}\n{'═' * cell_len(title)}", *parts]) if parts else ""
        case Curve() | Histogram() | Heatmap() | Graph() | Image():
            return "\n".join(map(plain, words(block)))
        case _:
            assert_never(block)


def _grid(block: Table) -> str:
    lines = [tuple(map(plain, block.columns)), *(tuple(map(cell, row)) for row in block.rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]  # in cells of a terminal: a CJK character takes two
    right = [bool(block.rows) and not any(isinstance(row[i], str) for row in block.rows) for i in range(len(columns))]
    drawn = [GAP.join(_padded(*part) for part in zip(line, widths, right, strict=True)).rstrip() for line in lines]
    drawn.insert(1, "─" * (sum(widths) + len(GAP) * max(len(widths) - 1, 0)))
    return "\n".join([plain(block.title), "", *drawn] if block.title else drawn)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space
