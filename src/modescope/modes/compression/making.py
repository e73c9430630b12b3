"""The tensors of a compressed file, each a promise: its header now, its numbers when they are written."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.checkpoints._dtypes import numpy_dtype
from modescope.checkpoints._names import shown
from modescope.errors import MatrixError
from modescope.matrix import Array, Tensor
from modescope.modes.compression.eligible import Form
from modescope.modes.compression.planning import Planned, cut, inputs_of
from modescope.modes.compression.writing import Entry, Part

if TYPE_CHECKING:
    from modescope.modes.calibration import Calibration


def promised(
    checkpoint: Checkpoint, planned: Sequence[Planned], form: Form, dtype: str | None, inputs: "Calibration | None"
) -> Iterator[Part]:
    """Every tensor of the new file in the order of the source, none made yet."""
    by_name = {one.weight.tensor.name: one for one in planned if one.modes is not None}
    tensors = {tensor.name: tensor for tensor in checkpoint.tensors}
    moved = moved_biases(planned, inputs)
    for tensor in checkpoint.tensors:
        one = by_name.get(tensor.name)
        if one is not None:
            bias = tensors[one.weight.bias] if one.weight.bias in moved else None
            yield Part(_entries(one, form, dtype, bias), partial(_made, one, form, dtype, bias, inputs))
        elif tensor.name not in moved:
            yield Part({tensor.name: Entry(tensor.stored, tensor.shape)}, partial(_copied, tensor))


def moved_biases(planned: Sequence[Planned], inputs: "Calibration | None") -> set[str]:
    """Names of biases that take up the mean of what is lost."""
    return {
        one.weight.bias
        for one in planned
        if one.modes is not None and one.weight.bias and inputs_of(one.weight, inputs) is not None
    }


def _entries(one: Planned, form: Form, dtype: str | None, bias: Tensor | None) -> dict[str, Entry]:
    weight, p = one.weight, one.modes or 0
    if form == "dense":
        found = {weight.tensor.name: Entry(weight.tensor.stored, weight.tensor.shape)}
    else:
        shapes = (weight.shape[0], p), (p,), (p, *weight.input_shape)
        stored = dtype or weight.tensor.stored
        found = {name: Entry(stored, shape) for name, shape in zip(weight.factors.values(), shapes, strict=True)}
    return found if bias is None else found | {bias.name: Entry(bias.stored, bias.shape)}


def _made(one: Planned, form: Form, dtype: str | None, bias: Tensor | None, inputs: "Calibration | None") -> dict[str, Array]:
    weight, p = one.weight, one.modes or 0
    found = cut(weight, inputs)
    modes, shift = found.modes(p), found.bias_shift(p)
    kept: dict[str, Array]
    if form == "dense":
        kept = {weight.tensor.name: _rounded(weight.stored(modes.weight), weight.tensor.stored, weight.tensor.name)}
    else:
        arrays = modes.xi_out, modes.s, modes.xi_in.reshape(p, *weight.input_shape)
        stored = dtype or weight.tensor.stored
        kept = {name: _rounded(array, stored, name) for name, array in zip(weight.factors.values(), arrays, strict=True)}
    if bias is not None:
        assert shift is not None
        kept[bias.name] = _rounded(bias.read().astype(np.float64) + shift, bias.stored, bias.name)
    return kept


def _rounded(array: Array, stored: str, name: str) -> Array:
    with np.errstate(over="ignore"):
        rounded = array.astype(numpy_dtype(stored))
    if not np.isfinite(rounded.astype(np.float64)).all():
        raise MatrixError(f"{shown(name)}: expected factors that {stored} can hold, got larger ones. Give another dtype.")
    return rounded


def _copied(tensor: Tensor) -> dict[str, Array]:
    return {tensor.name: tensor.read()}
