"""Text that neither moves a cursor nor breaks a line, and numbers at a readable precision."""

import math

from modescope.blocks import Cell


def plain(text: str) -> str:
    """Control and other unprintable characters become visible escapes; everything else stays as it is."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text.replace("\u202e", "\\u202e"))


def cell(value: Cell) -> str:
    """A cell for people: four significant digits, missing values as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return plain(str(value))
