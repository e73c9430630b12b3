"""Comma-separated values: the tables of a report, numbers at full precision."""

import csv
import io
from collections.abc import Iterator
from typing import assert_never

from modescope.blocks import Block, Cell, Curve, Graph, Heatmap, Histogram, Image, Note, Section, Table
from modescope.render._plain import plain
from modescope.reports import Report

SUFFIX = ".csv"


def render(report: Report, /) -> str:
    """Each table with its header line, tables separated by an empty line; notes become comment lines, drawings are left out."""
    return "".join(text for block in report.blocks for text in _texts(block)).removeprefix("\n")


def _texts(block: Block) -> Iterator[str]:
    match block:
        case Table():
            out = io.StringIO()
            out.write("\n")
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow([_safe(name) for name in block.columns])
            writer.writerows([[_safe(value) for value in row] for row in block.rows])
            yield out.getvalue()
        case Note():
            yield "".join(f"# {plain(line)}\n" for line in block.text.splitlines())
        case Section():
            for inner in () if block.folded else block.blocks:
                yield from _texts(inner)
        case Curve() | Histogram() | Heatmap() | Graph() | Image():
            return
        case _:
            assert_never(block)


def _safe(value: Cell) -> Cell:
    """A text that a spreadsheet would run as a formula is quoted by an apostrophe."""
    if isinstance(value, str):
        text = plain(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return "" if value is None else value
