"""`modescope modes read`: what it takes, what it prints, and what it refuses before work starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from modescope.cli import INTERRUPTED, UNREADABLE, USAGE, _run, commands
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP

QUICK = ("--null", "80", "--resamples", "10", "--draws", "3", "-q")
NET = """
from torch import nn
from modescope.modes.modules.linear import ModeLinear

def network(width=9):
    print("made")
    return nn.Sequential(ModeLinear(6, width, 4), nn.ReLU(), nn.Linear(width, 3))
"""


def mlp(seed: int = 0) -> ModeMLP:
    return ModeMLP([6, 12, 3], [10, None], over_complete=True, generator=torch.Generator().manual_seed(seed))


def training(folder: Path, seed: int = 0) -> Path:
    """A folder as a training leaves it."""
    from modescope.modes.training import networks, run_folder

    folder.mkdir(parents=True, exist_ok=True)
    said = networks.described(mlp(seed))
    run_folder.write_model(folder, mlp(seed), {"settings": "{}", "network": json.dumps(said)})
    return folder


@pytest.fixture
def samples(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((120, 6)).astype(np.float32), rng.integers(0, 3, 120)
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:60], y_test=y[:60])
    return str(tmp_path / "data.npz")


def ran(*given: Any) -> Any:
    return CliRunner().invoke(commands, ["modes", "read", *map(str, given)], catch_exceptions=False)


def part(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout)["reading"][0]
    return found


def refused(capsys: pytest.CaptureFixture[str], *given: Any) -> str:
    assert _run(["modes", "read", *QUICK, *map(str, given)]) in (USAGE, UNREADABLE)
    return capsys.readouterr().err


def test_a_checkpoint_is_read_without_data_or_its_code(tmp_path: Path) -> None:
    save_file(nn.Sequential(ModeLinear(6, 9, 4)).state_dict(), tmp_path / "net.safetensors")
    found = part(ran(tmp_path / "net.safetensors", "--json", *QUICK))
    assert [(layer["name"], layer["modes"], layer["removal"]) for layer in found["layers"]] == [("0", 4, None)]
    assert found["samples"] == 0


def test_a_training_is_read_on_data_with_others_beside(tmp_path: Path, samples: str) -> None:
    one, other = training(tmp_path / "one"), training(tmp_path / "other", 1)
    result = ran(one, "--data", samples, "--run", other, "--untrained", other, "--dense", other, "--json", *QUICK)
    found = part(result)
    assert (found["samples"], found["source"]["runs"]) == (60, 2)
    assert {space["network"] for space in found["spaces"]} == {"this network", "untrained", "dense"}
    assert found["layers"][0]["removal"]["removed"][-1] == 10
    assert "caution: 2 runs are too few" in result.stderr


def test_a_folder_of_seeds_is_its_first_with_the_others_as_runs(tmp_path: Path) -> None:
    for seed in (10, 2, 0):
        training(tmp_path / f"seed-{seed}", seed)
    training(tmp_path / "seed-0-dense")
    found = part(ran(tmp_path, "--json", *QUICK))
    assert found["source"]["runs"] == 3
    assert found["source"]["model"].endswith("seed-0")


def test_a_function_makes_the_network_and_what_it_prints_is_no_data(tmp_path: Path, samples: str) -> None:
    (tmp_path / "net.py").write_text(NET)
    result = ran(f"{tmp_path}/net.py:network", "--arg", "width=7", "--data", samples, "--json", *QUICK)
    assert part(result)["layers"][0]["shape"] == [7, 6]
    assert "made" in result.stderr
    weights = tmp_path / "w.safetensors"
    state = nn.Sequential(ModeLinear(6, 9, 4), nn.ReLU(), nn.Linear(9, 3)).state_dict()
    save_file(state, weights)
    found = part(ran(f"{tmp_path}/net.py:network", "--weights", weights, "--json", *QUICK))
    assert found["layers"][0]["s"] == pytest.approx(state["0.s"].tolist(), rel=1e-6)


def test_a_page_is_written_where_it_was_asked_for(tmp_path: Path, samples: str) -> None:
    page = tmp_path / "page.html"
    assert ran(training(tmp_path / "one"), "--data", samples, "-o", page, *QUICK).exit_code == 0
    assert "Modes taken out" in page.read_text()


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, samples: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = training(tmp_path / "one")
    for given, said in (
        ((tmp_path / "none",), "cannot be read"),
        ((folder, "--data", "nothing"), "there is no such data"),
        ((folder, "--weights", folder), "--weights: expected with a function MODEL"),
        ((folder, "--dense", folder), "--untrained, --dense: expected --data"),
        ((folder, "--layers", "9"), "expected names or globs of layers.0"),
        ((folder, "--seed", "-1"), "--seed: expected a number that is not negative"),
        ((folder, "--null", "5"), "80 untrained layers or more"),
        ((folder, "--data", samples, "-o", folder / "model.safetensors"), "would be lost"),
        ((folder, "--data", "digits"), "expected inputs that the network runs on"),
    ):
        assert said in refused(capsys, *given)


def test_ctrl_c_prints_what_was_read_and_says_so(tmp_path: Path, samples: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from modescope.modes import reading

    def interrupted(*_given: Any, **_options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "spaces", interrupted)
    result = CliRunner().invoke(
        commands, ["modes", "read", str(training(tmp_path / "one")), "--data", samples, "--json", *QUICK], standalone_mode=False
    )
    assert result.return_value == INTERRUPTED
    assert len(part(result)["layers"]) == 1
    assert "interrupted: what was read by then is there" in result.stderr
