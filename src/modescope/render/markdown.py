"""Markdown, for issues, notebooks and documents."""

from typing import assert_never

from modescope.blocks import Block, Note, Table
from modescope.render._plain import cell, plain
from modescope.report import Report

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>|#"})


def render(report: Report, /) -> str:
    """Tables in pipe syntax, with every character that Markdown or HTML could read as markup escaped."""
    return "\n\n".join(_text(block) for block in report.blocks) + "\n"


def _text(block: Block) -> str:
    match block:
        case Table():
            lines = [block.columns, ("---",) * len(block.columns)]
            body = ["| " + " | ".join(line) + " |" for line in [tuple(plain(c).translate(SPECIAL) for c in lines[0]), lines[1]]]
            body += ["| " + " | ".join(cell(value).translate(SPECIAL) for value in row) + " |" for row in block.rows]
            return "\n".join([f"**{plain(block.title).translate(SPECIAL)}**", "", *body] if block.title else body)
        case Note():
            return "> " + plain(block.text).translate(SPECIAL)
        case _:
            assert_never(block)
