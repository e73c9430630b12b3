"""The report of a network: an overview of its matrices, and a section for each that opens on demand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modescope.blocks import Block, Cell, Curve, Graph, Heatmap, Histogram, Image, Note, Section, Table
from modescope.errors import UsageError
from modescope.measures import blocks, measures
from modescope.pictures import described, missing, small
from modescope.quantity import quantities
from modescope.reference import reference
from modescope.reports import Report
from modescope.reports.form import is_report, load_report
from modescope.result import COLUMNS, Row, Scan
from modescope.runs import is_run, load_run
from modescope.scanning import scan

STORE = "store.json"  # what a store of many runs begins with
REFERENCE = "about=numbers"  # key of the section that explains them
DRAWN = Curve | Histogram | Heatmap | Graph | Image
ABOUT = {
    "matrix": "Name of the tensor, and of the view where it has several.",
    "kind": "Kind of layer.",
    "shape": "Outputs × inputs.",
    "dtype": "Type of the stored numbers.",
    "note": "What a reader of the numbers must know beside them.",
}
PICTURE = "Singular values, the largest first, on a logarithmic scale."


def report(source: Any, /, **options: Any) -> Report:
    """The report of a network, for a page, a notebook or a text.

    Args:
        source: A checkpoint as for `scan`, a `Scan`, or the path of a run folder or of a saved report, which need no checkpoint.
        options: Of `scan`, where there is something to scan; a null twin of every matrix is drawn unless `twin=False`.

    Returns:
        `Report`; `.save("report.html")` writes the page.

    Raises:
        UsageError: An option that does not exist, or a value out of range.
        UnreadableError: The source cannot be opened, or is a damaged report or run.
        UnsafeError: Opening it would run code.
        Interrupted: KeyboardInterrupt, with what was finished.
    """
    if isinstance(source, Report):
        return source
    if isinstance(source, Scan):
        return network(source)
    if saved(source):
        return load_report(source) if Path(source).is_file() else network(load_run(source))
    return network(scan(source, **{"twin": True, **options}))


def saved(source: Any) -> bool:
    """Whether it is the path of a saved report or of a run folder, which need no scan.

    Raises:
        UsageError: It is that of a store, which holds many.
    """
    if not isinstance(source, str | Path):
        return False
    if (Path(source) / STORE).is_file():
        raise UsageError(f"{source}: a store of many runs, expected one: modescope runs lists them, modescope serve shows them.")
    return is_report(Path(source)) or is_run(Path(source))


def network(scan: Scan, *, values: bool = False) -> Report:
    """Report of a scan.

    Args:
        scan: Of any network; a null twin is drawn where its rows keep one.
        values: Add all singular values to the document.
    """
    path = scan.source.get("path")
    where = "model" if path is None else repr(path)  # of a live model nothing but a name can be said
    opened = f"import modescope as ms\n\nscan = ms.scan({where}, level={scan.options['level']!r}, seed={scan.options['seed']!r})"
    keys = tuple(f"layer={label(row)}" for row in scan.rows)
    overview = Table(
        "",
        ("matrix", "kind", "shape", "dtype", *(heading for heading, _, _ in COLUMNS), "note"),
        tuple(map(_line, scan.rows)),
        about=(
            *(ABOUT[name] for name in ("matrix", "kind", "shape", "dtype")),
            *(quantities(measures()[measure].Result)[name].meaning for _, measure, name in COLUMNS),
            ABOUT["note"],
        ),
        links=keys,
        pictures=tuple(small(row.s) for row in scan.rows),
        picture=PICTURE,
    )
    sections = (_section(row, key, opened) for row, key in zip(scan.rows, keys, strict=True))
    return Report(
        (overview, *_notes(scan), *sections, _reference()),
        scan.to_dict(values=values),
        "matrices",
        title=_title(scan),
        code=f'{opened}\nms.report(scan).save("report.html")\n',
    )


def _reference() -> Section:
    """What every number means, once for all matrices."""
    blocks = reference().blocks
    return Section("Reference of the numbers", tuple(b for b in blocks if isinstance(b, Table)), REFERENCE, folded=True)


def label(row: Row) -> str:
    """What a row is called: the tensor's name, and that of the view where it says more than the kind."""
    return row.name if row.view in ("dense", "unfolding", row.kind) else f"{row.name} {row.view}"


