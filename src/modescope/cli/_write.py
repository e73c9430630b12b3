"""Write a report where it was asked for, in the form it was asked for."""

import os
import sys
from pathlib import Path

from modescope.errors import UsageError
from modescope.render import renderers, replace
from modescope.reports import Report


def check(output: Path | None) -> None:
    """Refuse a place that cannot be written before work starts, not after it.

    Raises:
        UsageError: The folder of the file is missing or not writable.
    """
    if output is not None and not (output.parent.is_dir() and os.access(output if output.exists() else output.parent, os.W_OK)):
        raise UsageError(f"{output}: cannot be written (no such folder, or no permission).")


def chosen(form: str | None, output: Path | None, default: str) -> str:
    """The renderer that was asked for, or that the suffix of the file names, or the default."""
    if form is not None or output is None:
        return form or default
    return next((name for name, renderer in renderers().items() if getattr(renderer, "SUFFIX", "") == output.suffix), default)


def write(report: Report, form: str, output: Path | None = None) -> None:
    """Render and write; a file is replaced only when the whole text is there.

    Raises:
        UsageError: The file cannot be written.
    """
    text: str = renderers()[form].render(report)
    if output is None:
        stream = sys.stdout
        stream.write(text.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8"))
        return
    replace(output, text)
