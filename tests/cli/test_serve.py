"""`modescope serve`: one line on stderr, clear errors, exit codes."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from modescope.cli import _run
from web_cases import running


def test_the_address_is_one_line_on_stderr_and_stdout_stays_empty(tmp_path: Path) -> None:
    with running(tmp_path, cwd=tmp_path) as server:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", server.token)  # 256 bits
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stderr is not None
        assert (server.process.stdout.read(), server.process.stderr.read()) == ("", "")


def test_every_start_has_another_token_and_a_given_one_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("modescope.web.serving.run", lambda listening, library, token, ready: seen.append(token))
    for _ in range(2):
        assert _run(["serve", str(tmp_path), "--port", "0"]) == 0
    assert _run(["serve", str(tmp_path), "--port", "0", "--token", "given-long-enough"]) == 0
    monkeypatch.setenv("MODESCOPE_SERVE_TOKEN", "from-the-environment")
    assert _run(["serve", str(tmp_path), "--port", "0"]) == 0
    assert seen[0] != seen[1]
    assert seen[2:] == ["given-long-enough", "from-the-environment"]


@pytest.mark.parametrize(("arguments", "terminal", "opened"), [([], True, 1), (["--no-open"], True, 0), ([], False, 0)])
def test_the_browser_opens_for_a_person_who_did_not_forbid_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], terminal: bool, opened: int
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("modescope.web.serving.run", lambda listening, library, token, ready: ready())
    monkeypatch.setattr("webbrowser.open", seen.append)
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("threading.Thread.start", lambda self: self._target(*self._args))
    assert _run(["serve", str(tmp_path), "--port", "0", *arguments]) == 0
    assert len(seen) == opened
    assert all(address.startswith("http://127.0.0.1:") and "/?token=" in address for address in seen)


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert _run(["serve", str(tmp_path), "--port", str(port), "--no-open"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: port {port} is taken; give another with --port, or 0 for any free one.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Missing argument"),
        (["{folder}/missing"], 3, "no such folder"),
        (["{folder}/file"], 2, "expected a folder, got a file"),
        (["{folder}", "--port", "70000"], 2, "70000"),
        (["{folder}", "--port", "0", "--token", "short"], 2, "16 to 512"),
        (["{folder}", "--host", "0.0.0.0"], 2, "--host"),
    ],
)
def test_errors_are_short_and_name_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "file").touch()
    assert _run(["serve", *(part.format(folder=tmp_path) for part in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
