"""Say what a checkpoint is and what would be analysed; no weight is read."""

from pathlib import Path
from typing import Any

import click

from modescope.cli._options import output, selection


@click.command("inspect", short_help="What a checkpoint holds; reads no weights.")
@click.argument("path", metavar="PATH")
@selection
@output
def command(path: str, format: str, json: bool, output: Path | None, **selected: Any) -> int:
    """What the file or folder PATH is, its tensors, which matrices would be analysed and which not, and why."""
    from modescope.cli import UNSAFE
    from modescope.cli._write import check, write
    from modescope.inspection import inspect

    check(output, path)
    found = inspect(path, **selected)
    write(found.report(), "json" if json else format, output)
    return UNSAFE if found.unsafe else 0
