"""Plug-ins join by existing: every module of every registry matches its protocol, and says in its first line what it is."""

from pathlib import Path

import mypy.api
import pytest

from modescope.errors import UsageError
from modescope.registry import modules, strongest

ROOT = Path(__file__).parents[1]
TYPES = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"))  # what `make check` found already
FOLDERS = {"checkpoints": "Format", "layers": "Kind", "measures": "Measure", "render": "Renderer"}
PLUGINS = [(folder, name) for folder in FOLDERS for name in modules(f"modescope.{folder}")]


def test_every_plugin_module_matches_its_protocol(tmp_path: Path) -> None:
    lines = []
    for folder, protocol in FOLDERS.items():
        home = f"modescope.{folder}"
        lines.append(f"import {home}")
        for name in modules(home):
            lines += [f"import {home}.{name}", f"{folder}_{name}: {home}.{protocol} = {home}.{name}"]
    (tmp_path / "check.py").write_text("\n".join(lines) + "\n")
    report, errors, status = mypy.api.run([str(tmp_path / "check.py"), *TYPES])
    assert status == 0, report + errors


@pytest.mark.parametrize(("folder", "name"), PLUGINS, ids=lambda part: part)
def test_the_first_line_of_a_plugin_says_what_it_is(folder: str, name: str) -> None:
    first = (modules(f"modescope.{folder}")[name].__doc__ or "").partition("\n")[0]
    assert first.endswith((".", ":", ")"))
    assert 10 < len(first) < 160


def test_the_strongest_claim_wins_and_a_tie_names_both() -> None:
    assert strongest({"a": 0, "b": 2, "c": 1}, "x") == "b"
    assert strongest({"a": 0, "b": 0}, "x") is None
    assert strongest({}, "x") is None
    with pytest.raises(UsageError, match=r"model\.weight.*b and c.*evidence 2"):
        strongest({"a": 1, "b": 2, "c": 2}, "model.weight")
