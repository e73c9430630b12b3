"""Convolutions in one, two or three dimensions, as the matrix that acts on one patch: out x (in * kernel positions)."""

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

import numpy as np

from modescope.layers._kernels import declared_groups, is_declared, is_kernel, operator, positions, sliced, unfolded
from modescope.layers._names import CONVOLUTIONS, TRANSPOSED_CONVOLUTIONS, bias_length, is_named_weight, named_freely
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read
from modescope.matrix import Array, Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """1 by shape, 2 where the class is declared; never 3, so that a kind that knows more may outrank it."""
    if not is_kernel(tensor):
        return 0
    declared = is_declared(tensor, CONVOLUTIONS)
    if not declared and (not (named_freely(tensor) or is_declared(tensor, TRANSPOSED_CONVOLUTIONS)) or not _looks_like_one(tensor)):
        return 0
    if not is_weight(tensor, tensors):
        return 0
    return 2 if declared else 1


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The unfolding `weight.reshape(out, -1)`, in the order (in, *k)."""
    shape, read, note = _kernel(tensor, tensors)
    yield Matrix(tensor.name, "unfolding", (shape[0], prod(shape[1:])), tensor.stored, partial(unfolded, read), note=note)


def fold(directions: Array, kernel: tuple[int, ...]) -> Array:
    """Input directions of an unfolding as patches: the inverse of its order, bit by bit.

    Args:
        directions: (..., in * prod(k)); rows of `vh`, or the unfolded matrix itself.
        kernel: Shape of the weight, (out, in, *k).

    Returns:
        (..., in, *k), a view where possible.
    """
    return directions.reshape(*directions.shape[:-1], *kernel[1:])


def _slices(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    shape, read, note = _kernel(tensor, tensors)
    turned = Tensor(tensor.name, shape, tensor.stored, read)
    for index, at in positions(turned):
        yield Matrix(tensor.name, f"position {at}", (shape[0], shape[1]), tensor.stored, partial(sliced, read, index), note=note)


def _operator(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    shape, read, _ = _kernel(tensor, tensors)
    yield operator(Tensor(tensor.name, shape, tensor.stored, read, tensor.declared), read)


requested = {"slices": _slices, "operator": _operator}


def _looks_like_one(tensor: Tensor) -> bool:
    """Whether a bare array of this shape may be a kernel: three axes alone say little (tokens, tables), four or five much."""
    return _is_named_like_one(tensor) or (len(tensor.shape) > 3 and tensor.shape[0] > 1)


def _is_named_like_one(tensor: Tensor) -> bool:
    return is_named_weight(tensor) or "conv" in tensor.name.lower()


def _kernel(tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[tuple[int, ...], Read, str]:
    """Shape and thunk of the kernel as (out, in, *k), and what has to be said of it."""
    shape = tensor.shape
    if tensor.leaf == "kernel" and bias_length(tensor, tensors) == shape[-1] != shape[0]:
        return (shape[-1], shape[-2], *shape[:-2]), partial(_channels_first, tensor.read), "stored channels last"
    if not (is_declared(tensor, CONVOLUTIONS | TRANSPOSED_CONVOLUTIONS) or _is_named_like_one(tensor)):
        return shape, tensor.read, "taken for a convolution by its shape alone"
    lone = shape[1] == 1 and "groups" not in tensor.declared and declared_groups(tensor) == 1
    return shape, tensor.read, "groups not declared: one group assumed" if lone else ""


def _channels_first(read: Read) -> Array:
    kernel = read()
    return np.moveaxis(kernel, (-1, -2), (0, 1))
