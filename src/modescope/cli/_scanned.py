"""Scan as the options of a command say, with a progress bar, and say what failed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from modescope.result import Scan


def scanned(
    path: str,
    *,
    set: tuple[str, ...],
    memory: float | None,
    quiet: bool,
    save: Path | None,
    write: Callable[["Scan"], None],
    **options: Any,
) -> "Scan | None":
    """Scan and write; None where it was interrupted, after what was finished has been written.

    Args:
        path: The checkpoint.
        set: Options of measures, as `tail.bootstrap=200`.
        memory: Budget in GB.
        quiet: No progress.
        save: Run folder.
        write: Called with the scan, complete or not.
        options: The others of `scan`.

    Raises:
        UsageError: An option that does not exist, or a value out of range.
    """
    from modescope.cli._progress import progress
    from modescope.errors import Interrupted, UsageError
    from modescope.scanning import scan

    chosen = _settings(set)
    if memory is not None and not memory < 1e9:
        raise UsageError(f"--memory: expected a number of GB, got {memory}.")
    budget = None if memory is None else int(memory * 1e9)
    try:
        with progress(quiet=quiet) as update:
            result = scan(path, options=chosen, memory=budget, progress=update, save_to=save, **options)
    except Interrupted as stop:
        if len(stop.partial):  # a page of nothing should not replace an earlier one
            write(stop.partial)
        kept = "nothing is lost: continue with --resume" if save else "with --save it could be continued"
        print(f"interrupted after {len(stop.partial)} matrices; {kept}.", file=sys.stderr)
        return None
    write(result)
    return result


def say_failed(result: "Scan") -> None:
    """Name the matrices without numbers on stderr."""
    for row in result.failed:
        print(f"failed: {row.name!a} ({row.view}): {row.status}", file=sys.stderr)


def _settings(texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """`measure.option=value` with the value read as JSON, and as text where it is none."""
    from json import loads

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        measure, dot, name = place.partition(".")
        if not (equals and dot and measure and name):
            raise click.UsageError(f"--set {text!r}: expected a form like tail.bootstrap=200.")
        try:
            found.setdefault(measure, {})[name] = loads(value)
        except ValueError:
            found.setdefault(measure, {})[name] = value
    return found
