"""A disk that is full is said in one sentence by whatever writes tensors, and what was there before stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from modes_compression_cases import linears, saved
from modescope.errors import UsageError
from modescope.modes import saving
from modescope.modes.calibration import calibrate
from modescope.modes.compression import compress, writing
from modescope.modes.conversion import to_modes
from modescope.modes.conversion.dense import export
from modescope.modes.training import run_folder
from modescope.modes.training.run_folder import State

NO_SPACE = "No space left on device"


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    saving.save({"a": torch.arange(3.0)}, tmp_path / "a", {"said": "one"})
    saving.save_arrays({"a": np.arange(3.0)}, tmp_path / "b", {})
    assert load_file(tmp_path / "a")["a"].tolist() == load_file(tmp_path / "b")["a"].tolist() == [0, 1, 2]


def test_what_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        saving.save({"a": torch.zeros(2)}, tmp_path / "no" / "a", {})
    with pytest.raises(OSError, match="No such file"):
        saving.save_arrays({"a": np.zeros(2)}, tmp_path / "no" / "a", {})


def _full(*_given: Any) -> None:
    raise OSError(28, NO_SPACE)


def test_each_writer_names_its_file_and_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, old = nn.Sequential(nn.Linear(9, 9)), b"before"
    calibration, smaller = calibrate(network, torch.randn(20, 9)), to_modes(network, 3)
    source = saved(tmp_path, linears())
    run_folder.keep(tmp_path, State({"a": torch.zeros(2)}, {"epoch": 1}))
    target = tmp_path / "target.safetensors"
    target.write_bytes(old)
    names = {one.name for one in tmp_path.iterdir()}
    monkeypatch.setattr("modescope.modes.calibration.save_arrays", _full)
    monkeypatch.setattr("modescope.modes.conversion.dense.save", _full)
    monkeypatch.setattr("modescope.modes.training.run_folder.save", _full)
    monkeypatch.setattr(writing, "pieces", _full)
    for write in (calibration.save, lambda path: export(smaller, path), lambda path: compress(source, path, modes=3)):
        with pytest.raises(UsageError, match=rf"target\.safetensors: cannot be written \({NO_SPACE}"):
            write(target)
    with pytest.raises(UsageError, match="the epochs before are kept"):
        run_folder.keep(tmp_path, State({"a": torch.ones(2)}, {"epoch": 2}))
    assert target.read_bytes() == old
    assert {one.name for one in tmp_path.iterdir()} == names
    latest = run_folder.latest(tmp_path)
    assert latest is not None
    assert latest[0].said == {"epoch": 1}