def _title(scan: Scan) -> str:
    path = scan.source.get("path")
    return Path(path).name if path else "a live model"


def _section(row: Row, key: str, opened: str) -> Section:
    """One matrix: what its numbers say, the drawings, the numbers themselves."""
    facts = f"{row.kind}, {row.shape[0]} outputs × {row.shape[1]} inputs, stored as {row.dtype}."
    if row.aliases:
        facts += f" The same storage is also called {', '.join(row.aliases)}."
    said: list[Block] = [Note(facts)]
    if row.note:
        said.append(Note(f"{row.note[0].upper()}{row.note[1:].rstrip('.')}."))
    if row.status != "ok":
        return Section(label(row), (*said, Note(f"No numbers: {row.status.rstrip('.')}.", level="error")), key, folded=True)
    made = [block for name, result in row.measures.items() for block in blocks(name, row, result)]
    drawings = tuple(block for block in made if isinstance(block, DRAWN))
    tables = tuple(block for block in made if isinstance(block, Table))
    said += [block for block in made if isinstance(block, Note)]
    numbers = tuple(line for name, result in row.measures.items() for line in described(name, result))
    void = [key for name, result in row.measures.items() for key in missing(name, result)]
    return Section(
        label(row),
        (
            *said,
            Section("Pictures", drawings, layout="grid"),
            *tables,
            Table("Every number", ("number", "value", "unit", "meaning"), numbers, links=(REFERENCE,) * len(numbers)),
            *([Note(f"Without a value here: {', '.join(void)}. The reference says when that is so.")] if void else []),
        ),
        key,
        folded=True,
        code=f"{opened}\nrow = scan[{_address(row)!r}]\nrow.s, row.measures\n",
    )


def _address(row: Row) -> str:
    return f"{row.name} {row.view}"


def _line(row: Row) -> tuple[Cell, ...]:
    numbers = [row.number(measure, field) if measure in row.measures else None for _, measure, field in COLUMNS]
    remarks = list(_remarks(row)) if row.status == "ok" else [row.status]
    return (label(row), row.kind, "×".join(map(str, row.shape)), row.dtype, *numbers, "; ".join(remarks))


def _remarks(row: Row) -> Iterator[str]:
    """What a reader of the row's numbers must know beside them."""
    bulk = row.measures.get("bulk")
    if bulk is not None and bulk.outliers is not None:
        if bulk.outliers_centred is not None and bulk.outliers_centred < bulk.outliers:
            yield f"{bulk.outliers - bulk.outliers_centred} of the signal modes is the mean of the entries"
        if bulk.outliers_theory is not None and bulk.outliers_theory != bulk.outliers:
            yield f"threshold by {bulk.calibration} (theory: {bulk.outliers_theory} signal modes)"
    for measure in ("bulk", "tail"):
        if measure in row.measures and row.measures[measure].status != "ok":
            yield f"{measure}: {row.measures[measure].status}"
    if row.note:
        yield row.note


def _notes(scan: Scan) -> Iterator[Note]:
    counts = scan.summary()
    matrices = "1 matrix" if len(scan.rows) == 1 else f"{len(scan.rows)} matrices"
    said = f"{matrices}, {counts['failed']} without numbers; {counts['skipped']} tensors skipped"
    yield Note(said + ("." if scan.complete else "; interrupted before the rest."))
    chance = f"{scan.options['level']:g}"
    yield Note(
        f"Signal modes: singular values above the noise edge, at a chance of {chance} that pure noise shows any in the network, "
        "approximately so where twins set the threshold. MP fit: up to 1 the noise follows the Marchenko-Pastur law; above 2.5 it "
        "does not, and the count describes, it does not test. Alpha ± standard error: exponent of the tail of s², as if its values "
        "were independent. Dash: the number means nothing there."
    )
    reasons: dict[str, int] = {}
    for skip in scan.skipped:
        reasons[skip.reason] = reasons.get(skip.reason, 0) + 1
    if reasons:
        yield Note(
            "Skipped: " + "; ".join(f"{count} × {reason}" for reason, count in sorted(reasons.items(), key=lambda r: -r[1])) + "."
        )
