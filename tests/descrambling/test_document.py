"""The document of a descrambled layer: its schema, what it says of the criterion, and what it leaves to the arrays."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import modescope
from descrambling_cases import HOSTILE_LAYER, INPUTS, OUTPUTS, SAMPLES, data, planted, weight
from modescope.descrambling import descramble
from modescope.descrambling.document import LONG, OBJECTIVE, document, plain
from modescope.descrambling.result import Descrambling

SCHEMA = json.loads((Path(modescope.__file__).parent / "schemas" / "descramble-1.json").read_text())


def checked(result: Descrambling, **options: Any) -> dict[str, Any]:
    """The document as a program reads it: without NaN, and as the schema says."""
    told = json.loads(json.dumps(document(result, **options), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(told, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"side": "right"},
        {"side": "joint"},
        {"criterion": "permutation", "controls": ("untrained",)},
        {"difference": "fourier-second", "centred": True},
        {"axis": None, "readings": [], "controls": []},
    ],
)
def test_documents_of_every_kind_of_result_follow_their_schema(options: dict[str, Any]) -> None:
    checked(planted(**options))


@pytest.mark.parametrize("criterion", ["diagonal_sum", "diagonal_normsq"])
def test_a_diagonal_criterion_has_no_operator_and_no_data(criterion: str) -> None:
    told = checked(descramble(weight(inputs=OUTPUTS), criterion=criterion))
    assert (told["difference"], told["samples"], told["spectra"]["a"], told["spectra"]["b"]) == (None, 0, [], [])
    assert told["objective"]["optimal"] is None


def test_a_document_that_breaks_the_schema_is_noticed() -> None:
    told = checked(planted(readings=[], controls=[]))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told | {"side": "both"}, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_shape_layer_and_criterion_are_those_of_the_result() -> None:
    result = planted()
    told = checked(result)
    assert (told["outputs"], told["inputs"], told["samples"]) == (OUTPUTS, INPUTS, SAMPLES)
    assert told["layer"] == HOSTILE_LAYER
    assert set(told["objective"]) == set(OBJECTIVE)
    line = told["objective"]
    assert line["optimal"] == pytest.approx(float(result.a @ result.b), rel=1e-8)
    assert line["optimal"] <= line["identity"] <= line["maximal"]
    assert line["score"] == pytest.approx(1, abs=1e-8)
    assert told["spectra"]["s"] == pytest.approx(result.s, rel=1e-8)


def test_ties_are_groups_of_the_operator_and_of_the_data_apart() -> None:
    told = checked(planted(difference="periodic", readings=[], controls=[]))["ties"]
    assert told["operator"] == [[k, k + 2] for k in range(1, OUTPUTS - 1, 2)]
    assert told["data"] == []


def test_the_arrays_are_named_where_they_were_saved_and_null_elsewhere() -> None:
    result = planted(readings=[], controls=[])
    assert checked(result)["arrays"] is None
    assert checked(result, arrays="layer.safetensors")["arrays"] == "layer.safetensors"
    assert "PW" not in json.dumps(checked(result)["spectra"])


def test_a_number_that_is_not_finite_is_null() -> None:
    result = planted(readings=[], controls=[])
    told = checked(replace(result, objective=dict(result.objective) | {"maximal": np.inf, "z_identity": None}))
    assert told["objective"]["maximal"] is None
    assert told["objective"]["z_identity"] is None


def test_long_lists_are_told_by_their_range_and_matrices_by_their_shape() -> None:
    values = np.arange(LONG + 1.0)
    assert plain(values[:-1]) == values[:-1].tolist()
    assert plain(values) == {"size": LONG + 1, "least": 0.0, "median": LONG / 2, "most": float(LONG)}
    assert plain(np.zeros((2, 3))) == {"shape": [2, 3]}
    assert plain({"a": np.float32(0.5), "b": (np.int64(3), np.bool_(True), None)}) == {"a": 0.5, "b": [3, True, None]}


def test_readings_and_controls_keep_their_names_order_and_numbers() -> None:
    result = planted()
    told = checked(result)
    assert [one["name"] for one in told["readings"]] == list(result.readings)
    assert [one["name"] for one in told["controls"]] == list(result.controls)
    untrained = told["controls"][0]["found"]
    assert untrained["scale"]["optimal"] == pytest.approx(result.controls["untrained"].scale.optimal, rel=1e-8)
    assert "rotation" not in untrained
    assert next(one for one in told["readings"] if one["name"] == "filter")["found"]["kind"] == "band-pass"


def test_a_reading_that_could_not_be_made_says_why() -> None:
    result = descramble(weight(inputs=8), inputs=data(inputs=8), draws=29, readings=["filter"])
    assert isinstance(checked(result)["readings"][0]["found"], str)
