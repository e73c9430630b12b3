"""Train a fully connected network in modes on a data set, from one seed or several."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modescope.cli._options import Format

if TYPE_CHECKING:
    from modescope.modes.tasks import Task
    from modescope.modes.training.result import Fit

INITS = ("spectral", "iid", "published")
HIDDEN = {"xor": "8"}
USUAL = "100,100"
FOLDER: Any = click.Path(file_okay=False, path_type=Path)
FILE: Any = click.Path(dir_okay=False, path_type=Path)


@click.command("train", short_help="Train a network in modes on a data set.")
@click.argument("data", metavar="DATA")
@click.option("--split", default=0, show_default=True, help="Which samples of digits or of an .npz are for testing; seed of xor.")
@click.option("--hidden", metavar="N,N", help=f"Units of the hidden layers; by default {USUAL}, of xor {HIDDEN['xor']}.")
@click.option(
    "--modes",
    default="auto",
    show_default=True,
    metavar="P",
    help="Modes of every layer, as 30, or of each, as 30,30,dense; auto is a third of the parameters; dense has no modes.",
)
@click.option("--over-complete", is_flag=True, help="Make modes also where they save nothing, and more than the rank can use.")
@click.option("--tied", is_flag=True, help="One set of patterns between two layers, which both use.")
@click.option("--init", type=click.Choice(INITS), default="spectral", show_default=True, help="How modes begin.")
@click.option("--gain", default=2.0, show_default=True, help="Variance of the weights at the start, times the inputs.")
@click.option("--frozen-strength", is_flag=True, help="Fix all strengths at 1: plain low rank.")
@click.option("--orthogonal", is_flag=True, help="Keep the patterns of a layer orthonormal.")
@click.option("--bias/--no-bias", default=True, show_default=True, help="Whether layers have a bias.")
@click.option("--epochs", default=60, show_default=True, help="Times that all samples are gone through.")
@click.option("--batch", default=50, show_default=True, help="Samples in a step.")
@click.option("--lr", default=0.005, show_default=True, help="Learning rate of the first epoch.")
@click.option("--weight-decay", default=1e-4, show_default=True, help="Decay as in AdamW; biases are not decayed.")
@click.option(
    "--halve-every", type=int, default=20, show_default=True, metavar="N", help="Halve the learning rate after N epochs; 0: never."
)
@click.option("--validation", default=0.0, show_default=True, help="Share of the training samples that is held out.")
@click.option(
    "--patience", type=int, metavar="N", help="Stop after N epochs without a better validation, and take the best weights."
)
@click.option("--clip", type=float, metavar="X", help="Largest norm of the gradient.")
@click.option("--autocast", is_flag=True, help="Run the network in bfloat16.")
@click.option("--device", help="A torch device such as cuda:0; by default the CPU.")
@click.option(
    "--keep-energy", type=float, metavar="X", help="Every few epochs, keep singular modes that hold this share of energy."
)
@click.option("--prune-below", type=float, metavar="X", help="Every few epochs, drop modes below this share of the most important.")
@click.option("--grow", type=int, metavar="N", help="Every few epochs, add N modes to each layer, while it saves parameters.")
@click.option("--change-every", default=5, show_default=True, metavar="N", help="How many epochs that is.")
@click.option(
    "--seed", "seed", multiple=True, type=int, help="Derives every draw; by default 0. Repeatable: one training for each."
)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="Short for the seeds 0 to N - 1.")
@click.option("--beside-dense", is_flag=True, help="Train the dense network of that shape as well, by the same settings and seeds.")
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of torch; by default 1 below a million parameters, where a step is too short to be shared.",
)
@click.option("--output", "-o", type=FOLDER, metavar="FOLDER", help="Keep the run here after every epoch; several in sub-folders.")
@click.option("--resume", is_flag=True, help="Go on with what is in that folder.")
@click.option("--store", type=FOLDER, metavar="DIR", help="Write a scan of every epoch to this store, which `serve` shows.")
@click.option("--report", type=FILE, metavar="FILE", help="Write the report here besides, as .html or another form.")
@click.option("--format", type=Format(), default="table", show_default=True, help="How to print the result.")
@click.option("--json", is_flag=True, help="Short for --format json.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors.")
def command(
    data: str,
    split: int,
    hidden: str | None,
    modes: str,
    seed: tuple[int, ...],
    seeds: int | None,
    beside_dense: bool,
    threads: int | None,
    output: Path | None,
    resume: bool,
    store: Path | None,
    report: Path | None,
    format: str,
    json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Train a fully connected network in modes.

    DATA is digits (shipped), xor, a folder of IDX files (MNIST, Fashion-MNIST), or an .npz file with x_train, y_train, x_test and
    y_test. The folder of -o holds the trained network as model.safetensors, which `scan` and `modes read` open.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._progress import counted
    from modescope.cli._write import check, check_suffix, write
    from modescope.errors import Interrupted, UsageError
    from modescope.modes.tasks import opened
    from modescope.modes.training import run_folder
    from modescope.modes.training.threads import shared_by
    from modescope.modes.training.trials import Trials
    from modescope.render._plain import plain

    check(report, data)
    check_suffix("--report", report)
    chosen = _seeds(seed, seeds)
    widths = _numbers("--hidden", hidden or HIDDEN.get(data, USUAL))
    counts = _counts(modes, len(widths) + 1)
    if resume and output is None:
        raise UsageError("--resume: expected -o with the folder of the run.")
    task = opened(data, split=split)
    sizes = (task.inputs, *widths, task.outputs)
    nets: list[tuple[str, Any]] = [("", counts), *([("dense", [None] * (len(sizes) - 1))] if beside_dense else [])]
    places = {(name, one): _place(output, one if len(chosen) > 1 else None, name) for name, _ in nets for one in chosen}
    made = {(name, one): _network(sizes, given, one, options, dense=name == "dense") for name, given in nets for one in chosen}
    shared, rules = _recipe(options) | {"resume": resume, "store": store}, _rules(options)
    for place in places.values():
        if place is not None:
            run_folder.check(place, resume=resume)
    for said in made[nets[0][0], chosen[0]][1]:
        print(f"caution: {plain(said)}", file=sys.stderr)
    done: dict[str, list[Fit]] = {name: [] for name, _ in nets}
    interrupted = False
    with counted(quiet=quiet) as update, shared_by(threads, [network for network, _ in made.values()]):
        try:
            for (name, one), (network, _) in made.items():
                run = f"{output.name if output else task.name}-{'-'.join(filter(None, (f'seed-{one}', name)))}"
                own = shared if name else shared | rules
                done[name].append(_trained(network, task, one, places[name, one], run, update, own))
        except Interrupted as error:
            interrupted = True
            done[name].append(error.partial)
    result = Trials(tuple(done[""]), tuple(done.get("dense", ())))
    if report is not None:
        result.save(report)
    write(result.report(), "json" if json else format)
    if interrupted:
        kept = "" if output is None else "; --resume goes on"
        print(f"interrupted: the epochs that were finished are told{kept}.", file=sys.stderr)
        return INTERRUPTED
    return FAILED_ROWS if any("not finite" in one.stopped for one in (*result.fits, *result.dense)) else 0


def _trained(
    network: Any,
    task: "Task",
    seed: int,
    folder: Path | None,
    run: str,
    update: Callable[[str, int, int | None], None] | None,
    options: dict[str, Any],
) -> "Fit":
    from modescope.modes.training.fitting import fit

    return fit(network, task, seed=seed, folder=folder, run=run, progress=update, **options)


def _network(sizes: tuple[int, ...], counts: Any, seed: int, options: dict[str, Any], *, dense: bool) -> tuple[Any, list[str]]:
    """The network, drawn from the seed, and what must be said of layers that stay dense."""
    from modescope.modes.training.networks import drawn

    _fit_ranks(sizes, counts, options)
    kept = ("init", "gain", "frozen_strength", "orthogonal", "tied")
    given = {"gain": options["gain"]} if dense else {name: options[name] for name in kept}
    made, stays = drawn(sizes, counts, seed, bias=options["bias"], over_complete=options["over_complete"], **given)
    if counts == "auto" and not any(hasattr(layer, "n_modes") for layer in made.modules()):
        said = "all layers are so small that auto leaves them dense, and this is a dense network. Give --modes, and --over-complete"
        return made, [f"{said} where they save nothing."]
    said = "stays dense: as many modes would cost no less than the weight. Or: --over-complete."
    return made, [f"layer {', '.join(map(str, stays))} {said}"] if stays else []


def _fit_ranks(sizes: tuple[int, ...], counts: Any, options: dict[str, Any]) -> None:
    """Refuse more modes than the rank of a weight can use, unless it is asked for."""
    from itertools import pairwise

    from modescope.errors import UsageError

    ranks = [min(pair) for pair in pairwise(sizes)]
    if options["over_complete"] or options["tied"] or counts == "auto":
        return
    if isinstance(counts, int):
        if counts > max(ranks):
            raise UsageError(
                f"--modes: expected at most {max(ranks)}, the largest rank of a layer, got {counts}. Or: --over-complete."
            )
        return
    for at, (p, rank) in enumerate(zip(counts, ranks, strict=False)):
        if p is not None and p > rank:
            raise UsageError(
                f"--modes: expected at most {rank} modes in layer {at} ({sizes[at]} to {sizes[at + 1]}), whose rank is no larger, "
                f"got {p}. Or: --over-complete."
            )


def _recipe(options: dict[str, Any]) -> dict[str, Any]:
    from modescope.modes.training.recipe import Recipe

    names = ("epochs", "batch", "lr", "weight_decay", "halve_every", "validation", "patience", "clip", "autocast", "device")
    found = {name: options[name] for name in names} | {"halve_every": options["halve_every"] or None}
    Recipe(**{name: value for name, value in found.items() if name != "device"})  # what does not fit is said before all else
    return found


def _rules(options: dict[str, Any]) -> dict[str, Any]:
    from modescope.errors import UsageError
    from modescope.modes.training.growth import Grow, KeepEnergy, PruneBelow

    every = options["change_every"]
    energy, share, grow = options["keep_energy"], options["prune_below"], options["grow"]
    if energy is not None and share is not None:
        raise UsageError("--keep-energy, --prune-below: expected one of the two.")
    rules: dict[str, Any] = {}
    if energy is not None:
        rules["prune"] = KeepEnergy(energy, every=every, start=every + 1)
    if share is not None:
        rules["prune"] = PruneBelow(share, every=every, start=every + 1)
    if grow is not None:
        rules["grow"] = Grow(grow, every=every, start=every + 1)
    return rules


def _seeds(seed: tuple[int, ...], seeds: int | None) -> tuple[int, ...]:
    from modescope.errors import UsageError

    if seed and seeds is not None:
        raise UsageError("--seed, --seeds: expected one of the two.")
    chosen = tuple(range(seeds)) if seeds is not None else seed or (0,)
    if len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise UsageError(f"--seed: expected different numbers of 0 or more, got {', '.join(map(str, chosen))}.")
    return chosen


def _counts(text: str, layers: int) -> int | str | list[int | None]:
    parts = [part.strip() for part in text.split(",")]
    if parts == ["auto"]:
        return "auto"
    if len(parts) == 1:
        return [None] * layers if parts == ["dense"] else _numbers("--modes", text)[0]
    return [None if part == "dense" else _numbers("--modes", part)[0] for part in parts]


def _numbers(option: str, text: str) -> tuple[int, ...]:
    from modescope.errors import UsageError

    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (0,)
    if min(found) < 1:
        words = ", auto or dense" if option == "--modes" else ""
        raise UsageError(f"{option}: expected numbers of 1 or more between commas{words}, got {text!r}.")
    return found


def _place(output: Path | None, seed: int | None, name: str) -> Path | None:
    parts = [*([f"seed-{seed}"] if seed is not None else []), *([name] if name else [])]
    return None if output is None else output.joinpath("-".join(parts)) if parts else output
