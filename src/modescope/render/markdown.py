"""Markdown, for issues, notebooks and documents."""

from typing import assert_never

from modescope.blocks import Block, Curve, Graph, Heatmap, Histogram, Image, Note, Section, Table
from modescope.render._plain import cell, plain
from modescope.render._words import words
from modescope.reports import Report

SUFFIX = ".md"

SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>|#"})


def render(report: Report, /) -> str:
    """Tables in pipe syntax, with every character that Markdown or HTML could read as markup escaped; no folded sections."""
    return "\n\n".join(text for block in report.blocks if (text := _text(block, 2))) + "\n"


def _text(block: Block, depth: int) -> str:
    match block:
        case Table():
            head = [tuple(map(_escaped, block.columns)), ("---",) * len(block.columns)]
            body = ["| " + " | ".join(line) + " |" for line in head]
            body += ["| " + " | ".join(cell(value).translate(SPECIAL) for value in row) + " |" for row in block.rows]
            return "\n".join([f"**{_escaped(block.title)}**", "", *body] if block.title else body)
        case Note():
            return "> " + ("" if block.level == "plain" else f"**{block.level.capitalize()}**: ") + _escaped(block.text)
        case Section():
            parts = [] if block.folded else [text for inner in block.blocks if (text := _text(inner, depth + 1))]
            return "\n\n".join([f"{'#' * min(depth, 6)} {_escaped(block.title)}", *parts]) if parts else ""
        case Curve() | Histogram() | Heatmap() | Graph() | Image():
            title, *lines = map(_escaped, words(block))
            return "\n".join([f"**{title}**", "", *(f"- {line}" for line in lines)])
        case _:
            assert_never(block)


def _escaped(text: str) -> str:
    return plain(text).translate(SPECIAL)
