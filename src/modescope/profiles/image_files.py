"""Data sets of images in files: folders of pictures by class, NumPy arrays and archives, and IDX."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope import checkpoints, idx
from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Array, Tensor
from modescope.profiles import image_folder
from modescope.profiles.images import BATCH, Images, Progress, images

Floats = NDArray[np.float32]
Size = int | tuple[int, int]

ARRAYS = (".npz", ".npy")
PAIRS = {"images": "labels", "x": "y", "X": "Y", "data": "labels", "x_test": "y_test", "x_train": "y_train", "arr_0": "arr_1"}
"""Names of arrays that hold images, the first that is there counts, and of their labels."""
LABELS = (*dict.fromkeys(PAIRS.values()), "y", "targets", "target")
CHANNELS = (1, 3)
PICTURE = 4  # axes of a batch of pictures
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it
FULL = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.bool_): 1.0}


def opened(
    path: str | Path,
    *,
    size: Size | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: int | None = None,
    labels: Any = None,
    name: str | None = None,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Images:
    """Images of a data set on disk, as a network takes them: float32 (n, channels, height, width).

    Args:
        path: A folder of pictures, in sub-folders by class or flat; a `.npz` or `.npy` file; an IDX file, `.gz` or not.
        size: Side, or (height, width), to which pictures are resized so that they cover it, and cut in the middle. By default
            they stay as they are, and must all be of one size.
        mean: Taken off after numbers are scaled to 0..1: one for all channels, or one for each.
        std: What is divided by after that.
        channels: 1 for grey or 3 for colours; by default those that the data have, 3 where there are both.
        labels: (N,) class of each image, a file of them (`.npy`, IDX), or in an archive the name of their array. By default the
            sub-folders, the array of labels in the archive, or the IDX file of labels beside that of images.
        name: Of the array of images in an archive; by default the first there is of `PAIRS`, or the only one that is no labels.
        batch: Images at once.
        progress: Told how many pictures of a folder were read.

    Returns:
        `Images`. Whole numbers of 8 and 16 bits are scaled to 0..1, others are left as they are. Pictures that cannot be read are
        left out and named in `Images.skipped`.

    Raises:
        UsageError: An option does not fit, there are no images, or Pillow is needed and missing: `pip install 'modescope[images]'`.
        UnreadableError: A file of arrays is damaged.
        UnsafeError: It holds pickled objects.
    """
    source = Path(path)
    if batch < 1:
        raise UsageError(f"batch: expected the number of images at once, at least 1, got {batch}.")
    if channels not in (None, *CHANNELS):
        raise UsageError(f"channels: expected 1 or 3, got {channels}.")
    side = _sides(size)
    if source.is_dir():
        return _folder(source, side, _Scale.of(mean, std), channels, labels, batch, progress)
    if not source.is_file():
        raise UsageError(f"{source}: expected a folder of pictures, a .npz, .npy or IDX file; there is nothing of that name.")
    found, classes, kind = _arrays(source, labels, name)
    if len(found) == 0:
        raise UsageError(f"{source}: expected images, got an array of shape {found.shape}.")
    given = _Given(found, side, _Scale.of(mean, std), channels, source)
    made = Images(
        lambda: (given.rows(start, start + batch) for start in range(0, len(found), batch)),
        len(found),
        source={
            "path": source.name,
            "format": kind,
            "shape": list(found.shape),
            "dtype": found.dtype.name,
            "scaled": given.full != 1,
        },
        shown=given.scale.undone if given.shows else None,
    )
    given.rows(0, 1)  # what does not fit is said now
    return images(made, classes) if classes is not None else made


@dataclass(frozen=True)
class _Scale:
    """What is done to numbers between 0 and 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, mean: float | Sequence[float] | None, std: float | Sequence[float] | None) -> "_Scale":
        made = cls(_numbers("mean", mean, 0.0), _numbers("std", std, 1.0))
        if min(made.std) <= 0:
            raise UsageError(f"std: expected positive numbers, got {min(made.std)}.")
        return made

    def done(self, x: Floats) -> Floats:
        """(x - mean) / std by channel."""
        mean, std = self._fitted(x)
        found: Floats = (x - mean) / std
        return found

    def undone(self, batch: Any) -> Floats:
        """Numbers between 0 and 1 of a batch as the network takes it."""
        x = batch.detach().cpu().numpy() if hasattr(batch, "untyped_storage") else np.asarray(batch)
        mean, std = self._fitted(x)
        found: Floats = np.clip(x * std + mean, 0, 1, dtype=np.float32)
        return found

    def _fitted(self, x: Array) -> tuple[Floats, Floats]:
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, x.shape[1]):
                raise UsageError(f"{what}: expected 1 number or {x.shape[1]}, one for each channel, got {len(values)}.")
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return np.reshape(self.mean, shape).astype(np.float32), np.reshape(self.std, shape).astype(np.float32)


