"""What is descrambled: one weight as the matrix that acts, and its bias."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from modescope import measuring
from modescope.checkpoints import Checkpoint, open
from modescope.errors import UsageError
from modescope.layers import matrices
from modescope.matrix import Matrix, Tensor
from modescope.svd import Values

WHOLE = ("dense", "unfolding", "transposed")  # views that are the whole layer


@dataclass(frozen=True, eq=False)
class Given:
    """One layer.

    Attributes:
        name: Of its tensor, followed by the view where a tensor holds several matrices; "weight" for an array.
        module: Of the module it belongs to, or empty.
        weight: (m, n) float64, as it acts.
        bias: (m,) or None.
        patches: It is a convolution, whose inputs are patches.
        source: path, format, sha256, number of tensors and of parameters.
    """

    name: str
    module: str
    weight: Values
    bias: Values | None
    patches: bool
    source: dict[str, Any]


def given(source: Any, layer: str | None, bias: Any, /) -> Given:
    """Find a layer.

    Args:
        source: An array (m, n), or whatever `open` takes.
        layer: Name of its module or tensor, followed by the view where a tensor holds several matrices; not for an array.
        bias: An array (m,), True for the one beside the weight where there is one, or False.

    Raises:
        UsageError: No such layer, or several; a weight or bias that is not finite or does not fit.
    """
    if isinstance(source, np.ndarray):
        if layer is not None:
            raise UsageError(f"layer: expected none beside an array, got {layer!r}.")
        own = None if isinstance(bias, bool) else bias
        return Given(
            "weight", "", _real(source, "weight", 2), _bias(own, source.shape[0]), False, {"path": None, "format": "array"}
        )
    checkpoint = open(source)
    matrix = _found(checkpoint, layer)
    operand = matrix.read()
    if not isinstance(operand, np.ndarray):
        raise UsageError(f"{matrix}: expected a plain matrix or convolution; products and groups are not descrambled. Take a part.")
    weight = _real(operand, str(matrix) if checkpoint.path is None else f"{checkpoint.path}: {matrix}", 2)
    beside = _beside(checkpoint, matrix, weight.shape[0]) if bias is True else None if bias is False else bias
    name = matrix.tensor if matrix.view in WHOLE else f"{matrix.tensor} {matrix.view}"
    said = measuring.source(checkpoint, hashed=True)
    return Given(name, matrix.tensor.rpartition(".")[0], weight, _bias(beside, weight.shape[0]), "convolution" in matrix.kind, said)


def is_module(source: Any, /) -> bool:
    """Whether it is a live module of torch, told without importing torch."""
    return any(base.__name__ == "Module" and base.__module__ == "torch.nn.modules.module" for base in type(source).__mro__)


def before_training(untrained: Any, found: Given, layer: str | None, /) -> Given:
    """The same layer of the network before it was trained.

    Args:
        untrained: An array (m, n), or whatever `open` takes.
        found: The layer after training.
        layer: As it was asked for.

    Raises:
        UsageError: It has no such layer, or one of another shape.
    """
    named = None if isinstance(untrained, np.ndarray) else layer if layer is not None or not found.module else found.name
    before = given(untrained, named, True)
    if before.weight.shape != found.weight.shape:
        raise UsageError(
            f"untrained: expected {found.name} of shape {found.weight.shape} as after training, got {before.name} of shape "
            f"{before.weight.shape}. Pass the same network before it was trained."
        )
    return before


def _found(checkpoint: Checkpoint, layer: str | None) -> Matrix:
    every = list(matrices(checkpoint.tensors))
    known = [item for item in every if isinstance(item, Matrix)]
    where = "" if checkpoint.path is None else f"{checkpoint.path}: "
    listed = f"{', '.join(matrix.tensor for matrix in known[:8])}{', ...' if len(known) > 8 else ''}"
    if not known:
        there = f"{len(every)} tensor{'s' if len(every) != 1 else ''}"
        raise UsageError(f"{where}expected a weight with rows and columns, got {there} and none that has them.")
    if layer is None:
        if len(known) == 1:
            return known[0]
        raise UsageError(f"layer: expected the name of one of {len(known)} layers: {listed}.")
    fits = [matrix for matrix in known if layer in _names(matrix)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        views = ", ".join(repr(f"{matrix.tensor} {matrix.view}") for matrix in fits[:8])
        raise UsageError(f"layer {layer!r}: expected one matrix, got {len(fits)}: {views}.")
    for left in every:
        if not isinstance(left, Matrix) and layer in (left.name, left.name.rpartition(".")[0]):
            raise UsageError(f"{where}layer {layer!r}: expected a weight matrix, got {left.name} {left.shape}: {left.reason}.")
    close = get_close_matches(layer, dict.fromkeys(name for matrix in known for name in _said(matrix)), n=3)
    remedy = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it has {listed}."
    raise UsageError(f"{where}layer {layer!r}: no such layer; {remedy}")


def _said(matrix: Matrix) -> tuple[str, ...]:
    """Names by which a user would call it."""
    return _names(matrix)[: 2 if matrix.view in WHOLE else 3]


def _names(matrix: Matrix) -> tuple[str, ...]:
    return (matrix.tensor, matrix.tensor.rpartition(".")[0], f"{matrix.tensor} {matrix.view}", *matrix.aliases)


def _beside(checkpoint: Checkpoint, matrix: Matrix, rows: int) -> Values | None:
    """The bias of the same module where the matrix is the whole of its weight."""
    if matrix.view not in WHOLE:
        return None
    prefix = matrix.tensor.rpartition(".")[0]
    wanted = f"{prefix}.bias" if prefix else "bias"
    tensor: Tensor | None = next((one for one in checkpoint.tensors if one.name == wanted), None)
    return None if tensor is None or tensor.shape != (rows,) else np.asarray(tensor.read(), dtype=np.float64)


def _bias(bias: Any, rows: int) -> Values | None:
    if bias is None:
        return None
    found = _real(bias, "bias", 1)
    if found.shape != (rows,):
        raise UsageError(f"bias: expected ({rows},) beside a weight of {rows} rows, got {found.shape}.")
    return found


def _real(array: Any, name: str, axes: int) -> Values:
    found = np.asarray(array)
    if found.ndim != axes or found.dtype.kind in "cOSU" or not found.size:
        raise UsageError(f"{name}: expected real numbers on {axes} axes, got {found.dtype} of shape {found.shape}.")
    values: Values = found.astype(np.float64)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise UsageError(
            f"{name} {values.shape}: expected finite numbers, got {bad} of {values.size} entries that are not. Pass another."
        )
    return values
