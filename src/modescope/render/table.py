"""Aligned tables for the terminal."""

import io
from textwrap import fill
from typing import assert_never

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from modescope.blocks import Block, Note, Table
from modescope.render._plain import cell, plain
from modescope.report import Report

LINE = 110  # characters of a note's line; tables are as wide as their content


def render(report: Report, /) -> str:
    """Tables as wide as their content, without colour, so that a pipe gets what a person saw."""
    return "\n\n".join(_text(block) for block in report.blocks) + "\n"


def _text(block: Block) -> str:
    match block:
        case Table():
            return _grid(block)
        case Note():
            return fill(plain(block.text), width=LINE, break_long_words=False, break_on_hyphens=False)
        case _:
            assert_never(block)


def _grid(block: Table) -> str:
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(block.columns):
        numbers = all(not isinstance(row[index], str) for row in block.rows) and bool(block.rows)
        grid.add_column(Text(plain(name)), justify="right" if numbers else "left", no_wrap=True)
    for row in block.rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    console = Console(file=io.StringIO(), width=100_000, color_system=None, highlight=False)
    width = Measurement.get(console, console.options, grid).maximum
    with console.capture() as drawn:
        console.print(grid, width=width)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    return "\n".join([plain(block.title), "", *lines] if block.title else lines)
