"""Checkpoints side by side: what changed, and which modes are found again."""

import sys
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import selection, written


@click.command("compare", short_help="Checkpoints side by side: what changed, which modes are found again.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.argument("more", metavar="[C]...", nargs=-1)
@selection
@click.option(
    "--level",
    default=0.01,
    show_default=True,
    help="Probability that a network of pure noise shows any signal mode, and random directions a match in any change.",
)
@click.option("--seed", default=0, show_default=True, help="Derives every random twin.")
@click.option("--modes", default=32, show_default=True, metavar="K", help="How many of the largest modes are matched.")
@click.option(
    "--epsilon",
    default=0.5,
    show_default=True,
    metavar="COSINE",
    help="A leading mode is an intruder if its largest cosine with any earlier one is below this.",
)
@click.option("--device", help="A CUDA device such as cuda:0; by default the CPU.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written()
def command(
    a: str, b: str, more: tuple[str, ...], quiet: bool, format: str | None, json: bool, output: Path | None, **options: Any
) -> int:
    """Compare the checkpoints A, B, … of one network in order: before and after fine-tuning, or the stages of a training.

    Per layer: the measures side by side, the difference of the weights as a spectrum of its own, and the modes followed from one
    checkpoint to the next. With `-o compare.html` the result is a page. A layer that fails costs its own row.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._progress import progress
    from modescope.cli._write import check, chosen, write
    from modescope.comparison import compare
    from modescope.errors import Interrupted

    check(output, a, b, *more)
    form = "json" if json else chosen(format, output, "table")
    try:
        with progress(quiet=quiet) as update:
            result = compare(a, b, *more, progress=update, **options)
    except Interrupted as stop:
        write(stop.partial.report(), form, output)
        print(f"interrupted after {len(stop.partial)} layers; these are kept.", file=sys.stderr)
        return INTERRUPTED
    write(result.report(), form, output)
    for layer in result.failed:
        print(f"failed: {layer.name!a} ({layer.view}): {layer.status}", file=sys.stderr)
    return FAILED_ROWS if result.failed else 0
