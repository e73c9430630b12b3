"""A report: the blocks of a result put together with the document that a program reads instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.blocks import Block


@dataclass(frozen=True)
class Report:
    """What a renderer gets.

    Attributes:
        blocks: What a person sees, in order.
        document: The same result as plain JSON data under a schema.
        items: Key of the document that holds one entry per row: those become the lines of JSONL.
    """

    blocks: tuple[Block, ...]
    document: Mapping[str, Any]
    items: str
