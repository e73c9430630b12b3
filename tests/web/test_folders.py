"""What lies in a folder: ours and nothing else, links not followed, keys that say nothing."""

import os
from pathlib import Path

import pytest

from modescope.reports.form import dumps
from modescope.store import Store
from modescope.web.folders import current, places
from web_cases import measured


def kinds(folder: Path) -> dict[str, str]:
    return {place.where: place.kind for place in places(folder, 0, "given")}


def filled(folder: Path) -> Path:
    measured().save(folder / "deep" / "er" / "run")
    Store(folder / "store").append(measured(), run="a", step=1)
    (folder / "report.json").write_text(dumps(measured().report()))
    return folder


def test_run_folders_stores_and_reports_are_found_at_any_depth(tmp_path: Path) -> None:
    assert kinds(filled(tmp_path)) == {"given/deep/er/run": "run", "given/store": "store", "given/report.json": "report"}


def test_the_given_folder_may_be_a_run_or_a_store_itself(tmp_path: Path) -> None:
    filled(tmp_path)
    assert kinds(tmp_path / "store") == {"given": "store"}
    assert kinds(tmp_path / "deep" / "er" / "run") == {"given": "run"}


def test_files_of_others_with_our_names_are_not_listed(tmp_path: Path) -> None:
    for name, text in {
        "manifest.json": '{"name": "a web application"}',
        "journal.jsonl": '{"event": 1}\n',
        "store.json": "{}",
        "config.json": '{"schema": "other"}',
        "page.html": "<!doctype html><p>hello",
        "empty.json": "",
    }.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe.json")  # opening it would wait for ever
    (tmp_path / ".hidden").mkdir()
    measured().save(tmp_path / ".hidden" / "run")
    assert kinds(tmp_path) == {}


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = filled(tmp_path / "outside")
    given = tmp_path / "given"
    given.mkdir()
    (given / "folder").symlink_to(outside)
    (given / "report.json").symlink_to(outside / "report.json")
    (given / "run").mkdir()
    for name in ("manifest.json", "arrays.safetensors"):
        (given / "run" / name).symlink_to(outside / "deep" / "er" / "run" / name)
    (given / "store").mkdir()
    (given / "store" / "store.json").write_bytes((outside / "store" / "store.json").read_bytes())
    (given / "store" / "parts").symlink_to(outside / "store" / "parts")
    (given / "parted" / "parts").mkdir(parents=True)
    (given / "parted" / "store.json").write_bytes((outside / "store" / "store.json").read_bytes())
    part = next((outside / "store" / "parts").glob("*.parquet"))
    (given / "parted" / "parts" / part.name).symlink_to(part)
    found = {place.where: place.fault for place in places(given, 0, "given")}
    assert set(found) == {"given/run", "given/store", "given/parted"}
    assert all("is a link, which is not followed" in fault for fault in found.values())


def test_keys_tell_places_and_folders_apart_and_last(tmp_path: Path) -> None:
    filled(tmp_path)
    keys = [place.key for place in places(tmp_path, 0, "given")]
    others = [place.key for place in places(tmp_path, 1, "given")]
    assert len({*keys, *others}) == 6
    assert [place.key for place in places(tmp_path, 0, "another name")] == keys
    assert all(key.isalnum() and "run" not in key for key in keys)


@pytest.mark.parametrize("where", ["deep/er/run", "store", "report.json"])
def test_the_state_changes_with_the_files_and_only_then(tmp_path: Path, where: str) -> None:
    filled(tmp_path)
    found = {place.where: place for place in places(tmp_path, 0, "given")}
    place = found[f"given/{where}"]
    assert current(place) == place.mark
    if place.kind == "store":
        Store(place.path).append(measured(), run="a", step=2)
    else:
        path = place.path / "manifest.json" if place.kind == "run" else place.path
        os.utime(path, ns=(1, 1))
    assert current(place) != place.mark
    assert {each.where for each in found.values() if current(each) != each.mark} == {f"given/{where}"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_cannot_be_listed_is_said(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert [place.fault for place in places(tmp_path, 0, "given")] == ["cannot be listed (Permission denied)"]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    assert [place.fault for place in places(tmp_path / "gone", 0, "given")] == ["cannot be listed (No such file or directory)"]
