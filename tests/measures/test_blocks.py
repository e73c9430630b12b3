"""What measures draw: the law over its own noise, the twin behind it, the fit on the tail; and what happens when drawing fails."""

from types import ModuleType

import numpy as np
import pytest

import modescope as ms
from modescope.blocks import Block, Curve, Histogram, Note, Series, Table
from modescope.measures import blocks, measures
from modescope.result import Row


def drawn(name: str, row: Row) -> list[Block]:
    return list(blocks(name, row, row.measures[name]))


def scanned(a: np.ndarray, **options: object) -> Row:
    return ms.scan({"w": a.astype(np.float32)}, twin=True, **options)["w"]


def noise(n: int, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, m))


def named(series: tuple[Series, ...], name: str) -> Series:
    return next(one for one in series if one.name.startswith(name))


@pytest.fixture(scope="module")
def spiked() -> Row:
    a = noise(300, 900)
    u, v = np.linalg.qr(noise(300, 3, 1))[0], np.linalg.qr(noise(900, 3, 2))[0]
    return scanned(a + u @ np.diag([150.0, 120.0, 90.0]) @ v.T)


def histogram(row: Row) -> Histogram:
    return next(block for block in drawn("bulk", row) if isinstance(block, Histogram))


def test_the_law_is_drawn_at_the_height_of_the_bins_of_noise() -> None:
    row = scanned(noise(600, 1500))
    picture = histogram(row)
    edges = np.array(picture.edges)
    law = named(picture.curves, "Marchenko")
    heights = np.interp(np.log(edges[:-1]) / 2 + np.log(edges[1:]) / 2, np.log(law.x), law.y, left=0, right=0)
    for counts in picture.counts:  # the values and their twin alike
        seen = np.array(counts.values)
        # eigenvalues are rigid: a bin of the bulk is off by a few of 600 values, and by curvature at the edges
        assert np.abs(seen - heights).max() < 5 / 600 + 0.15 * heights.max()
        assert np.abs(seen - heights).mean() < 2 / 600
    assert [counts.role for counts in picture.counts] == ["null", "data"]


def test_all_values_lie_in_the_bins_of_noise_and_of_spikes(spiked: Row) -> None:
    for row in (spiked, scanned(noise(64, 80))):
        counts = histogram(row).counts[-1]
        assert sum(value or 0 for value in counts.values) == pytest.approx(1.0, abs=1e-2)


def test_planted_modes_are_named_listed_and_lie_beyond_the_threshold(spiked: Row) -> None:
    picture = histogram(spiked)
    named_modes = named(picture.curves, "signal modes")
    assert named_modes.texts == ("mode 0", "mode 1", "mode 2")
    assert named_modes.x == pytest.approx(spiked.s[:3], rel=1e-3)
    assert all(x is not None and x > picture.marks[0].at for x in named_modes.x)
    table = next(block for block in drawn("bulk", spiked) if isinstance(block, Table))
    assert [row[0] for row in table.rows] == [0, 1, 2]
    assert [row[3] for row in table.rows] == pytest.approx([150.0, 120.0, 90.0], rel=0.03)


def test_the_law_in_order_starts_after_the_signal(spiked: Row) -> None:
    curve = next(block for block in drawn("bulk", spiked) if isinstance(block, Curve))
    law = named(curve.series, "Marchenko")
    assert law.x[0] == 3
    # away from the ends, where finite size shows, the k-th value lies at its quantile
    at = np.array(law.x, dtype=int)[5:-5]
    assert np.array(law.y)[5:-5] == pytest.approx(spiked.s[at], rel=0.02)


def test_the_twin_is_drawn_as_a_null_and_shows_no_planted_mode(spiked: Row) -> None:
    assert spiked.twin is not None
    assert spiked.twin[0] < spiked.s[2]
    assert np.sum(spiked.twin**2) == pytest.approx(np.sum(spiked.s**2), rel=1e-2)  # the same variance


def test_the_fit_is_a_straight_line_from_where_the_tail_begins(spiked: Row) -> None:
    tail = spiked.measures["tail"]
    curve = next(block for block in drawn("tail", spiked) if isinstance(block, Curve))
    line = named(curve.series, "power law")
    slope = np.diff(np.log(np.array(line.y))) / np.diff(np.log(np.array(line.x)))
    assert slope == pytest.approx(1 - tail.alpha, rel=2e-2)
    assert line.x[0] == pytest.approx(tail.xmin, rel=1e-3)
    assert line.y[0] == pytest.approx(tail.n_tail / spiked.s.size, rel=1e-3)
    assert all(low <= y <= high for low, y, high in zip(line.low, line.y, line.high, strict=True))
    assert next(block for block in drawn("tail", spiked) if isinstance(block, Note)).source


def test_a_twin_and_the_values_have_a_common_scale_also_with_empty_columns() -> None:
    a = noise(200, 192)
    a[:, 128:] = 0
    row = scanned(a)
    null, data = (np.array(counts.values).sum() for counts in histogram(row).counts)
    assert null == pytest.approx(128 / 192, abs=1e-3)
    assert data == pytest.approx(128 / 192, abs=1e-2)
    for block in (*drawn("bulk", row), *drawn("tail", row)):
        for series in block.series if isinstance(block, Curve) else ():
            if series.drawn == "points":  # values of rounding would stretch the axes to where nothing is to be seen
                found = np.array(series.x if block.x.log else series.y)
                assert found.min() > 1e-13 * found.max()


def test_a_matrix_without_a_verdict_says_why_and_still_shows_its_values() -> None:
    made = drawn("bulk", scanned(noise(8, 30)))
    assert isinstance(made[0], Note)
    assert made[0].level == "caution"
    assert "short side 8" in made[0].text
    assert isinstance(made[1], Curve)


def test_a_measure_that_cannot_draw_costs_one_note(monkeypatch: pytest.MonkeyPatch, spiked: Row) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("<out of ink>")

    bulk: ModuleType = measures()["bulk"]
    monkeypatch.setattr(bulk, "blocks", broken)
    (note,) = drawn("bulk", spiked)
    assert isinstance(note, Note)
    assert note.level == "error"
    assert "out of ink" in note.text


@pytest.mark.parametrize(
    "a",
    [
        np.zeros((20, 30)),
        np.ones((20, 30)),
        np.eye(40),
        noise(1, 7),
        noise(20, 20) * 1e-150,
        noise(40, 60) * 1e-200,
        noise(40, 60) * 1e150,
        np.full((3, 3), np.nan),
    ],
    ids=["zero", "constant", "identity", "row", "tiny", "tinier", "huge", "nan"],
)
@pytest.mark.parametrize("name", measures())
def test_no_matrix_makes_a_drawing_fail(name: str, a: np.ndarray) -> None:
    row = ms.scan({"w": a}, twin=True)["w"]
    assert all(not (isinstance(block, Note) and block.level == "error") for block in drawn(name, row))
