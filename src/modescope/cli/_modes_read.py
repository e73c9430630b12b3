"""`modescope modes read`: which modes of a trained network matter, what is lost without them, and how compact its states are."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modescope.cli._options import Listed, written

if TYPE_CHECKING:
    from modescope.modes.reading.result import Reading

STARTS = ("spectral", "iid", "published")
PLACE: Any = click.Path(path_type=Path)
MODEL = "model.safetensors"


@click.command("read", short_help="Which modes of a trained network matter, and what is lost without them.")
@click.argument("where", metavar="FOLDER|CHECKPOINT|MODEL")
@click.option("--data", metavar="DATA", help="What the network is judged by: digits, xor, a folder of IDX files, or an .npz file.")
@click.option("--split", default=0, show_default=True, help="Which samples of digits or of an .npz are for testing; seed of xor.")
@click.option("--weights", type=PLACE, metavar="PATH", help="Checkpoint whose tensors are put into MODEL; nothing in it is run.")
@click.option("--arg", multiple=True, type=Listed(), metavar="NAME=VALUE", help="Argument of the function MODEL. Repeatable.")
@click.option("--run", multiple=True, type=PLACE, metavar="PATH", help="The same network trained from another seed. Repeatable.")
@click.option("--untrained", type=PLACE, metavar="PATH", help="The network before training, whose states are shown beside.")
@click.option("--dense", type=PLACE, metavar="PATH", help="A dense network of the same data, likewise.")
@click.option("--layers", multiple=True, type=Listed(), metavar="GLOB", help="Only layers whose name matches. Repeatable.")
@click.option(
    "--init",
    type=click.Choice(STARTS),
    help="How the modes were drawn before training, if the network does not say so: such layers are the null of the fits.",
)
@click.option("--null", default=200, show_default=True, help="Such layers that are drawn; 0 for none.")
@click.option("--draws", default=20, show_default=True, help="Random orders in which modes are taken out.")
@click.option("--resamples", default=200, show_default=True, help="Bootstrap resamples of the fits.")
@click.option("--directions", "q", default=4, show_default=True, help="Directions of a class, for the overlap of classes.")
@click.option("--device", help="A torch device such as cuda:0; by default the CPU.")
@click.option("--seed", default=0, show_default=True, help="Derives every draw.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written("Write to this file, not to stdout; .html is the page.")
def command(
    where: str,
    data: str | None,
    weights: Path | None,
    run: tuple[Path, ...],
    untrained: Path | None,
    dense: Path | None,
    seed: int,
    quiet: bool,
    format: str | None,
    json: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """Read a network in modes.

    FOLDER is a training of `modes train`, or one with a sub-folder for each seed, whose first is read and whose others are runs
    beside it. CHECKPOINT is any file with layers in modes. Without --data it is what their factors say by themselves.

    MODEL is a Python function that makes the network, package.module:function or path/to/file.py:function. Its code is run, so name
    only code that you trust.
    """
    from modescope.cli import INTERRUPTED
    from modescope.cli._progress import tasks
    from modescope.cli._write import check, chosen, write
    from modescope.errors import Interrupted, UsageError
    from modescope.render._plain import plain

    function = not Path(where).exists() and ":" in where
    place, others = (Path(where), []) if function else _runs(Path(where))
    check(output, *map(str, (place, *others, *run, *filter(None, (weights, untrained, dense, data)))))
    form = "json" if json else chosen(format, output, "table")
    if seed < 0:
        raise UsageError(f"--seed: expected a number that is not negative, got {seed}.")
    if weights is not None and not function:
        raise UsageError("--weights: expected with a function MODEL, such as net.py:network; a checkpoint has weights of its own.")
    if data is None and (untrained or dense):
        raise UsageError("--untrained, --dense: expected --data, on which their states are compared.")
    runs = [*others, *run]
    with tasks(quiet=quiet) as update, redirect_stdout(sys.stderr):
        try:
            if data is None and not function:
                result = _factors(place, runs, seed, update, options)
            else:
                network = _made(where, weights, options) if function else None
                result = _network(network, place, data, runs, (untrained, dense), seed, update, options)
        except Interrupted as stop:
            result, interrupted = stop.partial, True
        else:
            interrupted = False
    write(result.report(), form, output)
    for caution in result.cautions:
        print(f"caution: {plain(caution)}", file=sys.stderr)
    if interrupted:
        print("interrupted: what was read by then is there, the rest is missing.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _runs(place: Path) -> tuple[Path, list[Path]]:
    """A training and others of it: a folder of several seeds is read by its first, and its others are runs beside."""
    if place.is_dir() and not (place / MODEL).exists():
        found = [one for one in place.glob("seed-*") if one.name.removeprefix("seed-").isdecimal() and (one / MODEL).is_file()]
        if found:
            first, *others = sorted(found, key=lambda one: int(one.name.removeprefix("seed-")))
            return first, others
    return place, []


def _factors(place: Path, runs: list[Path], seed: int, update: Any, options: dict[str, Any]) -> "Reading":
    from modescope.modes.reading import read_factors

    return read_factors(
        place,
        layers=options["layers"] or None,
        runs=runs,
        init=options["init"],
        null=options["null"],
        resamples=options["resamples"],
        seed=seed,
        progress=update,
    )


def _network(
    network: Any,
    place: Path,
    data: str | None,
    runs: list[Path],
    beside: tuple[Path | None, Path | None],
    seed: int,
    update: Any,
    options: dict[str, Any],
) -> "Reading":
    from modescope.factories import placed
    from modescope.modes.reading import read
    from modescope.modes.tasks import opened
    from modescope.modes.training import run_folder

    task = None if data is None else opened(data, split=options["split"])
    model = run_folder.load(place)[0] if network is None else network
    untrained, dense = (None if one is None else placed(run_folder.load(one)[0], options["device"]) for one in beside)
    return read(
        placed(model, options["device"]),
        task,
        layers=options["layers"] or None,
        runs=[run_folder.load(one)[0] for one in runs],
        untrained=untrained,
        dense=dense,
        init=options["init"],
        draws=options["draws"],
        null=options["null"],
        resamples=options["resamples"],
        q=options["q"],
        seed=seed,
        progress=update,
    )


def _made(where: str, weights: Path | None, options: dict[str, Any]) -> Any:
    from modescope.cli._arguments import argument
    from modescope.factories import made, weighted

    network = made(where, dict(argument(one) for one in options["arg"]))
    if weights is not None:
        weighted(network, weights)
    return network
