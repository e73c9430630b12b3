"""The first page of the server: everything that was found, newest first, each row leading to its own page."""

from collections.abc import Sequence
from datetime import UTC, datetime

from modescope.blocks import Cell, Note, Table
from modescope.reports import Report
from modescope.web.library import Entry, Library
from modescope.web.summaries import PICTURED, Summary

KINDS = {"run": "run folder", "store": "store", "report": "saved report", "folder": "folder"}
COLUMNS = (
    ("run", "Name of the run, its folder, or its file."),
    ("kind", "How it was saved: a run folder, a store of many runs, or a saved report."),
    ("signal modes", "Singular values above the noise edge, over all matrices."),
    ("median alpha", "Median over the matrices of the exponent of the tail, where there is one."),
    ("step", "The last step of training that was recorded."),
    ("steps", "How many steps were recorded."),
    ("matrices", "How many weight matrices were measured."),
    ("failed", "How many of them have no numbers."),
    ("last change", "When it was last written to, in UTC."),
    ("where", "Where it lies in the folders that are served."),
    ("note", "What else there is to know, or why it cannot be read."),
)


def overview(library: Library) -> Report:
    """List everything a library holds now; what cannot be read is a row with its reason and leads nowhere."""
    entries = sorted(library.listing.entries.values(), key=_age)
    lines = [library.summary(entry) for entry in entries]
    pictured = len(entries) <= PICTURED and any(line.profile for line in lines)
    table = Table(
        "",
        tuple(name for name, _ in COLUMNS),
        tuple(map(_row, entries, lines)),
        about=tuple(about for _, about in COLUMNS),
        links=tuple("" if line.broken else f"run={entry.key}" for entry, line in zip(entries, lines, strict=True)),
        pictures=tuple(line.profile for line in lines) if pictured else (),
        picture="Signal modes of one matrix after the other, in the order of their names." if pictured else "",
    )
    return Report((table, _note(library, lines)), {}, "", title="Runs")


def _row(entry: Entry, line: Summary) -> tuple[Cell, ...]:
    steps = [step for step in entry.recorded.steps if step is not None] if entry.recorded else []
    return (
        entry.name,
        KINDS[entry.place.kind],
        line.modes,
        line.alpha,
        max(steps, default=None),
        len(steps) or None,
        line.matrices,
        line.failed,
        entry.changed.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if entry.changed else None,
        entry.place.where,
        line.note,
    )


def _note(library: Library, lines: Sequence[Summary]) -> Note:
    labels = ", ".join(label for _, label in library.folders)
    if not lines:
        return Note(
            f"Nothing yet in {labels}: expected run folders (modescope scan --save), stores (modescope.Monitor), or saved reports "
            "(modescope report -o). What is written there appears here by itself.",
            level="caution",
        )
    broken = sum(line.broken for line in lines)
    said = f"{len(lines)} found in {labels}"
    return Note(f"{said}, {broken} of them cannot be read." if broken else f"{said}.", level="caution" if broken else "plain")


def _age(entry: Entry) -> tuple[float, str, str]:
    return -(entry.changed or datetime.fromtimestamp(0, UTC)).timestamp(), entry.place.where, entry.name
