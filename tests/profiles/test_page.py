"""The page of a profiled network as blocks: what is drawn, what its captions say, and what stays small."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modescope.blocks import Block, Curve, Graph, Heatmap, Image, Note, Section, Table
from modescope.profiles import class_blocks, drawn, layer_blocks, truncation_blocks, validation_blocks
from modescope.profiles.membership import RULES
from modescope.profiles.page import DEFAULTS, HEADINGS, TOLD, report
from modescope.profiles.separation import STABLE
from modescope.render.html import render
from profiles_page_cases import CLASSES, COUNT, HOSTILE, LAYERS, bare, digits, odd


def every(blocks: Any) -> Iterator[Block]:
    """All blocks, those of sections too."""
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from every(block.blocks)


def unpacked(data: bytes) -> Any:
    """Grey pixels of a PNG file."""
    import io

    from PIL import Image as Opened

    return np.asarray(Opened.open(io.BytesIO(data)).convert("L"))


def named(blocks: Any, kind: type, title: str) -> Any:
    return next(block for block in every(blocks) if isinstance(block, kind) and getattr(block, "title", "").startswith(title))


def section(result: Any, site: str) -> Section:
    found = named(report(result).blocks, Section, site)
    assert isinstance(found, Section)
    return found


def test_cautions_come_before_anything_that_is_drawn() -> None:
    blocks = report(digits()).blocks
    levels = [block.level if isinstance(block, Note) else "drawn" for block in blocks]
    assert "caution" in levels
    assert levels.index("drawn") > max(i for i, level in enumerate(levels) if level == "caution")


def test_the_overview_links_to_a_folded_section_for_every_layer() -> None:
    found = report(digits())
    overview = next(block for block in found.blocks if isinstance(block, Table))
    sections = [block for block in found.blocks if isinstance(block, Section) and block.folded]
    assert overview.links == tuple(one.key for one in sections) == tuple(f"layer={name}" for name in LAYERS)
    assert [len(picture) for picture in overview.pictures] == [9, 32, 32, 32, 10]
    columns = [heading for heading, _ in HEADINGS]
    for row, layer in zip(overview.rows, digits().layers, strict=True):
        eta = layer.separation["z"].eta
        assert eta.value is not None
        assert eta.null is not None
        assert row[columns.index("between classes")] == pytest.approx(eta.value, rel=1e-3)
        assert row[columns.index("permuted")] == pytest.approx(eta.null.high, rel=1e-3)
        assert (row[columns.index("operator norm")] is None) == (layer.basis.kind == "Linear")


def test_every_picture_says_in_words_what_it_shows() -> None:
    images = [block for block in every(report(digits()).blocks) if isinstance(block, Image)]
    assert len(images) == 5 * 2 * 3
    for image in images:
        assert len(image.alt.split()) > 8
        assert "mode" in image.alt
    top = named(section(digits(), "11").blocks, Image, "Largest signals of mode 0")
    shots = digits().crops.shots["11", 0, "top"]
    assert all(str(shot.index) in top.alt for shot in shots)
    sample = digits().sample
    assert sample.labels is not None
    assert f"{shots[0].index} ({CLASSES[sample.labels[shots[0].index]]})" in top.caption


def test_positions_of_the_largest_signals_bring_crops_of_what_was_seen() -> None:
    titles = [block.title for block in every(report(bare()).blocks) if isinstance(block, Image)]
    assert "Largest signals of mode 0, what was seen" in titles
    assert not any(title.startswith("Made for") for title in titles)


def test_distributions_have_a_row_for_the_classes_that_differ_most_and_sum_to_one() -> None:
    result = digits()
    (found,) = class_blocks.distribution(result, result["11"], 0)
    assert len(found.values) == len(found.y_names) == 11
    assert [sum(value or 0 for value in row) for row in found.values] == pytest.approx([1] * 11, abs=1e-3)
    signals, labels = result.sample.signals["11"][:, 0], result.sample.labels
    means = [signals[labels == c].mean() for c in range(10)]
    assert found.y_names[1:] == tuple(CLASSES[c] for c in np.argsort(-np.array(means), kind="stable"))
    many = replace(
        result, sample=replace(result.sample, labels=np.arange(COUNT) % 20), source={"classes": [str(c) for c in range(20)]}
    )
    (found,) = class_blocks.distribution(many, result["11"], 0)
    assert len(found.values) == 11
    assert "farthest apart of 20" in found.caption
    (alone,) = class_blocks.distribution(bare(), bare()["11"], 0)
    assert alone.y_names == ("all",)


def test_the_graph_draws_stable_lines_first_from_classes_to_modes() -> None:
    result = digits()
    graph = named(report(result).blocks, Graph, "Classes")
    whole = result.hypergraph
    assert whole is not None
    assert len(graph.edges) == whole.edge.size
    assert sum(edge.significant for edge in graph.edges) == int((whole.stability >= STABLE).sum())
    assert all(edge.source.startswith("class ") and not edge.target.startswith("class ") for edge in graph.edges)
    flags = [edge.significant for edge in graph.edges]
    assert flags == sorted(flags, reverse=True)
    assert "without a test" in graph.caption
    assert {*class_blocks.RULES} == {*RULES}
    assert {node.text for node in graph.nodes if node.column == 0} == set(CLASSES)
    assert {node.link for node in graph.nodes if node.column} == {f"layer={name}" for name in LAYERS}


def test_a_graph_without_bootstrap_says_that_nothing_is_known_of_its_stability() -> None:
    result = digits()
    whole = result.hypergraph
    assert whole is not None
    none = replace(result, hypergraph=replace(whole, stability=np.full(whole.edge.size, np.nan)))
    (graph,) = class_blocks.graph(none)
    assert isinstance(graph, Graph)
    assert all(edge.significant for edge in graph.edges)
    assert "no bootstrap" in graph.caption
    empty = replace(whole, edge=whole.edge[:0], vertex=whole.vertex[:0], weight=whole.weight[:0], stability=whole.stability[:0])
    (note,) = class_blocks.graph(replace(result, hypergraph=empty))
    assert isinstance(note, Note)


def test_jaccard_matrices_stand_beside_chance() -> None:
    result = digits()
    *maps, note = named(report(result).blocks, Section, "What two classes share").blocks
    assert isinstance(note, Note)  # the last: without a neighbour a heat map fills the row, and its cells are no squares
    for drawn_map, layer in zip(maps, result.layers, strict=True):
        assert isinstance(drawn_map, Heatmap)
        values = np.array(drawn_map.values, float)
        assert np.diag(values) == pytest.approx(1)
        mean = values[np.triu_indices(10, 1)].mean()
        found = layer.separation["z"].jaccard
        assert mean == pytest.approx(found.value, rel=1e-3)
        assert f"by chance {found.expected:.3g}" in drawn_map.caption


def test_separation_by_depth_has_band_chance_and_null() -> None:
    curve = named(report(digits()).blocks, Curve, "Share of the variance")
    own, chance, null = curve.series
    assert own.texts == LAYERS
    assert all(low <= high for low, high in zip(own.low, own.high, strict=True))
    assert chance.y == pytest.approx([9 / (COUNT - 1)] * 5, rel=1e-3)
    assert (chance.role, null.role) == ("law", "null")


def test_truncation_is_drawn_for_each_layer_and_for_all_together() -> None:
    result = digits()
    together = named(report(result).blocks, Curve, "Accuracy with some of the modes of 4 layers")
    top = next(series for series in together.series if series.name == "top")
    assert top.y[-1] == pytest.approx(together.marks[0].at)
    assert [len(list(truncation_blocks.alone(result.truncation, name))) for name in LAYERS] == [1] * 5
    (note,) = truncation_blocks.together("it would take an hour")
    assert isinstance(note, Note)
    assert "it would take an hour" in note.text


def test_the_weight_stands_beside_noise_and_the_operator_beside_its_bounds() -> None:
    layer = digits()["2"]
    table = next(block for block in validation_blocks.validated(layer) if isinstance(block, Table))
    (one,) = layer.validation
    assert one.trained is not None
    assert table.rows[0][1:4] == (one.trained.above_edge, one.trained.above_margin, one.trained.above_tracy_widom)
    assert len(table.rows) == 4
    bounds = dict(row[:2] for row in next(iter(validation_blocks.operator(layer.operator))).rows)  # type: ignore[union-attr]
    assert bounds["lower"] <= bounds["norm"] <= bounds["upper"]  # type: ignore[operator]
    assert not list(validation_blocks.operator(None))


def test_a_bound_that_does_not_hold_is_called_a_fault() -> None:
    broken = replace(digits()["2"].operator, holds=False)  # type: ignore[type-var]
    note = list(validation_blocks.operator(broken))[1]
    assert isinstance(note, Note)
    assert "fault" in note.text


def test_modes_are_listed_with_the_classes_at_both_ends() -> None:
    layer = digits()["11"]
    table = named(section(digits(), "11").blocks, Table, "Modes")
    assert layer.membership is not None
    column = layer.membership.profile[:, 3]
    assert str(table.rows[3][5]).startswith(f"{CLASSES[int(column.argmax())]} (")
    assert str(table.rows[3][6]).startswith(f"{CLASSES[int(column.argmin())]} (")
    assert len(named(section(bare(), "11").blocks, Table, "Modes").columns) == 5


def test_outliers_of_the_overview_are_those_of_the_table() -> None:
    for layer in digits().layers:
        table = named(section(digits(), layer.site).blocks, Table, "Modes")
        yes = [row[3] for row in table.rows].count("yes")
        assert layer_blocks.outliers(layer) == (yes if any(row[3] for row in table.rows) else None)


def test_pictures_are_reduced_by_means_until_the_page_is_small() -> None:
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert drawn.reduced(picture, 8) is picture
    assert drawn.reduced(picture, 4)[0, 0] == round((0 + 1 + 8 + 9) / 4)
    assert drawn.reduced(np.zeros((9, 30, 3), np.uint8), 12).shape == (3, 10, 3)
    assert drawn.side(digits()) == drawn.MOST
    result = odd()
    shots = {(str(i), 0, "top"): one for i in range(600) for one in result.crops.shots.values()}
    many = replace(result, crops=replace(result.crops, shots=shots))
    side = drawn.side(many)
    assert side < drawn.MOST
    assert side**2 * 3 * sum(map(len, shots.values())) <= drawn.BYTES


def test_the_page_of_small_pictures_is_below_one_megabyte() -> None:
    assert len(render(report(digits()))) < 1_000_000


def test_hostile_names_are_nothing_but_text() -> None:
    page = render(report(odd()))
    assert "<img src=x" not in page
    assert HOSTILE.replace(".", "") in [layer.site for layer in odd().layers]


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    blocks = report(odd()).blocks
    assert named(blocks, Table, "Layers left out").rows == odd().skipped
    assert named(blocks, Table, "Images left out").rows == ((HOSTILE, "cut"),)


def test_the_page_tells_fewer_modes_than_the_document() -> None:
    assert max(len(layer["modes"]) for layer in report(odd()).document["layers"]) <= TOLD


def test_code_says_what_differs_from_the_defaults_and_no_more() -> None:
    import inspect

    from modescope.profiles import profile

    parameters = inspect.signature(profile).parameters
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert "result = ms.profile(model, images, labels=labels, bn='fold', select='all', shown=1, exemplars=2" in report(odd()).code
    compile(report(digits()).code, "code", "exec")


def test_every_image_that_was_made_stands_under_its_sign() -> None:
    from modescope.profiles.drawn import HEAD, INK, made

    layer = digits()["11"]
    (image,) = made(layer, 0, 96, "mean")
    (only,) = made(
        replace(layer, features=tuple(one for one in layer.features if not isinstance(one, str) and one.sign < 0)), 0, 96, "mean"
    )
    both, minus = (unpacked(one.png)[:HEAD] == INK for one in (image, only))
    half = both.shape[1] // 2
    plus = both[:, :half]
    assert plus.any(axis=1).sum() == plus.any(axis=0).sum() > 2
    for bar in (both[:, half:], minus):
        assert bar.any(axis=1).sum() == 2 < bar.any(axis=0).sum()


def test_a_made_image_says_when_the_data_are_ranked_by_another_signal() -> None:
    result = digits()
    ranked = "ranked by another signal, mean"
    assert ranked in named(section(result, "2").blocks, Image, "Made for mode 0").caption
    assert ranked not in named(section(result, "11").blocks, Image, "Made for mode 0").caption
    (same,) = drawn.made(result["2"], 0, 96, "centre")
    assert "ranked by another" not in same.caption


def test_a_class_that_all_images_of_an_end_have_is_named_once() -> None:
    result = digits()
    shots = {key: tuple(replace(shot, label=3) for shot in found) for key, found in result.crops.shots.items()}
    one = replace(result, crops=replace(result.crops, shots=shots))
    (top, _) = drawn.exemplars(one, "11", 0, 96)
    assert top.caption.count(CLASSES[3]) == top.caption.count(f"all of class {CLASSES[3]}") == 1


def test_pictures_come_before_the_table_of_modes() -> None:
    titles = [getattr(block, "title", "") for block in section(digits(), "11").blocks]
    assert titles.index("Mode 0") < titles.index("Modes")


def test_without_labels_there_are_no_columns_and_no_headings_for_what_is_not_there() -> None:
    found = report(bare())
    overview = next(block for block in found.blocks if isinstance(block, Table))
    assert overview.columns == tuple(heading for heading, _ in HEADINGS[:7])
    assert all(block.blocks for block in every(found.blocks) if isinstance(block, Section))
    assert named(section(bare(), "11").blocks, Section, "Spectrum").blocks


def test_modes_that_are_all_followed_are_told_so() -> None:
    found = [layer_blocks.followed(layer) for layer in digits().layers]
    assert found == ["all 9", "16 of 32 by topk 16", "16 of 32 by topk 16", "16 of 64 by topk 16", "all 10"]