def _numbers(what: str, given: float | Sequence[float] | None, default: float) -> tuple[float, ...]:
    try:
        found = np.atleast_1d(np.asarray(default if given is None else given, np.float64))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: expected a number, or one for each channel, got {given!r}.") from error
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise UsageError(f"{what}: expected a finite number, or one for each channel, got {given!r}.")
    return tuple(found.tolist())


def _sides(size: Size | None) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise UsageError(f"size: expected a side or (height, width) in pixels, got {size!r}.")
    return pair[0], pair[1]


def _folder(
    source: Path,
    size: tuple[int, int] | None,
    scale: _Scale,
    channels: int | None,
    labels: Any,
    batch: int,
    progress: Progress | None,
) -> Images:
    found = image_folder.read(source, size=size, progress=progress)
    wanted = channels or max(picture.channels for picture in found.pictures)

    def batches() -> Iterator[Floats]:
        for start in range(0, len(found.pictures), batch):
            pixels = [_coloured(picture.pixels(), wanted) for picture in found.pictures[start : start + batch]]
            yield scale.done(np.stack(pixels).astype(np.float32) / np.float32(FULL[np.dtype(np.uint8)]))

    scale.done(np.zeros((1, wanted, 1, 1), np.float32))  # what does not fit is said now
    made = Images(
        batches,
        len(found.pictures),
        skipped=found.skipped,
        source={
            "path": source.name,
            "format": "folder",
            "ignored": found.ignored,
            "size": list(found.size),
            "channels": wanted,
            "in memory": found.kept,
            "scaled": True,
        },
        shown=scale.undone,
    )
    if labels is not None:
        given = _labels(source, labels)
        if len(given) != found.listed:
            raise UsageError(f"labels: expected ({found.listed},), one for each picture in {source} by name, got {given.shape}.")
        return images(made, given[[picture.place for picture in found.pictures]])
    if not found.classes:
        return made
    return replace(made, labels=np.array([picture.label for picture in found.pictures], np.int64), classes=found.classes)


def _coloured(pixels: Array, channels: int) -> Array:
    """(channels, height, width) of a picture of 1 or 3 channels."""
    if len(pixels) == channels:
        return pixels
    if channels == 1:
        grey: Array = np.tensordot(np.array(LUMA, np.float32), pixels, axes=1)[None]
        return np.rint(grey) if pixels.dtype.kind == "u" else grey
    return np.repeat(pixels, channels, axis=0)


@dataclass(frozen=True, eq=False)
class _Given:
    """An array of images, and what is made of it some rows at a time."""

    array: Array
    size: tuple[int, int] | None
    scale: _Scale
    channels: int | None
    path: Path

    @property
    def full(self) -> float:
        """What is 1 after scaling."""
        return FULL.get(self.array.dtype.newbyteorder("="), 1.0)

    @property
    def shows(self) -> bool:
        """Whether numbers between 0 and 1 are known to be what people see."""
        return self.full != 1 and self.array.ndim in (PICTURE - 1, PICTURE)

    def rows(self, start: int, stop: int) -> Floats:
        """Some images as the network takes them."""
        x = np.asarray(self.array[start:stop]).astype(np.float32) / np.float32(self.full)
        if x.ndim == PICTURE - 1:
            x = x[:, None]
        elif x.ndim == PICTURE and x.shape[1] not in CHANNELS and x.shape[-1] in CHANNELS:
            x = np.moveaxis(x, -1, 1)
        if (self.channels or self.size) and x.ndim != PICTURE:
            raise UsageError(
                f"{self.path}: expected images (N, height, width) or with channels for size or channels, got {self.array.shape}."
            )
        if self.channels and x.shape[1] != self.channels:
            if x.shape[1] not in CHANNELS:
                raise UsageError(f"{self.path}: expected 1 or 3 channels to make {self.channels} of, got {x.shape[1]}.")
            x = np.stack([_coloured(image, self.channels) for image in x])
        x = np.ascontiguousarray(x)
        return self.scale.done(x if self.size is None else _resized(x, self.size))


