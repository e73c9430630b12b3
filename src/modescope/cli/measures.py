"""Every measured number: what it means, its unit and source, and the options of its measure."""

from pathlib import Path

import click

from modescope.cli._options import output


@click.command("measures", short_help="Every measured number and option, explained.")
@click.argument("names", nargs=-1, metavar="[MEASURE]...")
@output
def command(names: tuple[str, ...], format: str, json: bool, output: Path | None) -> None:
    """What each number of a scan means and when it means nothing, and the options that --set changes, for each MEASURE or all."""
    from modescope.cli._write import write
    from modescope.reference import reference

    write(reference(names), "json" if json else format, output)
