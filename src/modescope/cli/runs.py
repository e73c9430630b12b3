"""Runs in stores and run folders: listed, filtered, asked with SQL, added."""

from pathlib import Path

import click

from modescope.cli._options import Listed, output


@click.command("runs", short_help="Runs in a store: listed, filtered, asked with SQL.")
@click.argument("paths", nargs=-1, required=True, metavar="STORE...", type=click.Path(path_type=Path))
@click.option("--match", default="*", show_default=True, metavar="GLOB", help="Only runs whose name matches, as 'sweep-*'.")
@click.option(
    "--where",
    multiple=True,
    type=Listed(),
    metavar="CONDITION",
    help="Only runs where one matrix, at the last step, fulfils all of them, as 'tail.alpha > 6'. Repeatable.",
)
@click.option("--sql", metavar="SELECT", help="Print what one SELECT answers, from the views rows, latest and spectra.")
@click.option(
    "--add",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="First append this run folder to the store, which is made where it is missing. Repeatable.",
)
@click.option("--run", metavar="NAME", help="Name of the run that is added; by default that of its folder.")
@click.option("--step", type=int, metavar="N", help="Its step in that run; by default none.")
@output
def command(
    paths: tuple[Path, ...],
    match: str,
    where: tuple[str, ...],
    sql: str | None,
    add: tuple[Path, ...],
    run: str | None,
    step: int | None,
    format: str,
    json: bool,
    output: Path | None,
) -> None:
    """Runs of every STORE, the last written first; a run folder of `scan --save` is listed as one run.

    In SQL, `rows` has a line per run, step and matrix, `latest` those of the last step, with numbers as "tail.alpha", in double
    quotes; `spectra` has the singular values.
    """
    from modescope.cli._write import check, write
    from modescope.condition import parse
    from modescope.store import Store, listing

    check(output, *paths)
    if len(paths) > 1 and (add or sql is not None):
        raise click.UsageError(f"--add, --sql: expected one STORE, got {len(paths)}.")
    if not add and (run is not None or step is not None):
        raise click.UsageError("--run, --step: expected --add with the run folder they name.")
    if sql is not None and (where or match != "*"):
        raise click.UsageError("--sql: expected neither --match nor --where; conditions stand in the SELECT.")
    wanted = [parse(text) for text in where]
    if add:
        listing.add(Store(paths[0]), add, run=run, step=step)
    if sql is not None:
        report = listing.answer(Store(paths[0], create=False).query(sql))
    else:
        report = listing.report([each for path in paths for each in listing.found(path, match=match, where=wanted)])
    write(report, "json" if json else format, output)