def _resized(x: Floats, size: tuple[int, int]) -> Floats:
    """Resized to cover the size, and cut to it in the middle; numbers stay between those that were there."""
    import torch
    from torch.nn import functional

    scale = max(size[0] / x.shape[2], size[1] / x.shape[3])
    rows, columns = (max(want, round(scale * have)) for want, have in zip(size, x.shape[2:], strict=True))
    found = functional.interpolate(torch.from_numpy(x), size=(rows, columns), mode="bicubic", antialias=True).numpy()
    top, left = (rows - size[0]) // 2, (columns - size[1]) // 2
    cut: Floats = np.clip(found[:, :, top : top + size[0], left : left + size[1]], x.min(), x.max())
    return cut


def _arrays(source: Path, labels: Any, name: str | None) -> tuple[Array, Array | None, str]:
    """Images, their labels or None, and the format."""
    if idx.claims(source):
        if labels is None:
            beside = idx.beside(source)
            return idx.read(source), None if beside is None else idx.read(beside), "IDX"
        return idx.read(source), _labels(source, labels), "IDX"
    if source.suffix.lower() not in ARRAYS:
        raise UsageError(
            f"{source}: expected a folder of pictures, a .npz, .npy or IDX file, got {source.suffix or 'no suffix'!r}."
        )
    members = _members(source)
    if name is None:
        label_names = {*LABELS, labels} if isinstance(labels, str) else set(LABELS)
        others = [key for key in members if key not in label_names or len(members) == 1]
        name = next((key for key in PAIRS if key in members), others[0] if len(others) == 1 else None)
    if name is None or name not in members:
        said = ", ".join(map(repr, list(members)[:8])) or "none"
        raise UsageError(
            f"{source}: expected an array of images, one of {', '.join(PAIRS)} or the one that is named; it has {said}."
        )
    if isinstance(labels, str) and labels in members:
        given: Array | None = members[labels].read()
    elif labels is not None:
        given = _labels(source, labels)
    else:
        key = next((key for key in (PAIRS.get(name), *LABELS) if key in members and key != name), None)
        given = None if key is None else members[key].read()
    return _checked(source, members[name].read()), None if given is None else _flat(given), source.suffix.lower()


def _members(source: Path) -> Mapping[str, Tensor]:
    read = checkpoints.open(source)
    if not read.tensors:
        reason = f"; {read.skipped[0].name}: {read.skipped[0].reason}" if read.skipped else ""
        raise UnreadableError(f"{source}: expected arrays of numbers, got none{reason}.")
    return {tensor.name: tensor for tensor in read.tensors}


def _labels(source: Path, labels: Any) -> Array:
    """Labels as they are given, or of a file of them."""
    if not isinstance(labels, str | Path):
        return np.asarray(labels.cpu() if hasattr(labels, "untyped_storage") else labels)
    file = Path(labels)
    if not file.is_file():
        raise UsageError(f"labels of {source}: expected an array, a .npy or IDX file or the name of an array, got {str(labels)!r}.")
    if idx.claims(file):
        return idx.read(file)
    members = list(_members(file).values()) if file.suffix.lower() in ARRAYS else []
    if len(members) != 1:
        raise UsageError(f"{file}: expected labels as one array in a .npy or IDX file.")
    return _flat(members[0].read())


def _checked(source: Path, array: Array) -> Array:
    if array.ndim < 2 or array.dtype.kind not in "buif":
        raise UsageError(f"{source}: expected images (N, ...) of real numbers, got {array.dtype} {array.shape}.")
    return array


def _flat(labels: Array) -> Array:
    """(N,) of (N, 1)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
