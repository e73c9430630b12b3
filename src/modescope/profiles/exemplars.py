"""Images of a data set with the largest and the smallest signal of every mode, and pictures of them.

The first pass keeps numbers only, as many for ten images as for a million; the second goes for the images that are shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.png import Pixels
from modescope.profiles.images import Images, Progress
from modescope.profiles.passing import Passed
from modescope.profiles.receptive import Box, Field
from modescope.svd import Values

Places = NDArray[np.int64]

KEPT = 9  # images at each end of a mode
SIDE = 96  # pixels of the longer side of a picture, at most
COLOURED = 3
SHADES = 255


@dataclass(frozen=True, eq=False)
class End:
    """Images at one end of the signals of every mode, the most extreme first; of equal ones the first in the data set.

    Attributes:
        indices: (r, m) of the images in the data set.
        scores: (r, m) their signals.
        places: (r, m) index of the position that made the signal, row-major, or None where the aggregate chooses none.
    """

    indices: Places
    scores: Values
    places: Places | None = None


@dataclass(frozen=True, eq=False)
class Extremes:
    """Both ends of the modes of one site: `top` is the side of u, `bottom` that of -u."""

    site: str
    top: End
    bottom: End

    @property
    def ends(self) -> Mapping[str, End]:
        """By name."""
        return {"top": self.top, "bottom": self.bottom}


class Exemplars:
    """The images with the largest and with the smallest signals, found in one pass; memory is that of the answer.

    Batches come in the order of the data set, as `passes` gives them; how it is cut into batches changes nothing.

    Args:
        sizes: Number of modes by site; other sites are not looked at.
        m: Images at each end, at least 1. There are fewer where the data set has fewer.
    """

    def __init__(self, sizes: Mapping[str, int], m: int = KEPT) -> None:
        if m < 1:
            raise UsageError(f"exemplars: expected the number of images to keep, at least 1, got {m}.")
        self._tops = {site: _Top(r, m) for site, r in sizes.items()}
        self._bottoms = {site: _Top(r, m) for site, r in sizes.items()}

    def add(self, passed: Passed) -> None:
        """Take a batch in."""
        for site, top in self._tops.items():
            signals, places = passed.signals[site], passed.places.get(site)
            top.add(passed.start, signals, places)
            self._bottoms[site].add(passed.start, -signals, places)

    def value(self) -> Mapping[str, Extremes]:
        """What was found so far, by site."""
        found = {}
        for site, top in self._tops.items():
            low = self._bottoms[site].value()
            found[site] = Extremes(site, top.value(), End(low.indices, -low.scores, low.places))
        return found


class _Top:
    """The m largest of each column so far, in descending order, and of equal ones in the order in which they came."""

    def __init__(self, r: int, m: int) -> None:
        self._m = m
        self._scores = np.empty((0, r))
        self._indices = np.empty((0, r), np.int64)
        self._places: Places | None = None

    def add(self, start: int, scores: Values, places: Places | None) -> None:
        count, r = scores.shape
        indices = np.arange(start, start + count)
        if not self._indices.size:
            self._places = None if places is None else np.empty((0, r), np.int64)
        if len(self._scores) < self._m:
            columns = np.arange(r)
        else:  # later images do not replace equal ones, and most batches hold no image for most modes
            columns = np.flatnonzero(scores.max(axis=0) > self._scores[-1])
            if not columns.size:
                return
        joined = np.concatenate([self._scores[:, columns], scores[:, columns]])
        order = np.argsort(-joined, axis=0, kind="stable")[: self._m]
        every = np.broadcast_to(indices[:, None], (count, columns.size))
        self._scores = _replaced(self._scores, columns, joined, order)
        self._indices = _replaced(self._indices, columns, np.concatenate([self._indices[:, columns], every]), order)
        if self._places is not None and places is not None:
            self._places = _replaced(self._places, columns, np.concatenate([self._places[:, columns], places[:, columns]]), order)

    def value(self) -> End:
        places = None if self._places is None else np.ascontiguousarray(self._places.T)
        return End(np.ascontiguousarray(self._indices.T), np.ascontiguousarray(self._scores.T), places)


def _replaced(kept: Array, columns: NDArray[np.intp], joined: Array, order: NDArray[np.intp]) -> Array:
    """Some columns of what is kept, out of what was joined to them; all of them where more rows are kept than before."""
    chosen = np.take_along_axis(joined, order, axis=0)
    if len(chosen) != len(kept):
        return chosen
    kept[:, columns] = chosen
    return kept


@dataclass(frozen=True, eq=False)
class Shot:
    """One image at one end of a mode.

    Attributes:
        index: Of the image in the data set; its picture is `Crops.pictures[index]`.
        score: Its signal.
        box: Half-open ranges of the image, one for each axis behind the channels, that the position which made the signal sees;
            None where no position was chosen, or every one sees the whole image.
        crop: Picture of that part, or None.
        label: Its class, or None without labels.
    """

    index: int
    score: float
    box: Box | None = None
    crop: Pixels | None = None
    label: int | None = None


@dataclass(frozen=True, eq=False)
class Crops:
    """Pictures of the images that are shown.

    Attributes:
        pictures: (height, width) or (height, width, 3) by index of the image, each once.
        shots: Images by (site, mode, "top" or "bottom"), the most extreme first.
        note: How numbers became shades.
    """

    pictures: Mapping[int, Pixels]
    shots: Mapping[tuple[str, int, str], tuple[Shot, ...]]
    note: str


def crops(
    images: Images,
    found: Mapping[str, Extremes],
    /,
    *,
    modes: Mapping[str, Sequence[int]] | int = 8,
    fields: Mapping[str, Field] | None = None,
    side: int = SIDE,
    progress: Progress | None = None,
    task: str = "pictures",
) -> Crops:
    """Go through a data set again for the images at the ends of some modes.

    Args:
        images: The data set that `found` is of.
        found: Its extremes by site.
        modes: Those that are shown by site, or how many of the first.
        fields: What a position of a site sees, by site; images of the others are shown whole only.
        side: Pixels of the longer side of a picture, at most; larger ones are reduced by means of square blocks.
        progress: Told the number of images done after each batch.
        task: What it is told that this is.

    Returns:
        `Crops`. Colours are those of `images.shown`; without it the smallest number of the whole data set is black and the largest
        white.

    Raises:
        UsageError: The data set has fewer images than `found`, or a mode is not one of its.
    """
    wanted = {site: _modes(site, extremes, modes) for site, extremes in found.items()}
    asked: dict[int, set[Box]] = {}
    for site, chosen in wanted.items():
        for end in found[site].ends.values():
            boxes = _boxes(end, chosen, (fields or {}).get(site))
            for i, index in np.ndenumerate(end.indices[chosen]):
                box = boxes[i[0]][i[1]]
                asked.setdefault(int(index), set()).update(() if box is None else (box,))
    whole, parts, span = _collected(images, asked, side, progress, task)
    if images.shown is None:
        low, high = span
        width = high - low if high > low else 1.0
        note = f"black is {low:.4g} and white {high:.4g}, the smallest and the largest number of the data set"
    else:
        low, width, note = 0.0, 1.0, "as the data set shows its images"
    pictures = {index: pixels(values, low, width) for index, values in whole.items()}
    pieces = {key: pixels(values, low, width) for key, values in parts.items()}
    shots: dict[tuple[str, int, str], tuple[Shot, ...]] = {}
    for site, chosen in wanted.items():
        for name, end in found[site].ends.items():
            boxes = _boxes(end, chosen, (fields or {}).get(site))
            for row, mode in enumerate(chosen):
                shots[site, mode, name] = tuple(
                    Shot(int(index), float(score), box, None if box is None else pieces[int(index), box], _label(images, index))
                    for index, score, box in zip(end.indices[mode], end.scores[mode], boxes[row], strict=True)
                )
    return Crops(pictures, shots, note)


def pixels(values: Array, low: float, width: float, /) -> Pixels:
    """Bytes of a picture (channels, height, width) or (height, width): `low` is black and `low + width` white.

    Three channels are colours; of any other number their mean is shown.
    """
    shades = np.asarray(values, np.float64)
    if shades.ndim == COLOURED and len(shades) == COLOURED:
        shades = np.moveaxis(shades, 0, -1)
    elif shades.ndim == COLOURED:
        shades = shades.mean(axis=0)
    found: Pixels = np.rint(np.clip((shades - low) / width, 0, 1) * SHADES).astype(np.uint8)
    return found


def _label(images: Images, index: int) -> int | None:
    return None if images.labels is None else int(images.labels[index])


def _modes(site: str, extremes: Extremes, modes: Mapping[str, Sequence[int]] | int) -> list[int]:
    r = len(extremes.top.indices)
    if isinstance(modes, int):
        return list(range(min(modes, r)))
    chosen = [int(mode) for mode in modes.get(site, ())]
    if bad := [mode for mode in chosen if not 0 <= mode < r]:
        raise UsageError(f"modes of {site!r}: expected 0 to {r - 1}, got {bad[0]}.")
    return chosen


def _boxes(end: End, modes: Sequence[int], field: Field | None) -> list[list[Box | None]]:
    if end.places is None or field is None or field.whole:
        return [[None] * end.indices.shape[1] for _ in modes]
    return [[field.box(int(place)) for place in end.places[mode]] for mode in modes]


def _collected(
    images: Images, asked: Mapping[int, Iterable[Box]], side: int, progress: Progress | None, task: str
) -> tuple[dict[int, Array], dict[tuple[int, Box], Array], tuple[float, float]]:
    """Reduced images, parts of them, and the span of all numbers, in one pass."""
    whole: dict[int, Array] = {}
    parts: dict[tuple[int, Box], Array] = {}
    low, high = np.inf, -np.inf
    order = sorted(asked)
    start = done = 0
    for batch in images.batches():
        count = len(batch)
        here = []
        while done < len(order) and order[done] < start + count:
            here.append(order[done])
            done += 1
        if images.shown is None and count:
            array = _array(batch)
            low, high = min(low, float(array.min())), max(high, float(array.max()))
        elif images.shown is not None and here:
            array = _array(images.shown(batch[[index - start for index in here]]))
        for place, index in enumerate(here):
            image = array[place if images.shown is not None else index - start]
            whole[index] = _reduced(_flat(image), side)
            for box in asked[index]:
                part = image[(..., *(slice(a, b) for a, b in box))]
                parts[index, box] = _reduced(_flat(part), side)
        start += count
        if progress is not None:
            progress(task, start, images.count)
        if done == len(order) and images.shown is not None:
            break
    if done < len(order):
        raise UsageError(f"data: expected the data set of the exemplars, which has image {order[-1]}, got {start} images.")
    return whole, parts, (low, high)


def _array(batch: Any) -> Array:
    found: Array = batch.detach().cpu().double().numpy() if hasattr(batch, "untyped_storage") else np.asarray(batch)
    return found


def _flat(image: Array) -> Array:
    """(channels, height, width) or (height, width) of an image of any shape; of more axes the middle of the first is shown."""
    while image.ndim > COLOURED:
        image = image[:, image.shape[1] // 2]
    return image[None, :] if image.ndim == 1 else image


def _reduced(image: Array, side: int) -> Array:
    """Means of square blocks, of which at most `side` lie along the longer axis; float32."""
    height, width = image.shape[-2:]
    step = -(-max(height, width) // side)
    if step == 1:
        return np.array(image, np.float32)
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(np.asarray(image, np.float64), rows, axis=-2), columns, axis=-1)
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    found: Array = (sums / counts).astype(np.float32)
    return found
