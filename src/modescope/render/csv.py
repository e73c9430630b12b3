"""Comma-separated values: the tables of a report, numbers at full precision."""

import csv
import io
from typing import assert_never

from modescope.blocks import Cell, Note, Table
from modescope.render._plain import plain
from modescope.report import Report


def render(report: Report, /) -> str:
    """Each table with its header line, tables separated by an empty line; notes become comment lines."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for index, block in enumerate(report.blocks):
        match block:
            case Table():
                if index:
                    out.write("\n")
                writer.writerow([_safe(name) for name in block.columns])
                writer.writerows([[_safe(value) for value in row] for row in block.rows])
            case Note():
                out.writelines(f"# {plain(line)}\n" for line in block.text.splitlines())
            case _:
                assert_never(block)
    return out.getvalue()


def _safe(value: Cell) -> Cell:
    """A text that a spreadsheet would run as a formula is quoted by an apostrophe."""
    if isinstance(value, str):
        text = plain(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return "" if value is None else value
