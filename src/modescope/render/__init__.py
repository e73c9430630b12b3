"""Renderers: a report in, text out. One file per output; its name is a choice of `--format`.

A renderer has `render(report, /) -> str`, and may have `SUFFIX`, the suffix of the files it is the renderer for. Every renderer
handles every block; the type checker says where one is missing. Names in a report are untrusted text: a renderer escapes what its
output could mistake for markup or terminal codes.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Protocol

from modescope.errors import UsageError
from modescope.registry import modules
from modescope.reports import Report


class Renderer(Protocol):
    """What a module in this folder must offer."""

    def render(self, report: Report, /) -> str:
        """The whole report as text."""


def renderers() -> Mapping[str, ModuleType]:
    """Every renderer by name."""
    return modules(__name__)


def by_suffix() -> dict[str, ModuleType]:
    """The renderers that a file's suffix chooses."""
    return {renderer.SUFFIX: renderer for renderer in renderers().values() if hasattr(renderer, "SUFFIX")}


def save(report: Report, path: Path) -> None:
    """Write a report in the form that the suffix of the file names; see `Report.save`."""
    known = by_suffix()
    if path.suffix not in known:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(sorted(known))}, got {path.suffix or 'no suffix'!r}.")
    replace(path, known[path.suffix].render(report))


def replace(path: Path, content: str | bytes) -> None:
    """Write a file; one that was there is replaced only when the new one is complete.

    Raises:
        UsageError: The file cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # a pipe or a device is written to, not replaced
            path.write_bytes(data)
            return
        try:
            new.write_bytes(data)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error
