"""Profiles: what each mode of a vision network responds to."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modescope.cli._options import Listed, written

if TYPE_CHECKING:
    from modescope.profiles.result import NetworkProfile

AGGREGATES = ("mean", "meanabs", "rms", "max", "min", "centre")
SELECT = ("topk", "energy", "outliers", "edge", "optimal", "all")
STANDARDISE = ("z", "none", "rms", "sigma")
RULE = ("topm", "threshold", "fraction")
SCOPE = ("layer", "network")
NAMED = 3  # pictures that could not be read, on stderr


@click.command("profile", short_help="What each mode of a vision network responds to on a data set.")
@click.argument("model", metavar="MODEL")
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Images: a folder with a sub-folder for each class, or flat; an .npz or .npy file; an IDX file.",
)
@click.option("--weights", metavar="PATH", help="Checkpoint whose tensors are put into the network; nothing in it is run.")
@click.option("--arg", multiple=True, type=Listed(), metavar="NAME=VALUE", help="Argument of the function MODEL. Repeatable.")
@click.option("--labels", metavar="FILE", help="Class of each image, .npy or IDX, or the name of an array in the .npz.")
@click.option("--array", metavar="NAME", help="Array of images in the .npz; by default the only one that can be.")
@click.option("--classes", metavar="A,B", help="Names of the classes.")
@click.option("--size", metavar="N", help="Resize images to N pixels a side, or HxW, and cut what is beside the middle.")
@click.option("--mean", metavar="A,B,C", help="Taken off images of 0 to 1, one for all channels or one for each.")
@click.option("--std", metavar="A,B,C", help="What images are divided by after that.")
@click.option("--channels", type=click.Choice(["1", "3"]), help="1 for grey, 3 for colours; by default those of the images.")
@click.option("--layers", multiple=True, type=Listed(), metavar="GLOB", help="Only layers whose name matches. Repeatable.")
@click.option(
    "--aggregate",
    type=click.Choice(AGGREGATES),
    default="mean",
    show_default=True,
    help="How the positions of an image become one number. The mean sees little but brightness in a first layer.",
)
@click.option(
    "--bn", type=click.Choice(["ignore", "fold"]), default="ignore", show_default=True, help="Multiply batch norms into weights."
)
@click.option("--select", type=click.Choice(SELECT), default="topk", show_default=True, help="Which modes are followed.")
@click.option("--amount", type=float, metavar="X", help="How many, or the parameter of --select; by default 16 for topk.")
@click.option(
    "--share", default=0.1, show_default=True, help="Of the signal of an image that the modes which matter for it exceed."
)
@click.option("--compat", type=click.Choice(["ddp"]), help="Weights of modes as DeepDataProfiler has them.")
@click.option(
    "--standardise",
    type=click.Choice(STANDARDISE),
    default="z",
    show_default=True,
    help="How signals of classes are compared: z in standard deviations from the mean of all images.",
)
@click.option("--rule", type=click.Choice(RULE), default="topm", show_default=True, help="Which modes belong to a class.")
@click.option("--value", type=float, metavar="X", help="Parameter of --rule.")
@click.option("--unsigned", is_flag=True, help="Take both directions of a mode for one vertex of the hypergraph.")
@click.option("--scope", type=click.Choice(SCOPE), default="layer", show_default=True, help="What an edge of the hypergraph spans.")
@click.option("--shown", default=4, show_default=True, help="Modes of each layer that get pictures.")
@click.option("--exemplars", default=9, show_default=True, help="Images at each end of a mode.")
@click.option(
    "--features", type=int, metavar="N", help="Modes of each layer that images are made for; by default --shown, within minutes."
)
@click.option("--span", metavar="LOW:HIGH", help="Least and greatest number of such images; by default those of the data.")
@click.option(
    "--truncation/--no-truncation", default=None, help="Measure accuracy with parts of the modes; by default within minutes."
)
@click.option("--untrained", metavar="PATH", help="Checkpoint before training; by default layers are initialised anew.")
@click.option("--resamples", default=200, show_default=True, help="Bootstrap samples of the images of each class.")
@click.option("--permutations", default=20, show_default=True, help="Of the labels, for the null of the separation of classes.")
@click.option("--batch", default=64, show_default=True, help="Images that the network is given at once.")
@click.option("--device", help="A torch device such as cuda:0; by default where MODEL puts the network.")
@click.option("--seed", default=0, show_default=True, help="Derives every draw.")
@click.option(
    "--save",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write there besides: .safetensors for profiles and modes, .hif.json for the hypergraph. Repeatable.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written("Write to this file, not to stdout; .html is the page, .safetensors the profiles, .hif.json the hypergraph.")
def command(
    model: str,
    data: Path,
    weights: str | None,
    arg: tuple[str, ...],
    labels: str | None,
    array: str | None,
    classes: str | None,
    size: str | None,
    mean: str | None,
    std: str | None,
    channels: str | None,
    layers: tuple[str, ...],
    compat: str | None,
    unsigned: bool,
    span: str | None,
    batch: int,
    device: str | None,
    save: tuple[Path, ...],
    quiet: bool,
    format: str | None,
    json: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """What the modes of a network respond to on a data set.

    MODEL is a Python function that makes the network, package.module:function or path/to/file.py:function. Its code is run, so name
    only code that you trust. What it prints goes to stderr.
    """
    from modescope.cli import INTERRUPTED
    from modescope.cli._arguments import argument, numbers, pixels
    from modescope.cli._progress import tasks
    from modescope.cli._write import check, chosen, write
    from modescope.factories import made, placed, weighted
    from modescope.profiles import profile
    from modescope.profiles.arrays import HIF, SUFFIX
    from modescope.profiles.document import document
    from modescope.profiles.image_files import opened
    from modescope.render._plain import plain

    read = [one for one in (str(data), weights, labels, options["untrained"], model.rpartition(":")[0]) if one]
    for file in (output, *save):
        check(file, *read)
    _known(save, (SUFFIX, HIF))
    sides, limits = pixels(size), _span(span)
    scale = {"mean": numbers("--mean", mean), "std": numbers("--std", std)}
    with tasks(quiet=quiet) as update, redirect_stdout(sys.stderr):
        network = made(model, dict(argument(one) for one in arg))
        if weights is not None:
            weighted(network, weights)
        images = opened(
            data,
            size=sides,
            **scale,
            channels=None if channels is None else int(channels),
            labels=labels,
            name=array,
            batch=batch,
            progress=update,
        )
        result = profile(
            placed(network, device),
            images,
            classes=None if classes is None else [name.strip() for name in classes.split(",")],
            layers=layers or None,
            compat=compat or "",
            signed=not unsigned,
            span=limits,
            progress=update,
            **options,
        )
    for file in save:
        result.save(file)
    if output is not None and format is None and not json and output.name.endswith((SUFFIX, HIF)):
        result.save(output)
    else:
        form = chosen("json" if json else format, output, "table")
        report = result.report()
        if form in {"json", "jsonl"}:
            from dataclasses import replace

            report = replace(report, document=document(result))
        write(report, form, output)
    for caution in result.cautions:
        print(f"caution: {plain(caution)}", file=sys.stderr)
    for image, reason in result.unread[:NAMED]:
        print(f"left out: {plain(image)}: {plain(reason)}", file=sys.stderr)
    if len(result.unread) > NAMED:
        print(f"left out: {len(result.unread) - NAMED} more, which the report names.", file=sys.stderr)
    if _interrupted(result):
        print("interrupted: images made for modes, or the truncation, are missing; the rest is there.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _interrupted(result: "NetworkProfile") -> bool:
    """Whether images for modes or the truncation were cut short by Ctrl-C; what was there by then is kept."""
    made = (one for layer in result.layers for one in ([layer.features] if isinstance(layer.features, str) else layer.features))
    said = [one if isinstance(one, str) else one.status for one in made]
    return any("interrupted" in one for one in (*said, result.truncation if isinstance(result.truncation, str) else ""))


def _known(files: tuple[Path, ...], suffixes: tuple[str, ...]) -> None:
    from modescope.errors import UsageError

    for file in files:
        if not file.name.endswith(suffixes):
            raise UsageError(f"--save: expected a file that ends in {' or '.join(suffixes)}, got {str(file)!r}.")


def _span(text: str | None) -> tuple[float, float] | None:
    from modescope.errors import UsageError

    if text is None:
        return None
    low, sign, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not sign or not found[0] < found[1]:
        raise UsageError(f"--span: expected the least and the greatest number of an image, as 0:1, got {text!r}.")
    return found
