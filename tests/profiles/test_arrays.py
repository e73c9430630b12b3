"""What is saved of a profiled network is read again by other means, and by our own."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from modescope.errors import UsageError
from modescope.profiles import algebra, hif
from modescope.profiles.arrays import CLASS, WHOLE, save
from modescope.reports.form import is_report
from profiles_page_cases import CLASSES, bare, digits, odd


def test_profiles_in_the_file_are_those_of_the_result(tmp_path: Path) -> None:
    digits().save(tmp_path / "a.safetensors")
    found = algebra.load(tmp_path / "a.safetensors")
    assert found.pop(WHOLE) == digits().whole
    assert found == {f"{CLASS}{name}": one for name, one in digits().classes.items()}


def test_modes_rebuild_the_unfolded_weight_and_signals_belong_to_their_images(tmp_path: Path) -> None:
    result = odd()
    save(result, tmp_path / "a.safetensors")
    found = load_file(tmp_path / "a.safetensors")
    for layer in result.layers:
        basis, name = layer.basis, layer.site
        for group in range(basis.groups):
            own = found[f"{name}.group"] == group
            product = (found[f"{name}.u"][own].T * found[f"{name}.s"][own]) @ found[f"{name}.vh"][own]
            inside = basis.group == group
            assert product == pytest.approx((basis.u[inside].T * basis.s[inside]) @ basis.vh[inside], abs=1e-12)
        assert found[f"{name}.signals"].shape == (found["sample.images"].size, basis.s.size)
        assert layer.statistics is not None
        assert (found[f"{name}.means"] == layer.statistics.mean).all()
        assert (found[f"{name}.modes"] == layer.statistics.modes).all()
    assert (found["sample.labels"] == np.arange(12) % 3).all()


def test_the_file_says_what_it_is_and_names_layers_and_classes(tmp_path: Path) -> None:
    digits().save(tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        said = file.metadata()
    assert said["result"] == "modescope.profile/1"
    assert json.loads(said["classes"]) == CLASSES
    assert json.loads(said["sites"]) == ["0", "2", "5", "9", "11"]


def test_without_labels_there_are_no_class_means_and_no_hypergraph(tmp_path: Path) -> None:
    bare().save(tmp_path / "a.safetensors")
    assert not any(name.endswith((".means", ".labels")) for name in load_file(tmp_path / "a.safetensors"))
    with pytest.raises(UsageError, match="expected labels"):
        bare().save(tmp_path / "a.hif.json")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_hypergraph_and_the_report_go_by_the_suffix(tmp_path: Path) -> None:
    digits().save(tmp_path / "a.hif.json")
    assert len(hif.from_hif(json.loads((tmp_path / "a.hif.json").read_text())).graph.edges) == 50
    digits().save(tmp_path / "a.json")
    assert is_report(tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"a\.png: expected a file that ends in .*\.hif\.json"):
        digits().save(tmp_path / "a.png")


def test_a_file_is_replaced_only_when_the_new_one_is_complete(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        digits().save(tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]
