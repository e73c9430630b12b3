"""What cutting layers down to some of their modes costs, as curves."""

from collections.abc import Iterator, Sequence

from modescope.blocks import Axis, Block, Curve, Mark, Note, Series, Table
from modescope.pictures import number
from modescope.profiles.truncation import Truncation, Truncations

ROLES = {"top": "data", "bottom": "law", "random": "null"}
SAID = (
    "Top and bottom: the modes of the largest and of the smallest singular values. Band: 95 % of samples of so many images, "
    "for random modes at their mean over draws."
)
LISTED = 64  # rows of what has no point


def together(found: Truncations | str, /) -> Iterator[Block]:
    """The curve of all layers but the last, and what has no point."""
    if isinstance(found, str):
        yield Note(f"Truncation was not measured: {found}.", "caution")
        return
    if found.status != "ok":
        yield Note(f"Truncation was not measured: {found.status}.", "caution")
        return
    points = [one for one in found.points if one.layers == found.together]
    if points and len(found.together) > 1:
        count = len(found.together)
        yield from _curve(f"Accuracy with some of the modes of {count} layers together", found, points)
    if found.left_out:
        yield Table(
            "Not truncated",
            ("what", "reason"),
            tuple((name, reason) for name, reason in found.left_out[:LISTED]),
            about=("Layer, or a way to choose its modes.", ""),
        )


def alone(found: Truncations | str, layer: str, /) -> Iterator[Block]:
    """The curve of one layer, the others whole."""
    if isinstance(found, str):
        return
    yield from _curve("Accuracy with some of its modes", found, [one for one in found.points if one.layers == (layer,)])


def _curve(title: str, found: Truncations, points: Sequence[Truncation]) -> Iterator[Curve]:
    series = []
    for way, role in ROLES.items():
        own = [one for one in points if one.which == way]
        if own:
            x, y, low, high = (
                tuple(number(value) for value in values)
                for values in (
                    [_kept(one) for one in own],
                    [one.accuracy for one in own],
                    [one.low for one in own],
                    [one.high for one in own],
                )
            )
            series.append(Series(way, x, y, role, low=low, high=high))  # type: ignore[arg-type]
    for one in points:
        if one.which == "outliers":
            kept = f"{sum(one.kept)} of {sum(one.ranks)}"
            series.append(
                Series(
                    f"outliers, {kept}", (number(_kept(one)),), (number(one.accuracy),), "fit", drawn="points", texts=("outliers",)
                )
            )
    if not series:
        return
    what = "labels" if found.against == "labels" else "the answers of the whole network"
    yield Curve(
        title,
        Axis("share of the modes that are kept"),
        Axis("accuracy" if found.against == "labels" else "agreement"),
        tuple(series),
        (Mark(number(found.hits / found.images) or 0, "whole network", "y"),),
        caption=f"{found.images:,} images against {what}. {SAID}",
    )


def _kept(one: Truncation) -> float:
    return sum(one.kept) / max(sum(one.ranks), 1)
