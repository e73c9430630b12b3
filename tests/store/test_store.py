"""A store gives back what was appended, the newest of each run and step, and says in one line what is wrong with a folder."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import modescope as ms
from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Skip
from modescope.measures import measures
from modescope.quantity import quantities
from modescope.store import MANIFEST, Store, compaction
from store_cases import filled, measured, parts, planted, same

SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_a_scan_comes_back_bit_by_bit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    twins = replace(measured(), rows=tuple(replace(row, twin=row.s[::-1] / 3) for row in measured()))
    shipped = replace(ms.scan(ms.demo_path()), complete=False)
    for run, scan in (("all kinds", measured()), ("twins", twins), ("shipped", shipped), ("none", ms.scan({"v": np.ones(3)}))):
        store.append(scan, run=run)
    store.compact()
    assert measured().failed
    assert measured().rows[0].u is not None
    assert same(store.scan("all kinds"), measured())
    assert same(store.scan("twins"), twins)
    assert same(store.scan("shipped"), shipped)
    assert len(store.scan("none")) == 0
    assert store.scan("none").skipped


@SLOW
@given(
    run=st.text(min_size=1).filter(lambda text: text.isprintable() and text.strip()),
    names=st.lists(st.text(st.characters(), max_size=30), unique=True, max_size=3),
    step=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_hostile_names_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, run: str, names: list[str], step: int | None
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    scan = replace(planted(dict.fromkeys(names, 2.5)), skipped=tuple(Skip(name, (3,), name) for name in names))
    store.append(scan, run=run, step=step)
    assert same(store.scan(run, step), scan)
    assert [(found.run, found.steps) for found in store.runs()] == [(run, (step,))]
    assert {found for (found,) in store.query("SELECT name FROM rows").rows} >= {name for name in names if _is_text(name)}


def _is_text(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def test_names_with_half_characters_and_control_characters_come_back(tmp_path: Path) -> None:
    scan = planted({"half \ud800 of": 1.5, "nul \0 and\nline": 2.5, "'); DROP TABLE rows; --": 3.5})
    store = Store(tmp_path)
    store.append(replace(scan, source={**scan.source, "path": "/x/\udcff.pt"}), run="r")
    assert [row.name for row in store.scan("r")] == [row.name for row in scan]
    assert store.scan("r").source["path"] == "/x/\udcff.pt"
    assert store.runs()[0].source == "/x/\\udcff.pt"


def test_every_number_stands_in_its_column_and_is_missing_where_it_means_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(measured(), run="r", step=3)
    answer = store.query("SELECT * FROM rows")
    lines = {line["name"]: line for values in answer.rows if (line := dict(zip(answer.columns, values, strict=True)))}
    assert set(lines) == {row.name for row in measured()}
    columns = 0
    for row in measured():
        line = lines[row.name]
        assert (line["run"], line["step"], line["view"], line["kind"]) == ("r", 3, row.view, row.kind)
        assert ((line["out"], line["in"]), line["dtype"], line["status"]) == (row.shape, row.dtype, row.status)
        for measure, module in measures().items():
            for name in quantities(module.Result):
                value = row.number(measure, name)
                if isinstance(value, tuple) or f"{measure}.{name}" not in line:
                    assert value is None or isinstance(value, tuple)
                    continue
                columns += 1
                assert line[f"{measure}.{name}"] == (None if value is None or not math.isfinite(value) else value)
    assert columns > 40 * len(measured())
    assert not {"row", "values", "vectors", "head", "append", "file"} & set(answer.columns)


def test_a_run_and_step_appended_again_is_a_newer_version(tmp_path: Path) -> None:
    store = filled(tmp_path, [("a", 1, {"x": 1.0, "y": 1.5}), ("a", 2, {"x": 2.0}), ("a", 1, {"x": 3.0}), ("b", None, {"x": 4.0})])
    assert store.query("""SELECT run, step, name, "tail.alpha" FROM rows ORDER BY ALL""").rows == (
        ("a", 1, "x", 3.0),
        ("a", 2, "x", 2.0),
        ("b", None, "x", 4.0),
    )
    assert store.scan("a", 1).rows[0].number("tail", "alpha") == 3.0
    assert store.scan("a").rows[0].number("tail", "alpha") == 2.0
    store.append(planted({"x": 5.0}), run="b")
    assert store.scan("b").rows[0].number("tail", "alpha") == 5.0


def test_latest_is_the_last_step_of_every_matrix_and_a_scan_without_step_comes_first(tmp_path: Path) -> None:
    store = filled(tmp_path, [("a", 10, {"x": 1.0}), ("a", 9, {"x": 2.0, "y": 3.0}), ("a", None, {"x": 4.0, "z": 5.0})])
    assert store.query("""SELECT name, step, "tail.alpha" FROM latest ORDER BY name""").rows == (
        ("x", 10, 1.0),
        ("y", 9, 3.0),
        ("z", None, 5.0),
    )
    assert len(store.scan("a")) == 1


def test_runs_say_what_there_is_the_last_written_first(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    big = 2**60
    store = filled(tmp_path, [("a", big + 1, {"x": 1.0, "y": 2.0}), ("b", None, {"x": 1.0}), ("a", big, {"x": 1.0})])
    store.append(measured(), run="c", step=0)
    store.append(planted({}), run="c", step=-1)
    c, a, b = store.runs()
    assert (c.run, c.steps, c.matrices, c.failed) == ("c", (-1, 0), len(measured()), len(measured().failed))
    assert c.signal == sum(row.number("bulk", "outliers") or 0 for row in measured())
    assert (a.run, a.steps, a.matrices, a.failed) == ("a", (big, big + 1), 2, 0)
    assert (b.run, b.steps, b.source) == ("b", (None,), None)
    assert before - timedelta(seconds=1) <= b.last <= a.last <= c.last <= datetime.now(UTC)


def test_an_empty_store_answers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.runs() == ()
    assert store.query("""SELECT run, "tail.alpha" FROM latest""").rows == ()
    store.compact()
    with pytest.raises(UsageError, match="it is empty"):
        store.scan("a")


def test_a_run_or_step_that_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    store = filled(tmp_path, [("a", 1, {"x": 1.0}), ("a", 7, {"x": 1.0})])
    with pytest.raises(UsageError, match=r"no run 'b'; it has 'a'\.$"):
        store.scan("b")
    with pytest.raises(UsageError, match=r"no step 3; its last are 7, 1\.$"):
        store.scan("a", 3)


@pytest.mark.parametrize(
    ("run", "step"), [("", None), (" ", None), ("a\nb", 1), ("\ud800", 1), ("a", 2**63), ("a", True), ("a", 1.5)]
)
def test_what_cannot_name_a_scan_is_refused_and_nothing_is_written(tmp_path: Path, run: str, step: int | None) -> None:
    store = Store(tmp_path)
    with pytest.raises(UsageError):
        store.append(planted({"x": 1.0}), run=run, step=step)
    assert not (tmp_path / "parts").exists()


def test_columns_of_differing_versions_are_united(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    with monkeypatch.context() as older:
        older.setattr("modescope.store.lines.numbers", lambda rows=(): (("tail", "alpha"), ("old", "number")))
        store.append(planted({"x": 1.0}), run="old")
    assert store.query("""SELECT "tail.alpha", "old.number", "norms.spectral" FROM latest""").rows == ((1.0, None, None),)
    store.append(planted({"x": 2.0}), run="new")
    expected = ((2.0, None, planted({"x": 2.0}).rows[0].number("norms", "spectral")), (1.0, None, None))
    for _ in range(2):
        assert store.query("""SELECT "tail.alpha", "old.number", "norms.spectral" FROM rows ORDER BY run""").rows == expected
        store.compact()


def test_a_folder_whose_name_is_a_pattern_or_a_quotation_is_a_folder(tmp_path: Path) -> None:
    store = filled(tmp_path / "it's [1] *?", [("a", 1, {"x": 1.0}), ("a", 2, {"x": 2.0})])
    filled(tmp_path / "it's 1 zz", [("b", 1, {"x": 1.0})])
    for _ in range(2):
        assert store.query("SELECT run, step FROM rows ORDER BY step").rows == (("a", 1), ("a", 2))
        store.compact()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "modescope.store/2"}', "expected schema modescope.store/1, got 'modescope.store/2'"),
        ("{}", "damaged"),
        ("[1]", "damaged"),
        ('{"schema', "damaged"),
        ("\x00\xff", "damaged"),
    ],
)
def test_a_newer_or_damaged_store_is_refused_by_name(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(UnreadableError, match=words) as error:
        Store(tmp_path)
    assert str(tmp_path / MANIFEST) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_store_is_made_in_an_empty_folder_only(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"expected a store with store\.json"):
        Store(tmp_path / "missing", create=False)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"holds 'thesis\.tex'"):
        Store(tmp_path)
    with pytest.raises(UsageError, match="cannot be made a store"):
        Store(tmp_path / "thesis.tex" / "store")
    assert json.loads((Store(tmp_path / "new").folder / MANIFEST).read_text())["schema"] == "modescope.store/1"
    Store(tmp_path / "new", create=False)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "parts").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written") as error:
        store.append(planted({"x": 1.0}), run="a")
    assert len(str(error.value).splitlines()) == 1


def test_without_duckdb_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for call in (lambda: store.append(planted({"x": 1.0}), run="a"), store.runs):
        with pytest.raises(UsageError, match=r"pip install 'modescope\[store\]'"):
            call()


def test_appends_merge_small_files_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MANY", 3)
    store, most = Store(tmp_path), 0
    for step in range(30):
        store.append(planted({"x": float(step), "y": -float(step)}), run="a", step=step)
        most = max(most, len(parts(store)))
    assert most <= 2 * 4  # at most two of each level, and 30 appends fill four levels
    assert store.query("""SELECT step, "tail.alpha" FROM rows WHERE name = 'x' ORDER BY step""").rows == tuple(
        (step, float(step)) for step in range(30)
    )
    assert same(store.scan("a", 4), planted({"x": 4.0, "y": -4.0}))


def test_an_append_succeeds_beside_a_damaged_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MANY", 2)
    store = filled(tmp_path, [("a", 1, {"x": 1.0})])
    (tmp_path / "parts" / "0-torn.parquet").write_bytes(b"PAR1")
    store.append(planted({"x": 2.0}), run="a", step=2)
    with pytest.raises(UnreadableError, match=r"0-torn\.parquet"):
        store.scan("a")
    (tmp_path / "parts" / "0-torn.parquet").unlink()
    assert store.runs()[0].steps == (1, 2)


APPENDS = """
import sys
from store_cases import planted
from modescope.store import Store, compaction
compaction.MANY = 5
store, scan = Store(sys.argv[1]), planted({"x": 1.5, "y": 2.5, "z": 3.5})
for step in range(int(sys.argv[3])):
    store.append(scan, run=sys.argv[2], step=step)
    print(step, flush=True)
