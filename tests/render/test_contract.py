"""Every renderer: an empty report, every block, hostile names, a missing number."""

from collections.abc import Iterator
from typing import get_args

import pytest

from modescope.blocks import Block, Note, Section, Table
from modescope.registry import modules
from modescope.reports import Report
from report_cases import every_block

RENDERERS = modules("modescope.render")
HOSTILE = '<b>"it\'s"</b>\n\x1b[2J|`*_\u202e層'


def blocks() -> tuple[Block, ...]:
    table = Table(HOSTILE, ("name", HOSTILE), ((HOSTILE, 1.5), ("plain", None), ("count", 3)))
    return (table, Note(HOSTILE), Table("", (), ()), Table("empty", ("a", "b"), ()))


def unfolded(found: tuple[Block, ...]) -> Iterator[Block]:
    for block in found:
        yield block
        if isinstance(block, Section):
            yield from unfolded(block.blocks)


def test_every_type_of_block_is_in_the_sample() -> None:
    assert {type(block) for block in unfolded(every_block().blocks)} == set(get_args(Block))


@pytest.mark.parametrize("name", RENDERERS)
def test_an_empty_report_is_text(name: str) -> None:
    assert isinstance(RENDERERS[name].render(Report((), {"rows": []}, "rows")), str)


@pytest.mark.parametrize("name", RENDERERS)
def test_every_block_is_drawn_and_hostile_text_stays_text(name: str) -> None:
    text = RENDERERS[name].render(Report((*blocks(), *every_block().blocks), {"rows": [{"name": HOSTILE}]}, "rows"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    if name not in ("json", "jsonl", "saved"):  # these are plain ASCII, with escapes
        assert "count" in text
        assert "層" in text
    if name == "html":
        assert "<b>" not in text
        assert "Content-Security-Policy" in text
    if name == "markdown":
        assert "<b>" not in text.replace("\\<", "")
        assert "\n\x1b" not in text


@pytest.mark.parametrize("name", RENDERERS)
def test_text_ends_with_a_newline(name: str) -> None:
    text = RENDERERS[name].render(Report((Note("a"),), {"rows": []}, "rows"))
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
