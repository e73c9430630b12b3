"""Grouped convolutions: one matrix per group, since the layer is block-diagonal and its spectrum their union."""

from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from modescope.layers._kernels import declared_groups, grouped, is_declared, operator, positions, sliced, unfolded
from modescope.layers._names import CONVOLUTIONS
from modescope.layers._reasons import is_weight
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where several groups of several channels are declared; a bare weight cannot tell."""
    mine = is_declared(tensor, CONVOLUTIONS) and declared_groups(tensor) > 1 and tensor.shape[1] > 1
    return 3 if mine and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The unfolding of each group, "group 0" and so on."""
    groups = declared_groups(tensor)
    shape = (tensor.shape[0] // groups, prod(tensor.shape[1:]))
    for group in range(groups):
        read = partial(unfolded, partial(grouped, tensor.read, group, groups))
        yield Matrix(tensor.name, f"group {group}", shape, tensor.stored, read)


def _slices(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    groups = declared_groups(tensor)
    shape = (tensor.shape[0] // groups, tensor.shape[1])
    for group in range(groups):
        kernel = partial(grouped, tensor.read, group, groups)
        for index, at in positions(tensor):
            yield Matrix(tensor.name, f"group {group} position {at}", shape, tensor.stored, partial(sliced, kernel, index))


def _operator(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    yield operator(tensor, tensor.read)


requested = {"slices": _slices, "operator": _operator}
