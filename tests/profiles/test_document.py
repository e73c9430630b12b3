"""The document of a profiled network: its schema, and that its numbers are those of the result."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import modescope
from modescope.errors import UsageError
from modescope.plain_data import plain
from modescope.profiles import hif
from modescope.profiles.document import document, energies, frame, interchanged, used, verdicts
from modescope.profiles.result import NetworkProfile
from profiles_page_cases import CLASSES, COUNT, LAYERS, bare, digits, odd

SCHEMA = json.loads((Path(modescope.__file__).parent / "schemas" / "profile-1.json").read_text())


def checked(result: NetworkProfile, **options: Any) -> dict[str, Any]:
    """The document as a program reads it: without NaN, and as the schema says."""
    told = json.loads(json.dumps(document(result, **options), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("made", [digits, bare, odd])
def test_documents_of_every_kind_of_result_follow_their_schema(made: Callable[[], NetworkProfile]) -> None:
    told = checked(made())
    assert [layer["name"] for layer in told["layers"]] == [layer.site for layer in made().layers]


def _closed(part: Any) -> bool:
    """Whether every object of a schema that names its properties allows no others, but for the source."""
    if isinstance(part, list):
        return all(map(_closed, part))
    if not isinstance(part, dict):
        return True
    mine = "properties" not in part or part.get("additionalProperties") is False or "model" in part["properties"]
    return mine and all(map(_closed, part.values()))


def test_the_schema_is_strict_and_a_document_that_breaks_it_is_noticed() -> None:
    assert _closed(SCHEMA)
    told = checked(digits())
    told["layers"][0]["modes"][0]["more"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_modes_have_the_numbers_of_their_layer() -> None:
    result = digits()
    for told, layer in zip(checked(result)["layers"], result.layers, strict=True):
        s = layer.basis.s
        for mode in told["modes"]:
            index = mode["index"]
            assert mode["singular_value"] == pytest.approx(s[index], rel=1e-8)
            assert mode["share"] == pytest.approx(s[index] ** 2 / (s**2).sum(), rel=1e-8)
            assert mode["used"] == pytest.approx(result.whole[layer.site].count[index] / COUNT)
            top = mode["exemplars"]["top"]
            signals = result.sample.signals[layer.site][:, index]  # the sample has every image
            order = np.argsort(-signals, kind="stable")[:4]
            assert [shot["signal"] for shot in top] == pytest.approx(signals[order], rel=1e-5)
            assert mode["exemplars"]["bottom"][0]["signal"] == pytest.approx(signals.min(), rel=1e-5)


def test_outliers_are_those_of_the_bulk_and_unknown_where_it_has_no_verdict() -> None:
    result = digits()
    for layer in result.layers:
        (one,) = layer.validation
        found = verdicts(layer)
        if one.bulk is None or one.bulk.outliers is None:
            assert set(found) == {None}
        else:
            edge = one.bulk.threshold
            assert edge is not None
            assert [bool(v) for v in found] == (layer.basis.s**2 > edge).tolist()
    assert {verdicts(layer).count(True) for layer in result.layers[1:3]} != {0}
    assert all(set(verdicts(layer)) == {None} for layer in odd().layers if layer.basis.norm)


def test_energies_of_a_layer_sum_to_one() -> None:
    for layer in (*digits().layers, *odd().layers):
        assert energies(layer).sum() == pytest.approx(1, abs=1e-12)


def test_classes_hold_the_modes_of_their_hyperedges() -> None:
    result = digits()
    told = checked(result)["classes"]
    assert [one["label"] for one in told] == CLASSES
    assert sum(one["count"] for one in told) == COUNT
    for number, one in enumerate(told):
        for site, layer in zip(one["layers"], result.layers, strict=True):
            member = layer.membership
            assert member is not None
            held = member.member[number]
            expected = sorted(zip(member.index[held].tolist(), member.sign[held].tolist(), strict=True))
            assert sorted((mode["index"], mode["sign"]) for mode in site["modes"]) == expected
            assert all(0 <= mode["stability"] <= 1 for mode in site["modes"])


def test_an_edge_of_the_whole_network_is_told_by_layer_too() -> None:
    from modescope.profiles.hypergraph import of_network

    result = digits()
    members = [layer.membership for layer in result.layers if layer.membership is not None]
    whole = of_network(members, {layer.site: layer.basis for layer in result.layers}, CLASSES)
    told = checked(replace(result, hypergraph=whole))["classes"]
    plain_told = checked(result)["classes"]

    def held(classes: Any) -> Any:
        return [[sorted((m["index"], m["sign"]) for m in layer["modes"]) for layer in one["layers"]] for one in classes]

    assert held(told) == held(plain_told)


def test_separation_is_told_both_ways_for_each_layer_with_chance_and_null() -> None:
    result = digits()
    told = checked(result)["separation"]
    assert [(one["layer"], one["standardise"]) for one in told] == [(name, how) for name in LAYERS for how in ("z", "none")]
    for one in told:
        found = result[one["layer"]].separation[one["standardise"]]
        assert found.eta.value is not None
        assert one["eta"]["value"] == pytest.approx(found.eta.value, rel=1e-8)
        assert one["eta"]["low"] <= one["eta"]["high"]
        assert one["jaccard"]["null"]["count"] == 20


def test_truncation_has_the_accuracy_of_every_point_and_of_the_whole() -> None:
    result = digits()
    told = checked(result)
    assert told["truncation"]["accuracy"] == pytest.approx(told["accuracy"])
    assert not isinstance(result.truncation, str)
    for one, point in zip(told["truncation"]["points"], result.truncation.points, strict=True):
        assert one["accuracy"] == pytest.approx(point.accuracy, rel=1e-8)
        assert one["low"] <= one["accuracy"] <= one["high"]
    assert {one["which"] for one in told["truncation"]["points"]} == {"top", "bottom", "random", "outliers"}


def test_what_was_not_made_says_why() -> None:
    told = checked(bare())
    assert (told["accuracy"], told["classes"], told["separation"]) == (None, [], [])
    assert told["truncation"]["points"] == []
    assert told["truncation"]["status"]
    assert all(layer["features"] == [] and layer["no_features"] for layer in told["layers"])
    told = checked(odd())
    assert [one["name"] for one in told["skipped"]] == ["unused"]
    assert [one["reason"] for one in told["unread"]] == ["cut"]


def test_a_page_may_tell_fewer_modes_than_are_followed() -> None:
    told = checked(digits(), modes=2)
    assert [len(layer["modes"]) for layer in told["layers"]] == [2] * 5
    assert [layer["followed"] for layer in told["layers"]] == [9, 16, 16, 16, 10]


def test_the_hypergraph_goes_to_hif_and_back_and_needs_labels() -> None:
    result = digits()
    found = hif.from_hif(interchanged(result))
    assert result.hypergraph is not None
    assert len(found.graph.edges) == len(result.hypergraph.edges)
    assert found.metadata["images"] == COUNT
    with pytest.raises(UsageError, match="expected labels"):
        interchanged(bare())


def test_a_frame_has_a_row_for_every_followed_mode_with_both_ends_and_classes() -> None:
    result = digits()
    table = frame(result)
    assert len(table) == sum(layer.kept.modes.size for layer in result.layers)
    row = table[(table.layer == "11") & (table["index"] == 0)].iloc[0]
    member = result["11"].membership
    assert member is not None
    assert row.highest_class == CLASSES[int(member.profile[:, 0].argmax())]
    assert row.top_image == result["11"].extremes.top.indices[0, 0]
    assert row.top_signal > row.bottom_signal
    assert "highest_class" not in frame(bare()).columns


def test_usage_without_images_is_nothing_and_plain_data_has_no_arrays() -> None:
    result = replace(digits(), whole=type(digits().whole)())
    assert not used(result, result.layers[0]).any()
    assert plain({"a": np.float64("nan"), "b": (np.int64(3), np.arange(2)), "c": Path("x")}) == {
        "a": None,
        "b": [3, [0, 1]],
        "c": "x",
    }
