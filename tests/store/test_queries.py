"""SQL reads the store and nothing else, damaged parts are named, and files that are replaced meanwhile cost a second look."""

from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pytest

from modescope.errors import UnreadableError, UsageError
from modescope.store import Store, queries
from modescope.store.parts import listed
from store_cases import everything, filled, measured, parts

SECRET = "the variable of a caller"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled(tmp_path_factory.mktemp("store"), [("a", 1, {"x": 1.0}), ("a", 2, {"x": 2.0})])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM read_blob('{store}/store.json')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('{other}')",
        "SELECT (SELECT content FROM read_text('{secret}'))",
        "SELECT * FROM query('COPY (SELECT 1) TO ''{folder}/new''')",
        "COPY (SELECT 1) TO '{folder}/new'",
        "COPY (SELECT 1) TO '{part}'",
        "SELECT 1; COPY (SELECT 1) TO '{folder}/new'",
        "ATTACH '{folder}/new'",
        "EXPORT DATABASE '{folder}/new'",
        "SET enable_external_access = true",
        "RESET enable_external_access",
        "PRAGMA database_list",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE t (a INT)",
        "DROP VIEW rows",
        "DELETE FROM _current",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/new'",
        "SELECT * FROM variable",
        "SELECT * FROM array",
        "SELECT SECRET",
        "SELECT nonsense FROM rows",
        "SELECT 'a'::INT",
        "SELECT 1 +",
        "SELECT '\ud800'",
        "SELECT regexp_matches(name, '(') FROM rows",
        "SELECT error('planted')",
        "",
        "-- nothing",
        ";",
    ],
)
def test_sql_can_neither_write_nor_read_anything_but_the_store(tmp_path: Path, store: Store, sql: str) -> None:
    variable, array = {"a": np.arange(3)}, np.arange(3)
    (tmp_path / "secret.csv").write_text("a,b\n1,2\n")
    other = filled(tmp_path / "other", [("a", 1, {"x": 1.0})])
    part, before = parts(store)[0], [path.read_bytes() for path in parts(store)]
    names = {"secret": tmp_path / "secret.csv", "folder": tmp_path, "store": store.folder, "part": part, "other": parts(other)[0]}
    with pytest.raises(UsageError) as error:
        store.query(sql.format(**names))
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "new").exists()
    assert [path.read_bytes() for path in parts(store)] == before
    assert len(variable["a"]) == len(array)


@pytest.mark.parametrize("sql", ["SET threads = 1", "SET enable_external_access = true", "SELECT * FROM array", "LOAD httpfs"])
def test_the_connection_itself_is_locked(store: Store, sql: str) -> None:
    array = np.arange(3)
    with queries.connected(listed(store.folder)) as connection, pytest.raises(duckdb.Error):
        connection.execute(sql)
    assert len(array) == 3


def test_sql_selects_and_describes(store: Store) -> None:
    assert store.query("WITH a AS (SELECT step FROM rows) SELECT max(step) AS last FROM a") == queries_answer(("last",), ((2,),))
    assert {line[0] for line in store.query("DESCRIBE latest").rows} >= {"run", "step", "time", "out", "in", "tail.alpha"}
    assert [line[0] for line in store.query("DESCRIBE spectra").rows] == ["run", "step", "name", "view", "values", "twin"]
    assert store.query("SELECT run FROM rows WHERE false").rows == ()


def queries_answer(columns: tuple[str, ...], rows: tuple[tuple[object, ...], ...]) -> object:
    from modescope.store import Answer

    return Answer(columns, rows)


def test_arrays_hold_the_same_values(store: Store) -> None:
    sql = """SELECT step, "tail.alpha" AS alpha, NULL::DOUBLE AS none FROM rows ORDER BY step"""
    found = store.arrays(sql)
    assert list(zip(found["step"].tolist(), found["alpha"].tolist(), found["none"].tolist(), strict=True)) == list(
        store.query(sql).rows
    )


