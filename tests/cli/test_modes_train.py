"""`modescope modes train` as a user meets it: forms, folders, resuming, and errors of one line before work starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modes_training_cases import blobs
from modescope.cli import _run
from modescope.modes.training import run_folder
from modescope.scanning import scan
from modescope.store import Store

QUICK = ["--hidden", "8", "--epochs", "2", "-q"]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small archive, and the folder it lies in as the working one."""
    task = blobs()
    np.savez(tmp_path / "blobs.npz", x_train=task.x_train, y_train=task.y_train, x_test=task.x_test, y_test=task.y_test)
    monkeypatch.chdir(tmp_path)
    return "blobs.npz"


def ran(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert _run(["modes", "train", *arguments]) == code
    out, err = capsys.readouterr()
    return out, err


def test_seeds_give_a_mean_with_its_spread_beside_the_dense_network(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = ran(capsys, data, "--modes", "3,2", "--over-complete", "--seeds", "3", "--beside-dense", "--json", *QUICK)
    training = json.loads(out)["training"]
    accuracies = [run["accuracy"] for run in training["runs"]]
    assert training["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert training["accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert [run["settings"]["seed"] for run in training["dense"]] == [0, 1, 2]
    assert [run["parameters"] for run in training["dense"]] == 3 * [6 * 8 + 8 + 8 * 3 + 3]
    assert [run["parameters"] for run in training["runs"]] == 3 * [3 * 15 + 8 + 2 * 12 + 3]


def test_where_auto_leaves_every_layer_dense_it_says_so(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "this is a dense network" in ran(capsys, data, *QUICK)[1]
    assert ran(capsys, data, "--modes", "3", "--over-complete", *QUICK)[1] == ""
    assert ran(capsys, data, "--modes", "dense", *QUICK)[1] == ""
    assert ran(capsys, data, "--lr", "0", *QUICK, code=2)[1] == "error: lr: expected a number above 0, got 0.0.\n"


def test_a_run_is_kept_resumed_and_opened_by_scan(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [data, "--modes", "3,dense", "-o", "run", "--store", "store"]
    ran(capsys, *words, *QUICK)
    said = ran(capsys, *words, *QUICK, code=2)[1]
    assert said == "error: run: holds a training already, which would be lost. Resume it, or name another folder.\n"
    out = ran(capsys, *words, "--resume", "--hidden", "8", "--epochs", "3", "-q", "--json")[0]
    assert json.loads(out)["training"]["runs"][0]["resumed"] == 2
    assert "lr 0.005, got 0.1" in ran(capsys, *words, "--resume", "--lr", "0.1", *QUICK, code=2)[1]
    network, settings = run_folder.load("run")
    assert [getattr(layer, "n_modes", None) for layer in network.layers] == [3, None]  # type: ignore[union-attr]
    assert settings["epochs"] == 3
    assert [row.shape for row in scan("run/model.safetensors").rows] == [(8, 6), (3, 8)]
    assert [one.steps for one in Store("store").runs()] == [(0, 1, 2, 3)]


def test_options_reach_network_and_training(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--modes", "3", "--tied", "--init", "iid", "--no-bias", "--lr", "0.02", "--halve-every", "0", "--batch", "20"]
    words += ["--validation", "0.25", "--patience", "5", "--clip", "2", "--weight-decay", "0", "--seed", "7"]
    out, _ = ran(capsys, data, *words, *QUICK, "--json")
    (run,) = json.loads(out)["training"]["runs"]
    assert run["modes"] == {"layers.0": 3, "layers.1": 3}
    assert run["parameters"] == 3 * (6 + 8 + 3) + 2 * 3
    expected = {"lr": 0.02, "halve_every": None, "batch": 20, "validation": 0.25, "patience": 5, "clip": 2.0, "seed": 7}
    assert {name: run["settings"][name] for name in expected} == expected
    grown, _ = ran(capsys, data, "--modes", "2", "--grow", "1", "--change-every", "1", *QUICK, "--json")
    assert json.loads(grown)["training"]["runs"][0]["modes"]["layers.0"] == 3


def test_a_layer_that_would_gain_nothing_stays_dense_and_is_named(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = ran(capsys, data, "--modes", "3", "--report", "page.html", *QUICK)
    assert err == "caution: layer 1 stays dense: as many modes would cost no less than the weight. Or: --over-complete.\n"
    assert "test accuracy" in out
    assert "Test accuracy" in Path("page.html").read_text()


def test_digits_and_xor_need_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = ran(capsys, "digits", "--modes", "auto", "--hidden", "30", "--epochs", "1", "--json", "-q")
    assert json.loads(out)["training"]["accuracy"]["mean"] > 0.5
    out, _ = ran(capsys, "xor", "--modes", "dense", "--batch", "500", "--epochs", "1", "--json", "-q")
    assert json.loads(out)["training"]["runs"][0]["parameters"] == 2 * 8 + 8 + 8 + 1


def test_ctrl_c_tells_what_was_done_and_how_to_go_on(
    data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modescope.modes.training import fitting

    real, calls = fitting._Training._steps, []

    def stopping(self: Any, number: int) -> Any:
        calls.append(number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, number)

    monkeypatch.setattr(fitting._Training, "_steps", stopping)
    words = [data, "--modes", "3,2", "--over-complete", "--seeds", "2", "-o", "runs", "--json", *QUICK]
    out, err = ran(capsys, *words, code=130)
    assert [len(run["epochs"]) for run in json.loads(out)["training"]["runs"]] == [2, 1]
    assert err == "interrupted: the epochs that were finished are told; --resume goes on.\n"
    out, _ = ran(capsys, *words, "--resume")
    assert [run["resumed"] for run in json.loads(out)["training"]["runs"]] == [2, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nope"], "there is no such data"),
        (["blobs.npz", "--modes", "7,3"], "at most 6 modes in layer 0 (6 to 8)"),
        (["blobs.npz", "--modes", "9"], "at most 6"),
        (["blobs.npz", "--modes", "0"], "--modes: expected numbers of 1 or more"),
        (["blobs.npz", "--modes", "3,3,3"], "each of 2 layers, got 3"),
        (["blobs.npz", "--hidden", "8,x"], "--hidden: expected numbers"),
        (["blobs.npz", "--epochs", "0"], "epochs"),
        (["blobs.npz", "--gain", "0"], "gain"),
        (["blobs.npz", "--split", "-1"], "split"),
        (["blobs.npz", "--patience", "2"], "patience: expected validation above 0"),
        (["blobs.npz", "--seed", "1", "--seed", "1"], "different numbers"),
        (["blobs.npz", "--seed", "1", "--seeds", "2"], "one of the two"),
        (["blobs.npz", "--keep-energy", "0.9", "--prune-below", "0.1"], "one of the two"),
        (["blobs.npz", "--keep-energy", "2"], "share of the energy"),
        (["blobs.npz", "--resume"], "expected -o"),
        (["blobs.npz", "--modes", "dense", "--grow", "1"], "which can be pruned and grown"),
        (["blobs.npz", "--report", "none/page.html"], "cannot be written"),
        (["blobs.npz", "--report", "page.docx"], "page.docx"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    data: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    place = [] if "--resume" in words else ["-o", "new"]
    quick = [one for pair in (QUICK[:2], QUICK[2:4]) if pair[0] not in words for one in pair]
    out, err = ran(capsys, *words, *quick, *place, "-q", code=2)
    assert out == ""
    assert said in err
    assert len(err.splitlines()) <= 2
    assert not list(Path("new").glob("*")) if Path("new").exists() else True
    assert Path(data).exists()


@pytest.mark.parametrize(("asked", "meanwhile"), [((), 1), (("--threads", "2"), 2)])
def test_small_networks_train_in_one_thread_unless_more_are_asked_for(
    data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...], meanwhile: int
) -> None:
    from modescope.modes.training import fitting

    threads: list[int] = []
    fit = fitting.fit

    def watched(*given: Any, **options: Any) -> Any:
        threads.append(torch.get_num_threads())
        return fit(*given, **options)

    monkeypatch.setattr(fitting, "fit", watched)
    torch.set_num_threads(3)
    try:
        ran(capsys, data, *asked, *QUICK)
        assert (threads, torch.get_num_threads()) == ([meanwhile], 3)
    finally:
        torch.set_num_threads(1)
