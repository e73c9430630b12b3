"""Numbers through training: every step where it was, the matrices that moved, long runs thinned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modescope.blocks import Curve
from modescope.result import Scan
from modescope.store import Store
from modescope.web import through_training as page
from modescope.web.through_training import through_training
from web_cases import measured, moved


def recorded(folder: Path, scans: dict[int | None, Scan]) -> Store:
    store = Store(folder / "store")
    for step, scan in scans.items():
        store.append(scan, run="a'b", step=step)
        store.append(moved(scan, 100.0), run="another", step=step)
    return store


def curve(store: Store, title: str) -> Curve:
    (section,) = through_training(store, "a'b")
    (found,) = [block for block in section.blocks if isinstance(block, Curve) and block.title == title]
    return found


def test_every_step_is_where_it_was_recorded(tmp_path: Path) -> None:
    scan = measured()
    planted = {1: 0.0, 5: 0.5, 9: -0.25}
    drawn = curve(recorded(tmp_path, {step: moved(scan, by) for step, by in planted.items()}), "Alpha")
    expected = {row.name: row.number("tail", "alpha") for row in scan if row.number("tail", "alpha") is not None}
    assert {series.name for series in drawn.series} == set(expected)
    for series in drawn.series:
        assert series.x == (1.0, 5.0, 9.0)
        assert series.y == pytest.approx([expected[series.name] + by for by in planted.values()], abs=1e-12)


def test_a_matrix_that_is_missing_at_a_step_has_no_point_there(tmp_path: Path) -> None:
    scan = measured()
    drawn = curve(recorded(tmp_path, {1: scan, 2: replace(scan, rows=scan.rows[:1]), 3: scan}), "Norm")
    found = {series.name: series.x for series in drawn.series}
    assert found[scan.rows[0].name] == (1.0, 2.0, 3.0)
    assert found[scan.rows[1].name] == (1.0, 3.0)


def test_of_many_matrices_those_that_moved_most_are_drawn_and_the_rest_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(page, "LINES", 1)
    still, moving = measured(), moved(measured(), 1.0)
    rows = tuple(b if b.name == "h.10.weight" else a for a, b in zip(still.rows, moving.rows, strict=True))
    drawn = curve(recorded(tmp_path, {1: still, 2: replace(still, rows=rows)}), "Alpha")
    assert [series.name for series in drawn.series] == ["h.10.weight"]
    assert "The 1 of 2 matrices that moved most" in drawn.caption


def test_a_matrix_has_the_same_place_in_every_picture_also_where_it_has_no_number(tmp_path: Path) -> None:
    first, *rest = measured().rows
    short = replace(first, measures={**first.measures, "tail": replace(first.measures["tail"], alpha=None)})
    scan = replace(measured(), rows=(short, *rest))
    store = recorded(tmp_path, {1: scan, 2: scan})
    (section,) = through_training(store, "a'b")
    pictures = [block for block in section.blocks if isinstance(block, Curve)]
    assert [block.title for block in pictures] == ["Signal modes", "Norm", "Stable rank", "Alpha"]
    assert {tuple(series.name for series in block.series) for block in pictures} == {("h.10.weight", "h.2.weight")}
    assert {series.y for series in pictures[-1].series if series.name == first.name} == {(None, None)}


def test_a_long_run_is_thinned_and_keeps_its_ends(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(page, "STEPS", 3)
    drawn = curve(recorded(tmp_path, {step: measured() for step in range(0, 50, 10)}), "Norm")
    assert all(series.x == (0.0, 20.0, 40.0) for series in drawn.series)


def test_scans_without_a_step_are_no_training(tmp_path: Path) -> None:
    assert through_training(recorded(tmp_path, {None: measured()}), "a'b") == ()
