"""A page to look at: every matrix of a network, its spectrum and what it says."""

import sys
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import Format, scanning, selection


@click.command("report", short_help="One self-contained page of a network.")
@click.argument("path", metavar="PATH")
@selection
@scanning
@click.option("--format", type=Format(), help="How to write it; by default what the suffix of the file says, and html.")
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to stdout.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def command(path: str, format: str | None, output: Path | None, **options: Any) -> int:
    """An interactive page of PATH that opens from disk or by e-mail: -o report.html; .json keeps it for later.

    PATH is a checkpoint, which is scanned with a null twin of every matrix, a run folder, or a saved report. The last two need
    neither the checkpoint nor a scan, and only --format and -o count.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._scanned import say_failed, scanned
    from modescope.cli._write import check, chosen, write
    from modescope.errors import UsageError
    from modescope.reporting import network, report, saved
    from modescope.result import Scan

    def written(result: Scan) -> None:
        write(network(result), form, output)

    check(output, path)
    form = chosen(format, output, "html")
    if form == "html" and output is None and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("report: expected a file for the page, as -o report.html; a terminal cannot show it.")
    if saved(path):
        write(report(path), form, output)
        return 0
    result = scanned(path, write=written, twin=True, **options)
    if result is None:
        return INTERRUPTED
    say_failed(result)
    return FAILED_ROWS if result.failed else 0
