"""Compaction changes no answer: not when done, not when it dies at any point, not when two do it at once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from modescope.store import Store, compaction
from store_cases import everything, filled, parts


class Killed(BaseException):
    """Planted."""


def test_answers_are_those_of_the_plain_history(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store, lines = Store(tmp_path), {}
    for _ in range(18):
        run, step = str(rng.choice(["a", "b", "c"])), None if rng.random() < 0.2 else int(rng.integers(4))
        numbers = {name: float(rng.random()) for name in "uvwxyz" if rng.random() < 0.6}
        filled(tmp_path, [(run, step, numbers)])
        lines = {key: value for key, value in lines.items() if key[:2] != (run, step)}
        lines |= {(run, step, name): alpha for name, alpha in numbers.items()}
        if rng.random() < 0.3:
            store.compact()
    latest: dict[tuple[str, str], tuple[float, float]] = {}
    for (run, step, name), alpha in lines.items():
        latest[run, name] = max(latest.get((run, name), (-2.0, 0.0)), (-1.0 if step is None else step, alpha))
    found = store.query("""SELECT run, step, name, "tail.alpha" FROM rows""").rows
    assert len(found) == len(lines)
    assert {tuple(line[:3]): line[3] for line in found} == lines
    found = store.query("""SELECT run, name, coalesce(step, -1), "tail.alpha" FROM latest""").rows
    assert len(found) == len(latest)
    assert {tuple(line[:2]): tuple(line[2:]) for line in found} == latest


HISTORY = [("a", step, {"x": float(step), "y": -float(step)}) for step in range(2)] + [
    ("a", 0, {"x": 7.0}),
    ("b", None, {"x": 8.0}),
]


def test_answers_before_and_after_are_equal_and_one_file_is_left(tmp_path: Path) -> None:
    store = filled(tmp_path, HISTORY)
    before, scan = everything(store), store.scan("a", 1).to_dict(values=True)
    for _ in range(2):
        store.compact()
        assert everything(store) == before
        assert len(parts(store)) == 1
    assert store.scan("a", 1).to_dict(values=True) == scan
    filled(tmp_path, [("c", 1, {"x": 9.0})])
    store.compact()
    assert len(parts(store)) == 1
    assert len(store.runs()) == 3


@pytest.mark.parametrize("stage", range(7))
def test_a_compactor_killed_at_any_point_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: int) -> None:
    store = filled(tmp_path, HISTORY)
    before, left = everything(store), [stage]

    def dying(name: str) -> None:
        plain = getattr(Path, name)

        def call(self: Path, *args: object, **kwargs: object) -> object:
            if left[0] <= 0:  # dead: it does nothing any more, not even its own cleaning up
                raise Killed
            left[0] -= 1
            return plain(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, call)

    for name in ("replace", "unlink"):
        dying(name)
    done = False
    try:
        store.compact()
        done = True
    except Killed:
        pass
    finally:
        monkeypatch.undo()
    assert done == (stage >= 1 + len(HISTORY))
    hidden = [path for path in parts(store) if path.name.startswith(".")]
    assert len(hidden) == (stage == 0)
    assert everything(store) == before
    filled(tmp_path, [("c", 1, {"x": 9.0})])
    for path in hidden:
        path.unlink()
    after = everything(store)
    store.compact()
    assert everything(store) == after
    assert len(parts(store)) == 1


def test_nothing_happens_while_another_compacts(tmp_path: Path) -> None:
    store = filled(tmp_path, HISTORY)
    names = parts(store)
    with compaction.alone(tmp_path) as mine:
        assert mine
        store.compact()
    assert parts(store) == names


def test_overlapping_merges_of_two_compactors_without_a_working_lock_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, HISTORY)
    before, whole = everything(store), parts(store)
    shutil.copytree(tmp_path, tmp_path / "other")
    other = Store(tmp_path / "other")
    parts(other)[0].unlink()
    other.compact()
    store.compact()
    for part in parts(other):
        shutil.copy(part, tmp_path / "parts")
    assert len(parts(store)) == 2
    assert len(whole) == len(HISTORY)
    assert everything(store) == before

    @contextmanager
    def broken(folder: Path) -> Iterator[bool]:
        yield True

    monkeypatch.setattr(compaction, "alone", broken)
    store.compact()
    assert everything(store) == before
    assert len(parts(store)) == 1


def test_large_parts_are_left_and_groups_stay_below_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, HISTORY)
    before, size = everything(store), parts(store)[0].stat().st_size
    monkeypatch.setattr(compaction, "LARGE", size // 2)
    store.compact()
    assert len(parts(store)) == len(HISTORY)
    monkeypatch.setattr(compaction, "LARGE", size * 2)
    monkeypatch.setattr(compaction, "GROUP", int(size * 2.5))
    store.compact()
    assert len(parts(store)) == len(HISTORY) / 2
    assert everything(store) == before


def test_what_a_killed_compactor_left_is_removed_by_the_next_and_not_merged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, HISTORY)
    before, left = everything(store), [(part, part.read_bytes()) for part in parts(store)]
    store.compact()
    merged = parts(store)
    for part, whole in left:
        part.write_bytes(whole)
    monkeypatch.setattr(compaction, "MANY", len(left))
    compaction.tidy(tmp_path)
    assert parts(store) == merged
    assert everything(store) == before


def test_few_parts_are_left_without_a_look_into_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, HISTORY)
    names = parts(store)
    monkeypatch.setattr(compaction, "connected", None)
    for many in (len(names) + 1, compaction.MANY):
        monkeypatch.setattr(compaction, "MANY", many)
        compaction.tidy(tmp_path)
    assert parts(store) == names
