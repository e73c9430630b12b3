"""Spectra and measures of every matrix of a checkpoint."""

import sys
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import Listed, output, selection


@click.command("scan", short_help="Spectra and measures of every matrix.")
@click.argument("path", metavar="PATH")
@selection
@click.option("--level", default=0.01, show_default=True, help="Probability that a network of pure noise shows any signal mode.")
@click.option("--seed", default=0, show_default=True, help="Derives every random twin and resample.")
@click.option(
    "--set",
    multiple=True,
    type=Listed(),
    metavar="MEASURE.OPTION=VALUE",
    help="Option of a measure, as tail.bootstrap=200. Repeatable.",
)
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
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Run folder, written row by row.")
@click.option(
    "--resume", is_flag=True, help="Continue in the run folder: rows of the same data, options and version are used again."
)
@click.option("--workers", type=click.IntRange(min=1), help="Threads; by default one per processor.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory budget in GB; by default half of the machine's.",
)
@click.option("--device", help="A CUDA device such as cuda:0; by default the CPU.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@output
def command(
    path: str,
    set: tuple[str, ...],
    fail_if: tuple[str, ...],
    values: bool,
    memory: float | None,
    quiet: bool,
    format: str,
    json: bool,
    save: Path | None,
    output: Path | None,
    **options: Any,
) -> int:
    """Singular values of every weight matrix of PATH, a file or folder: norms, ranks, modes that stand out of the noise, the tail.

    A matrix that cannot be decomposed costs its own row. After an interruption the finished rows are printed, and --save with
    --resume goes on from there. `modescope measures` explains the numbers and their options.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._progress import progress
    from modescope.cli._write import check, write
    from modescope.condition import parse, rows_that_fulfil
    from modescope.errors import UsageError
    from modescope.scanning import Interrupted, scan

    check(output)
    form = "json" if json else format
    wanted = [parse(text) for text in fail_if]
    chosen = _settings(set)
    if memory is not None and not memory < 1e9:
        raise UsageError(f"--memory: expected a number of GB, got {memory}.")
    budget = None if memory is None else int(memory * 1e9)
    try:
        with progress(quiet=quiet) as update:
            result = scan(path, options=chosen, memory=budget, progress=update, save_to=save, **options)
    except Interrupted as stop:
        write(stop.partial.report(values=values), form, output)
        kept = "nothing is lost: continue with --resume" if save else "with --save it could be continued"
        print(f"interrupted after {len(stop.partial)} matrices; {kept}.", file=sys.stderr)
        return INTERRUPTED
    write(result.report(values=values), form, output)
    if wanted and not len(result):
        raise UsageError(f"{path}: no matrix is selected, so there is nothing that --fail-if could judge.")
    held = [(condition, rows) for condition in wanted if (rows := rows_that_fulfil(condition, result))]
    for condition, rows in held:
        print(f"{condition} holds for {len(rows)} of {len(result)} matrices, first {rows[0].name!a}.", file=sys.stderr)
    for row in result.failed:
        print(f"failed: {row.name!a} ({row.view}): {row.status}", file=sys.stderr)
    if held:
        return 1
    return FAILED_ROWS if result.failed else 0


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