def damage(part: Path, how: str) -> None:
    whole = part.read_bytes()
    match how:
        case "torn":
            part.write_bytes(whole[: len(whole) // 2])
        case "no tail":
            part.write_bytes(whole[:-3])
        case "empty":
            part.write_bytes(b"")
        case "text":
            part.write_text("hello, this is no Parquet file")
        case "footer":
            part.write_bytes(whole[:-400] + b"\x7f" * 392 + whole[-8:])
        case "pages":
            part.write_bytes(whole[:4] + b"\xff" * 3000 + whole[3004:])
        case "foreign":
            with queries.connected(locked=False) as connection:
                connection.execute(f"COPY (SELECT 1 AS a) TO '{part}' (FORMAT parquet)")
        case "folder":
            part.unlink()
            part.mkdir()


@pytest.mark.parametrize("how", ["torn", "no tail", "empty", "text", "footer", "pages", "foreign", "folder"])
def test_a_damaged_part_is_named_in_one_line(tmp_path: Path, how: str) -> None:
    store = filled(tmp_path, [("a", 1, {"x": 1.0}), ("a", 2, {"x": 2.0})])
    part = parts(store)[0]
    damage(part, how)
    if how != "foreign":  # a part of other columns has no heads, so no line of it counts
        for call in (store.runs, lambda: store.scan("a", 1), lambda: store.query("SELECT * FROM rows"), store.compact):
            with pytest.raises(UnreadableError) as error:
                call()
            assert str(part) in str(error.value)
            assert len(str(error.value).splitlines()) == 1
    if how != "folder":
        part.unlink()
        assert store.scan("a").rows[0].number("tail", "alpha") == 2.0


def test_a_row_that_was_tampered_with_is_a_damaged_part(tmp_path: Path) -> None:
    store = filled(tmp_path, [("a", 1, {"x": 1.0})])
    part = parts(store)[0]
    with queries.connected(locked=False) as connection:
        new = part.with_suffix(".new")
        connection.execute(f"COPY (SELECT * REPLACE ('[1' AS \"row\") FROM read_parquet('{part}')) TO '{new}' (FORMAT parquet)")
        new.replace(part)
    with pytest.raises(UnreadableError, match=part.name):
        store.scan("a")
    assert len(store.runs()) == 1


def test_files_replaced_after_they_were_listed_cost_a_second_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, [("a", step, {"x": float(step)}) for step in range(5)])
    expected, stale = everything(store), listed(tmp_path)
    store.compact()
    looks = [stale]
    monkeypatch.setattr(queries, "listed", lambda folder: looks.pop() if looks else listed(folder))
    assert store.runs() == expected[-1]
    assert not looks
    monkeypatch.undo()
    assert everything(store) == expected


@pytest.mark.parametrize("ask", [lambda store: store.query("SELECT count(*) FROM rows"), lambda store: store.scan("a").to_dict()])
def test_files_replaced_after_they_were_looked_at_cost_a_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Store], object]
) -> None:
    store = filled(tmp_path, [("a", step, {"x": float(step)}) for step in range(3)])
    expected, lay, times = ask(store), queries._lay, []

    def laid(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        lay(connection, names)
        store.compact()
        times.append(len(names))

    monkeypatch.setattr(queries, "_lay", laid)
    assert ask(store) == expected
    assert times == [3, 1]


def test_files_that_are_always_gone_are_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, [("a", 1, {"x": 1.0})])
    names = iter(range(1000))
    monkeypatch.setattr(queries, "listed", lambda folder: (f"{tmp_path}/parts/0-{next(names)}.parquet",))
    with pytest.raises(UnreadableError, match="Try again"):
        store.runs()


@pytest.mark.parametrize("empty", [True, False])
def test_no_sql_writes_or_reads_beside_the_store(empty: bool, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    if not empty:
        store.append(measured(), run="a")
    (tmp_path / "secret").write_text("secret")
    part = next((tmp_path / "store" / "parts").iterdir()) if not empty else tmp_path / "new.csv"
    before = part.read_bytes() if part.exists() else None
    for sql in (
        f"SELECT * FROM read_text('{tmp_path}/secret')",
        f"SELECT * FROM glob('{tmp_path}/*')",
        f"WITH x AS (COPY (SELECT 42) TO '{part}') SELECT 1",
        f"WITH x AS (COPY (SELECT 42 a) TO '{part}' (FORMAT csv, USE_TMP_FILE false)) SELECT * FROM x",
        f"WITH x AS (WITH y AS (COPY (SELECT 42) TO '{part}') SELECT 1) SELECT * FROM x",
    ):
        with pytest.raises(UsageError):
            store.query(sql)
        assert (part.read_bytes() if part.exists() else None) == before
    assert store.query("WITH x AS (SELECT 1 AS a) SELECT a FROM x -- and so on").rows == ((1,),)
