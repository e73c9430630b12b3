"""A compression as a document, a page and a frame."""

import json
from pathlib import Path

import numpy as np
import pytest

from modes_compression_cases import SHAPES, inputs, linears, saved
from modescope.modes.calibration import Calibration
from modescope.modes.compression import compress
from modescope.modes.compression.result import Compression
from modescope.reports.form import load_report
from test_schemas import validate


@pytest.fixture
def result(tmp_path: Path) -> Compression:
    x, moments = inputs(30)
    calibration = Calibration({"enc.0": moments}, {"enc.0": 1.0}, len(x), "planted inputs", {})
    source = saved(tmp_path, linears() | {"emb.weight": np.ones((30, 8), np.float32)})
    return compress(source, tmp_path / "out.safetensors", modes=3, calibration=calibration)


def test_documents_of_files_plans_and_other_forms_follow_the_schema(result: Compression, tmp_path: Path) -> None:
    validate(result.to_dict())
    validate(compress(tmp_path / "model.safetensors", budget=0.6).to_dict())
    validate(compress(linears(), tmp_path / "dense.safetensors", modes={"enc.0": 3}, form="dense").to_dict())


def test_the_document_says_what_the_result_says(result: Compression) -> None:
    told = result.to_dict()
    assert [(one["name"], one["modes"], one["shape"]) for one in told["layers"]] == [
        (one.name, one.modes, list(one.shape)) for one in result
    ]
    assert told["totals"]["share"] == pytest.approx(result.totals.parameters / result.totals.dense_parameters, rel=1e-8)
    assert told["options"]["calibration"] == "planted inputs"
    assert {one["name"] for one in told["others"]} == {
        "enc.0.bias",
        "enc.1.bias",
        "head.bias",
        "norm.weight",
        "steps",
        "emb.weight",
    }
    json.dumps(told, allow_nan=False)


def test_the_page_opens_again_and_names_every_weight_with_its_errors(result: Compression, tmp_path: Path) -> None:
    result.save(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert all(f"{name}.weight" in text for name in SHAPES)
    opened = load_report(tmp_path / "page.html")
    assert opened.document == json.loads(json.dumps(result.to_dict()))
    overview = next(block for block in opened.blocks if getattr(block, "columns", ()))
    assert [row[0] for row in overview.rows] == [one.name for one in result]  # type: ignore[union-attr]


def test_a_plan_and_a_dense_form_say_that_nothing_is_saved(tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    said = [getattr(block, "text", "") for block in compress(source, modes=3, form="dense").report().blocks]
    assert any(text.startswith("A plan: nothing was written") for text in said)
    assert any("as large as the source" in text for text in said)
    written = [getattr(block, "text", "") for block in compress(source, tmp_path / "o.safetensors", modes=3).report().blocks]
    assert any(text.startswith("The file was read back") for text in written)


def test_the_code_of_the_page_makes_the_same_result(result: Compression, tmp_path: Path) -> None:
    plan = compress(tmp_path / "model.safetensors", energy=0.8, exclude="head.*", min_dim=4, dtype="float16")
    code = plan.report().code
    assert "calibration=calibration" in result.report().code
    names = {"ms": type("ms", (), {"compress": staticmethod(compress)})}
    exec(code.replace("import modescope as ms", ""), names)
    assert names["result"].to_dict() == plan.to_dict()  # type: ignore[attr-defined]


def test_the_frame_has_a_row_for_every_weight(result: Compression) -> None:
    frame = result.to_pandas()
    assert list(frame["name"]) == [one.name for one in result]
    assert frame["parameters"].sum() == sum(one.parameters for one in result)


def test_a_weight_is_found_by_its_name(result: Compression) -> None:
    assert result["head.weight"].shape == SHAPES["head"]
    assert len(result) == len(SHAPES)
    with pytest.raises(KeyError, match=r"expected one of enc\.0\.weight"):
        result["nothing"]
