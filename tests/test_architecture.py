"""Imports point down: every file's imports against the table of rooms, and what a fresh interpreter may load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import modescope

SOURCE = Path(modescope.__file__).parent

# What each room may import of ours. A room is a file or a folder directly below the package.
BELOW: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "matrix": set(),
    "blocks": set(),
    "laws": set(),
    "seeds": set(),
    "quantity": set(),
    "pictures": {"blocks", "quantity"},
    "shipped": set(),
    "registry": {"errors"},
    "entries": {"matrix"},
    "digest": {"matrix"},
    "svd": {"matrix", "errors"},
    "checkpoints": {"matrix", "errors", "registry"},
    "layers": {"matrix", "errors", "registry"},
    "spectrum": {"matrix", "entries", "errors", "svd"},
    "outliers": {"spectrum", "matrix", "laws", "svd", "errors", "entries"},
    "twins": {"outliers", "spectrum", "matrix", "laws", "svd", "seeds", "errors", "entries"},
    "measures": {
        "spectrum",
        "matrix",
        "laws",
        "svd",
        "twins",
        "outliers",
        "seeds",
        "quantity",
        "registry",
        "errors",
        "entries",
        "blocks",
        "pictures",
    },
    "weightwatcher": {"laws", "svd", "errors", "seeds"},
    "reports": {"blocks", "errors", "version", "render"},
    "render": {"blocks", "reports", "registry", "errors"},
    "selection": {"layers", "matrix", "errors", "registry"},
    "schedule": {"matrix"},
    "result": {"reports", "matrix", "svd", "runs", "frames", "reporting"},
    "runs": {"result", "measures", "matrix", "svd", "errors"},
    "frames": {"result", "weightwatcher", "errors"},
    "condition": {"result", "measures", "quantity", "errors"},
    "reference": {"measures", "quantity", "blocks", "reports", "errors", "version"},
    "measuring": {"checkpoints", "digest", "errors", "matrix", "measures", "result", "svd", "version"},
    "inspection": {"checkpoints", "selection", "matrix", "errors", "blocks", "reports", "render", "version"},
    "scanning": {
        "measuring",
        "checkpoints",
        "selection",
        "schedule",
        "spectrum",
        "svd",
        "measures",
        "outliers",
        "twins",
        "result",
        "runs",
        "digest",
        "matrix",
        "errors",
        "version",
    },
    "reporting": {"blocks", "errors", "measures", "pictures", "quantity", "reference", "reports", "result", "runs"} | {"scanning"},
    "comparison": {
        "measuring",
        "blocks",
        "checkpoints",
        "digest",
        "errors",
        "laws",
        "matrix",
        "measures",
        "outliers",
        "pictures",
        "reference",
        "reports",
        "result",
        "scanning",
        "schedule",
        "selection",
        "spectrum",
        "svd",
        "twins",
        "version",
    },
    "spectral_graph": {
        "measuring",
        "blocks",
        "checkpoints",
        "errors",
        "laws",
        "layers",
        "matrix",
        "pictures",
        "plain_data",
        "registry",
        "render",
        "reports",
        "scanning",
        "schedule",
        "seeds",
        "selection",
        "spectrum",
        "svd",
    },
    "moments": {"errors"},
    "activations": {"errors", "moments"},
    "descrambling": {
        "activations",
        "blocks",
        "checkpoints",
        "errors",
        "laws",
        "layers",
        "matrix",
        "measuring",
        "moments",
        "pictures",
        "plain_data",
        "render",
        "reports",
        "seeds",
        "spectral_graph",
        "spectrum",
        "svd",
    },
    "png": {"errors"},
    "idx": {"errors", "matrix"},
    "factories": {"checkpoints", "errors", "matrix"},
    "plain_data": set(),
    "profiles": {
        "activations",
        "blocks",
        "checkpoints",
        "errors",
        "idx",
        "laws",
        "layers",
        "matrix",
        "measures",
        "measuring",
        "outliers",
        "pictures",
        "plain_data",
        "png",
        "render",
        "reports",
        "seeds",
        "spectrum",
        "svd",
        "twins",
    },
    "modes": {
        "activations",
        "blocks",
        "checkpoints",
        "digest",
        "errors",
        "factories",
        "idx",
        "laws",
        "layers",
        "matrix",
        "measuring",
        "moments",
        "monitor",
        "outliers",
        "pictures",
        "plain_data",
        "render",
        "reports",
        "seeds",
        "selection",
        "shipped",
        "spectrum",
        "store",
        "svd",
        "version",
    },
    "store": {"blocks", "condition", "errors", "matrix", "measures", "quantity", "reports", "result", "runs", "svd", "version"},
    "monitor": {"scanning", "result", "store", "errors"},
    "web": {"blocks", "errors", "measures", "quantity", "render", "reporting", "reports", "result", "runs", "store"},
    "cli": {
        "comparison",
        "spectral_graph",
        "descrambling",
        "profiles",
        "factories",
        "modes",
        "store",
        "web",
        "reporting",
        "reports",
        "errors",
        "version",
        "render",
        "condition",
        "scanning",
        "inspection",
        "reference",
        "shipped",
        "runs",
        "result",
    },
    "__main__": {"cli"},
    "__init__": {"version"},
}
PLUGINS = ("checkpoints", "layers", "measures", "render", "cli")
TORCH_MAY_BE_IMPORTED_IN = {  # and only in functions
    "checkpoints",
    "svd",
    "monitor",
    "spectral_graph",
    "activations",
    "profiles",
    "factories",
    "modes",
}
CLASSES_OF_TORCH = ("modes", "modules")  # nothing else imports this folder at its top: torch's modules are classes
HEAVY = ("torch", "pandas", "matplotlib", "h5py", "onnx", "networkx", "sklearn", "tensorflow", "duckdb")


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(text: str, path: Path) -> list[str]:
    """What a file of the package imports though it must not."""
    parts = path.with_suffix("").parts
    room = parts[0]
    package = ".".join(("modescope", *parts[:-1]))
    tree = ast.parse(text)
    allowed = BELOW.get(room)
    if allowed is None:
        return [f"{path}: room {room} is not in the table"]
    if room == "__init__":
        tree.body = [node for node in tree.body if not isinstance(node, ast.If)]  # names for the type checker only
    found = []
    for name in imports(tree, package):
        top, _, rest = name.partition(".")
        if top != "modescope":
            continue
        target = rest.partition(".")[0]
        own = target == room
        sibling = own and room in PLUGINS and rest.count(".") >= 1 and not rest.split(".")[1].startswith("_")
        if sibling and (SOURCE / room / f"{rest.split('.')[1]}.py").is_file() and parts[-1] != rest.split(".")[1]:
            found.append(f"{path}: imports its sibling {name}")
        elif not own and target not in allowed:
            found.append(f"{path}: imports {name}")
    at_top = {name for node in tree.body if not _nested(node) for name in imports(ast.Module([node], []), package)}
    of_torch = parts[:2] == CLASSES_OF_TORCH
    heavy = set(HEAVY) - ({"torch"} if of_torch else set())
    found += [f"{path}: imports {name} at the top" for name in {name.partition(".")[0] for name in at_top} & heavy]
    if not of_torch and any(name.startswith(".".join(("modescope", *CLASSES_OF_TORCH))) for name in at_top):
        found.append(f"{path}: imports torch's modules at the top")
    if room not in TORCH_MAY_BE_IMPORTED_IN and any(name.partition(".")[0] == "torch" for name in imports(tree, package)):
        found.append(f"{path}: imports torch")
    return found


def _nested(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)


def test_every_file_imports_only_what_lies_below_it() -> None:
    found = [fault for path in SOURCE.rglob("*.py") for fault in violations(path.read_text(), path.relative_to(SOURCE))]
    assert found == []


def test_every_room_of_the_table_exists() -> None:
    rooms = {path.stem if path.suffix == ".py" else path.name for path in SOURCE.iterdir()}
    assert set(BELOW) <= rooms


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("layers/conv.py", "from . import dense"),
        ("layers/conv.py", "from modescope.layers import dense"),
        ("layers/conv.py", "from modescope.layers.dense import claims"),
        ("layers/conv.py", "def f():\n    from ..cli import main"),
        ("layers/conv.py", "if TYPE_CHECKING:\n    import modescope.render.csv"),
        ("measures/tail.py", "from modescope.checkpoints import open"),
        ("svd/gram.py", "import torch"),
        ("matrix.py", "from modescope.spectrum import Spectrum"),
        ("newroom/file.py", "import os"),
        ("measures/norms.py", "def f():\n    import torch"),
        ("modes/fitting.py", "import torch"),
        ("modes/fitting.py", "from modescope.modes.modules.linear import ModeLinear"),
    ],
)
def test_planted_violations_are_caught(path: str, text: str) -> None:
    assert violations(text, Path(path))


@pytest.mark.parametrize(
    "code", ["import modescope", "from modescope.cli import _run; _run(['--help'])", "import modescope; modescope.scan"]
)
def test_a_fresh_interpreter_loads_no_heavy_library(code: str) -> None:
    seen = f"{code}\nimport sys; print('HEAVY', *[n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]


def test_help_does_not_even_load_numpy() -> None:
    code = "from modescope.cli import _run\n_run(['scan', '--help'])\nimport sys; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
