"""Spectra and measures of every matrix of a checkpoint."""

import sys
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import Listed, output, scanning, selection


@click.command("scan", short_help="Spectra and measures of every matrix.")
@click.argument("path", metavar="PATH")
@selection
@scanning
@click.option(
    "--fail-if",
    multiple=True,
    type=Listed(),
    metavar="CONDITION",
    help="Exit with 1 if any row fulfils it, as 'tail.alpha > 6'. Repeatable.",
)
@click.option("--values", is_flag=True, help="Add all singular values to JSON output.")
@click.option(
    "--vectors", default=0, show_default=True, metavar="K", help="Keep the vectors of the K largest modes in the run folder."
)
@click.option("--twin", is_flag=True, help="Keep the singular values of a null twin of every matrix, for a page to draw.")
@output
def command(path: str, fail_if: tuple[str, ...], values: bool, format: str, json: bool, output: Path | None, **options: Any) -> int:
    """Singular values of every weight matrix of PATH, a file or folder: norms, ranks, modes that stand out of the noise, the tail.

    A matrix that cannot be decomposed costs its own row. After an interruption the finished rows are printed, and --save with
    --resume goes on from there. `modescope measures` explains the numbers and their options.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._scanned import say_failed, scanned
    from modescope.cli._write import check, write
    from modescope.condition import parse, rows_that_fulfil
    from modescope.errors import UsageError
    from modescope.result import Scan

    def written(result: Scan) -> None:
        write(result.report(values=values), "json" if json else format, output)

    check(output, path)
    wanted = [parse(text) for text in fail_if]
    result = scanned(path, write=written, **options)
    if result is None:
        return INTERRUPTED
    if wanted and not len(result):
        raise UsageError(f"{path}: no matrix is selected, so there is nothing that --fail-if could judge.")
    held = [(condition, rows) for condition in wanted if (rows := rows_that_fulfil(condition, result))]
    for condition, rows in held:
        print(f"{condition} holds for {len(rows)} of {len(result)} matrices, first {rows[0].name!a}.", file=sys.stderr)
    say_failed(result)
    if held:
        return 1
    return FAILED_ROWS if result.failed else 0
