"""`modescope profile` as a user meets it: a network from a function, images from files, forms, exit codes, errors of one line."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from safetensors.torch import save_file

from modescope.cli import _progress, _run
from modescope.cli.profile import AGGREGATES, RULE, SCOPE, SELECT, STANDARDISE, command
from modescope.profiles import algebra, profile
from modescope.profiles.aggregates import AGGREGATES as KNOWN
from modescope.profiles.hypergraph import SCOPES
from modescope.profiles.membership import RULES, STANDARDISATIONS
from modescope.profiles.selection import RULES as SELECTIONS
from modescope.reports.form import is_report
from profiles_net_cases import digits_data, digits_start

QUICK = ["--no-truncation", "--features", "0", "--resamples", "10", "--permutations", "5", "--shown", "1", "--exemplars", "2", "-q"]
NET = """
import torch
from torch import nn


def net(width=6, noise=""):
    print("made" + noise)
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10))


def broken():
    raise ValueError("no")
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network in a file and images of digits."""
    images, labels = digits_data()
    np.savez(tmp_path / "digits.npz", images=images[:60].numpy(), labels=labels[:60].numpy())
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    capsys.readouterr()
    assert _run(["profile", *arguments, *QUICK]) == code
    out, err = capsys.readouterr()
    assert out == ""
    said = err.removeprefix("made\n")
    assert said.startswith("error: ")
    assert len(said.splitlines()) <= 3
    return said


@pytest.mark.usefixtures("files")
def test_json_is_a_document_and_what_the_network_prints_is_no_part_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["profile", "net.py:net", "--data", "digits.npz", "--arg", "width=4", "--arg", "noise=!", "--json", *QUICK]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["schema"] == "modescope.profile/1"
    assert [layer["shape"] for layer in told["layers"]] == [[4, 9], [10, 144]]
    assert told["images"] == 60
    assert "made!" in err
    assert all(line.startswith("caution: ") for line in err.splitlines()[1:])


@pytest.mark.usefixtures("files")
def test_options_reach_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--aggregate", "rms", "--select", "energy", "--amount", "0.5", "--standardise", "none", "--rule", "threshold"]
    words += [
        "--value",
        "0.1",
        "--unsigned",
        "--scope",
        "network",
        "--share",
        "0.3",
        "--compat",
        "ddp",
        "--seed",
        "3",
        "--span",
        "0:2",
    ]
    words += ["--classes", ",".join("abcdefghij"), "--layers", "3"]
    assert _run(["profile", "net.py:net", "--data", "digits.npz", "--json", *words, *QUICK]) == 0
    told = json.loads(capsys.readouterr().out)
    wanted = {
        "aggregate": "rms", "select": "energy", "amount": 0.5, "standardise": "none", "rule": "threshold", "value": 0.1,
        "signed": False, "scope": "network", "share": 0.3, "compat": "ddp", "seed": 3, "span": [0, 2], "resamples": 10,
        "permutations": 5, "shown": 1, "exemplars": 2, "features": 0, "truncation": False,
    }  # fmt: skip
    assert {name: told["options"][name] for name in wanted} == wanted
    assert [one["label"] for one in told["classes"]] == list("abcdefghij")
    assert [layer["name"] for layer in told["layers"]] == ["3"]


def test_weights_are_put_in_and_the_start_is_compared(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "big.py").write_text("from profiles_net_cases import digits_start as net")
    save_file(digits_start(1).state_dict(), files / "a.safetensors")
    save_file(digits_start(2).state_dict(), files / "b.safetensors")
    words = ["--weights", "a.safetensors", "--untrained", "b.safetensors", "--layers", "9", "--json"]
    assert _run(["profile", "big.py:net", "--data", "digits.npz", *words, *QUICK]) == 0
    (layer,) = json.loads(capsys.readouterr().out)["layers"]
    s = np.linalg.svd(digits_start(1)[9].weight.detach().numpy(), compute_uv=False)
    assert layer["modes"][0]["singular_value"] == pytest.approx(s[0], rel=1e-5)
    assert layer["validation"][0]["start_from"] == "the start that was given"


def test_files_are_written_by_their_suffix(files: Path) -> None:
    words = ["--save", "a.safetensors", "--save", "a.hif.json"]
    assert _run(["profile", "net.py:net", "--data", "digits.npz", "-o", "a.html", *words, *QUICK]) == 0
    assert is_report(files / "a.html")
    assert algebra.load(files / "a.safetensors")["whole"].inputs == 60
    assert json.loads((files / "a.hif.json").read_text())["network-type"] == "undirected"
    assert _run(["profile", "net.py:net", "--data", "digits.npz", "-o", "b.hif.json", *QUICK]) == 0
    assert (files / "b.hif.json").read_text() == (files / "a.hif.json").read_text()


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["net.py:broken", "--data", "digits.npz"], 2, "ValueError: no"),
        (["net.py", "--data", "digits.npz"], 2, "path/to/file.py:function"),
        (["net.py:net", "--data", "absent"], 2, "absent"),
        (["net.py:net", "--data", "digits.npz", "--arg", "width"], 2, "--arg: expected NAME=VALUE"),
        (["net.py:net", "--data", "digits.npz", "--size", "a"], 2, "--size: expected pixels"),
        (["net.py:net", "--data", "digits.npz", "--mean", "a"], 2, "--mean: expected numbers"),
        (["net.py:net", "--data", "digits.npz", "--span", "1:0"], 2, "--span: expected"),
        (["net.py:net", "--data", "digits.npz", "--save", "a.txt"], 2, "--save: expected a file that ends in"),
        (["net.py:net", "--data", "digits.npz", "-o", "digits.npz"], 2, "is read by this command"),
        (["net.py:net", "--data", "digits.npz", "-o", "net.py"], 2, "is read by this command"),
        (["net.py:net", "--data", "digits.npz", "--layers", "8"], 2, "layers: expected"),
        (["net.py:net", "--data", "digits.npz", "--weights", "absent.pt"], 3, "absent.pt"),
        (["net.py:net", "--data", "digits.npz", "--arg", "width=9999999999999"], 2, "failed"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    assert said in refused(capsys, code, *arguments)


@pytest.mark.usefixtures("files")
def test_debug_shows_where_the_function_failed() -> None:
    with pytest.raises(Exception, match="failed") as error:
        _run(["profile", "net.py:broken", "--data", "digits.npz", "--debug"])
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.usefixtures("files")
def test_an_interrupt_leaves_with_its_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_args: Any, **_options: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr("modescope.profiles.gathered", interrupted)
    assert _run(["profile", "net.py:net", "--data", "digits.npz", *QUICK]) == 130
    assert capsys.readouterr().out == ""


def test_images_that_ctrl_c_cut_short_are_kept_and_the_code_says_so(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modescope.errors import Interrupted
    from modescope.profiles import picturing

    def interrupted(*_args: Any, **_options: Any) -> None:
        raise Interrupted(())

    monkeypatch.setattr(picturing, "visualise", interrupted)
    assert _run(["profile", "net.py:net", "--data", "digits.npz", "-o", "a.json", *QUICK, "--features", "1"]) == 130
    assert is_report(files / "a.json")
    out, err = capsys.readouterr()
    assert out == ""
    assert "interrupted: images made for modes" in err


def test_pictures_that_cannot_be_read_are_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    folder = files / "pictures"
    folder.mkdir()
    images, _ = digits_data()
    for place in range(8):
        Image.fromarray((images[place, 0].numpy() * 255).astype(np.uint8)).save(folder / f"{place}.png")
    for place in range(5):
        (folder / f"no{place}\x1b.png").write_text("no picture")
    assert _run(["profile", "net.py:net", "--data", "pictures", "-o", "a.json", *QUICK]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert [line.split("\\")[0] for line in lines[:3]] == [f"left out: no{place}" for place in range(3)]
    assert lines[3:] == ["left out: 2 more, which the report names."]
    assert "\x1b" not in "".join(lines)


def test_choices_and_defaults_are_those_of_the_library() -> None:
    assert set(AGGREGATES) == {*KNOWN}
    assert (set(SELECT), set(STANDARDISE)) == ({*SELECTIONS}, {*STANDARDISATIONS})
    assert (set(RULE), set(SCOPE)) == ({*RULES}, {*SCOPES})
    known = inspect.signature(profile).parameters
    told = {option.name: option.default for option in command.params if isinstance(option, click.Option) and option.show_default}
    assert {name: known[name].default for name in told if name in known} == {name: told[name] for name in told if name in known}
    assert {"aggregate", "select", "shown", "exemplars", "resamples", "permutations", "seed", "batch"} <= {*told}


def test_lines_of_progress_name_the_task_and_come_when_it_takes_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(_progress, "monotonic", lambda: now[0])
    with _progress.tasks(quiet=False) as update:
        assert update is not None
        for done in range(1, 11):
            now[0] += 1
            update("signals", done, 10)
        update("quick", 5, 10)
        update("unknown", 5, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "signals: 20%, about 8 s left"
    assert len(lines) == 8
    with _progress.tasks(quiet=True) as silent:
        assert silent is None
