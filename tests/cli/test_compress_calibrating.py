"""`modescope compress --model --data`: moments are counted in the same call, and are those that Python counts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modescope.cli import _run
from modescope.modes.calibration import calibrate, load
from modescope.modes.compression import compress

SOURCE = """
import torch
from torch import nn


def make(width=12):
    print("said by the user's code")
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 8))



class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(9, 6), nn.Linear(6, 5)

    def forward(self, ids, mask=None):
        x = self.table(ids)
        return self.head(x if mask is None else x * mask[..., None])
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the user's code, a checkpoint of it and data, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)
    torch.manual_seed(0)
    save_file(_dense().state_dict(), "model.safetensors")
    x = np.random.default_rng(0).standard_normal((150, 6)) * np.linspace(0.01, 1, 6) + 1
    np.save("x.npy", x.astype(np.float32))
    np.savez("x.npz", x_train=x.astype(np.float32), y_train=np.zeros(150, int))
    return tmp_path


def _dense() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8))


def _network() -> nn.Sequential:
    from safetensors.torch import load_file

    made = _dense()
    made.load_state_dict(load_file("model.safetensors"))
    return made


GIVEN = ["compress", "model.safetensors", "--modes", "3", "-q", "--model", "net.py:make"]


@pytest.mark.usefixtures("here")
def test_the_errors_are_those_of_a_calibration_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run([*GIVEN, "--data", "x.npy", "--batch", "40", "--json", "--save-calibration", "moments.safetensors"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert "said by the user's code" in err
    moments = calibrate(_network(), np.load("x.npy"))
    slow = compress("model.safetensors", modes=3, calibration=moments)
    assert [one["output_error"] for one in told["layers"]] == pytest.approx([one.output_error for one in slow], rel=1e-6)
    assert told["layers"][0]["error"] > compress("model.safetensors", modes=3)["0.weight"].error  # other modes than the plain ones
    assert told["options"]["calibration"] == "150 samples of x.npy"
    kept = load("moments.safetensors")
    assert kept.samples == 150
    np.testing.assert_allclose(kept.moments["2"].scatter, moments.moments["2"].scatter, rtol=1e-5, atol=1e-5)
    assert _run(["compress", "model.safetensors", "--modes", "3", "-q", "--json", "--calibration", "moments.safetensors"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"] == told["layers"]


@pytest.mark.usefixtures("here")
def test_only_layers_that_may_become_modes_are_counted() -> None:
    given = [*GIVEN, "--data", "x.npz", "--data-key", "x_train", "--exclude", "2.*", "--save-calibration", "moments.safetensors"]
    assert _run(given) == 0
    assert list(load("moments.safetensors").moments) == ["0"]


@pytest.mark.usefixtures("here")
def test_a_checkpoint_in_bfloat16_is_put_into_the_network() -> None:
    save_file({name: one.bfloat16() for name, one in _network().state_dict().items()}, "half.safetensors")
    given = [
        "compress",
        "half.safetensors",
        "--modes",
        "3",
        "-q",
        "--model",
        "net.py:make",
        "--data",
        "x.npy",
        "-o",
        "o.safetensors",
    ]
    assert _run(given) == 0


@pytest.mark.usefixtures("here")
def test_pictures_of_whole_numbers_are_scaled_as_profile_scales_them() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
    save_file(network.state_dict(), "pictures.safetensors")
    Path("other.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))\n"
    )
    pictures = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.save("pictures.npy", pictures)
    given = ["compress", "pictures.safetensors", "--modes", "3", "-q", "--model", "other.py:make", "--data", "pictures.npy"]
    assert _run([*given, "--mean", "0.5", "--std", "0.2", "--save-calibration", "moments.safetensors"]) == 0
    scaled = (np.moveaxis(pictures, -1, 1).astype(np.float32) / 255 - 0.5) / 0.2
    slow = calibrate(network, scaled).moments["2"]
    kept = load("moments.safetensors").moments["2"]
    np.testing.assert_allclose(kept.mean, slow.mean, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("here")
def test_tokens_go_to_the_arguments_of_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    table, head = nn.Embedding(9, 6), nn.Linear(6, 5)
    save_file(nn.ModuleDict({"table": table, "head": head}).state_dict(), "reader.safetensors")
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(0, 9, (30, 4)), rng.integers(0, 2, (30, 4))
    np.save("ids.npy", ids.astype(np.int32))
    np.savez("ids.npz", ids=ids.astype(np.uint8), mask=mask)
    given = [
        "compress",
        "reader.safetensors",
        "--modes",
        "2",
        "-q",
        "--model",
        "net.py:Reader",
        "--save-calibration",
        "m.safetensors",
    ]
    x = table.weight.detach().numpy()[ids]
    for file, seen in (("ids.npy", x), ("ids.npz", x * mask[..., None])):
        assert _run([*given, "--tokens", file, "--save-calibration", "m.safetensors"]) == 0, capsys.readouterr().err
        kept = load("m.safetensors").moments["head"]
        assert kept.count == ids.size
        np.testing.assert_allclose(kept.mean, seen.reshape(-1, 6).mean(axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["--data", "x.npy"], 2, "--data: expected --model"),
        (["--arg", "width=3"], 2, "--arg: expected --model"),
        (["--model", "net.py:make"], 2, "--data or --tokens with it, got neither"),
        (["--model", "net.py:make", "--data", "x.npy", "--tokens", "x.npy"], 2, "got both"),
        (["--model", "net.py:make", "--data", "x.npy", "--calibration", "m"], 2, "one of the two"),
        (["--model", "net.py:make", "--tokens", "x.npy"], 2, "expected whole numbers"),
        (["--model", "net.py:make", "--tokens", "x.npy", "--mean", "0"], 2, "--mean: expected with --data"),
        (["--model", "net.py:make", "--data", "x.npz"], 2, "--data-key"),
        (["--model", "net.py:make", "--data", "none.npy"], 3, "no such file"),
        (["--model", "net.py:make", "--data", "x.npy", "--arg", "width=9"], 2, "expected shape (9,)"),
        (["--model", "net.py:no", "--data", "x.npy"], 2, "expected a function 'no'"),
        (["--model", "net.py:make", "--data", "x.npy", "--save-calibration", "model.safetensors"], 2, "is read by this command"),
        (["--model", "net.py:make", "--data", "x.npy", "--save-calibration", "no/m.safetensors"], 2, "no such folder"),
        (["--model", "net.py:make", "--data", "x.npy", "--save-calibration", "m.npz"], 2, "ends in .safetensors"),
        (
            ["--model", "net.py:make", "--data", "x.npy", "-o", "m.safetensors", "--save-calibration", "m.safetensors"],
            2,
            "of its own",
        ),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_lost(
    given: list[str], code: int, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {one.name: one.read_bytes() for one in here.iterdir() if one.is_file()}
    assert _run(["compress", "model.safetensors", "--modes", "3", "-q", *given]) == code
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == ""
    assert len(errors) == 1
    assert said in errors[0]
    assert {one.name: one.read_bytes() for one in here.iterdir() if one.is_file()} == before


@pytest.mark.usefixtures("here")
def test_a_budget_that_is_out_of_range_is_said_before_the_users_code_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["compress", "model.safetensors", "--budget", "7", "-q", "--model", "net.py:make", "--data", "x.npy"]
    assert _run(given) == 2
    assert "said by the user's code" not in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_a_grouped_convolution_which_the_file_does_not_show_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4))
    save_file(network.state_dict(), "grouped.safetensors")
    Path("grouped.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4))\n"
    )
    np.save("maps.npy", np.random.default_rng(0).standard_normal((9, 2, 7, 7)).astype(np.float32))
    given = ["compress", "grouped.safetensors", "--modes", "3", "-q", "--model", "grouped.py:make", "--data", "maps.npy"]
    assert _run(given) == 2
    assert "--exclude '2.*'" in capsys.readouterr().err
    assert _run([*given, "--exclude", "2.*"]) == 0
    assert _run([*given, "--form", "dense"]) == 0
