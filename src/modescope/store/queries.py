"""Questions to the parts of a store, through DuckDB: views of what counts, and SQL that can read nothing else.

Which lines count is decided by the lines themselves. Of several appends for one run and step the newest counts; of several files
that hold one append, as between the two halves of a compaction, one is read. So no reader sees a line twice or misses one, whatever
state a compactor was killed in.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modescope.errors import UnreadableError, UsageError
from modescope.store.lines import FIXED, HEAD, LARGE, numbers
from modescope.store.parts import listed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TRIES = 20  # listings of a store whose files are replaced while they are read
HEADS = """
CREATE TEMP TABLE _heads AS SELECT append, file, run, step FROM _lines WHERE place = 0;
CREATE TEMP TABLE _current AS
    SELECT * FROM _heads QUALIFY row_number() OVER (PARTITION BY run, step ORDER BY append DESC, file DESC) = 1;
CREATE TEMP TABLE _last AS SELECT * FROM _current QUALIFY row_number() OVER (PARTITION BY run ORDER BY step DESC NULLS LAST) = 1;
"""
COUNTS = "SELECT (SELECT count(*) FROM _heads), (SELECT count(*) FROM _current), (SELECT count(*) FROM _last)"
VIEWS = """
CREATE VIEW _rows AS SELECT * FROM _lines {which} WHERE place > 0;
CREATE VIEW rows AS SELECT {small} FROM _rows;
CREATE VIEW latest AS {latest};
CREATE VIEW spectra AS SELECT run, step, name, "view", "values", twin FROM _rows;
"""
WHICH = "SEMI JOIN _current USING (append, file)"
# Matrices of the last scan of a run need no comparison; those that it left out are looked for in the scans before.
LATEST = """
SELECT {small} FROM _rows SEMI JOIN _last USING (append, file) UNION ALL
SELECT {small} FROM _rows ANTI JOIN _last USING (append, file)
    ANTI JOIN (SELECT run, name, "view" FROM _rows SEMI JOIN _last USING (append, file)) USING (run, name, "view")
    QUALIFY row_number() OVER (PARTITION BY run, name, "view" ORDER BY step DESC NULLS LAST) = 1
"""

Found = TypeVar("Found")


def connected(parts: Sequence[str] = (), *, locked: bool = True) -> "DuckDBPyConnection":
    """A connection in memory that may read these files and nothing else, and whose settings cannot be changed any more.

    Args:
        parts: Files.
        locked: False for what writes, which runs no SQL of others.

    Raises:
        UsageError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("store: expected duckdb, which is not installed. pip install 'modescope[store]'.") from error
    safe: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # SQL must not read the variables of its caller
        "temp_directory": "",
    }
    connection = duckdb.connect(config=safe)
    connection.execute("SET parquet_metadata_cache = true")
    if locked:
        connection.execute(f"SET allowed_paths = [{texts(parts)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    return connection


def ask(folder: Path, question: "Callable[[DuckDBPyConnection], Found]") -> Found:
    """Answer a question from the views of a store.

    Args:
        folder: The store.
        question: Called with a connection that has the views `rows`, `latest` and `spectra`, the tables `_heads` and `_current`,
            and `_lines`, all there is. Called again where files were replaced meanwhile.

    Raises:
        UnreadableError: A part is damaged; it is named.
        UsageError: DuckDB is not installed, or cannot answer.
    """
    for _ in range(TRIES):
        parts = listed(folder)
        connection = connected(parts)
        from duckdb import Error

        try:
            _lay(connection, parts)
            return question(connection)
        except (Error, UsageError) as error:  # a file that is gone may look like either
            if set(parts) <= set(listed(folder)):
                if isinstance(error, UsageError):
                    raise
                blame(parts)
                raise UsageError(f"{folder}: {line(error)}") from error
        finally:
            connection.close()
    raise UnreadableError(f"{folder}: its files were replaced {TRIES} times while they were read. Try again.")


def select(connection: "DuckDBPyConnection", sql: str, fetch: "Callable[[DuckDBPyConnection], Found]") -> Found:
    """Run one SELECT of a user and fetch what it finds.

    Raises:
        UsageError: It is no SELECT, or is wrong; in one line.
    """
    import duckdb

    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"SQL: {error}") from error
    try:
        found = connection.extract_statements(sql)
        if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
            raise UsageError(f"SQL: expected one SELECT, got {sql.strip()[:60]!r}.")
        # a WITH may hold statements that write, at the top alone: where the same stands below it, they are refused
        connection.execute(f"EXPLAIN SELECT * FROM (\n{found[0].query.strip().rstrip(';')}\n)")
        return fetch(connection.execute(found[0]))
    except duckdb.InvalidInputException:
        raise  # so does a damaged file announce itself
    except (duckdb.ProgrammingError, duckdb.NotSupportedError, duckdb.DataError, duckdb.PermissionException) as error:
        raise UsageError(f"SQL: {line(error)}") from error


def blame(parts: Sequence[str]) -> None:
    """Read every part whole.

    Raises:
        UnreadableError: Names the first that cannot be read.
    """
    from duckdb import Error

    for part in parts:
        with connected([part]) as connection:
            try:
                fixed = ", ".join(map(quoted, FIXED))
                connection.execute(f"SELECT count(hash({fixed})), count(hash(COLUMNS(*))) FROM read_parquet([{texts([part])}])")
                connection.fetchall()
            except Error as error:
                if Path(part).exists():
                    raise UnreadableError(
                        f"{part}: damaged part of a store ({line(error)}). Take it out to read the rest."
                    ) from error


def damaged(part: str, why: object) -> UnreadableError:
    """The error of a part that cannot be read."""
    return UnreadableError(f"{part}: damaged part of a store ({why}). Take it out to read the rest.")


def texts(values: Sequence[str]) -> str:
    """Texts as SQL, separated by commas."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def quoted(name: str) -> str:
    """The name of a column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def line(error: Exception) -> str:
    """What an error of DuckDB says, without the place in the query and the stack of Python."""
    said = str(error).partition("\n\n")[0].partition(", due to the following Python exception")[0]
    return " ".join(text.strip() for text in said.splitlines())


def _lay(connection: "DuckDBPyConnection", parts: Sequence[str]) -> None:
    """Make the views; numbers that no part has yet, as those of a new measure, are there and missing."""
    known = FIXED | {f"{measure}.{name}": "DOUBLE" for measure, name in numbers()} | {"file": "VARCHAR"}
    if parts:
        files = f"FROM read_parquet([{texts(parts)}], union_by_name = true, filename = 'file')"
        present = [column[0] for column in connection.execute(f"SELECT * {files} LIMIT 0").description or ()]
    else:
        files, present = "WHERE false", []
    missing = [f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in known.items() if name not in present]
    connection.execute(f"CREATE VIEW _lines AS SELECT {', '.join([*(['*'] if parts else []), *missing])} {files}")
    columns: list[Any] = [name for name in (*known, *present) if name not in (*LARGE, *HEAD, "file")]
    connection.execute(HEADS)
    small = ", ".join(map(quoted, dict.fromkeys(columns)))
    heads, current, last = connection.execute(COUNTS).fetchone() or (0, 0, 0)
    which = "" if heads == current else WHICH  # joins that leave nothing out are left out
    latest = "SELECT * FROM rows" if current == last else LATEST.format(small=small)
    connection.execute(VIEWS.format(small=small, which=which, latest=latest))
