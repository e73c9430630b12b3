"""What a scan and a comparison share: a row without numbers yet, why one has none, what was read, and by which engine."""

import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.digest import source_digest
from modescope.errors import ModescopeError, UsageError
from modescope.matrix import Matrix
from modescope.measures import measures
from modescope.result import Row
from modescope.svd import Engine
from modescope.svd.policy import exact
from modescope.version import __version__

LEAST_LEVEL = 1e-100  # quantiles of the Tracy-Widom law are known to 1e-280, and the level is divided by the number of matrices


def check(*, level: float, seed: int) -> None:
    """See that level and seed are in range.

    Raises:
        UsageError: One is not.
    """
    if not LEAST_LEVEL <= level < 1:
        raise UsageError(f"level: expected a probability between 0 and 1, not below {LEAST_LEVEL:g}, got {level}.")
    if seed < 0:
        raise UsageError(f"seed: expected an integer of 0 or more, got {seed}.")


def engine(device: str | None) -> Engine:
    """The engine of a device, by default that of the CPU.

    Raises:
        UsageError: There is no such device.
    """
    if device in (None, "cpu"):
        return exact
    from modescope.svd.device import on

    return on(device)


def blank(matrix: Matrix) -> Row:
    """The row of a matrix before anything was computed."""
    return Row(
        name=matrix.tensor,
        view=matrix.view,
        kind=matrix.kind,
        shape=matrix.shape,
        dtype=matrix.stored,
        status="ok",
        note=matrix.note,
        aliases=matrix.aliases,
        parts=matrix.parts,
        measures={},
        s=np.empty(0),
    )


def failed(matrix: Matrix, error: Exception) -> Row:
    """The row of a matrix that has no numbers, with the reason in the place of each."""
    why = reason(error, matrix)
    return replace(
        blank(matrix),
        status=why,
        measures={name: measure.Result(status=f"no spectrum: {why}") for name, measure in measures().items()},
    )


def reason(error: Exception, matrix: Matrix) -> str:
    """What went wrong with one matrix, in one line; an error that is none of ours is called a fault of Modescope."""
    text = str(error).removeprefix(f"{matrix}: ").partition("\n")[0]
    match error:
        case ModescopeError():
            return text
        case MemoryError():
            return f"not enough memory{': ' if text else ''}{text}"
        case OSError():
            return f"cannot be read: {text}"
        case _:
            return f"a fault of Modescope: {type(error).__name__}: {text}"


def source(checkpoint: Checkpoint, *, hashed: bool) -> dict[str, Any]:
    """What was read: path, format, SHA-256 where it is asked for, number of tensors and of parameters."""
    return {
        "path": None if checkpoint.path is None else str(checkpoint.path),
        "format": checkpoint.format,
        "sha256": source_digest(checkpoint.path) if hashed and checkpoint.path is not None else None,
        "tensors": len(checkpoint.tensors),
        "parameters": sum(tensor.size for tensor in checkpoint.tensors),
    }


def versions() -> Mapping[str, str]:
    """Versions of what computed the numbers."""
    return {"modescope": __version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": version("scipy")}
