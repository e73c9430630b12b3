"""A store: scans of many checkpoints in one folder, kept as Parquet, asked through SQL.

A store is `store.json` and a folder `parts` of Parquet files. What it promises:

- One `append` is one new file, put in place in one step and synced to the disk: after it returned, the scan survives a crash;
  before that, no reader sees any of it. A killed writer loses the scan in flight and nothing else.
- Any number of processes may append, read and compact at the same time. No reader sees a line twice or misses one.
- What was appended is not changed. A scan appended again for the same run and step is a newer version, and the newest by the
  clock of its writer is what readers get.
- SQL reads the store it is asked of, and neither other files nor variables of the program; it cannot write.
"""

import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.errors import ModescopeError, UnreadableError, UsageError
from modescope.result import Scan
from modescope.store import compaction
from modescope.store.lines import Lines, lines_of, scan_of, signal
from modescope.store.parts import FOLDER, SUFFIX, place
from modescope.store.queries import ask, connected, damaged, line, quoted, select, texts
from modescope.version import __version__

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SCHEMA = "modescope.store/1"
MANIFEST = "store.json"


@dataclass(frozen=True)
class Recorded:
    """One run of a store.

    Attributes:
        run: Its name.
        steps: Its steps, ascending; None, for scans without one, comes first.
        last: When it was last appended to, in UTC.
        source: Path of the checkpoint of the last step, or None for a live model.
        matrices: Rows of the last step.
        failed: Those without numbers.
        signal: Signal modes of all its matrices together, or None where none has a count.
        complete: False where the scan of the last step was interrupted, or was still running.
    """

    run: str
    steps: tuple[int | None, ...]
    last: datetime
    source: str | None
    matrices: int
    failed: int
    signal: int | None
    complete: bool = True

    @classmethod
    def of(cls, scan: Scan, run: str, last: datetime) -> "Recorded":
        """One scan without a step as a run of its own."""
        return cls(run, (None,), last, scan.source.get("path"), len(scan.rows), len(scan.failed), signal(scan), scan.complete)


