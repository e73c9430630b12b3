"""The list of everything: a row each, newest first, leading to its page where it can be read."""

import time
from pathlib import Path
from typing import Any

import pytest

from modescope.reports.form import dumps
from modescope.store import Store
from modescope.web import library as shelf
from modescope.web import overview as page
from modescope.web.overview import overview
from modescope.web.summaries import Summary
from web_cases import library, measured, saved, table


def test_every_run_is_a_row_that_leads_to_its_page(tmp_path: Path) -> None:
    measured().save(tmp_path / "run")
    store = Store(tmp_path / "store")
    for step in (5, 10):
        store.append(measured(), run="recorded", step=step)
    found = library(tmp_path)
    rows = table(saved(overview(found)))
    assert {row["run"]: (row["kind"], row["step"], row["steps"], row["matrices"], row["failed"]) for row in rows} == {
        "run": ("run folder", None, None, 3, 1),
        "recorded": ("store", 10, 2, 3, 1),
    }
    for row in rows:
        key = row["link"].removeprefix("run=")
        assert found.listing.entries[key].name == row["run"]


def test_the_newest_is_on_top(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        measured().save(tmp_path / name)
        time.sleep(0.02)
    assert [row["run"] for row in table(overview(library(tmp_path)))] == ["third", "second", "first"]


def test_a_damaged_run_is_a_row_with_its_reason_and_leads_nowhere(tmp_path: Path) -> None:
    measured().save(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    report = overview(library(tmp_path))
    (row,) = table(report)
    note: Any = report.blocks[1]
    assert row["link"] == ""
    assert "manifest.json: damaged" in row["note"]
    assert note.level == "caution"
    assert "1 of them cannot be read" in note.text


def test_an_empty_folder_says_what_belongs_in_it(tmp_path: Path) -> None:
    note: Any = saved(overview(library(tmp_path))).blocks[1]
    assert "scan --save" in note.text


def test_a_long_list_has_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        measured().save(tmp_path / name)
    first: Any = overview(library(tmp_path)).blocks[0]
    assert len(first.pictures) == 2
    monkeypatch.setattr(page, "PICTURED", 1)
    first = overview(library(tmp_path)).blocks[0]
    assert first.pictures == ()


def test_a_list_is_made_at_ten_thousand_runs_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2000
    for index in range(count):
        folder = tmp_path / f"{index // 100}" / f"{index}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").touch()
        (folder / "arrays.safetensors").touch()
    monkeypatch.setattr(shelf, "_summary", lambda entry: Summary(matrices=1))
    found = library(tmp_path)
    dumps(overview(found))
    times = []
    for _ in range(5):
        began = time.process_time()  # of this process alone, whatever else the machine does
        found.refresh()
        text = dumps(overview(found))
        times.append(time.process_time() - began)
    assert text.count('"run=') == count
    assert min(times) < count / 10_000
