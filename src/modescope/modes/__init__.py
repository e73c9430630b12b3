"""Mode decomposition learning: networks that are trained, converted, read and compressed as modes.

Every weight is a sum of few modes, `W = xi_out diag(s) xi_in`, and is never formed. Names are imported when they are first used, so
that reading and compressing files needs no torch.

References:
    Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modescope.modes.calibration import Calibration as Calibration
    from modescope.modes.calibration import calibrate as calibrate
    from modescope.modes.calibration import load as load_calibration
    from modescope.modes.compression import compress as compress
    from modescope.modes.compression.result import Compression as Compression
    from modescope.modes.conversion import Conversion as Conversion
    from modescope.modes.conversion import convert as convert
    from modescope.modes.conversion import to_modes as to_modes
    from modescope.modes.conversion.dense import export as export
    from modescope.modes.conversion.dense import to_dense as to_dense
    from modescope.modes.conversion.loading import load_compressed as load_compressed
    from modescope.modes.counting import Cost as Cost
    from modescope.modes.factors import Modes as Modes
    from modescope.modes.modules.convolution import ModeConv1d as ModeConv1d
    from modescope.modes.modules.convolution import ModeConv2d as ModeConv2d
    from modescope.modes.modules.embedding import ModeEmbedding as ModeEmbedding
    from modescope.modes.modules.linear import ModeLinear as ModeLinear
    from modescope.modes.modules.mlp import ModeMLP as ModeMLP
    from modescope.modes.modules.orthogonal import plain as plain
    from modescope.modes.modules.parametrised import parametrize_modes as parametrize_modes
    from modescope.modes.modules.recurrent import ModeGRUCell as ModeGRUCell
    from modescope.modes.modules.recurrent import ModeRecurrent as ModeRecurrent
    from modescope.modes.modules.recurrent import ModeRNNCell as ModeRNNCell
    from modescope.modes.online.learning import OnlineLearning as OnlineLearning
    from modescope.modes.online.learning import learn as learn
    from modescope.modes.penalties import frobenius as frobenius
    from modescope.modes.penalties import hoyer as hoyer
    from modescope.modes.penalties import orthogonality as orthogonality
    from modescope.modes.reading import read as read
    from modescope.modes.reading import read_factors as read_factors
    from modescope.modes.reading.removal import removal as removal
    from modescope.modes.reading.result import Reading as Reading
    from modescope.modes.reading.scaling import scaling as scaling
    from modescope.modes.tasks import Task as Task
    from modescope.modes.training.fitting import fit as fit
    from modescope.modes.training.growth import Grow as Grow
    from modescope.modes.training.growth import KeepEnergy as KeepEnergy
    from modescope.modes.training.growth import PruneBelow as PruneBelow
    from modescope.modes.training.result import Fit as Fit
    from modescope.modes.training.run_folder import load as load_run

_HOME = {
    "Calibration": "calibration",
    "Compression": "compression.result",
    "Conversion": "conversion",
    "Cost": "counting",
    "Fit": "training.result",
    "Grow": "training.growth",
    "KeepEnergy": "training.growth",
    "ModeConv1d": "modules.convolution",
    "ModeConv2d": "modules.convolution",
    "ModeEmbedding": "modules.embedding",
    "ModeGRUCell": "modules.recurrent",
    "ModeLinear": "modules.linear",
    "ModeMLP": "modules.mlp",
    "ModeRNNCell": "modules.recurrent",
    "ModeRecurrent": "modules.recurrent",
    "Modes": "factors",
    "OnlineLearning": "online.learning",
    "PruneBelow": "training.growth",
    "Reading": "reading.result",
    "Task": "tasks",
    "calibrate": "calibration",
    "compress": "compression",
    "convert": "conversion",
    "export": "conversion.dense",
    "fit": "training.fitting",
    "frobenius": "penalties",
    "hoyer": "penalties",
    "learn": "online.learning",
    "load_calibration": "calibration:load",
    "load_compressed": "conversion.loading",
    "load_run": "training.run_folder:load",
    "orthogonality": "penalties",
    "parametrize_modes": "modules.parametrised",
    "plain": "modules.orthogonal",
    "read": "reading",
    "read_factors": "reading",
    "removal": "reading.removal",
    "scaling": "reading.scaling",
    "to_dense": "conversion.dense",
    "to_modes": "conversion",
}
_SUBMODULES = ("counting", "factors", "initialisation", "online", "reading", "tasks", "training")

__all__ = [  # noqa: PLE0604
    "load_calibration",
    "load_run",
    *(name for name in _HOME if not name.startswith("load_")),
    *_SUBMODULES,
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, called = _HOME[name].partition(":")
    value = getattr(import_module(f"{__name__}.{home}"), called or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
