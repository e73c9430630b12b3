"""`modescope compress` as a user meets it: plan, file, gate, errors of one line, interruption."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modes_compression_cases import inputs, linears, saved
from modescope.cli import _run
from modescope.modes.calibration import Calibration
from modescope.shipped import demo_path
from test_schemas import validate

SHIPPED = str(demo_path())


def test_without_a_file_it_shows_the_plan_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(["compress", SHIPPED, "--budget", "0.4", "-q"]) == 0
    out, err = capsys.readouterr()
    assert "A plan: nothing was written" in out
    assert "\n8.weight " in out
    assert err == "a plan: nothing was written; give a file with -o.\n"
    assert not list(tmp_path.iterdir())


def test_the_file_it_writes_keeps_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["compress", SHIPPED, "--budget", "0.4", "-q", "--json", "-o", str(tmp_path / "small.safetensors")]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    validate(told)
    assert told["verified"]
    assert err == ""
    numbers = sum(one.size for one in load_file(tmp_path / "small.safetensors").values())
    assert numbers == told["totals"]["parameters"] <= 0.4 * told["totals"]["dense_parameters"]


def test_half_is_what_is_meant_where_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["compress", SHIPPED, "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["options"]["budget"] == 0.5


@pytest.mark.parametrize(
    ("given", "modes"),
    [(["--modes", "3"], {3}), (["--modes", "0.25"], {2, 6, 16}), (["--modes", "8.weight=5", "--modes", "3.*=7"], {5, 7})],
)
def test_modes_are_a_number_a_share_or_numbers_by_glob(
    given: list[str], modes: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["compress", SHIPPED, "-q", "--json", *given]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {one["modes"] for one in layers} - {None} == modes


def test_a_calibration_file_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, moments = inputs(30)
    Calibration({"enc.0": moments}, {"enc.0": 1.0}, len(x), "planted", {}).save(tmp_path / "moments.safetensors")
    source = saved(tmp_path, linears())
    given = ["compress", str(source), "-q", "--json", "--modes", "3", "--calibration", str(tmp_path / "moments.safetensors")]
    assert _run(given) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["output_error"] > 0


def test_the_gate_looks_at_the_worst_weight(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["compress", SHIPPED, "-q", "--modes", "2", "--max-error", "0.01"]) == 1
    assert "weights lose more than 0.01, first '0.weight'" in capsys.readouterr().err
    assert _run(["compress", SHIPPED, "-q", "--modes", "2", "--max-error", "1"]) == 0


def test_the_report_is_written_besides(tmp_path: Path) -> None:
    assert _run(["compress", SHIPPED, "-q", "--report", str(tmp_path / "page.html")]) == 0
    assert "8.weight" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["--budget", "0.01"], 2, "expected a budget of at least"),
        (["--budget", "0.5", "--energy", "0.9"], 2, "one of budget, modes and energy"),
        (["--modes", "many"], 2, "--modes: expected N, a share"),
        (["--modes", "0"], 2, "modes, a whole number from 1"),
        (["--kind", "nonsense"], 2, "kind 'nonsense'"),
        (["--include", "nothing"], 2, "not selected: no match for include nothing"),
        (["--report", "page.odd"], 2, "--report: expected a file that ends in"),
        (["-o", "model.bin"], 2, "ends in .safetensors"),
        (["-o", SHIPPED], 2, "is read by this command"),
        (["--calibration", SHIPPED], 3, "expected a calibration"),
    ],
)
def test_mistakes_are_one_line_and_a_code(given: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(SHIPPED).read_bytes()
    assert _run(["compress", SHIPPED, "-q", *given]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") <= 3
    assert Path(SHIPPED).read_bytes() == before


def test_what_is_not_finite_is_named_where_it_keeps_a_budget_from_being_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"a.weight": np.full((9, 9), np.nan), "b.weight": np.eye(9)}, tmp_path / "odd.safetensors")
    assert _run(["compress", str(tmp_path / "odd.safetensors"), "-q", "-o", str(tmp_path / "o.safetensors")]) == 2
    assert "'a.weight' stays dense: has entries that are not finite" in capsys.readouterr().err
    assert not (tmp_path / "o.safetensors").exists()


def test_a_weight_that_only_the_dense_form_can_take_says_so_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {"emb": np.eye(9), "a.bias": np.zeros(9), "kernel": np.random.default_rng(0).standard_normal((9, 9))}
    save_file(tensors, tmp_path / "named.safetensors")
    assert _run(["compress", str(tmp_path / "named.safetensors"), "-q"]) == 2
    assert "got none ('kernel': not the weight of a layer" in capsys.readouterr().err.replace("'emb': an embedding; ", "")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    assert _run(["compress", str(tmp_path / "objects.npy"), "-q"]) in {3, 4}
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_ctrl_c_while_it_writes_leaves_nothing_behind(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save_file({f"{i}.weight": rng.standard_normal((700, 700)) for i in range(16)}, tmp_path / "big.safetensors")
    given = [
        sys.executable,
        "-m",
        "modescope",
        "compress",
        str(tmp_path / "big.safetensors"),
        "-o",
        str(tmp_path / "o.safetensors"),
    ]
    with subprocess.Popen([*given, "--modes", "9"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".o.*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert out == b""
    assert err.decode().endswith("error: interrupted.\n")
    assert [one.name for one in tmp_path.iterdir()] == ["big.safetensors"]
