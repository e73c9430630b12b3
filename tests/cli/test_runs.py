"""`modescope runs`: what is listed, filtered, asked and added, in every format, and what it says when that cannot be."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import modescope
from modescope.cli import _run
from modescope.registry import modules
from modescope.runs import Journal
from modescope.scanning import scan
from modescope.shipped import demo_path
from modescope.store import Store
from store_cases import filled, measured, planted

SCHEMA = json.loads((Path(modescope.__file__).parent / "schemas" / "runs-1.json").read_text())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    filled(
        tmp_path / "store",
        [
            ("base", None, {"x": 1.5, "y": None}),
            ("tuned-a", 1, {"x": 9.0}),
            ("tuned-a", 2, {"x": 2.5, "y": 7.5}),
            ("tuned-b", 1, {"x": 3.5}),
        ],
    )
    return tmp_path / "store"


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert _run(["runs", *map(str, arguments), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)
    return document


def names(document: dict[str, Any]) -> list[str]:
    return [run["run"] for run in document["runs"]]


def test_runs_are_listed_the_last_written_first(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, store)
    assert names(document) == ["tuned-b", "tuned-a", "base"]
    tuned = document["runs"][1]
    assert (tuned["in"], tuned["steps"], tuned["matrices"], tuned["failed"]) == (str(store), [1, 2], 2, 0)
    assert document["runs"][2]["steps"] == [None]
    assert _run(["runs", str(store)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^tuned-a +2 +2 +\d{4}-\d\d-\d\d \d\d:\d\d +2 +0 ", out, re.MULTILINE)
    assert out.endswith("3 runs.\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--match", "tuned-*"], ["tuned-b", "tuned-a"]),
        (["--match", "TUNED-*"], []),
        (["--where", "tail.alpha > 3"], ["tuned-b", "tuned-a"]),
        (["--where", "tail.alpha > 8"], []),
        (["--where", "tail.alpha != 1.5"], ["tuned-b", "tuned-a"]),
        (["--where", "tail.alpha == 1.5"], ["base"]),
        (["--where", "tail.alpha > 2", "--where", "tail.alpha < 3"], ["tuned-a"]),
        (["--where", "tail.alpha < 3", "--where", "tail.alpha > 7"], []),
        (["--where", "tail.alpha > 3", "--match", "*b"], ["tuned-b"]),
        (["--where", "tail.alpha_farms > -1e300"], []),
    ],
    ids=str,
)
def test_filters_leave_the_runs_that_fulfil_them(
    store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    assert names(said(capsys, store, *arguments)) == expected


def test_a_run_folder_is_a_run_and_is_filtered_as_a_store_is(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted({"x": 2.5, "y": 7.5}).save(tmp_path / "tuned-a")
    run = said(capsys, tmp_path / "tuned-a")["runs"][0]
    stored = next(each for each in said(capsys, store)["runs"] if each["run"] == "tuned-a")
    assert {key: run[key] for key in ("run", "source", "matrices", "failed", "signal")} == {
        key: stored[key] for key in ("run", "source", "matrices", "failed", "signal")
    }
    assert names(said(capsys, store, tmp_path / "tuned-a", "--match", "*-a")) == ["tuned-a", "tuned-a"]
    for conditions in (
        ["tail.alpha > 7"],
        ["tail.alpha > 8"],
        ["tail.alpha < 3", "tail.alpha > 7"],
        ["tail.alpha > 2", "tail.alpha < 3"],
    ):
        where = [part for text in conditions for part in ("--where", text)]
        assert names(said(capsys, tmp_path / "tuned-a", *where)) == names(said(capsys, store, "--match", "tuned-a", *where))


def test_sql_prints_what_it_finds(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = """SELECT run, step, "tail.alpha", [1, NULL] AS list, 'nan'::DOUBLE AS nan, time > '2000-01-01' AS new,
             DATE '2000-01-02' AS day, 1.5::DECIMAL(3, 1) AS tenth, 'a'::BLOB AS bytes, {'b': 2} AS struct
             FROM rows WHERE name = 'x' ORDER BY "tail.alpha" LIMIT 1"""
    document = said(capsys, store, "--sql", sql)
    assert document["columns"][:3] == ["run", "step", "tail.alpha"]
    assert document["rows"] == [["base", None, 1.5, [1, None], None, True, "2000-01-02", "1.5", "61", {"b": 2}]]
    for form in modules("modescope.render"):
        assert _run(["runs", str(store), "--sql", sql, "--format", form]) == 0
        assert "2000-01-02" in capsys.readouterr().out


def test_every_format_can_be_chosen_and_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "s", [("<script>alert(1)</script>", 1, {"\x1b[31mred": 1.5}), ("=cmd|' /C calc'!A0", 1, {"x": 1.5})])
    for form in modules("modescope.render"):
        assert _run(["runs", str(tmp_path / "s"), "--format", form, "-o", str(tmp_path / form)]) == 0
        assert (tmp_path / form).stat().st_size > 0
        assert _run(["runs", str(tmp_path / "s"), "--sql", "SELECT run, name FROM rows", "--format", form]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "<script>alert" not in out or form in ("table", "csv", "json", "jsonl", "saved")


def test_run_folders_are_added_and_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted({"x": 2.5}).save(tmp_path / "first")
    measured().save(tmp_path / "second")
    document = said(capsys, tmp_path / "new", "--add", tmp_path / "first", "--add", tmp_path / "second")
    assert sorted(names(document)) == ["first", "second"]
    document = said(capsys, tmp_path / "new", "--add", tmp_path / "second", "--run", "other", "--step", "-3")
    assert {run["run"]: run["steps"] for run in document["runs"]}["other"] == [-3]
    assert Store(tmp_path / "new").scan("other", -3).to_dict() == measured().to_dict()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument"),
        (["{folder}/missing"], 3, "expected a store or a run folder"),
        (["{folder}/file"], 3, "expected a store or a run folder"),
        (["{folder}/missing", "--sql", "SELECT 1"], 3, "expected a store"),
        (["{store}", "{store}", "--sql", "SELECT 1"], 2, "expected one STORE"),
        (["{store}", "--sql", "SELECT nope FROM rows"], 2, "nope"),
        (["{store}", "--sql", "COPY rows TO '{folder}/out.csv'"], 2, "expected one SELECT"),
        (["{store}", "--sql", "SELECT * FROM read_text('{folder}/file')"], 2, "SQL: "),
        (["{store}", "--sql", "SELECT 1", "--match", "a"], 2, "expected neither"),
        (["{store}", "--where", "alpha > 6"], 2, "tail.alpha > 6"),
        (["{store}", "--where", "tail.alfa > 6"], 2, "alpha"),
        (["{store}", "--add", "{folder}/model.safetensors"], 2, "A checkpoint is scanned first: modescope scan"),
        (["{store}", "--add", "{folder}/missing"], 2, "expected a run folder"),
        (["{store}", "--add", "{run}", "--add", "{run}", "--step", "3"], 2, "expected one run folder"),
        (["{store}", "--add", "{run}", "--run", " "], 2, "expected a name"),
        (["{store}", "--add", "{run}", "--step", "99999999999999999999"], 2, "expected an integer"),
        (["{store}", "--step", "3"], 2, "expected --add"),
        (["{folder}", "--add", "{run}"], 2, "expected a store or an empty folder"),
        (["{store}", "-o", "{folder}/no/such/file"], 2, "cannot be written"),
        (["{store}", "{newer}"], 3, "modescope.store/9"),
    ],
)
def test_errors_are_short_and_name_the_cause(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "file").write_text("secret")
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "store.json").write_text('{"schema": "modescope.store/9"}')
    planted({"x": 2.5}).save(tmp_path / "run")
    places = {"folder": tmp_path, "store": store, "run": tmp_path / "run", "newer": tmp_path / "newer"}
    assert _run(["runs", *(part.format(**places) for part in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    assert "secret" not in err.replace("secret'", "")
    assert len(Store(store).runs()) == 3


def test_a_killed_run_is_listed_as_far_as_it_is_and_can_be_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scan(demo_path())
    journal = Journal(tmp_path / "killed", resume=False)
    journal.begin(found.source, found.options)
    for number, row in enumerate(found.rows[:2]):
        journal.add(f"key {number}", row)
    assert _run(["runs", str(tmp_path / "killed"), "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["runs"]
    assert (line["matrices"], line["complete"]) == (2, False)
    assert _run(["runs", str(tmp_path / "store"), "--add", str(tmp_path / "killed")]) == 0
    assert "interrupted before the rest" in capsys.readouterr().out
    found.save(tmp_path / "whole")
    assert _run(["runs", str(tmp_path / "store"), "--add", str(tmp_path / "whole"), "--json"]) == 0
    told = {line["run"]: line["complete"] for line in json.loads(capsys.readouterr().out)["runs"]}
    assert told == {"killed": False, "whole": True}
