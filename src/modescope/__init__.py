"""Modescope: the singular modes of trained networks, which carry signal and which are noise.

Names are imported when they are first used, so that `import modescope` costs nothing and loads no optional library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from modescope.version import __version__ as __version__

if TYPE_CHECKING:
    from modescope.checkpoints import Checkpoint as Checkpoint
    from modescope.checkpoints import open as open
    from modescope.errors import MatrixError as MatrixError
    from modescope.errors import ModescopeError as ModescopeError
    from modescope.errors import UnreadableError as UnreadableError
    from modescope.errors import UnsafeError as UnsafeError
    from modescope.errors import UsageError as UsageError
    from modescope.inspection import Inspection as Inspection
    from modescope.inspection import inspect as inspect
    from modescope.layers import matrices as matrices
    from modescope.matrix import Matrix as Matrix
    from modescope.matrix import Skip as Skip
    from modescope.matrix import Tensor as Tensor
    from modescope.result import Row as Row
    from modescope.result import Scan as Scan
    from modescope.runs import load_run as load_run
    from modescope.scanning import Interrupted as Interrupted
    from modescope.scanning import Progress as Progress
    from modescope.scanning import scan as scan
    from modescope.shipped import demo_history as demo_history
    from modescope.shipped import demo_path as demo_path
    from modescope.spectrum import Spectrum as Spectrum
    from modescope.spectrum import decompose as decompose

_HOME = {
    "Checkpoint": "checkpoints",
    "Inspection": "inspection",
    "Interrupted": "scanning",
    "Matrix": "matrix",
    "MatrixError": "errors",
    "ModescopeError": "errors",
    "Progress": "scanning",
    "Row": "result",
    "Scan": "result",
    "Skip": "matrix",
    "Spectrum": "spectrum",
    "Tensor": "matrix",
    "UnreadableError": "errors",
    "UnsafeError": "errors",
    "UsageError": "errors",
    "decompose": "spectrum",
    "demo_history": "shipped",
    "demo_path": "shipped",
    "inspect": "inspection",
    "load_run": "runs",
    "matrices": "layers",
    "open": "checkpoints",
    "scan": "scanning",
}

__all__ = [
    "Checkpoint",
    "Inspection",
    "Interrupted",
    "Matrix",
    "MatrixError",
    "ModescopeError",
    "Progress",
    "Row",
    "Scan",
    "Skip",
    "Spectrum",
    "Tensor",
    "UnreadableError",
    "UnsafeError",
    "UsageError",
    "__version__",
    "decompose",
    "demo_history",
    "demo_path",
    "inspect",
    "load_run",
    "matrices",
    "open",
    "scan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'modescope' has no attribute {name!r}")
    value = getattr(import_module(f"modescope.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
