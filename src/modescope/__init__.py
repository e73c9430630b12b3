"""Modescope: the singular modes of trained networks, which carry signal and which are noise.

Names are imported when they are first used, so that `import modescope` costs nothing and loads no optional library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from modescope.version import __version__ as __version__

if TYPE_CHECKING:
    from modescope.checkpoints import Checkpoint as Checkpoint
    from modescope.checkpoints import open as open
    from modescope.comparison import compare as compare
    from modescope.comparison.result import Comparison as Comparison
    from modescope.descrambling import descramble as descramble
    from modescope.descrambling.result import Descrambling as Descrambling
    from modescope.errors import Interrupted as Interrupted
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
    from modescope.modes.compression import compress as compress
    from modescope.modes.compression.result import Compression as Compression
    from modescope.modes.conversion import to_modes as to_modes
    from modescope.modes.conversion.dense import to_dense as to_dense
    from modescope.monitor import Monitor as Monitor
    from modescope.profiles import profile as profile
    from modescope.profiles.result import NetworkProfile as NetworkProfile
    from modescope.reporting import report as report
    from modescope.reports import Report as Report
    from modescope.reports.form import load_report as load_report
    from modescope.result import Row as Row
    from modescope.result import Scan as Scan
    from modescope.runs import load_run as load_run
    from modescope.scanning import Progress as Progress
    from modescope.scanning import scan as scan
    from modescope.shipped import demo_history as demo_history
    from modescope.shipped import demo_path as demo_path
    from modescope.spectral_graph import graph as graph
    from modescope.spectral_graph.result import SpectralGraph as SpectralGraph
    from modescope.spectrum import Spectrum as Spectrum
    from modescope.spectrum import decompose as decompose
    from modescope.store import Store as Store
    from modescope.web import serve as serve

_HOME = {
    "Checkpoint": "checkpoints",
    "Comparison": "comparison.result",
    "Compression": "modes.compression.result",
    "Descrambling": "descrambling.result",
    "Inspection": "inspection",
    "Interrupted": "errors",
    "Matrix": "matrix",
    "MatrixError": "errors",
    "ModescopeError": "errors",
    "Monitor": "monitor",
    "NetworkProfile": "profiles.result",
    "Progress": "scanning",
    "Report": "reports",
    "Row": "result",
    "Scan": "result",
    "Skip": "matrix",
    "SpectralGraph": "spectral_graph.result",
    "Spectrum": "spectrum",
    "Store": "store",
    "Tensor": "matrix",
    "UnreadableError": "errors",
    "UnsafeError": "errors",
    "UsageError": "errors",
    "compare": "comparison",
    "compress": "modes.compression",
    "decompose": "spectrum",
    "demo_history": "shipped",
    "demo_path": "shipped",
    "descramble": "descrambling",
    "graph": "spectral_graph",
    "inspect": "inspection",
    "load_report": "reports.form",
    "load_run": "runs",
    "matrices": "layers",
    "open": "checkpoints",
    "profile": "profiles",
    "report": "reporting",
    "scan": "scanning",
    "serve": "web",
    "to_dense": "modes.conversion.dense",
    "to_modes": "modes.conversion",
}
_ROOM = "modes"  # reached as `ms.modes`, with names of its own

__all__ = [
    "Checkpoint",
    "Comparison",
    "Compression",
    "Descrambling",
    "Inspection",
    "Interrupted",
    "Matrix",
    "MatrixError",
    "ModescopeError",
    "Monitor",
    "NetworkProfile",
    "Progress",
    "Report",
    "Row",
    "Scan",
    "Skip",
    "SpectralGraph",
    "Spectrum",
    "Store",
    "Tensor",
    "UnreadableError",
    "UnsafeError",
    "UsageError",
    "__version__",
    "compare",
    "compress",
    "decompose",
    "demo_history",
    "demo_path",
    "descramble",
    "graph",
    "inspect",
    "load_report",
    "load_run",
    "matrices",
    "open",
    "profile",
    "report",
    "scan",
    "serve",
    "to_dense",
    "to_modes",
]


def __getattr__(name: str) -> Any:
    if name == _ROOM:
        return import_module(f"modescope.{_ROOM}")
    if name not in _HOME:
        raise AttributeError(f"module 'modescope' has no attribute {name!r}")
    value = getattr(import_module(f"modescope.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, _ROOM]
