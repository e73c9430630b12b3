"""`modescope compare` as a user meets it: output, formats, exit codes, errors of one line, interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cases import checkpoint
from modescope.cli import _run
from modescope.registry import modules
from modescope.shipped import demo_history, demo_path

FIRST, LAST = str(demo_history()[0]), str(demo_path())


def test_a_table_names_every_layer_and_the_exit_code_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["compare", FIRST, LAST, "-q"]) == 0
    out, err = capsys.readouterr()
    for name in ("0.weight", "3.weight", "8.weight", "10.weight"):
        assert f"\n{name} " in out
    assert err == ""


def test_json_is_one_document_and_jsonl_has_a_line_per_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["compare", FIRST, str(demo_history()[3]), LAST, "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "modescope.compare/1"
    assert len(document["checkpoints"]) == 3
    _run(["compare", FIRST, LAST, "--format", "jsonl", "-q"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines[1:]] == [layer["name"] for layer in document["layers"]]


def test_every_format_can_be_written(tmp_path: Path) -> None:
    for form in modules("modescope.render"):
        assert _run(["compare", FIRST, LAST, "--format", form, "-q", "-o", str(tmp_path / form)]) == 0
        assert (tmp_path / form).stat().st_size > 0


def test_the_suffix_of_the_file_chooses_the_format(tmp_path: Path) -> None:
    assert _run(["compare", FIRST, LAST, "-q", "-o", str(tmp_path / "c.md")]) == 0
    assert (tmp_path / "c.md").read_text().startswith("| layer | shape | change |")


def test_a_layer_that_failed_gives_its_exit_code_and_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(checkpoint(tmp_path))
    assert _run(["compare", path, path, "-q"]) == 5
    assert capsys.readouterr().err == "failed: 'bad.weight' (dense): checkpoint 0: 1 of 1200 entries are not finite.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compare"], 2, "Missing argument"),
        (["compare", "{good}"], 2, "Missing argument"),
        (["compare", "{good}", "{other}"], 2, "none in common"),
        (["compare", "{good}", "{good}", "--modes", "0"], 2, "modes"),
        (["compare", "{good}", "{good}", "--epsilon", "2"], 2, "epsilon"),
        (["compare", "{good}", "{good}", "--view", "x"], 2, "view"),
        (["compare", "{good}", "{good}", "-o", "{folder}/no/file"], 2, "cannot be written"),
        (["compare", "{good}", "{folder}/missing"], 3, "missing"),
        (["compare", "{torn}", "{good}"], 3, "torn.safetensors"),
        (["compare", "{good}", "{folder}/objects.npy"], 4, "objects.npy"),
    ],
)
def test_errors_are_short_and_name_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    good, other, torn = checkpoint(tmp_path), tmp_path / "other.safetensors", tmp_path / "torn.safetensors"
    save_file({"x.weight": np.eye(4)}, other)
    torn.write_bytes(good.read_bytes()[:5000])
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    assert _run([part.format(good=good, other=other, torn=torn, folder=tmp_path) for part in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) <= 3


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, scale in (("a", 1), ("b", 2)):
        save_file(
            {"\x1b[31mred.weight": scale * np.eye(20), "line\nbreak.weight": scale * np.eye(20)}, tmp_path / f"{name}.safetensors"
        )
    assert _run(["compare", str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"), "-q"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_an_interruption_writes_what_was_done(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [64] * 4 + [1500] * 4
    save_file(
        {f"l{i}.weight": rng.standard_normal((n, n)).astype(np.float32) for i, n in enumerate(sizes)}, tmp_path / "a.safetensors"
    )
    path = str(tmp_path / "a.safetensors")
    command = [sys.executable, "-m", "modescope", "compare", path, path, "--json", "-q"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as run:
        time.sleep(2.0)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    if out:  # the signal came after the start of the work
        assert json.loads(out)["complete"] is False
        assert b"these are kept" in err
