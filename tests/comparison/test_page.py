"""The page of a comparison: what it links, what it draws, what stands beside every overlap, and how large it is."""

from collections.abc import Iterator

import numpy as np
import pytest

from cases import tensors
from comparison_cases import noise
from modescope.blocks import Block, Curve, Heatmap, Histogram, Note, Section, Table
from modescope.comparison import compare
from modescope.comparison.page import _binned, _places
from modescope.render import html
from modescope.reports.form import dumps, loads
from modescope.shipped import demo_history, demo_path


def flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from flat(block.blocks)


def test_the_overview_links_a_folded_section_for_every_layer() -> None:
    report = compare(*demo_history()[:3]).report()
    overview = next(block for block in report.blocks if isinstance(block, Table) and block.pictures)
    sections = [block for block in report.blocks if isinstance(block, Section)]
    assert (*overview.links, "about=numbers") == tuple(section.key for section in sections)
    assert overview.links == ("layer=0.weight", "layer=10.weight", "layer=3.weight", "layer=8.weight")
    assert all(section.folded for section in sections)
    assert len(overview.about) == len(overview.columns)
    assert report.title == "epoch-00.safetensors → … → epoch-02.safetensors"


def test_a_layer_shows_its_change_its_subspaces_its_overlaps_and_its_strands() -> None:
    report = compare(demo_history()[0], demo_path()).report()
    section = next(block for block in report.blocks if isinstance(block, Section) and block.key == "layer=8.weight")
    kinds = [type(block) for block in flat(section.blocks) if isinstance(block, Histogram | Curve | Heatmap)]
    assert kinds == [Histogram, Curve, Heatmap, Curve]
    histogram = next(block for block in flat(section.blocks) if isinstance(block, Histogram))
    assert any(series.role == "law" for series in histogram.curves)
    assert [mark.text for mark in histogram.marks] == ["threshold"]


def test_every_overlap_stands_beside_its_null() -> None:
    report = compare(demo_history()[0], demo_path()).report()
    angles = [block for block in flat(report.blocks) if isinstance(block, Curve) and block.title.startswith("Leading subspaces")]
    assert len(angles) == 4
    for curve in angles:
        null = [series for series in curve.series if series.role == "null"]
        assert len(null) == sum(series.role == "data" for series in curve.series) == 2
        assert all(high >= y for series in null for y, high in zip(series.y, series.high, strict=True))
    texts = [block.text for block in flat(report.blocks) if isinstance(block, Note)]
    assert all("99 times in a hundred" in text for text in texts if " are intruders: " in text)
    assert all("random" in text for text in texts if "of the energy" in text)


def test_the_numbers_of_all_checkpoints_stand_side_by_side() -> None:
    found = compare(*demo_history()[:3])
    section = next(block for block in found.report().blocks if isinstance(block, Section))
    table = next(block for block in section.blocks if isinstance(block, Table) and block.title == "Numbers side by side")
    assert table.columns[:5] == ("number", "checkpoint 0", "checkpoint 1", "checkpoint 2", "of the change")
    norms = next(row for row in table.rows if row[0] == "norms.spectral")
    for value, row in zip(norms[1:4], found.layers[0].rows, strict=True):
        assert value == pytest.approx(row.s[0], rel=1e-3)


def test_a_page_opens_again_and_says_what_failed_and_what_was_left_out() -> None:
    a, b = tensors(), tensors(seed=1)
    del b["d.weight"]
    report = compare(a, b).report()
    assert loads(dumps(report), "x") == report
    notes = [block for block in flat(report.blocks) if isinstance(block, Note) and block.level == "error"]
    assert len(notes) == 1
    assert "not finite" in notes[0].text
    left = next(block for block in report.blocks if isinstance(block, Table) and block.title == "Not compared")
    assert left.rows == (("d.weight", "dense", "not in checkpoint 1"),)


