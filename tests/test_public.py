"""The public surface: exactly the names that are written, documented, explained and importable."""

import ast
import re
from pathlib import Path

import modescope

ROOT = Path(__file__).parents[1]


def test_public_names_are_sorted_and_importable() -> None:
    assert modescope.__all__ == sorted(modescope.__all__)
    for name in modescope.__all__:
        assert getattr(modescope, name) is not None


def test_the_type_checker_sees_the_same_names_as_a_user() -> None:
    tree = ast.parse((ROOT / "src/modescope/__init__.py").read_text())
    seen = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names if alias.asname}
    assert seen == set(modescope.__all__)


def test_public_names_are_exactly_those_documented() -> None:
    text = (ROOT / "docs/reference/python.md").read_text()
    documented = set(re.findall(r"^```\{(?:autofunction|autoclass|autoexception)\} modescope\.(\w+)$", text, re.MULTILINE))
    assert documented == set(modescope.__all__) - {"__version__"}


def test_every_public_name_has_a_docstring() -> None:
    for name in set(modescope.__all__) - {"__version__"}:
        assert len(getattr(modescope, name).__doc__ or "") > 20, name


def test_the_changelog_starts_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    tops = re.findall(r"^## \[?(Unreleased|\d[^\]\s]*)", text, re.MULTILINE)
    assert next(top for top in tops if top != "Unreleased") == modescope.__version__ or tops == ["Unreleased"]
