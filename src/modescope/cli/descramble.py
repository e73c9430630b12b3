"""Descrambling: the weights of one layer in a readable order."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from modescope.cli._options import written

GRID = "grid"


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
@click.option("--grid", metavar="RxC", help="Rows and columns of neurons for --difference grid, as 8x16.")
@click.option("--centred", is_flag=True, help="Take the mean of the hidden data off.")
@click.option("--no-bias", is_flag=True, help="Leave the bias of the layer out; only the side left asks.")
@click.option(
    "--axis",
    metavar="START:STEP:UNIT",
    help="What the inputs of the layer stand for, as 0:0.008:us; frequencies and fits are told in these units.",
)
@click.option("--draws", default=199, show_default=True, help="Draws of the nulls that readings stand beside.")
@click.option("--seed", default=0, show_default=True, help="Derives every draw.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the matrices there, a .safetensors file with P, PW, VtPW and the spectra; the JSON names it.",
)
@written("Write to this file, not to stdout; .html is the page, .safetensors the matrices.")
def command(
    path: str,
    data: Path | None,
    data_key: str | None,
    difference: str,
    grid: str | None,
    no_bias: bool,
    save: Path | None,
    format: str | None,
    json: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """The weights of one layer of PATH in the basis of its hidden space in which its signals are smooth along the neuron index.

    The picture along the hidden axis is made by the criterion: it is smooth for untrained weights, too. What speaks of the network
    is the input side, beside the controls (of the side left and the criterion smoothness). Apart from a permutation the
    result is a view of the weights and no network.
    """
    from modescope.cli._write import check, chosen, write
    from modescope.descrambling import descramble
    from modescope.descrambling.arrays import SUFFIX
    from modescope.descrambling.document import document
    from modescope.errors import UsageError
    from modescope.render._plain import plain

    matrices = output is not None and format is None and not json and output.suffix == SUFFIX
    given: list[str | Path] = [path, *([data] if data is not None else [])]
    check(output, *given)
    check(save, *given)
    if save is not None and save.suffix != SUFFIX:
        raise UsageError(f"--save: expected a file that ends in {SUFFIX}, got {str(save)!r}.")
    result = descramble(
        path,
        inputs=None if data is None else _samples(data, data_key),
        difference=_operator(difference, grid),
        bias=not no_bias,
        **options,
    )
    if save is not None:
        result.save(save)
    if matrices and output is not None:
        result.save(output)
    else:
        report = replace(result.report(), document=document(result, arrays=None if save is None else str(save)))
        write(report, chosen("json" if json else format, output, "table"), output)
    for caution in result.cautions:
        print(f"caution: {plain(caution)}", file=sys.stderr)
    return 0


def _operator(difference: str, grid: str | None) -> Any:
    """The name of the operator, or that of a grid itself, which needs its sides."""
    from modescope.descrambling import operators
    from modescope.errors import UsageError

    if (difference == GRID) != (grid is not None):
        raise UsageError("--grid: expected together with --difference grid, as --difference grid --grid 8x16.")
    if grid is None:
        return difference
    rows, _, columns = grid.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal()):
        raise UsageError(f"--grid: expected rows x columns, as 8x16, got {grid!r}.")
    return operators.grid(int(rows), int(columns))


def _samples(path: Path, key: str | None) -> Any:
    """The array in a NumPy file; objects, which would run code, are refused."""
    import zipfile

    import numpy as np

    from modescope.errors import UnreadableError, UnsafeError, UsageError

    try:
        with path.open("rb") as file:  # NumPy leaves the file open where the archive is damaged
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                if key is not None:
                    raise UsageError(f"--data-key: {path} holds one array without a name; leave the key out.")
                return found
            names = list(found.files)
            if key is None and len(names) != 1:
                raise UsageError(f"{path}: holds {len(names)} arrays: {_listed(names)}; say which one by --data-key.")
            if key is not None and key not in names:
                raise UsageError(f"{path}: holds no array {key!r}; expected one of {_listed(names)}.")
            return found[names[0] if key is None else key]
    except FileNotFoundError as error:
        raise UnreadableError(f"{path}: no such file; expected the inputs of the layer as .npy or .npz.") from error
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, UsageError):
            raise
        if str(error).startswith("Object arrays"):
            raise UnsafeError(f"{path}: holds Python objects, which run code when they are read; save plain numbers.") from error
        raise UnreadableError(f"{path}: expected a .npy or .npz file of numbers, got another or a damaged one.") from error


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
