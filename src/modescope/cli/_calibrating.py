"""Options by which a command runs the user's network on data, and what they make: the moments of what goes into its layers."""

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modescope.cli._options import Command, Listed

if TYPE_CHECKING:
    from modescope.modes.calibration import Calibration

OPTIONS = (
    "model",
    "arg",
    "data",
    "data_key",
    "tokens",
    "size",
    "mean",
    "std",
    "channels",
    "batch",
    "device",
    "save_calibration",
)
BATCH = 64
FILE: Any = click.Path(dir_okay=False, path_type=Path)
ARRAYS = (".npz", ".npy")
ARCHIVE = ".npz"
SUFFIX = ".safetensors"
SCALING = ("size", "mean", "std", "channels")
NAMED = 3  # layers in a caution

Progress = Callable[[str, int, int | None], None]


def calibrating(command: Command) -> Command:
    """--model, --arg, --data, --data-key, --tokens, --size, --mean, --std, --channels, --batch, --device, --save-calibration."""
    for option in reversed(
        [
            click.option(
                "--model",
                metavar="MODEL",
                help="Function that makes the network of PATH, as net.py:make; with --data or --tokens it is calibrated here. Its "
                "code is run.",
            ),
            click.option("--arg", multiple=True, type=Listed(), metavar="NAME=VALUE", help="Argument of MODEL. Repeatable."),
            click.option(
                "--data",
                type=click.Path(path_type=Path),
                metavar="DATA",
                help="What it is run on: samples as .npy or .npz, or images as a folder, an array or IDX.",
            ),
            click.option("--data-key", metavar="NAME", help="Name of the array in an .npz; by default the only one that can be."),
            click.option(
                "--tokens", type=FILE, metavar="FILE", help="In place of --data: whole numbers as .npy, or .npz by argument."
            ),
            click.option("--size", metavar="N", help="Resize images to N pixels a side, or HxW, and cut the rest."),
            click.option("--mean", metavar="A,B,C", help="Taken off images of 0 to 1, one for all channels or one for each."),
            click.option("--std", metavar="A,B,C", help="What images are divided by after that."),
            click.option("--channels", type=click.Choice(["1", "3"]), help="1 for grey, 3 for colours; by default as they are."),
            click.option("--batch", type=click.IntRange(min=1), metavar="N", help=f"Samples at once; by default {BATCH}."),
            click.option("--device", metavar="DEVICE", help="A torch device such as cuda:0; by default that of MODEL."),
            click.option("--save-calibration", type=FILE, metavar="FILE", help="Keep the moments there, for --calibration."),
        ]
    ):
        command = option(command)
    return command


def check(given: dict[str, Any], path: str, calibration: Path | None, *others: Path | None) -> None:
    """Refuse options that do not go together.

    Args:
        given: The options.
        path: The checkpoint.
        calibration: A file of moments that is read, or None.
        others: Files that are written besides, or None.

    Raises:
        UsageError: A network without data or data without a network, both beside a file of moments, or options of neither; or the
            moments cannot be kept where they should.
    """
    from modescope.errors import UsageError

    data = [name for name in ("data", "tokens") if given[name] is not None]
    if given["model"] is None:
        alone = next((name for name, value in given.items() if value not in (None, ())), None)
        if alone is not None:
            raise UsageError(f"--{alone.replace('_', '-')}: expected --model with it, the network that is run on data.")
        return
    if calibration is not None:
        raise UsageError("--model, --calibration: expected one of the two: the network is run, or its moments are read.")
    if len(data) != 1:
        raise UsageError(f"--model: expected --data or --tokens with it, got {'both' if data else 'neither'}.")
    if data == ["tokens"]:
        image = next((name for name in ("data_key", *SCALING) if given[name] is not None), None)
        if image is not None:
            raise UsageError(f"--{image.replace('_', '-')}: expected with --data, not with --tokens.")
    if given["save_calibration"] is not None:
        _place(given["save_calibration"], (path, given[data[0]], given["model"].rpartition(":")[0]), others)


def _place(place: Path, read: tuple[str | Path, ...], written: tuple[Path | None, ...]) -> None:
    from modescope.cli._write import check
    from modescope.errors import UsageError

    check(place, *(one for one in read if one))
    if place.suffix != SUFFIX:
        raise UsageError(f"--save-calibration: expected a file that ends in {SUFFIX}, got {str(place)!r}.")
    if any(one is not None and one.resolve() == place.resolve() for one in written):
        raise UsageError(f"--save-calibration: expected a file of its own, got {place}, where the result is written, too.")


