"""A report: the blocks of a result put together with the document that a program reads instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modescope.blocks import Block


@dataclass(frozen=True)
class Report:
    """What a renderer gets.

    Attributes:
        blocks: What a person sees, in order.
        document: The same result as plain JSON data under a schema.
        items: Key of the document that holds one entry per row: those become the lines of JSONL.
        title: One line.
        code: Lines of Python that make this report, or empty.
    """

    blocks: tuple[Block, ...]
    document: Mapping[str, Any]
    items: str
    title: str = "Modescope"
    code: str = ""

    def save(self, path: str | Path) -> None:
        """Write the report: a page (`.html`), the saved form that `load_report` opens (`.json`), or text (`.md`, `.csv`, `.txt`).

        A page holds the saved form, too, and opens again as well. An existing file is replaced only when the new one is complete.

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        from modescope.render import save

        save(self, Path(path))

    def _repr_html_(self) -> str:
        from modescope.render.html import frame

        return frame(self)
