"""Descrambling: the weights of one layer in a readable order."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import written

GRID = "grid"
READINGS = ("fourier", "modes", "filter", "baseline", "spectrogram", "gram", "pairing")
CONTROLS = ("untrained", "isotropic", "shuffled", "scrambled", "bootstrap")


@click.command("descramble", short_help="The weights of one layer in a readable order of its hidden space.")
@click.argument("path", metavar="PATH")
@click.option("--layer", metavar="NAME", help="Module or tensor, as in the file; not needed where there is only one matrix.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What goes into this layer, as .npy or .npz: one sample per row, one column per input of the layer. For the sides right "
    "and joint these are what the activation before it made. The diagonal criteria need none.",
)
@click.option("--data-key", metavar="KEY", help="Array of the .npz file; not needed where it holds one.")
@click.option(
    "--moments",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="In place of data their moments, an .npz with count, mean and scatter; there is no bootstrap then.",
)
@click.option(
    "--side",
    type=click.Choice(["left", "right", "joint"]),
    default="left",
    show_default=True,
    help="What is turned: left the outputs of the layer (P W), right its inputs (W P^T), joint its inputs, by its weights as well.",
)
@click.option(
    "--criterion",
    type=click.Choice(["smoothness", "permutation", "diagonal_sum", "diagonal_normsq"]),
    default="smoothness",
    show_default=True,
    help="What is looked for: the smoothest rotation, the smoothest order of the neurons, or for a square weight a large diagonal.",
)
@click.option(
    "--difference",
    type=click.Choice(["forward", "second", "periodic", "central", "fourier-first", "fourier-second", GRID]),
    default="forward",
    show_default=True,
    help="How smoothness along the neuron index is measured; fourier-second is the choice of Amey et al. (2021).",
)
@click.option(
    "--operator", type=click.Path(path_type=Path), metavar="FILE", help="A matrix D of your own in place of these, as .npy."
)
@click.option("--grid", metavar="RxC", help="Rows and columns of neurons for --difference grid, as 8x16.")
@click.option("--centred", is_flag=True, help="Take the mean of the hidden data off.")
@click.option("--no-bias", is_flag=True, help="Leave the bias of the layer out; only the side left asks.")
@click.option("--bias", type=click.Path(path_type=Path), metavar="FILE", help="Another bias than that of the file, as .npy.")
@click.option(
    "--axis",
    metavar="START:STEP:UNIT",
    help="What the side that is not turned stands for, as 0:0.008:us: the inputs for --side left, the outputs otherwise. "
    "Frequencies and fits are told in these units.",
)
@click.option(
    "--untrained",
    metavar="PATH",
    help="The network before its training, beside which readings and controls stand; by default random weights are drawn.",
)
@click.option("--readings", default=",".join(READINGS), show_default=True, metavar="A,B", help="Which, or none.")
@click.option("--controls", default=",".join(CONTROLS), show_default=True, metavar="A,B", help="Which, or none.")
@click.option(
    "--draws", default=199, show_default=True, help="Draws of the nulls that readings stand beside, 99 or more for modes."
)
@click.option("--seed", default=0, show_default=True, help="Derives every draw.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the matrices there, a .safetensors file with P, PW, VtPW and the spectra; the JSON names it.",
)
@click.option(
    "--save-reordered",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="With --criterion permutation: write the network with its neurons in the new order there, a .safetensors file, when it is "
    "shown to be the same function.",
)
@click.option("--wiring", metavar="HOW", help="For --save-reordered, as in modescope graph: order, family, or a JSON file.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written("Write to this file, not to stdout; .html is the page, .safetensors the matrices.")
def command(
    path: str,
    data: Path | None,
    data_key: str | None,
    moments: Path | None,
    difference: str,
    operator: Path | None,
    grid: str | None,
    no_bias: bool,
    bias: Path | None,
    readings: str,
    controls: str,
    save: Path | None,
    save_reordered: Path | None,
    wiring: str | None,
    quiet: bool,
    format: str | None,
    json: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """The weights of one layer of PATH in the basis of its hidden space in which its signals are smooth along the neuron index.

    The picture along the hidden axis is made by the criterion: it is smooth for untrained weights, too. What speaks of the network
    is the other side, beside the controls. Apart from a permutation the result is a view of the weights and no network.
    """
    from modescope.cli import _arrays
    from modescope.cli._progress import counted
    from modescope.cli._write import check, chosen, write
    from modescope.descrambling import descramble
    from modescope.descrambling.arrays import SUFFIX
    from modescope.descrambling.document import document
    from modescope.descrambling.feeding import UnfitDataError
    from modescope.errors import UsageError
    from modescope.render._plain import plain

    matrices = output is not None and format is None and not json and output.suffix == SUFFIX
    read = [path, options["untrained"], wiring, data, moments, operator, bias]
    for file in (output, save, save_reordered):
        check(file, *(one for one in read if one is not None))
    for word, file in (("--save", save), ("--save-reordered", save_reordered)):
        if file is not None and file.suffix != SUFFIX:
            raise UsageError(f"{word}: expected a file that ends in {SUFFIX}, got {str(file)!r}.")
    named = [file.resolve() for file in (output, save, save_reordered) if file is not None]
    if len(set(named)) < len(named) and not (matrices and save_reordered is None):
        raise UsageError("-o, --save, --save-reordered: expected different files, as one would replace the other.")
    if no_bias and bias is not None:
        raise UsageError("--bias: expected without --no-bias.")
    _reorders(save_reordered, wiring, options["criterion"])
    with counted(quiet=quiet) as update:
        try:
            result = descramble(
                path,
                inputs=None if data is None else _arrays.samples(data, data_key),
                moments=None if moments is None else _arrays.moments(moments),
                difference=_operator(difference, grid, operator),
                bias=not no_bias if bias is None else _arrays.array(bias),
                readings=_names(readings),
                controls=_names(controls),
                progress=update,
                **options,
            )
        except UnfitDataError as error:
            raise UsageError(f"{data if moments is None else moments}: {error}") from error
    if save is not None:
        result.save(save)
    if save_reordered is not None:
        made = result.reordered(path, wiring=wiring)
        made.save(save_reordered)
        print(f"{plain(str(save_reordered))}: {plain(made.status)}", file=sys.stderr)
    if matrices and output is not None:
        result.save(output)
    else:
        report = replace(result.report(), document=document(result, arrays=None if save is None else str(save)))
        write(report, chosen("json" if json else format, output, "table"), output)
    for caution in result.cautions:
        print(f"caution: {plain(caution)}", file=sys.stderr)
    return 0


def _reorders(file: Path | None, wiring: str | None, criterion: str) -> None:
    from modescope.errors import UsageError

    if file is not None and criterion != "permutation":
        raise UsageError(
            f"--save-reordered: expected with --criterion permutation, the only one that keeps a network, got {criterion}."
        )
    if file is None and wiring is not None:
        raise UsageError("--wiring: expected with --save-reordered.")


def _names(text: str) -> tuple[str, ...]:
    """Names between commas; none for none."""
    return () if text.strip() == "none" else tuple(name.strip() for name in text.split(",") if name.strip())


def _operator(difference: str, grid: str | None, own: Path | None) -> Any:
    """The name of the operator, that of a grid itself, which needs its sides, or a matrix from a file."""
    from modescope.cli import _arrays
    from modescope.descrambling import operators
    from modescope.errors import UsageError

    if own is not None:
        if grid is not None or difference != "forward":
            raise UsageError("--operator: expected without --difference and --grid, in whose place it stands.")
        return _arrays.array(own)
    if (difference == GRID) != (grid is not None):
        raise UsageError("--grid: expected together with --difference grid, as --difference grid --grid 8x16.")
    if grid is None:
        return difference
    rows, _, columns = grid.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise UsageError(f"--grid: expected rows x columns, as 8x16, got {grid!r}.")
    return operators.grid(int(rows), int(columns))
