"""Pictures in a folder, each decoded once when the folder is opened, so that what is damaged is known from the beginning."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modescope.errors import UnreadableError, UsageError
from modescope.png import Pixels
from modescope.profiles.images import Progress

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm"))
MEMORY = 512 * 2**20  # bytes of pictures that are kept
MOST = 2**26  # pixels of one picture: more is taken for an attack
EVERY = 32  # pictures between two reports of progress
DEEP = 257  # 16 bits for each of 8
DEEPEST = 65535


@dataclass(frozen=True, eq=False)
class Picture:
    """One file.

    Attributes:
        path: Where it is.
        place: Its index among all pictures of the folder by name, also those that cannot be read.
        label: Index of its class, or -1.
        channels: 1 or 3.
        size: (height, width) that it is brought to, or None.
        kept: (channels, height, width), or None where they do not fit in memory.
    """

    path: Path
    place: int
    label: int
    channels: int
    size: tuple[int, int] | None
    kept: Pixels | None = None

    def pixels(self) -> Pixels:
        """(channels, height, width).

        Raises:
            UnreadableError: The file changed since the folder was opened.
        """
        if self.kept is not None:
            return self.kept
        found = _decoded(self.path, self.size)
        if isinstance(found, str) or len(found) != self.channels:
            reason = found if isinstance(found, str) else "it has another number of channels"
            raise UnreadableError(f"{self.path}: expected the picture that was there when the folder was opened; now {reason}.")
        return found


@dataclass(frozen=True, eq=False)
class Folder:
    """What a folder holds.

    Attributes:
        pictures: Those that can be read, by class and name.
        classes: Names of the sub-folders that hold pictures; empty where there are none.
        size: (height, width) of all of them.
        listed: Number of pictures, also of those that cannot be read.
        skipped: Those that cannot, with the reason.
        ignored: Number of other files, links, and pictures outside of the sub-folders.
        kept: Whether pixels are in memory.
    """

    pictures: tuple[Picture, ...]
    classes: tuple[str, ...]
    size: tuple[int, int]
    listed: int
    skipped: tuple[tuple[str, str], ...]
    ignored: int
    kept: bool


def read(folder: Path, /, *, size: tuple[int, int] | None = None, progress: Progress | None = None) -> Folder:
    """Look at every picture of a folder.

    Args:
        folder: Pictures by class in sub-folders, at any depth in them; or, where no sub-folder holds any, the pictures themselves.
        size: (height, width) that pictures are brought to.
        progress: Told how many were decoded.

    Raises:
        UsageError: There are no pictures, none can be read, they differ in size and `size` is not given, or Pillow is missing.
    """
    _pillow()
    files, classes, ignored = _listed(folder)
    if not files:
        raise UsageError(f"{folder}: expected pictures ({', '.join(sorted(SUFFIXES))}), got {ignored} other files.")
    pictures: list[Picture] = []
    skipped: list[tuple[str, str]] = []
    sizes: dict[tuple[int, int], Path] = {}
    memory = 0
    for place, (path, label) in enumerate(files):
        pixels = _decoded(path, size)
        if isinstance(pixels, str):
            skipped.append((path.relative_to(folder).as_posix(), pixels))
        else:
            sizes.setdefault((pixels.shape[1], pixels.shape[2]), path)
            if len(sizes) > 1:
                (a, first), (b, second) = sizes.items()
                raise UsageError(
                    f"{folder}: expected pictures of one size, got {a[0]} x {a[1]} ({first.name}) and {b[0]} x {b[1]} "
                    f"({second.name}); say to which size they are brought, as size=224 or --size 224."
                )
            memory += pixels.nbytes
            if memory > MEMORY and pictures and pictures[0].kept is not None:
                pictures = [_light(one) for one in pictures]
            pictures.append(Picture(path, place, label, len(pixels), size, pixels if memory <= MEMORY else None))
        if progress is not None and ((place + 1) % EVERY == 0 or place + 1 == len(files)):
            progress("pictures", place + 1, len(files))
    if not pictures:
        raise UsageError(f"{folder}: expected pictures that can be read, got {len(skipped)} that cannot; {': '.join(skipped[0])}.")
    return Folder(tuple(pictures), classes, next(iter(sizes)), len(files), tuple(skipped), ignored, memory <= MEMORY)


def middle(have: tuple[int, int], want: tuple[int, int], /) -> tuple[float, float, float, float]:
    """(top, left, height, width) of the largest part in the middle of a picture that has the shape of another size."""
    scale = min(have[0] / want[0], have[1] / want[1])
    height, width = scale * want[0], scale * want[1]
    return (have[0] - height) / 2, (have[1] - width) / 2, height, width


def _light(one: Picture) -> Picture:
    return Picture(one.path, one.place, one.label, one.channels, one.size)


def _listed(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...], int]:
    """Pictures in order, each with the index of its class; the classes; and the number of what is left out."""
    ignored = 0
    own: list[Path] = []
    by_class: dict[str, list[Path]] = {}
    for path, is_picture in _walked(folder):
        if not is_picture:
            ignored += 1
            continue
        parts = path.relative_to(folder).parts
        (own if len(parts) == 1 else by_class.setdefault(parts[0], [])).append(path)
    if not by_class:
        return [(path, -1) for path in own], (), ignored
    classes = tuple(sorted(by_class))
    return [(path, i) for i, name in enumerate(classes) for path in by_class[name]], classes, ignored + len(own)


def _walked(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Every file and link by name, and whether it is taken for a picture; links are not followed."""
    for root, folders, files in os.walk(folder):
        for name in [one for one in folders if Path(root, one).is_symlink()]:
            folders.remove(name)
            yield Path(root, name), False
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(files):
            path = Path(root, name)
            picture = path.suffix.lower() in SUFFIXES and not name.startswith(".") and not path.is_symlink() and path.is_file()
            yield path, picture


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise UsageError("pictures: expected Pillow to decode them; it comes with pip install 'modescope[images]'.") from error
    return Image


def _decoded(path: Path, size: tuple[int, int] | None) -> Pixels | str:
    """(channels, height, width) as people see the picture, or why it cannot be read."""
    image_module = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image_module.DecompressionBombWarning)
            with image_module.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST:
                    return f"it has {image.width} x {image.height} pixels, more than {MOST:,}"
                return _pixels(image, size)
    except Exception as error:  # decoders of damaged files raise whatever they met
        return " ".join((str(error) or type(error).__name__).split()).replace(str(path), path.name)


def _pixels(image: Any, size: tuple[int, int] | None) -> Pixels | str:
    from PIL import Image, ImageOps

    found = ImageOps.exif_transpose(image)
    if found.mode == "F":
        return "floating-point pixels have no range that is agreed on"
    if found.mode == "I" or found.mode.startswith("I;"):
        deep = np.asarray(found).astype(np.int64)
        if deep.min() < 0 or deep.max() > DEEPEST:
            return "32-bit pixels have no range that is agreed on"
        found = Image.fromarray(np.rint(deep / DEEP).astype(np.uint8))
    if found.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in found.info:
        clear = found.convert("RGBA")
        grey = found.mode in ("LA", "La", "L", "1")
        found = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("L" if grey else "RGB")
    elif found.mode in ("1", "L"):
        found = found.convert("L")
    else:
        found = found.convert("RGB")
    if size is not None:
        top, left, height, width = middle((found.height, found.width), size)
        found = found.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    pixels: Pixels = np.asarray(found)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
