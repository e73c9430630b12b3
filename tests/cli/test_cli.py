"""The command line as a user meets it: output, exit codes, errors of one to three lines, hostile names, interruption."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cases import checkpoint, tensors
from modescope.cli import _run
from modescope.registry import modules
from modescope.shipped import demo_path

HOSTILE = {
    "<script>alert(1)</script>.weight": np.eye(20, dtype=np.float32),
    "line\nbreak.weight": np.eye(20, dtype=np.float32),
    "\x1b[31mred\x1b[0m.weight": np.eye(20, dtype=np.float32),
    "=cmd|' /C calc'!A0.weight": np.eye(20, dtype=np.float32),
    "naïve.层.weight": np.eye(20, dtype=np.float32),
}


def test_scan_prints_a_row_per_matrix_and_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["scan", str(checkpoint(tmp_path)), "-q"]) == 5
    out, err = capsys.readouterr()
    for name in ("a.weight", "b.weight", "bad.weight", "c.weight", "d.weight"):
        assert re.search(rf"^{name}\s", out, re.MULTILINE)
    assert "5 matrices, 1 without numbers; 2 tensors skipped" in out
    assert err == "failed: 'bad.weight' (dense): 1 of 1200 entries are not finite.\n"
    assert "\x1b" not in out


def test_a_clean_scan_exits_with_zero_and_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["scan", str(demo_path()), "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "modescope.scan/1"
    assert "values" not in document["matrices"][0]
    assert _run(["scan", str(demo_path()), "--json", "--values", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["matrices"][0]["values"]) == min(document["matrices"][0]["shape"])


def test_every_format_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in modules("modescope.render"):
        assert _run(["scan", str(demo_path()), "--format", form, "-q"]) == 0
        assert capsys.readouterr().out
        assert _run(["inspect", str(demo_path()), "--format", form, "-o", str(tmp_path / form)]) == 0
        assert (tmp_path / form).stat().st_size > 0
        assert capsys.readouterr().out == ""


def test_csv_reads_back_with_full_precision(capsys: pytest.CaptureFixture[str]) -> None:
    _run(["scan", str(demo_path()), "--format", "csv", "-q"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    weights = [row for row in rows if row["kind"] == "convolution"]
    assert len(weights) == 2
    assert len(weights[0]["norm"]) > 12


def test_jsonl_has_a_head_and_a_line_per_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    _run(["scan", str(demo_path()), "--format", "jsonl", "-q"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["schema"] == "modescope.scan/1"
    assert [line["name"] for line in lines[1:]] == ["0.weight", "10.weight", "3.weight", "8.weight"]


def test_inspect_reads_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = checkpoint(tmp_path)

    def explode(*args: object, **kwargs: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(np, "memmap", explode)
    monkeypatch.setattr(np, "fromfile", explode)
    assert _run(["inspect", str(path)]) == 0
    out = capsys.readouterr().out
    assert "5 matrices to analyse" in out
    assert "2 left out" in out


@pytest.mark.parametrize(
    ("condition", "code"),
    [("norms.spectral > 1e9", 0), ("norms.spectral > 0", 1), ("tail.alpha < -1", 0), ("rank.numerical >= 64", 1)],
)
def test_fail_if_is_a_gate(condition: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["scan", str(demo_path()), "-q", "--fail-if", condition]) == code
    assert ("holds for" in capsys.readouterr().err) == bool(code)


def test_a_number_that_means_nothing_fulfils_no_condition(tmp_path: Path) -> None:
    save_file({"a.weight": np.zeros((30, 30), np.float32)}, tmp_path / "zero.safetensors")
    assert _run(["scan", str(tmp_path / "zero.safetensors"), "-q", "--fail-if", "tail.alpha != 0"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["scan"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["scan", "{good}", "--format", "pdf"], 2, "pdf"),
        (["scan", "{good}", "--kind", "dens"], 2, "expected one of"),
        (["scan", "{good}", "--fail-if", "alpha > 6"], 2, "tail.alpha > 6"),
        (["scan", "{good}", "--fail-if", "tail.alfa > 6"], 2, "alpha"),
        (["scan", "{good}", "--set", "tail=3"], 2, "tail.bootstrap=200"),
        (["scan", "{good}", "--level", "2"], 2, "between 0 and 1"),
        (["scan", "{good}", "--resume"], 2, "save"),
        (["scan", "{good}", "-o", "{folder}/no/such/file"], 2, "cannot be written"),
        (["scan", "{folder}/missing.safetensors"], 3, "missing.safetensors"),
        (["scan", "{folder}/empty.safetensors"], 3, "empty.safetensors"),
        (["scan", "{folder}/text.pt"], 3, "text.pt"),
        (["scan", "{folder}/torn.safetensors"], 3, "torn.safetensors"),
        (["scan", "{folder}/objects.npy"], 4, "objects.npy"),
        (["inspect", "{folder}/missing"], 3, "missing"),
        (["measures", "nothing"], 2, "expected one of"),
    ],
)
def test_errors_are_short_and_name_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    good = checkpoint(tmp_path)
    (tmp_path / "empty.safetensors").touch()
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "torn.safetensors").write_bytes(good.read_bytes()[:5000])
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    assert _run([part.format(good=good, folder=tmp_path) for part in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    assert "Traceback" not in err


def test_unsafe_pickles_are_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "evil.bin").write_bytes(pickle.dumps({"a.weight": Evil()}))
    assert _run(["scan", str(tmp_path / "evil.bin"), "-q"]) == 4
    assert len(capsys.readouterr().err.splitlines()) <= 3
    assert _run(["inspect", str(tmp_path / "evil.bin"), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["unsafe"][0]["reason"]
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("form", sorted(modules("modescope.render")))
def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    save_file(HOSTILE, tmp_path / "hostile.safetensors")
    for command in ("scan", "inspect"):
        assert _run([command, str(tmp_path / "hostile.safetensors"), "--format", form]) in (0, 5)
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert "naïve" in out or "na\\u00efve" in out
        if form == "html":
            assert "<script>alert" not in out
        if form == "markdown":
            assert "<script" not in out.replace("\\<", "")
        if form == "csv":
            assert "\n=cmd" not in out
        if form in ("table", "csv", "markdown"):
            assert not re.search(r"^break\.weight", out, re.MULTILINE)


def test_measures_explains_every_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["measures", "tail", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in document["measures"]] == ["tail"]
    assert all(number["void"] and number["source"] for number in document["measures"][0]["numbers"])


def test_settings_come_from_environment_and_project_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.modescope.scan]\nseed = 4\nmin-dim = 11\n")

    def options(*arguments: str) -> dict[str, object]:
        assert _run(["scan", str(demo_path()), "--json", "-q", *arguments]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)["options"]
        return found

    assert (options()["seed"], options()["min_dim"]) == (4, 11)
    monkeypatch.setenv("MODESCOPE_SCAN_SEED", "5")
    assert options()["seed"] == 5
    assert options("--seed", "6")["seed"] == 6


def test_settings_go_by_the_names_of_the_flags_and_unknown_ones_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "pyproject.toml"
    settings.write_text('[tool.modescope.scan]\nfail-if = ["norms.spectral > 0"]\nquiet = true\n')
    assert _run(["scan", str(demo_path())]) == 1
    settings.write_text("[tool.modescope]\nseed = 7\njson = true\n")
    capsys.readouterr()
    assert _run(["scan", str(demo_path()), "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["options"]["seed"] == 7
    for wrong in (
        "[tool.modescope.scan]\nsede = 1\n",
        "[tool.modescope.scam]\nseed = 1\n",
        "[tool.modescope]\nsede = 3\n",
        "tool = 3\n",
    ):
        settings.write_text(wrong)
        assert _run(["scan", str(demo_path())]) == 2
        assert "pyproject.toml" in capsys.readouterr().err
    assert _run(["scan", "--help"]) == 0  # help needs no settings
    settings.unlink()
    monkeypatch.setenv("MODESCOPE_SCAN_FAIL_IF", "norms.spectral > 1e9; norms.spectral > 0")
    assert _run(["scan", str(demo_path()), "-q"]) == 1
    monkeypatch.setenv("MODESCOPE_SCAN_FAIL_IF", "norms.spectral > 1e9")
    assert _run(["scan", str(demo_path()), "-q"]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "-1"],
        ["--level", "1e-300"],
        ["--set", "tail.bootstrap=-5"],
        ["--set", "null.gaussian=true"],
        ["--memory", "nan"],
        ["--device", "foo"],
        ["--include", "typo*", "--fail-if", "norms.spectral > 0"],
    ],
    ids=" ".join,
)
def test_values_out_of_range_are_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["scan", str(demo_path()), "-q", *arguments]) == 2
    assert 1 <= len(capsys.readouterr().err.splitlines()) <= 3


def test_a_broken_settings_file_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.modescope\n")
    assert _run(["scan", str(demo_path())]) == 2
    assert "pyproject.toml" in capsys.readouterr().err


def test_a_fault_of_ours_is_two_lines_unless_debug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import modescope.scanning

    def fault(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("inner")

    monkeypatch.setattr(modescope.scanning, "scan", fault)
    assert _run(["scan", str(demo_path())]) == 70
    assert len(capsys.readouterr().err.splitlines()) == 2
    with pytest.raises(ZeroDivisionError):
        _run(["scan", str(demo_path()), "--debug"])


def test_progress_goes_to_stderr_line_by_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    save_file({f"l{i}.weight": rng.standard_normal((60, 50)).astype(np.float32) for i in range(30)}, tmp_path / "m.safetensors")
    done = subprocess.run(
        [sys.executable, "-m", "modescope", "scan", "m.safetensors", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    json.loads(done.stdout)
    assert 5 <= len(done.stderr.splitlines()) <= 10
    assert re.match(r"\d+% of the work, \d+/30 matrices, about \d+ s left", done.stderr)


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m modescope scan {demo_path()} --json -q | head -c 10; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_scan_prints_what_is_done_and_resumes(tmp_path: Path, sent: signal.Signals) -> None:
    rng = np.random.default_rng(0)
    save_file(
        {f"l{i:02d}.weight": rng.standard_normal((700, 700)).astype(np.float32) for i in range(40)}, tmp_path / "m.safetensors"
    )
    command = [sys.executable, "-m", "modescope", "scan", "m.safetensors", "--save", "run", "--json", "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "run" / "journal.jsonl"
    for _ in range(600):
        if journal.exists() and journal.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.05)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    document = json.loads(out)
    assert not document["complete"]
    assert 2 <= len(document["matrices"]) < 40
    assert "continue with --resume" in err
    assert "Traceback" not in err


def test_tensors_of_every_kind_of_trouble_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trouble = {
        "inf.weight": np.full((20, 20), np.inf, np.float32),
        "zero.weight": np.zeros((30, 20), np.float32),
        "row.weight": np.ones((1, 50), np.float32),
        "one.weight": np.ones((1, 1), np.float32),
        "equal.weight": np.full((40, 40), 0.5, np.float32),
        "empty.weight": np.zeros((0, 5), np.float32),
        "scalar": np.array(1.0, np.float32),
    }
    save_file(trouble, tmp_path / "m.safetensors")
    assert _run(["scan", str(tmp_path / "m.safetensors"), "--json", "-q"]) == 5
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["matrices"]}
    skips = {skip["name"]: skip["reason"] for skip in document["skipped"]}
    assert set(rows) | set(skips) == set(trouble)
    assert "not finite" in rows["inf.weight"]["status"]
    for name in ("zero.weight", "row.weight", "one.weight", "equal.weight"):
        assert rows[name]["status"] == "ok"
        assert rows[name]["measures"]["tail"]["alpha"] is None
        assert rows[name]["measures"]["tail"]["status"] != "ok"
        assert rows[name]["measures"]["bulk"]["outliers"] in (None, 0, 1)
    assert set(tensors())  # the helper's names are free of these
