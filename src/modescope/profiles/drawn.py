"""Pictures of a page: exemplars and made images on sheets, small enough for all of them to fit in one file."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from modescope.blocks import Image
from modescope.matrix import Array
from modescope.png import GAP, PAPER, Pixels, png, sheet
from modescope.profiles.exemplars import Shot, pixels
from modescope.profiles.features import Feature
from modescope.profiles.result import NetworkProfile, ProfiledLayer

BYTES = 3_400_000  # of all pictures of a page before they are packed, which photographs hardly are, and written as text, 4 / 3
LEAST, MOST = 12, 96  # pixels of the longer side of a picture
ROOM = 64  # pixels that the longer side is enlarged to, so that small pictures are seen in a text as well
COLUMNS = 3
HEAD = 16  # pixels of the strip that holds signs
INK = 32
UNIT = "unit"  # objective of a layer without positions
COLOURED = 3
NAMED = 9  # images that a caption names
ENDS = {"top": "largest", "bottom": "smallest"}


def side(result: NetworkProfile, /) -> int:
    """Pixels of the longer side that every picture may have for the page to stay within its budget."""
    count = sum(len(shots) * (1 if not shots or shots[0].crop is None else 2) for shots in result.crops.shots.values())
    count += sum(len(layer.features) for layer in result.layers if not isinstance(layer.features, str))
    colours = COLOURED if any(picture.ndim == COLOURED for picture in result.crops.pictures.values()) else 1
    return int(np.clip(math.isqrt(BYTES // max(count * colours, 1)), LEAST, MOST))


def made(layer: ProfiledLayer, mode: int, most: int, aggregate: str, /) -> Iterator[Image]:
    """The images that were made for a mode, both signs on one sheet, each under its sign."""
    if isinstance(layer.features, str):
        return
    low, width = _span(layer.features)
    features = [one for one in layer.features if one.mode == mode]
    if not features:
        return
    shown = [reduced(pixels(_flat(one.image), low, width), most) for one in features]
    scores = "; ".join(f"{_direction(one)} to {one.score:.3g}, from {one.before:.3g}" for one in features)
    objective = features[0].objective
    said = [f"Signal{'' if objective == UNIT else f' ({objective})'} {scores}."]
    said += sorted({one.status for one in features if one.status != "ok"})
    if objective not in {aggregate, UNIT}:
        said.append(f"The images of the data are ranked by another signal, {aggregate}.")
    yield Image(
        f"Made for mode {mode}",
        _sheet(shown, len(features), [one.sign for one in features]),
        f"{_counted(len(features), 'image')} that were made to drive the signal of mode {mode} of {layer.site}: "
        f"{' and '.join(_direction(one) for one in features)}.",
        caption=" ".join(said),
    )


def exemplars(result: NetworkProfile, site: str, mode: int, most: int, /) -> Iterator[Image]:
    """Images of the data at both ends of a mode, and what of them the layer saw where one position decided."""
    names = result.source.get("classes", ())
    for end, word in ENDS.items():
        shots = result.crops.shots.get((site, mode, end), ())
        if not shots:
            continue
        said = _told(shots, {shot.index: names[shot.label] for shot in shots if shot.label is not None and names})
        title = f"{word.capitalize()} signals of mode {mode}"
        whole = [reduced(result.crops.pictures[shot.index], most) for shot in shots]
        alt = f"{_counted(len(shots), 'image')} of the data with the {word} signals of mode {mode} of {site}: {said}."
        yield Image(title, _sheet(whole, COLUMNS), alt, caption=f"In rows: {said}. Signals {_range(shots)}.")
        parts = [reduced(shot.crop, most) for shot in shots if shot.crop is not None]
        if parts:
            yield Image(
                f"{title}, what was seen",
                _sheet(parts, COLUMNS),
                f"The parts of these images that the position with the {word} signal of mode {mode} of {site} sees.",
                caption="The receptive field of the position that made the signal, as far as it lies in the image.",
            )


def reduced(picture: Pixels, most: int, /) -> Pixels:
    """A picture of at most `most` pixels along its longer side: means of square blocks."""
    height, width = picture.shape[:2]
    step = -(-max(height, width) // most)
    if step == 1:
        return picture
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), rows, axis=0), columns, axis=1)
    counts = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))
    found: Pixels = np.rint(sums / counts.reshape(*counts.shape, *[1] * (picture.ndim - 2))).astype(np.uint8)
    return found


def _sheet(pictures: Sequence[Pixels], columns: int, signs: Sequence[int] = ()) -> bytes:
    """PNG of pictures of any sizes: smaller ones stand in the middle of white ground, grey ones among colours become colours.

    With signs there is one row, and above every picture its sign.
    """
    height, width = (max(one.shape[axis] for one in pictures) for axis in (0, 1))
    colours = any(one.ndim == COLOURED for one in pictures)
    ground: Pixels = np.full((len(pictures), height, width, *([COLOURED] if colours else [])), PAPER, np.uint8)
    for place, one in zip(ground, pictures, strict=True):
        top, left = (height - one.shape[0]) // 2, (width - one.shape[1]) // 2
        place[top : top + one.shape[0], left : left + one.shape[1]] = one[..., None] if colours and one.ndim < COLOURED else one
    factor = max(ROOM // max(height, width), 1)
    pixels = sheet(ground, columns, side=factor * min(height, width))
    if signs:
        head: Pixels = np.full((HEAD, *pixels.shape[1:]), PAPER, np.uint8)
        step = (pixels.shape[1] + GAP) // len(signs)
        for place, sign in enumerate(signs):
            _draw_sign(head, place * step + (step - GAP) // 2, sign)
        pixels = np.concatenate([head, pixels])
    return png(pixels)


def _draw_sign(head: Pixels, across: int, sign: int) -> None:
    """A plus or a minus in a strip above pictures, its middle `across` pixels from the left."""
    down, arm = HEAD // 2, HEAD // 2 - 2
    head[down - 1 : down + 1, across - arm : across + arm] = INK
    if sign > 0:
        head[down - arm : down + arm, across - 1 : across + 1] = INK


def _span(features: Sequence[Feature]) -> tuple[float, float]:
    """Least number of all images of a layer, and how far the largest is from it."""
    low, high = min(float(one.image.min()) for one in features), max(float(one.image.max()) for one in features)
    return low, high - low if high > low else 1.0


def _flat(image: Array) -> Array:
    """(channels, height, width) or (height, width) of an image of any shape; of more axes the middle of the first is shown."""
    while image.ndim > COLOURED:
        image = image[:, image.shape[1] // 2]
    return image[None, :] if image.ndim == 1 else image


def _told(shots: Sequence[Shot], labels: Mapping[int, str]) -> str:
    """Their numbers in the data, with their classes where these are known; once where all are of one class."""
    known = [labels[shot.index] for shot in shots if shot.index in labels]
    if 1 < len(shots) == len(known) and len({*known}) == 1:
        return f"{_told(shots, {})}, all of class {known[0]}"
    named = [f"{shot.index} ({labels[shot.index]})" if shot.index in labels else str(shot.index) for shot in shots[:NAMED]]
    more = f" and {len(shots) - NAMED} more" if len(shots) > NAMED else ""
    return f"{'image' if len(shots) == 1 else 'images'} {', '.join(named)}{more}"


def _range(shots: Sequence[Shot]) -> str:
    first, last = (f"{shot.score:.3g}" for shot in (shots[0], shots[-1]))
    return first if first == last else f"{first} to {last}"


def _direction(one: Feature) -> str:
    return "up (+)" if one.sign > 0 else "down (−)"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
