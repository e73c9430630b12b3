"""The factors of layers in modes that a checkpoint holds, by their names, and what it says of how they were drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from modescope import checkpoints
from modescope.errors import UsageError
from modescope.matrix import Tensor
from modescope.modes.factors import Modes

OUT, STRENGTH, IN = "xi_out", "s", "xi_in"


@dataclass(frozen=True, eq=False)
class Factors:
    """A layer as it is held.

    Attributes:
        modes: Its factors.
        frozen: Whether its strengths are fixed at 1.
    """

    modes: Modes
    frozen: bool


def factors_of(
    path: str | Path, layers: str | Sequence[str] | None = None, /
) -> tuple[dict[str, Factors], tuple[tuple[str, str], ...]]:
    """Layers by name, in the order of the file, and what is none of one, with the reason.

    Strengths that are all exactly 1 are taken for frozen ones.

    Args:
        path: A checkpoint; a folder of a training is read by its `model.safetensors`.
        layers: Names or globs of the layers.

    Raises:
        UsageError: There are no layers in modes, a factor is missing or does not fit, or a glob matches none.
        UnreadableError: The file cannot be read.
        UnsafeError: It holds code.
    """
    path = Path(path)
    held = {
        name: tensor
        for tensor in checkpoints.open(_file(path)).tensors
        if isinstance(tensor, Tensor)
        for name in (tensor.name, *tensor.aliases)
    }
    names = [name.removesuffix(f".{OUT}") if name != OUT else "" for name in held if name == OUT or name.endswith(f".{OUT}")]
    if not names:
        raise UsageError(
            f"{path}: expected layers in modes, tensors NAME.xi_out, NAME.s and NAME.xi_in, got none; to_modes makes them."
        )
    patterns = ["*"] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(f"layers: expected names or globs of {', '.join(names[:6])}, got {pattern!r}.")
    chosen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    factors = {f"{name}.{part}" if name else part for name in names for part in (OUT, STRENGTH, IN, "bias")}
    skipped = tuple((name, "it is no factor of a layer in modes") for name in held if name not in factors)
    return {name: _layer(path, name, held) for name in chosen}, skipped


def init_of(path: str | Path, /) -> str | None:
    """By what the modes of a training were drawn, as its file says; None of files that say nothing of it.

    Args:
        path: As of `factors_of`.

    Raises:
        UnreadableError: The file cannot be read.
        UnsafeError: It holds code.
    """
    try:
        said = json.loads(checkpoints.open(_file(Path(path))).metadata.get("network", "null"))
    except (ValueError, RecursionError):
        return None
    found = said.get("init") if isinstance(said, dict) else None
    return found if isinstance(found, str) else None


def _file(path: Path) -> Path:
    return path / "model.safetensors" if (path / "model.safetensors").is_file() else path


def _layer(path: Path, name: str, held: dict[str, Tensor]) -> Factors:
    arrays = []
    for part in (OUT, STRENGTH, IN):
        key = f"{name}.{part}" if name else part
        if key not in held:
            raise UsageError(f"{path}: expected {key} beside the other factors of {name or 'the layer'}, got none.")
        arrays.append(np.asarray(held[key].read()))
    xi_out, s, xi_in = arrays
    try:
        modes = Modes(xi_out, s, xi_in.reshape(len(xi_in), -1) if xi_in.ndim > 2 else xi_in)
    except UsageError as error:
        raise UsageError(f"{path}: {name}: {error}") from error
    return Factors(modes, bool((modes.s == 1).all()))
