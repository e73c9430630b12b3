"""`modescope report` as a user meets it: a page from a checkpoint, a run folder or a saved report, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cases import checkpoint
from modescope.cli import _run
from modescope.reports.form import load_report
from modescope.shipped import demo_path


def test_a_page_a_saved_report_and_texts_come_by_suffix(tmp_path: Path) -> None:
    for name, begins in {
        "a.html": "<!doctype html>",
        "a.json": '{"schema":"modescope.report/1"',
        "a.md": "| matrix",
        "a.csv": "matrix,",
    }.items():
        assert _run(["report", str(demo_path()), "-q", "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)


def test_without_a_file_the_page_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["report", str(demo_path()), "-q"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("<!doctype html>")
    assert err == ""


def test_a_terminal_gets_a_sentence_and_no_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert _run(["report", str(demo_path()), "-q"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "-o report.html" in err


def test_a_run_folder_and_a_saved_report_give_the_same_page(tmp_path: Path) -> None:
    run, saved = str(tmp_path / "run"), str(tmp_path / "saved.json")
    assert _run(["report", str(demo_path()), "-q", "--save", run, "-o", saved]) == 0
    assert _run(["report", run, "-o", str(tmp_path / "a.html")]) == 0
    assert _run(["report", saved, "-o", str(tmp_path / "b.html")]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_twin_of_a_scan_is_kept_only_where_it_was_asked_for(tmp_path: Path) -> None:
    for flags, kept in (([], False), (["--twin"], True)):
        run = tmp_path / f"run{len(flags)}"
        assert _run(["scan", str(demo_path()), "-q", "--save", str(run), *flags, "-o", str(tmp_path / "out")]) == 0
        assert _run(["report", str(run), "-o", str(tmp_path / "report.json")]) == 0
        assert ("null twin: " in (tmp_path / "report.json").read_text()) is kept


def test_rows_without_a_twin_are_not_used_again_by_a_scan_that_keeps_one(tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    assert _run(["scan", str(demo_path()), "-q", "--save", run, "-o", str(tmp_path / "out")]) == 0
    assert _run(["report", str(demo_path()), "-q", "--save", run, "--resume", "-o", str(tmp_path / "report.json")]) == 0
    assert "null twin: " in (tmp_path / "report.json").read_text()


def test_a_failed_matrix_is_named_and_gives_exit_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["report", str(checkpoint(tmp_path)), "-q", "-o", str(tmp_path / "a.html")]) == 5
    assert "failed: 'bad.weight'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("cut.json", '{"schema":"modescope.report/1","version"', 3, "no valid JSON"),
        ("newer.json", '{"schema":"modescope.report/2","blocks":[]}', 3, "newer"),
        ("hollow.json", '{"schema":"modescope.report/1"}', 3, "damaged"),
        ("other.html", "<!doctype html><p>hello", 3, "page without a report"),
        ("index.json", "{}", 3, "index.json"),
        ("none.safetensors", None, 3, "none.safetensors"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line_that_names_it(
    name: str, content: str | None, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = tmp_path / name, tmp_path / "page.html"
    if content is not None:
        path.write_text(content)
    assert _run(["report", str(path), "-q", "-o", str(page)]) == code
    err = capsys.readouterr().err
    assert name in err
    assert said in err
    assert len(err.splitlines()) <= 3
    assert not page.exists()


def test_a_newer_run_folder_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert _run(["scan", str(demo_path()), "-q", "--save", str(run), "-o", str(tmp_path / "out")]) == 0
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | {"schema": "modescope.scan/9"}))
    assert _run(["report", str(run), "-o", str(tmp_path / "a.html")]) == 3
    assert "manifest.json" in capsys.readouterr().err


def test_a_page_that_is_there_survives_a_failure(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("precious")
    assert _run(["report", str(tmp_path / "none"), "-q", "-o", str(page)]) == 3
    assert page.read_text() == "precious"


def test_hostile_names_come_back_from_the_page(tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)>\"'&\u2028.weight"
    save_file({name: np.eye(20, dtype=np.float32)}, tmp_path / "m.safetensors")
    assert _run(["report", str(tmp_path / "m.safetensors"), "-q", "-o", str(tmp_path / "a.html")]) == 0
    assert "<img" not in (tmp_path / "a.html").read_text(encoding="utf-8")
    report = load_report(tmp_path / "a.html")
    assert report.blocks[0].rows[0][0] == name  # type: ignore[union-attr]


@pytest.mark.parametrize("command", ["report", "scan", "inspect"])
def test_a_checkpoint_is_never_overwritten_by_what_is_said_of_it(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.safetensors"
    save_file({"w.weight": np.eye(20, dtype=np.float32)}, model)
    kept = model.read_bytes()
    for given, written in ((model, model), (model, tmp_path / "." / "model.safetensors"), (tmp_path, model)):
        assert _run([command, str(given), "-o", str(written)]) == 2
        assert "would be lost" in capsys.readouterr().err
        assert model.read_bytes() == kept
    (tmp_path / "link.safetensors").symlink_to(model)
    assert _run([command, str(model), "-o", str(tmp_path / "link.safetensors")]) == 2
    assert model.read_bytes() == kept


def test_a_page_in_the_folder_of_its_run_is_made_anew(tmp_path: Path) -> None:
    for _ in range(2):
        assert (
            _run(["report", str(demo_path()), "-q", "--save", str(tmp_path / "run"), "--resume", "-o", str(tmp_path / "a.html")])
            == 0
        )
        assert _run(["report", str(tmp_path / "run"), "-o", str(tmp_path / "run" / "report.html")]) == 0


def test_the_report_of_a_store_is_refused_with_where_to_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "store.json").write_text("{}")
    assert _run(["report", str(tmp_path), "-o", str(tmp_path / "a.html")]) == 2
    assert "modescope serve" in capsys.readouterr().err


def test_a_run_folder_can_be_read_by_those_who_may_read_its_manifest(tmp_path: Path) -> None:
    assert _run(["scan", str(demo_path()), "-q", "--save", str(tmp_path / "run"), "-o", str(tmp_path / "out")]) == 0
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "run").iterdir()}
    assert len(set(modes.values())) == 1, modes


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">/dev/full"])
def test_a_closed_or_full_stream_is_no_fault_of_ours(closed: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m modescope report {demo_path()} -q {closed}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    if closed == "2>&-":
        assert done.returncode == 0
        assert done.stdout.startswith("<!doctype html>")
    else:
        assert done.returncode == 2
        assert "stdout: " in done.stderr
        assert len(done.stderr.splitlines()) == 1
