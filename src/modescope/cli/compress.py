"""Compress a checkpoint: as few modes as a budget leaves each weight."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from modescope.cli._calibrating import OPTIONS, calibrated, calibrating
from modescope.cli._calibrating import check as check_calibrating
from modescope.cli._options import Format, Listed

PATH = click.Path(dir_okay=False, path_type=Path)


@click.command("compress", short_help="Put the weights of a checkpoint into modes under a budget, and verify the file.")
@click.argument("path", metavar="PATH")
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write this .safetensors file. Without it only the plan is shown.")
@click.option(
    "--budget",
    type=float,
    metavar="SHARE",
    help="Share of ALL parameters of the checkpoint that the new one may hold; 0.5 where no --modes and no --energy is given.",
)
@click.option(
    "--by",
    type=click.Choice(["parameters", "flops"]),
    default="parameters",
    show_default=True,
    help="What the budget counts: flops are the multiply-adds of the weights that may become modes.",
)
@click.option(
    "--modes",
    multiple=True,
    type=Listed(),
    metavar="N",
    help="In place of a budget: a number of modes, a share of the rank below 1, or GLOB=N for some weights. Repeatable.",
)
@click.option("--energy", type=float, metavar="SHARE", help="In place of a budget: share of energy that the modes of each hold.")
@click.option(
    "--calibration",
    type=PATH,
    metavar="FILE",
    help="Moments of the inputs of layers, of --save-calibration or modes.calibrate: keep what outputs need, not weights.",
)
@calibrating
@click.option(
    "--form",
    type=click.Choice(["factored", "dense"]),
    default="factored",
    show_default=True,
    help="Write the factors, or their product in the shape of the weight, which saves no space.",
)
@click.option("--embeddings", is_flag=True, help="Take tables of embeddings as well; not where one is tied to an output layer.")
@click.option("--include", multiple=True, type=Listed(), metavar="GLOB", help="Only tensors whose name matches. Repeatable.")
@click.option("--exclude", multiple=True, type=Listed(), metavar="GLOB", help="No tensor whose name matches. Repeatable.")
@click.option("--kind", multiple=True, type=Listed(), metavar="KIND", help="Only this layer kind, as 'dense'. Repeatable.")
@click.option("--min-dim", default=1, show_default=True, metavar="N", help="Smallest short side of a weight, in entries.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16", "float64"]),
    help="Of the factors; by default that of each weight.",
)
@click.option(
    "--max-error",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Exit with 1 if a weight loses more: its relative Frobenius error, with a calibration that of its outputs.",
)
@click.option("--report", type=PATH, metavar="FILE", help="Write the report there besides, .html for the page.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.option("--format", type=Format(), default="table", show_default=True, help="How to show the result.")
@click.option("--json", is_flag=True, help="Short for --format json.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def command(
    path: str,
    output: Path | None,
    modes: tuple[str, ...],
    max_error: float | None,
    report: Path | None,
    quiet: bool,
    format: str,
    json: bool,
    **options: Any,
) -> int:
    """Put the weights of PATH, a checkpoint file or folder, into modes, and copy everything else bit for bit.

    Without -o nothing is written: the plan shows how many modes each weight would get and what that would lose. With -o the file is
    read back before it takes its place, and errors are measured on the numbers in it. `modescope.modes.load_compressed` puts the
    factored form into a network.
    """
    from modescope.cli._progress import tasks
    from modescope.cli._write import check, check_suffix, write
    from modescope.modes.compression import compress

    given = {name: options.pop(name) for name in OPTIONS}
    check_calibrating(given, path, options["calibration"], output, report)
    read = (path, options["calibration"], given["data"], given["tokens"])
    check(report, *(one for one in read if one is not None))
    check_suffix("--report", report)
    with tasks(quiet=quiet) as update:
        if given["model"] is not None:
            options["calibration"] = partial(calibrated, path, given, grouped=options["form"] == "dense", progress=update)
        result = compress(path, output, modes=_modes(modes), progress=update, **options)
    if report is not None:
        result.save(report)
    write(result.report(), "json" if json else format)
    if output is None:
        print("a plan: nothing was written; give a file with -o.", file=sys.stderr)
    if max_error is not None:
        over = [one for one in result if (one.error if one.output_error is None else one.output_error) > max_error]
        if over:
            print(f"{len(over)} of {len(result)} weights lose more than {max_error:g}, first {over[0].name!a}.", file=sys.stderr)
            return 1
    return 0


def _modes(texts: tuple[str, ...]) -> int | float | dict[str, int] | None:
    """One number for all weights, or one for each glob."""
    from modescope.errors import UsageError

    if not texts:
        return None
    try:
        if len(texts) == 1 and "=" not in texts[0]:
            return float(texts[0]) if "." in texts[0] else int(texts[0])
        return {name: int(number) for name, _, number in (text.rpartition("=") for text in texts)}
    except ValueError as error:
        raise UsageError(f"--modes: expected N, a share as 0.25, or GLOB=N, got {' '.join(texts)!r}.") from error
