"""Files appear whole or not at all, listings are consistent, what killed writers left is swept, locks are held by one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modescope.store import parts


def test_a_file_that_fails_half_way_never_appears(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts.place(tmp_path / "parts" / "0-a.parquet", write)
    assert list((tmp_path / "parts").iterdir()) == []


def test_readers_pass_over_files_in_the_making(tmp_path: Path) -> None:
    seen = []

    def write(path: Path) -> None:
        path.write_text("whole")
        seen.append(parts.listed(tmp_path))

    parts.place(tmp_path / "parts" / "0-a.parquet", write)
    assert seen == [()]
    assert [Path(part).name for part in parts.listed(tmp_path)] == ["0-a.parquet"]


def test_a_listing_that_missed_old_and_new_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [["0-a", "0-b"], [], ["1-ab"], ["1-ab"], ["never read"]]
    monkeypatch.setattr(parts, "_names", lambda folder: readings.pop(0))
    assert [Path(part).name for part in parts.listed(tmp_path)] == ["1-ab"]
    assert readings == [["never read"]]


def test_only_old_hidden_files_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in (".1-old-0-a.parquet", ".1-new-0-b.parquet", "0-c.parquet"):
        (folder / name).touch()
    for name in (".1-old-0-a.parquet", "0-c.parquet"):
        os.utime(folder / name, (time.time() - 2 * parts.ABANDONED,) * 2)
    parts.sweep(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".1-new-0-b.parquet", "0-c.parquet"]


def test_one_holds_the_lock_until_it_leaves_or_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from modescope.store.parts import alone\n"
        "with alone(Path(sys.argv[1])) as mine: print(mine, flush=True); time.sleep(60)"
    )
    with parts.alone(tmp_path) as mine, parts.alone(tmp_path) as other:
        assert (mine, other) == (True, False)
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with parts.alone(tmp_path) as mine:
        assert not mine
    holder.kill()
    holder.communicate()
    with parts.alone(tmp_path) as mine:
        assert mine


@pytest.mark.parametrize(
    ("name", "level"), [("0-1-2.parquet", 0), ("12-ab.parquet", 12), ("copied.parquet", 0), ("²-a.parquet", 0)]
)
def test_the_level_is_the_number_in_front(name: str, level: int) -> None:
    assert parts.level(f"/store/parts/{name}") == level
