"""`modescope modes online` as a user meets it: the document, the page, errors before work, what an interrupt leaves."""

import json
from pathlib import Path

import numpy as np
import pytest

from modescope.cli import INTERRUPTED
from modescope.cli._modes_online import command
from modescope.errors import Interrupted, UsageError
from modescope.modes.online.learning import learn
from modescope.modes.online.theory import drawn

QUICK = ["--until", "5", "--runs", "1", "--points", "12", "-q"]


def run(*arguments: str) -> int:
    code = command.main([*arguments], standalone_mode=False)
    assert isinstance(code, int)
    return code


def test_json_is_the_document_of_the_same_call_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--inputs", "20", "--hidden", "4", "--modes", "2", "--eta", "2", "--seed", "9", "--json", *QUICK) == 0
    theory = drawn(20, 4, 2, 2.0, np.random.default_rng(9))
    same = learn(theory, inputs=20, until=5, runs=1, seed=9, points=12)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(same.to_dict()))


def test_a_page_opens_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert run("-o", str(page), *QUICK) == 0
    assert "Generalisation error" in page.read_text(encoding="utf-8")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--eta", "0"], "eta positive"),
        (["--modes", "9"], "modes"),
        (["--modes", "0"], "modes"),
        (["--inputs", "1"], "at least 2 inputs"),
        (["--seed", "-1"], "--seed"),
        (["--until", "nan"], "finite"),
        (["--runs", "-1"], "runs"),
        (["-o", "no/such/page.html"], "cannot be written"),
    ],
)
def test_errors_say_what_was_expected(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=message):
        run(*QUICK, *arguments)
    assert capsys.readouterr().out == ""


def test_an_interrupt_writes_what_was_reached(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*arguments: object, **options: object) -> object:
        theory = drawn(20, 4, 2, 2.0, np.random.default_rng(9))
        raise Interrupted(learn(theory, inputs=20, until=5, runs=0, points=12))

    monkeypatch.setattr("modescope.modes.online.learning.learn", stop)
    assert run("--json", *QUICK) == INTERRUPTED
    out, err = capsys.readouterr()
    assert json.loads(out)["schema"] == "modescope.online/1"
    assert err.startswith("interrupted: ")