def calibrated(
    path: str, given: dict[str, Any], layers: tuple[str, ...], *, grouped: bool, progress: Progress | None
) -> "Calibration":
    """Make the network, put the weights of the checkpoint into it, run it on the data, and keep the moments where asked.

    Args:
        path: The checkpoint.
        given: The options, as `check` passed them.
        layers: Of which inputs are wanted; those that no layer of the network can give are left out.
        grouped: Whether grouped convolutions may be among them. A file does not show that they are; the network does.
        progress: Told of the batches.

    Raises:
        UsageError: The code, the weights, the data or the options do not fit.
        UnreadableError: A file is damaged.
        UnsafeError: A file holds code.
    """
    from modescope.cli._arguments import argument
    from modescope.errors import UsageError
    from modescope.factories import made, placed, weighted
    from modescope.modes.calibration import calibrate, listened
    from modescope.render._plain import plain

    batches, source = _tokens(given) if given["tokens"] is not None else _data(given, progress)
    with redirect_stdout(sys.stderr):  # what the user's code prints
        network = made(given["model"], dict(argument(one) for one in given["arg"]))
        weighted(network, path)
        modules = dict(network.named_modules(remove_duplicate=False))
        odd = next((name for name in layers if getattr(modules.get(name), "groups", 1) > 1), None)
        if odd is not None and not grouped:
            raise UsageError(
                f"{path}: {plain(odd)} is a grouped convolution in MODEL, for which there is no mode layer. "
                f"Leave it out by --exclude '{plain(odd)}.*', or write --form dense."
            )
        known = set(listened(network))
        wanted = [name for name in layers if name in known]
        if not wanted:
            raise UsageError(
                f"{path}: expected a linear layer or an ungrouped convolution whose weight may become modes, got none in MODEL."
            )
        found = calibrate(placed(network, given["device"]), batches, wanted, source=source, progress=progress)
    if given["save_calibration"] is not None:
        found.save(given["save_calibration"])
    for name, reason in list(found.missing.items())[:NAMED]:
        print(f"caution: {plain(name)}: truncated without a calibration: {plain(reason)}", file=sys.stderr)
    if len(found.missing) > NAMED:
        print(f"caution: so are {len(found.missing) - NAMED} more layers.", file=sys.stderr)
    return found


class _Batches:
    """Rows of arrays some at a time: of one array under an empty name, or by the argument that each is for."""

    def __init__(self, arrays: dict[str, Any], batch: int) -> None:
        self._arrays, self._batch = arrays, batch
        self._rows = len(next(iter(arrays.values())))

    def __len__(self) -> int:
        return len(range(0, self._rows, self._batch))

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, self._rows, self._batch):
            part = {name: array[start : start + self._batch] for name, array in self._arrays.items()}
            yield part.get("", part)


def _tokens(given: dict[str, Any]) -> tuple[Any, str]:
    """Numbers of tokens (N, length); of an archive each array goes to the argument of its name, as input_ids, attention_mask."""
    import numpy as np

    from modescope.cli import _arrays
    from modescope.errors import UsageError

    path = given["tokens"]
    whole = {name: one.astype(np.int64) if one.dtype.kind in "iu" else one for name, one in _arrays.named(path).items()}
    odd = next((one for one in whole.values() if one.dtype.kind not in "ib" or one.ndim == 0), None)
    if odd is not None or not whole:
        got = "none" if odd is None else f"{odd.dtype} {odd.shape}; other numbers are --data"
        raise UsageError(f"{path}: expected whole numbers (samples, length), got {got}.")
    shapes = ", ".join(str(one.shape) for one in whole.values())
    if len({len(one) for one in whole.values()}) != 1 or not len(next(iter(whole.values()))):
        raise UsageError(f"{path}: expected as many rows in each array, at least one, got {shapes}.")
    return _Batches(whole, given["batch"] or BATCH), f"{len(next(iter(whole.values()))):,} samples of {path.name}"


def _data(given: dict[str, Any], progress: Progress | None) -> tuple[Any, str]:
    """Real numbers as they are stored; pictures, whole numbers and whatever is to be scaled as `profile` takes images."""
    from modescope.cli import _arrays
    from modescope.cli._arguments import numbers, pixels
    from modescope.errors import UsageError
    from modescope.profiles.image_files import opened
    from modescope.render._plain import plain

    path, batch = given["data"], given["batch"] or BATCH
    if path.suffix.lower() in ARRAYS and not any(given[name] for name in SCALING):
        array = _arrays.samples(path, given["data_key"])
        if array.dtype.kind == "f":
            if not len(array.shape) > 1 or not array.shape[0]:
                raise UsageError(f"{path}: expected samples (N, ...), got an array of shape {tuple(array.shape)}.")
            batches = array if isinstance(array, _arrays.Rows) else _Batches({"": array}, batch)
            return batches, f"{array.shape[0]:,} samples of {path.name}"
    elif given["data_key"] is not None and path.suffix.lower() != ARCHIVE:
        raise UsageError(f"--data-key: expected with an {ARCHIVE} file, got {path}.")
    images = opened(
        path,
        size=pixels(given["size"]),
        mean=numbers("--mean", given["mean"]),
        std=numbers("--std", given["std"]),
        channels=None if given["channels"] is None else int(given["channels"]),
        name=given["data_key"],
        batch=batch,
        progress=progress,
    )
    if images.skipped:
        first, reason = images.skipped[0]
        print(f"left out: {len(images.skipped)} pictures, first {plain(first)}: {plain(reason)}", file=sys.stderr)
    return images.batches(), f"{images.count:,} images of {path.name}"
