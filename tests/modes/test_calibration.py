"""Calibrations: the moments are those of what layers get, and a file gives them back or is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from modes_conversion_cases import convolutional, images, inputs, mlp
from modescope.errors import UnreadableError, UsageError
from modescope.modes.calibration import SCHEMA, Calibration, calibrate, load
from modescope.moments import of


def same(a: Calibration, b: Calibration) -> None:
    assert list(a.moments) == list(b.moments)
    assert (dict(a.uses), a.samples, a.source, dict(a.missing)) == (dict(b.uses), b.samples, b.source, dict(b.missing))
    for name, one in a.moments.items():
        assert one.count == b.moments[name].count
        np.testing.assert_array_equal(one.mean, b.moments[name].mean)
        np.testing.assert_array_equal(one.scatter, b.moments[name].scatter)


def test_moments_are_those_of_what_each_layer_gets_however_the_data_are_cut() -> None:
    net, x = mlp(), inputs()
    whole, cut = calibrate(net, x), calibrate(net, x, batch=7)
    hidden = {"0": x, "2": net[:2](x), "4": net[:4](x)}
    assert list(whole.moments) == ["0", "2", "4"]
    assert dict(whole.uses) == {"0": 1, "2": 1, "4": 1}
    assert whole.samples == cut.samples == 40
    for name, rows in hidden.items():
        wanted = of(rows.detach().numpy())
        for found in (whole, cut):
            np.testing.assert_allclose(found.moments[name].scatter, wanted.scatter, atol=1e-10)
            np.testing.assert_allclose(found.moments[name].mean, wanted.mean, atol=1e-12)


def test_convolutions_are_used_once_for_each_position_and_grouped_ones_are_not_listened_to() -> None:
    found = calibrate(convolutional(), images())
    assert dict(found.uses) == {"0": 25, "4": 9, "6": 5, "8": 1}
    assert {name: one.mean.size for name, one in found.moments.items()} == {"0": 27, "4": 30, "6": 24, "8": 35}


def test_layers_come_in_the_order_of_their_calls_and_those_that_are_not_called_say_so() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.after, self.first, self.idle = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.after(self.first(x).relu())

    net, told = Net(), []
    found = calibrate(net, [torch.ones(2, 4), torch.ones(3, 4)], progress=lambda *said: told.append(said))
    assert list(found.moments) == ["first", "after"]
    assert "did not call it" in found.missing["idle"]
    assert told == [("calibration", 1, 2), ("calibration", 2, 2)]
    assert found.samples == 5
    assert not any(module._forward_pre_hooks for module in net.modules())
    with pytest.raises(UsageError, match="whose inputs can be taken, got none"):
        calibrate(net, torch.ones(2, 4), ["idle"])
    with pytest.raises(UsageError, match="did you mean 'after'"):
        calibrate(net, torch.ones(2, 4), ["aftr"])


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    made = calibrate(mlp(), inputs(), source="forty draws")
    made.save(tmp_path / "c.safetensors")
    same(load(tmp_path / "c.safetensors"), made)
    assert [one.name for one in tmp_path.iterdir()] == ["c.safetensors"]
    with pytest.raises(UsageError, match="cannot be written"):
        made.save(tmp_path / "c.safetensors" / "below")


def test_networks_without_layers_to_listen_to_are_refused() -> None:
    with pytest.raises(UsageError, match="got ReLU without any"):
        calibrate(nn.ReLU(), inputs())
    with pytest.raises(UsageError, match=r"nn\.Module, got int"):
        calibrate(3, inputs())


def damaged(path: Path, change: Any) -> Path:
    """A file whose header and arrays were changed."""
    from safetensors import safe_open

    calibrate(mlp(), inputs(), ["0", "2"]).save(path)
    with safe_open(path, "numpy") as file:
        said = json.loads(file.metadata()["calibration"])
    arrays = load_file(path)
    schema = change(said, arrays) or SCHEMA
    save_file(arrays, path, {"schema": schema, "calibration": json.dumps(said)})
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said, arrays: "modescope.scan/1", "expected a calibration"),
        (lambda said, arrays: said.pop("layers") and None, "damaged header"),
        (lambda said, arrays: said.update(layers=[1, 2]), "damaged header"),
        (lambda said, arrays: said.update(samples=0), "entries are not those"),
        (lambda said, arrays: said.update(samples=True), "entries are not those"),
        (lambda said, arrays: said["layers"][0].update(count=-1), "entries are not those"),
        (lambda said, arrays: said["layers"][0].update(uses=float("nan")), "entries are not those"),
        (lambda said, arrays: said["layers"][0].update(name="2"), "entries are not those"),
        (lambda said, arrays: said["layers"].append(said["layers"][0] | {"name": "x"}), "arrays of 3 layers"),
        (lambda said, arrays: arrays.pop("0.mean") is None, "arrays of 2 layers"),
        (lambda said, arrays: arrays.update({"0.mean": np.zeros(3)}), "a scatter"),
        (lambda said, arrays: arrays.update({"0.mean": np.full(12, np.nan)}), "finite mean"),
        (lambda said, arrays: arrays.update({"0.mean": np.zeros(12, np.float32)}), "in float64"),
        (lambda said, arrays: arrays.update({"0.scatter": -np.eye(12)}), "symmetric and positive"),
        (lambda said, arrays: arrays.update({"0.scatter": np.eye(12) + np.eye(12, k=1)}), "symmetric and positive"),
        (lambda said, arrays: arrays.update({"0.scatter": np.eye(12) + 9 * (1 - np.eye(12))}), "symmetric and positive"),
    ],
)
def test_a_file_that_is_no_whole_calibration_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        load(damaged(tmp_path / "c.safetensors", change))


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnreadableError, match=r"c\.safetensors: expected a calibration"):
        load(tmp_path / "c.safetensors")
    with pytest.raises(UnreadableError, match="cannot be read"):
        load(tmp_path / "none.safetensors")
