"""The library: every run under a key, a damaged one at the cost of its own line, unfinished ones as far as they are."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modescope.blocks import Section, Table
from modescope.errors import UnreadableError
from modescope.reports.form import dumps
from modescope.runs import Journal, save
from modescope.store import Store
from modescope.web import library as shelf
from modescope.web.library import Entry
from web_cases import library, measured, one, saved


def names(report: Any) -> list[str]:
    overview = next(block for block in report.blocks if isinstance(block, Table))
    return [str(row[0]) for row in overview.rows]


def test_runs_stores_and_reports_open(tmp_path: Path) -> None:
    measured().save(tmp_path / "run")
    Store(tmp_path / "store").append(measured(), run="recorded", step=7)
    (tmp_path / "kept.json").write_text(dumps(measured().report()))
    found = library(tmp_path)
    expected = [row.name for row in measured()]
    for name in ("run", "recorded", "kept"):
        assert names(saved(shelf.report(one(found, name)))) == expected


def test_an_unfinished_run_shows_its_rows_as_they_come(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run", resume=False)
    journal.begin(measured().source, measured().options)
    found = library(tmp_path)
    for count, row in enumerate(measured().rows, start=1):
        journal.add(f"key {count}", row)
        entry = one(found, "run")
        report = saved(shelf.report(entry))
        table: Any = report.blocks[1]
        assert "not finished" in report.blocks[0].text  # type: ignore[union-attr]
        assert len(table.rows) == found.summary(entry).matrices == count
        assert "not finished" in found.summary(entry).note
    with (tmp_path / "run" / "journal.jsonl").open("a") as file:
        file.write('{"key": "torn", "row": {')
    assert found.summary(one(found, "run")).matrices == 3


def test_a_run_that_is_continued_shows_old_and_new_rows_once(tmp_path: Path) -> None:
    whole = measured()
    save(replace(whole, rows=whole.rows[:1], complete=False), tmp_path / "run", keys=("old",))
    journal = Journal(tmp_path / "run", resume=True)
    journal.begin(whole.source, whole.options)
    journal.add("old", whole.rows[0])
    journal.add("new", whole.rows[1])
    found = library(tmp_path)
    assert found.summary(one(found, "run")).matrices == 2
    assert sorted(names(shelf.report(one(found, "run")))) == sorted(row.name for row in whole.rows[:2])


def test_rows_of_other_options_in_the_journal_of_a_finished_run_are_not_shown(tmp_path: Path) -> None:
    whole = measured()
    replace(whole, rows=whole.rows[:1]).save(tmp_path / "run")
    Journal(tmp_path / "run", resume=True).add("other options", whole.rows[1])
    found = library(tmp_path)
    assert found.summary(one(found, "run")).matrices == 1
    assert names(shelf.report(one(found, "run"))) == [whole.rows[0].name]


DAMAGES = {
    "torn manifest": ("run/manifest.json", lambda text: text[: len(text) // 2]),
    "newer manifest": ("run/manifest.json", lambda text: text.replace("modescope.scan/1", "modescope.scan/9")),
    "manifest of another shape": ("run/manifest.json", lambda text: '{"schema": "modescope.scan/1", "matrices": 3}'),
    "torn report": ("kept.json", lambda text: text[: len(text) // 2]),
    "newer report": ("kept.json", lambda text: text.replace("modescope.report/1", "modescope.report/9")),
    "newer store": ("store/store.json", lambda text: text.replace("modescope.store/1", "modescope.store/9")),
}


@pytest.mark.parametrize("cut", [None, 0, 5, 100, -1])
def test_a_run_whose_arrays_are_gone_or_cut_off_is_a_line_with_the_reason(tmp_path: Path, cut: int | None) -> None:
    measured().save(tmp_path / "run")
    arrays = tmp_path / "run" / "arrays.safetensors"
    whole = arrays.read_bytes()
    found = library(tmp_path)
    assert not found.summary(one(found, "run")).broken
    arrays.unlink()
    if cut is not None:
        arrays.write_bytes(whole[:cut])
    told = library(tmp_path)
    summary = told.summary(one(told, "run"))
    assert summary.broken
    assert "arrays.safetensors" in summary.note


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_costs_its_own_line_and_says_why(tmp_path: Path, damage: str) -> None:
    for name in ("run", "good"):
        measured().save(tmp_path / name)
    Store(tmp_path / "store").append(measured(), run="recorded", step=7)
    (tmp_path / "kept.json").write_text(dumps(measured().report()))
    file, broken = DAMAGES[damage]
    (tmp_path / file).write_text(broken((tmp_path / file).read_text()))
    found = library(tmp_path)
    lines = {entry.name: (entry, found.summary(entry)) for entry in found.listing.entries.values()}
    assert len(lines) == 4
    (bad,) = [name for name, (_, line) in lines.items() if line.broken]
    entry, line = lines[bad]
    assert bad == {"run": "run", "kept.json": "kept", "store": "store"}[file.partition("/")[0]]
    assert line.note
    assert "\n" not in line.note
    with pytest.raises(UnreadableError):
        shelf.report(entry)


def test_a_damaged_part_costs_the_store(tmp_path: Path) -> None:
    Store(tmp_path / "store").append(measured(), run="recorded", step=7)
    part = next((tmp_path / "store" / "parts").glob("*.parquet"))
    part.write_bytes(b"no parquet")
    found = library(tmp_path)
    assert part.name in found.summary(one(found, "store")).note


def test_arrays_that_are_no_arrays_are_refused_when_opened(tmp_path: Path) -> None:
    measured().save(tmp_path / "run")
    (tmp_path / "run" / "arrays.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UnreadableError, match=r"arrays\.safetensors"):
        shelf.report(one(library(tmp_path), "run"))


def test_a_file_that_became_a_link_after_it_was_listed_is_not_read(tmp_path: Path) -> None:
    for name in ("given/run", "outside"):
        measured().save(tmp_path / name)
    entry = one(library(tmp_path / "given"), "run")
    (tmp_path / "given" / "run" / "manifest.json").unlink()
    (tmp_path / "given" / "run" / "manifest.json").symlink_to(tmp_path / "outside" / "manifest.json")
    with pytest.raises(UnreadableError, match="is a link"):
        shelf.report(entry)


def test_what_is_gone_is_said_and_not_made_again(tmp_path: Path) -> None:
    measured().save(tmp_path / "given" / "run")
    found = library(tmp_path / "given")
    entry = one(found, "run")
    (tmp_path / "given" / "run").rename(tmp_path / "away")
    with pytest.raises(UnreadableError, match="no longer there"):
        shelf.report(entry)
    assert not (tmp_path / "given" / "run").exists()
    assert found.find(entry.key) is None


def test_a_version_names_what_came_changed_and_went(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for run in ("a", "b"):
        store.append(measured(), run=run, step=1)
    found = library(tmp_path)
    keys = {entry.name: entry.key for entry in found.listing.entries.values()}
    first = found.listing.version
    assert found.refresh().version == first
    store.append(measured(), run="a", step=2)
    second = found.refresh().version
    assert found.listing.since(first) == [keys["a"]]
    measured().save(tmp_path / "c")
    third = found.refresh().version
    new = one(found, "c").key
    assert found.listing.since(second) == [new]
    (tmp_path / "c").rename(tmp_path / ".away")
    assert found.refresh().since(third) == [new]
    assert set(found.listing.since(first)) == {keys["a"], new}


def test_merging_the_parts_of_a_store_changes_nothing_and_is_looked_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    store = Store(tmp_path / "store")
    for step in range(3):
        store.append(measured(), run="a", step=step)
    found = library(tmp_path)
    version = found.listing.version
    store.compact()
    assert found.find(one(found, "a").key) is not None
    assert found.listing.version == version
    monkeypatch.setattr(Store, "runs", lambda self: pytest.fail("asked again"))
    assert found.find(one(found, "a").key) is not None


def test_the_summary_is_that_of_the_scan(tmp_path: Path) -> None:
    scan = measured()
    scan.save(tmp_path / "run")
    Store(tmp_path / "store").append(scan, run="recorded", step=7)
    (tmp_path / "kept.json").write_text(dumps(scan.report()))
    found = library(tmp_path)
    lines = [found.summary(entry) for entry in found.listing.entries.values()]
    assert len(lines) == 3
    for line in lines:
        assert (line.matrices, line.failed) == (3, 1)
        assert line.modes == sum(row.number("bulk", "outliers") or 0 for row in scan)
        assert line.alpha == pytest.approx(scan.summary()["numbers"]["tail.alpha"]["median"], rel=1e-12)
        expected = [scan[name].number("bulk", "outliers") for name in ("bad.weight", "h.2.weight", "h.10.weight")]
        assert list(line.profile) == expected


def test_a_summary_is_read_once_per_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured().save(tmp_path / "run")
    found = library(tmp_path)
    found.summary(one(found, "run"))
    monkeypatch.setattr(json, "loads", lambda *_: pytest.fail("read again"))
    found.summary(one(found, "run"))


def test_a_run_of_several_steps_has_its_training(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for step in (10, 20):
        store.append(measured(), run='it\'s "a" run', step=step)
    store.append(measured(), run="once", step=10)

    def keys(entry: Entry) -> list[str]:
        return [block.key for block in saved(shelf.report(entry)).blocks if isinstance(block, Section)]

    found = library(tmp_path)
    assert "view=training" in keys(one(found, 'it\'s "a" run'))
    assert "view=training" not in keys(one(found, "once"))
