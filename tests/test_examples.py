"""The examples run, and the network that ships is what its script and its metadata say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_tensors

from modescope.scanning import scan
from modescope.shipped import demo_history, demo_path

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return dict(file.metadata())


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    return example("train_digits")


def test_the_script_reproduces_the_first_epochs(digits: ModuleType, tmp_path: Path) -> None:
    digits.train(tmp_path, epochs=1)
    for name in ("epoch-00.safetensors", "epoch-01.safetensors"):
        shipped, again = load_file(demo_history()[0].parent / name), load_file(tmp_path / name)
        assert shipped.keys() == again.keys()
        for key in shipped:
            np.testing.assert_allclose(again[key], shipped[key], rtol=2e-3, atol=2e-4, err_msg=f"{name} {key}")


@pytest.mark.parametrize("path", demo_history(), ids=lambda path: path.name)
def test_accuracy_settings_and_seed_in_the_metadata_are_true(digits: ModuleType, path: Path) -> None:
    said = metadata(path)
    model = digits.network()
    model.load_state_dict(load_tensors(path))
    _, _, images, labels = digits.data()
    assert float(said["accuracy"]) == pytest.approx(digits.accuracy(model, images, labels), abs=0.003)
    assert said["seed"] == str(digits.SEED)
    assert float(said["weight_decay"]) == digits.SETTINGS["weight_decay"]


def test_the_history_runs_from_untrained_to_trained() -> None:
    epochs = [int(metadata(path)["epoch"]) for path in demo_history()]
    assert epochs == sorted(set(epochs))
    assert epochs[:2] == [0, 1]
    accuracies = [float(metadata(path)["accuracy"]) for path in demo_history()]
    assert accuracies[0] < 0.3
    assert accuracies[-1] > 0.97
    assert demo_path().stat().st_size < 500_000


def test_live_module_and_file_give_the_same_numbers(digits: ModuleType) -> None:
    model = digits.network()
    model.load_state_dict(load_tensors(demo_path()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    live, file = scan(model), scan(demo_path())
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert {row.name for row in live} == {row.name for row in file}
    for row in file:
        assert np.array_equal(live[row.name].s, row.s)
        assert live[row.name].measures == row.measures


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_freshly_initialised_network_shows_no_mode(digits: ModuleType, seed: int) -> None:
    torch.manual_seed(seed)
    encoder = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    for model in (
        digits.network(),
        encoder,
        torch.nn.LSTM(48, 64, 2),
        torch.nn.Sequential(torch.nn.Conv1d(32, 48, 5), torch.nn.Linear(90, 70)),
    ):
        result = scan(model)
        assert sum(row.number("bulk", "outliers") or 0 for row in result) == 0