@dataclass(frozen=True)
class Answer:
    """What SQL answered: names of the columns, and rows of Python values."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class Store:
    """A folder with scans of many checkpoints, opened for appending and reading; nothing is kept open between calls."""

    def __init__(self, folder: str | Path, create: bool = True) -> None:
        """Open a store.

        Args:
            folder: Where it lies.
            create: Make it where the folder is missing or empty.

        Raises:
            UsageError: The folder holds other things than a store, or cannot be written.
            UnreadableError: There is no store and `create` is false, it is damaged, or of a newer version.
        """
        self.folder = Path(folder)
        path = self.folder / MANIFEST
        if create and not path.exists():
            _make(self.folder)
        try:
            schema = json.loads(path.read_text(encoding="utf-8"))["schema"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnreadableError(f"{self.folder}: expected a store with {MANIFEST}, which is missing.") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableError(f"{path}: damaged ({error}).") from error
        if schema != SCHEMA:
            raise UnreadableError(f"{path}: expected schema {SCHEMA}, got {schema!r}. A newer Modescope may open it.")

    def append(self, scan: Scan, *, run: str, step: int | None = None) -> None:
        """Write one scan as one new file; it is on the disk when this returns.

        Every 64th append also merges the small files before it, which takes as long as some tens of appends. That failing is no
        error of the append; readers will name what is wrong.

        Args:
            scan: What to keep, with its singular values and vectors.
            run: Name of the training run, or of the checkpoint.
            step: Where in the run: steps, epochs, tokens. A scan of the same run and step is replaced for readers.

        Raises:
            UsageError: An empty or unprintable name, a step that is no integer, no DuckDB, or the store cannot be written.
        """
        check(run, step)
        now = time.time_ns() // 1000
        append = f"{now:017d}-{os.getpid()}-{secrets.token_hex(4)}"  # sorts by time, and no other writer takes it
        moment = datetime.fromtimestamp(now // 1_000_000, UTC).replace(microsecond=now % 1_000_000, tzinfo=None)
        found = lines_of(scan, append, run, step, moment)
        try:
            place(self.folder / FOLDER / f"0-{append}{SUFFIX}", lambda hidden: _write(found, hidden))
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be written ({error.strerror or error}).") from error
        with suppress(ModescopeError):  # the scan is safe; what cannot be merged stays as it is
            compaction.tidy(self.folder)

    def runs(self) -> tuple[Recorded, ...]:
        """All runs, the one last appended to first.

        Raises:
            UnreadableError: A part is damaged.
        """
        sql = """SELECT run, list(step ORDER BY step NULLS FIRST), max(append), last(append ORDER BY step NULLS FIRST)
                 FROM _current GROUP BY run ORDER BY max(append) DESC"""
        heads = """SELECT append, time, source, matrices, failed, signal, complete
                   FROM _lines SEMI JOIN _current USING (append, file) WHERE place = 0"""

        def question(connection: "DuckDBPyConnection") -> tuple[Recorded, ...]:
            told = {append: rest for append, *rest in connection.execute(heads).fetchall()}
            return tuple(
                Recorded(run, tuple(steps), told[newest][0].replace(tzinfo=UTC), *told[last][1:])
                for run, steps, newest, last in connection.execute(sql).fetchall()
            )

        return ask(self.folder, question)

    def scan(self, run: str, step: int | None = None) -> Scan:
        """A scan as it was appended, its arrays included.

        Args:
            run: Name of the run.
            step: Which of its steps; by default the last.

        Raises:
            UsageError: No such run or step.
            UnreadableError: A part is damaged.
        """
        which = "SELECT append, file, step FROM _current WHERE run = $1 ORDER BY step DESC NULLS LAST"
        sql = """SELECT place, head, "row", "values", twin, vectors FROM _lines WHERE append = $1 AND file = $2 ORDER BY place"""

        def question(connection: "DuckDBPyConnection") -> tuple[str, list[Any]]:
            found = connection.execute(which, [run]).fetchall()
            if not found:
                raise UsageError(f"{self.folder}: no run {run!r}; {_some(connection)}")
            place = [(append, file) for append, file, at in found if step in (None, at)]
            if not place:
                steps = ", ".join(str(at) for *_, at in found[:10])
                raise UsageError(f"{self.folder}: run {run!r} has no step {step}; its last are {steps}.")
            return place[0][1], connection.execute(sql, place[0]).fetchall()

        check(run, step)
        part, found = ask(self.folder, question)
        try:
            return scan_of(found[0][1], [tuple(rest) for _, _, *rest in found[1:]])
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(part, error) from error

    def query(self, sql: str) -> Answer:
        """Ask with SQL.

        The views: `rows` has one line per run, step and matrix, with what it is (run, step, time, source, format, sha256, options,
        name, view, kind, "out", "in", dtype, status, note) and every measured number as "measure.number" ("tail.alpha", in double
        quotes), missing where it means nothing. `latest` has the last step of every matrix of every run. `spectra` has the
        singular values, `"values"`, and those of a null twin, as lists.

        Args:
            sql: One SELECT, in the dialect of DuckDB.

        Raises:
            UsageError: Another statement, a mistake in it, or a file it must not read.
            UnreadableError: A part is damaged.
        """

        def fetch(found: "DuckDBPyConnection") -> Answer:
            return Answer(tuple(column[0] for column in found.description or ()), tuple(found.fetchall()))

        return ask(self.folder, lambda connection: select(connection, sql, fetch))

    def arrays(self, sql: str) -> Mapping[str, Any]:
        """Ask with SQL for much: the same as `query`, but a NumPy array per column, masked where values are missing."""

        def fetch(found: "DuckDBPyConnection") -> Mapping[str, Any]:
            columns: Mapping[str, Any] = found.fetchnumpy()
            return columns

        return ask(self.folder, lambda connection: select(connection, sql, fetch))

    def compact(self) -> None:
        """Merge the small parts into a large one, while others may write and read; `append` does it from time to time.

        Nothing happens where another process is at it.

        Raises:
            UnreadableError: A part is damaged; it is named.
            UsageError: The store cannot be written.
        """
        compaction.compact(self.folder)


def check(run: str, step: int | None) -> None:
    """Refuse what cannot name a scan.

    Raises:
        UsageError: An empty or unprintable name of a run, or a step that is no integer of 64 bits.
    """
    if not isinstance(run, str) or not run.isprintable() or not run.strip():
        raise UsageError(f"run: expected a name of printable characters, got {run!r}.")
    if step is not None and (isinstance(step, bool) or not isinstance(step, int) or not -(2**63) <= step < 2**63):
        raise UsageError(f"step: expected an integer, got {step!r}.")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        if names and MANIFEST not in names:  # it may have come just now, from another writer
            raise UsageError(f"{folder}: expected a store or an empty folder, it holds {sorted(names)[0]!r}. Name another folder.")
        told = json.dumps({"schema": SCHEMA, "version": __version__}, indent=1) + "\n"
        place(folder / MANIFEST, lambda hidden: _text(hidden, told))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made a store ({error.strerror or error}).") from error


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _write(found: Lines, target: Path) -> None:
    columns = [f"unnest(CAST(${i} AS {found.types[name]}[])) AS {quoted(name)}" for i, name in enumerate(found.columns, start=1)]
    connection = connected(locked=False)
    from duckdb import Error

    try:
        connection.execute("SET threads = 1")  # beside a training run
        sql = f"COPY (SELECT {', '.join(columns)}) TO {texts([str(target)])} (FORMAT parquet)"
        connection.execute(sql, list(found.columns.values()))
    except Error as error:
        raise OSError(line(error)) from error
    finally:
        connection.close()


def _some(connection: "DuckDBPyConnection") -> str:
    names = [name for (name,) in connection.execute("SELECT DISTINCT run FROM _current ORDER BY run LIMIT 6").fetchall()]
    if not names:
        return "it is empty."
    return f"it has {', '.join(map(repr, names[:5]))}{' and others' if len(names) > 5 else ''}."
