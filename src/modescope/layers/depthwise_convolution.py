"""Depthwise convolutions: one row for all channels, whose values are the norms of the filters."""

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from modescope.layers._kernels import declared_groups, is_declared, is_kernel, operator, positions
from modescope.layers._names import CONVOLUTIONS, bias_length, is_depthwise, is_named_weight, is_stacked, named_freely
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read
from modescope.matrix import Blocks, Matrix, Tensor

_BY_NAME = "depthwise by its name: one filter per channel assumed"


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where as many groups as input channels are declared, 2 by the name."""
    if not is_kernel(tensor) or tensor.shape[1] != 1:
        return 0
    if is_declared(tensor, CONVOLUTIONS):
        evidence = 3 if declared_groups(tensor) > 1 else 0
    else:
        evidence = 2 if _by_name(tensor, tensors) else 0
    return evidence if evidence and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The block-diagonal matrix of all channels, each (filters of the channel) x (kernel positions)."""
    channels = _channels(tensor)
    yield _blocks(tensor, "channels", prod(tensor.shape[2:]), partial(_filters, tensor.read, channels))


def _slices(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    channels = _channels(tensor)
    for index, at in positions(tensor):
        yield _blocks(tensor, f"position {at}", 1, partial(_filters_at, tensor.read, channels, index))


def _operator(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    declared = {"groups": str(_channels(tensor)), **tensor.declared}
    yield operator(Tensor(tensor.name, tensor.shape, tensor.stored, tensor.read, declared), tensor.read)


requested = {"slices": _slices, "operator": _operator}


def _by_name(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    if not (is_depthwise(tensor.name) and named_freely(tensor) and is_named_weight(tensor)) or is_stacked(tensor.name):
        return False
    return bias_length(tensor, tensors) in {None, tensor.shape[0]}


def _channels(tensor: Tensor) -> int:
    groups = declared_groups(tensor)
    return groups if groups > 1 else tensor.shape[0]


def _blocks(tensor: Tensor, view: str, columns: int, read: partial[Blocks]) -> Matrix:
    note = "" if declared_groups(tensor) > 1 else _BY_NAME
    return Matrix(tensor.name, view, (tensor.shape[0], _channels(tensor) * columns), tensor.stored, read, note=note)


def _filters(read: Read, channels: int) -> Blocks:
    kernel = read()
    return Blocks(kernel.reshape(channels, kernel.shape[0] // channels, -1))


def _filters_at(read: Read, channels: int, index: int) -> Blocks:
    kernel = read()
    return Blocks(kernel.reshape(channels, kernel.shape[0] // channels, -1)[:, :, index : index + 1])