def texts(a: np.ndarray, b: np.ndarray) -> tuple[str, str]:
    """The overview's remark on the only layer, and all notes."""
    report = compare({"w": a}, {"w": b}).report()
    overview = report.blocks[0]
    assert isinstance(overview, Table)
    return str(overview.rows[0][-1]), " ".join(block.text for block in flat(report.blocks) if isinstance(block, Note))


def test_noise_that_the_law_does_not_fit_is_named_in_the_overview() -> None:
    a = noise((256, 128), 0)
    uneven = a + 1e-3 * noise((256, 128), 1) * np.exp(noise((256, 1), 2))
    remark, notes = texts(a, uneven)
    assert "not Marchenko-Pastur" in remark
    assert "0 modes stand above the edge of its noise (19 twins with random signs" in notes
    assert "written" not in notes
    remark, notes = texts(a, a + 1e-3 * noise((256, 128), 1))
    assert remark == ""


def test_a_change_of_the_stored_type_is_named_and_shows_no_modes() -> None:
    w = (0.3 + 0.0005 * noise((64, 48), 0)).astype(np.float32)
    remark, notes = texts(w, w.astype(np.float16))
    assert remark == "only the stored type changed: rounded to float16, the weights are the same"
    assert "modes stand" not in notes


def test_groups_are_said_to_be_compared_as_subspaces_and_the_reason_is_the_change() -> None:
    w = noise((64, 48), 0)
    notes = texts(w, w + noise(w.shape, 1, 0.05))[1]
    assert "were compared as subspaces, since the change may have mixed them" in notes
    assert "closer together" not in notes


def test_kept_modes_are_none_where_the_rows_changed_places() -> None:
    w = noise((128, 96), 0)
    overview = compare({"w": w}, {"w": np.random.default_rng(1).permutation(w)}).report().blocks[0]
    assert isinstance(overview, Table)
    assert dict(zip(overview.columns, overview.rows[0], strict=True))["kept"] == 0


def test_hostile_names_stay_text_in_the_page() -> None:
    name = "</script><img src=x onerror=alert(1)>.weight"
    text = html.render(compare({name: np.eye(20)}, {name: 2 * np.eye(20)}).report())
    assert "<img src=x" not in text


def test_identical_checkpoints_have_a_page_without_a_drawing_of_no_change() -> None:
    report = compare(demo_path(), demo_path()).report()
    assert not [block for block in flat(report.blocks) if isinstance(block, Histogram)]
    assert sum("identical" in block.text for block in flat(report.blocks) if isinstance(block, Note)) == 5


def test_the_page_of_a_hundred_layers_of_two_checkpoints_stays_below_three_megabytes() -> None:
    """Layers whose modes are nearly all matched one by one: what one more of them adds, a hundred times."""
    a = {f"encoder.layer.{i}.attention.weight": noise((256, 192), i) for i in range(5)}
    b = {name: w + noise(w.shape, 9, 1e-3) for name, w in a.items()}
    reports = [compare(a, b, include=include).report() for include in ("*layer.0*", "*")]
    assert len(reports[0].document["layers"][0]["matches"]) > 24
    one, five = (len(html.render(report)) for report in reports)
    assert one + 99 * (five - one) / 4 < 3e6


def test_heat_maps_are_cut_to_what_can_be_seen_and_keep_the_extremes() -> None:
    overlaps = np.zeros((150, 70))
    overlaps[149, 3], overlaps[10, 69] = 0.9, -0.8
    found = _binned(overlaps)
    assert found.shape == (64, 64)
    assert (found.max(), found.min()) == (0.9, -0.8)
    assert found[-1].max() == 0.9
    np.testing.assert_array_equal(_binned(overlaps[:64, :64]), overlaps[:64, :64])


def test_places_are_written_as_ranges() -> None:
    assert _places((3,)) == "3"
    assert _places((0, 1, 2, 5, 7, 8)) == "0-2, 5, 7-8"
