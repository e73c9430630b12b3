"""Saved scans side by side: their numbers, matrix by matrix, and the differences; the checkpoints are not needed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from modescope.blocks import Axis, Block, Cell, Curve, Note, Section, Series, Table
from modescope.measures import measures
from modescope.quantity import quantities
from modescope.reports import Report
from modescope.result import COLUMNS
from modescope.web.summaries import number, of_document


@dataclass(frozen=True)
class Side:
    """One scan: its key in the server, what a person calls it, and its document."""

    key: str
    name: str
    document: Mapping[str, Any]


def side_by_side(sides: Sequence[Side], /) -> Report:
    """Compare the numbers of saved scans.

    Args:
        sides: Two or more; matrices correspond where name and view agree, and differences are taken from the first.

    Returns:
        `Report`: a table of the scans, every measure along the network, and a section per measure with the numbers of every matrix.

    Raises:
        UnreadableError: A document is not that of a scan.
    """
    names = _distinct([side.name for side in sides])
    lines = [of_document(side.document) for side in sides]
    matrices = [{_label(matrix): matrix for matrix in side.document["matrices"] if isinstance(matrix, Mapping)} for side in sides]
    labels = tuple(dict.fromkeys(label for found in matrices for label in found))
    scans = Table(
        "",
        ("run", "matrices", "failed", "signal modes", "median alpha"),
        tuple((name, line.matrices, line.failed, line.modes, line.alpha) for name, line in zip(names, lines, strict=True)),
        links=tuple(f"run={side.key}" for side in sides),
    )
    shown = [_measured(heading, measure, name, names, labels, matrices) for heading, measure, name in COLUMNS]
    curves = tuple(_curve(found) for found in shown)
    blocks: tuple[Block, ...] = (
        scans,
        *_notes(names, matrices, labels),
        _medians(names, shown),
        Section("Along the network", curves, "view=network", layout="grid"),
        *(_section(found) for found in shown),
    )
    return Report(blocks, {}, "", title=" · ".join(names))


@dataclass(frozen=True)
class _Measured:
    """One number of every matrix in every scan."""

    heading: str
    key: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]  # per scan, in the order of the labels
    meaning: str


def _measured(
    heading: str, measure: str, name: str, names: tuple[str, ...], labels: tuple[str, ...], matrices: Sequence[Mapping[str, Any]]
) -> _Measured:
    values = tuple(tuple(number(found.get(label), measure, name) for label in labels) for found in matrices)
    meaning = quantities(measures()[measure].Result)[name].meaning
    return _Measured("± of alpha" if heading == "±" else heading, f"{measure}.{name}", names, labels, values, meaning)


def _section(found: _Measured) -> Section:
    first, *others = found.names
    rows = []
    for index, label in enumerate(found.labels):
        values = [column[index] for column in found.values]
        rows.append((label, *values, *(_difference(value, values[0]) for value in values[1:])))
    columns = ("matrix", *found.names, *(f"{other} − {first}" for other in others))
    return Section(
        f"{found.heading[0].upper()}{found.heading[1:]}",
        (Note(f"{found.key}: {found.meaning}"), Table("", columns, tuple(rows))),
        f"measure={found.key}",
        folded=True,
    )


def _curve(found: _Measured) -> Curve:
    places = tuple(float(index) for index in range(1, len(found.labels) + 1))
    series = tuple(Series(name, places, values, drawn="points") for name, values in zip(found.names, found.values, strict=True))
    title = f"{found.heading[0].upper()}{found.heading[1:]}"
    return Curve(title, Axis("matrix, in the order of the network"), Axis(found.heading), series, caption=found.meaning)


def _medians(names: tuple[str, ...], shown: Sequence[_Measured]) -> Table:
    """Medians over the matrices that have the number in every scan: others would compare different networks."""
    rows: list[tuple[Cell, ...]] = []
    for found in shown:
        common = [values for values in zip(*found.values, strict=True) if None not in values]
        middles = [median(column) for column in zip(*common, strict=True)] if common else [None] * len(names)
        furthest = [(abs(value - values[0]), index) for values in common for index, value in enumerate(values) if index]
        largest = max(furthest)[0] if furthest else None
        rows.append((found.heading, len(common), *middles, largest, found.meaning))
    return Table(
        "Median over the matrices that have the number in every scan",
        ("measure", "matrices", *names, "largest difference", "meaning"),
        tuple(rows),
        links=tuple(f"measure={found.key}" for found in shown),
    )


def _notes(names: tuple[str, ...], matrices: Sequence[Mapping[str, Any]], labels: tuple[str, ...]) -> Iterable[Note]:
    common = sum(all(label in found for found in matrices) for label in labels)
    said = f"{common} of {len(labels)} matrices are in every scan by name and view; differences are taken from {names[0]}."
    yield Note(said, level="plain" if common == len(labels) else "caution")
    yield Note("These are differences of numbers, not of weights: the weights themselves are compared by modescope compare.")


def _label(matrix: Mapping[str, Any]) -> str:
    name, view = str(matrix.get("name")), str(matrix.get("view"))
    return name if view in ("dense", "unfolding", matrix.get("kind")) else f"{name} {view}"


def _difference(value: float | None, from_: float | None) -> float | None:
    return None if value is None or from_ is None else value - from_


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where several are the same."""
    numbered = (f"{name} ({names[: index + 1].count(name)})" for index, name in enumerate(names))
    return tuple(told if names.count(name) > 1 else name for name, told in zip(names, numbered, strict=True))