"""


def appending(folder: Path, run: str, steps: int) -> "subprocess.Popen[str]":
    here = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.insert(0, {here!r})\n{APPENDS}"
    return subprocess.Popen([sys.executable, "-c", code, str(folder), run, str(steps)], stdout=subprocess.PIPE, text=True)


def test_two_writers_lose_nothing_and_readers_see_whole_scans_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    writers = [appending(tmp_path, run, 20) for run in ("a", "b")]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        store.compact()
        found = store.query("SELECT run, step, count(*), count(DISTINCT name) FROM rows GROUP BY ALL").rows
        assert all(counts == (3, 3) for _, _, *rest in found if (counts := tuple(rest)))
        assert len(found) >= seen
        seen = len(found)
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    assert {found.run: found.steps for found in store.runs()} == {run: tuple(range(20)) for run in ("a", "b")}


def test_a_killed_writer_loses_at_most_the_scan_in_flight(tmp_path: Path) -> None:
    for round in range(3):
        writer = appending(tmp_path, f"run {round}", 1000)
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(4 + 3 * round)]
        time.sleep(0.011 * round)  # somewhere else in an append each time
        writer.kill()
        said += writer.communicate()[0].splitlines(keepends=True)
        done = len([line for line in said if line.endswith("\n")])
        store = Store(tmp_path, create=False)
        steps = next(found.steps for found in store.runs() if found.run == f"run {round}")
        assert steps == tuple(range(len(steps)))
        assert done <= len(steps) <= done + 1
        assert store.query("SELECT count(*) FROM rows GROUP BY run, step HAVING count(*) != 3").rows == ()


def test_importing_the_store_loads_no_engine() -> None:
    code = "import modescope.store, sys; print('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
