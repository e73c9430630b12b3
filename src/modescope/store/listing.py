"""Runs of several stores and run folders in one list: filtered, and as a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as hour
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from modescope.blocks import Cell, Note, Table
from modescope.condition import Condition, rows_that_fulfil
from modescope.errors import UnreadableError, UsageError
from modescope.reports import Report
from modescope.runs import JOURNAL, is_run, load_run
from modescope.runs import MANIFEST as RUN
from modescope.store import MANIFEST as STORE
from modescope.store import Answer, Recorded, Store
from modescope.store.queries import quoted
from modescope.version import __version__

SCHEMA = "modescope.runs/1"
COMPARE = {"==": "=", "!=": "<>"}  # where SQL writes another sign than a condition


@dataclass(frozen=True)
class Found:
    """A run and the store or run folder it was found in."""

    path: str
    run: Recorded


def found(path: str | Path, *, match: str = "*", where: Sequence[Condition] = ()) -> tuple[Found, ...]:
    """Runs of a store, or the one of a run folder.

    Args:
        path: A store or a run folder.
        match: Glob on names of runs, case-sensitive.
        where: A run is found where one matrix, at its last step, fulfils all of them; a number that means nothing fulfils none.

    Raises:
        UnreadableError: Neither a store nor a run folder, or damaged.
    """
    folder = Path(path)
    if (folder / STORE).exists():
        store = Store(folder, create=False)
        held = _fulfilling(store, where) if where else None
        runs = [run for run in store.runs() if held is None or run.run in held]
    elif is_run(folder):
        scan = load_run(folder)
        rows = set(map(id, scan.rows)).intersection(*({id(row) for row in rows_that_fulfil(each, scan)} for each in where))
        last = datetime.fromtimestamp(max(part.stat().st_mtime for name in (RUN, JOURNAL) if (part := folder / name).exists()), UTC)
        runs = [Recorded.of(scan, name_of(folder), last)] if rows or not where else []
    else:
        raise UnreadableError(f"{folder}: expected a store or a run folder, with {STORE} or {RUN} in it.")
    return tuple(Found(str(path), run) for run in runs if fnmatchcase(run.run, match))


def name_of(folder: Path) -> str:
    """What the run of a run folder is called: the name of the folder."""
    return folder.resolve().name


def report(runs: Sequence[Found]) -> Report:
    """The runs as a table, and as a document under the schema `modescope.runs/1`."""
    several = len({each.path for each in runs}) > 1
    columns = ["run", "steps", "last step", "written (UTC)", "matrices", "failed", "signal modes", "checkpoint"]
    columns += ["in"] * several + ["note"] * any(not each.run.complete for each in runs)
    table = Table("", tuple(columns), tuple(_line(each, columns) for each in runs))
    said = Note("1 run." if len(runs) == 1 else f"{len(runs)} runs.")
    document = {"schema": SCHEMA, "version": __version__, "runs": [_plain(each) for each in runs]}
    return Report((table, said) if runs else (said,), document, "runs", "Runs")


def answer(said: Answer) -> Report:
    """What SQL answered as a table, and as a document under the schema `modescope.runs/1`."""
    rows = [[_jsonable(value) for value in row] for row in said.rows]
    table = Table("", said.columns, tuple(tuple(map(_cell, row)) for row in rows))
    document = {"schema": SCHEMA, "version": __version__, "columns": list(said.columns), "rows": rows}
    return Report((table,), document, "rows", "Answer")


def _fulfilling(store: Store, where: Sequence[Condition]) -> set[str]:
    held = " AND ".join(f"{quoted(f'{c.measure}.{c.name}')} {COMPARE.get(c.compare, c.compare)} {c.limit!r}" for c in where)
    return {run for (run,) in store.query(f"SELECT DISTINCT run FROM latest WHERE {held}").rows}


def _line(each: Found, columns: Sequence[str]) -> tuple[Cell, ...]:
    run = each.run
    written = f"{run.last:%Y-%m-%d %H:%M}"
    line = (run.run, len(run.steps), run.steps[-1], written, run.matrices, run.failed, run.signal, run.source)
    more = {"in": each.path, "note": "" if run.complete else "interrupted before the rest"}
    return (*line, *(more[name] for name in columns[len(line) :]))


def _plain(each: Found) -> dict[str, Any]:
    run = each.run
    return {
        "in": each.path,
        "run": run.run,
        "steps": list(run.steps),
        "last": run.last.isoformat(),
        "source": run.source,
        "matrices": run.matrices,
        "failed": run.failed,
        "signal": run.signal,
        "complete": run.complete,
    }


def _jsonable(value: Any) -> Any:
    """A value of SQL as plain JSON data: numbers that are not finite are null, and what JSON has no form for is text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, datetime | date | hour):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value)


def _cell(value: Any) -> Cell:
    import json

    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, allow_nan=False)


def add(store: Store, folders: Sequence[Path], *, run: str | None = None, step: int | None = None) -> None:
    """Append scans of run folders to a store.

    Args:
        store: Where to.
        folders: Run folders, as `scan --save` writes them.
        run: Name; by default that of the folder.
        step: Where in the run.

    Raises:
        UsageError: A path that is no run folder, or one name and step for several.
        UnreadableError: A run folder is damaged.
    """
    if len(folders) > 1 and (run is not None or step is not None):
        raise UsageError("--run, --step: expected one run folder to add with them, or each would replace the one before.")
    for folder in folders:
        if not is_run(folder):
            raise UsageError(f"{folder}: expected a run folder. A checkpoint is scanned first: modescope scan {folder} --save RUN.")
    for folder in folders:
        store.append(load_run(folder), run=name_of(folder) if run is None else run, step=step)
