"""The matrices of a descrambled layer as a file and as a frame: what comes back is what went in, and fits together."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from descrambling_cases import HOSTILE_LAYER, INPUTS, OUTPUTS, STEP, planted
from modescope.errors import UsageError
from modescope.reports.form import is_report


def test_what_is_saved_comes_back_exactly_and_fits_together(tmp_path: Path) -> None:
    result = planted(readings=[], controls=[])
    result.save(tmp_path / "layer.safetensors")
    found = load_file(tmp_path / "layer.safetensors")
    assert set(found) == {"W", "P", "PW", "VtPW", "a", "b", "s"}
    assert (found["PW"] == result.view).all()
    scale = np.abs(found["W"]).max() * OUTPUTS
    eps = np.finfo(np.float64).eps
    assert np.abs(found["P"] @ found["W"] - found["PW"]).max() <= 8 * eps * scale
    assert np.linalg.svd(found["PW"], compute_uv=False) == pytest.approx(found["s"], rel=1e-10)
    with safe_open(tmp_path / "layer.safetensors", "numpy") as file:
        assert file.metadata()["layer"] == HOSTILE_LAYER
        assert file.metadata()["schema"] == "modescope.descramble/1"


def test_matrices_of_turned_inputs_have_the_names_of_what_they_are(tmp_path: Path) -> None:
    planted(side="right", readings=[], controls=[]).save(tmp_path / "layer.safetensors")
    found = load_file(tmp_path / "layer.safetensors")
    assert {"WPt", "WPtV"} <= set(found)
    assert np.allclose(found["W"] @ found["P"].T, found["WPt"], atol=1e-12 * np.abs(found["W"]).max() * INPUTS)


def test_a_frame_has_a_row_per_hidden_dimension_and_the_axis_as_columns() -> None:
    result = planted(readings=[], controls=[])
    frame = result.to_pandas()
    assert (frame.to_numpy() == result.view).all()
    assert frame.columns.name == "time (us)"
    assert list(frame.columns) == pytest.approx([STEP * k for k in range(INPUTS)])
    turned = planted(side="right", readings=[], controls=[])
    assert turned.to_pandas().shape == (INPUTS, OUTPUTS)


@pytest.mark.parametrize("suffix", [".html", ".json", ".md", ".csv"])
def test_other_suffixes_write_the_report(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"layer{suffix}"
    planted(readings=[], controls=[]).save(path)
    assert path.stat().st_size > 100
    assert is_report(path) == (suffix in (".html", ".json"))
    if suffix == ".json":
        assert "blocks" in json.loads(path.read_text())


def test_an_unknown_suffix_and_a_missing_folder_are_said_and_leave_nothing_behind(tmp_path: Path) -> None:
    result = planted(readings=[], controls=[])
    with pytest.raises(UsageError, match=r"\.safetensors.*got '\.bin'"):
        result.save(tmp_path / "layer.bin")
    with pytest.raises(UsageError, match="cannot be written"):
        result.save(tmp_path / "none" / "layer.safetensors")
    assert list(tmp_path.iterdir()) == []
