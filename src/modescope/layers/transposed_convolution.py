"""Transposed convolutions, stored (in, out / groups, *k): one matrix out x (in * kernel positions), or one per group."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from math import prod

from modescope.layers._kernels import (
    declared_groups,
    exchanged,
    grouped,
    is_declared,
    is_kernel,
    operator,
    positions,
    sliced,
    unfolded,
)
from modescope.layers._names import (
    TRANSPOSED_CONVOLUTIONS,
    bias_length,
    is_depthwise,
    is_named_weight,
    is_stacked,
    named_freely,
    step,
)
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read
from modescope.matrix import Blocks, Matrix, Tensor

_NAME = re.compile(r"deconv|up_?conv|conv\w*transpose|transposed?_?conv|up\w*transpose|\Aconvt\d*\Z")
_BY_NAME = "transposed by its name alone"


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the class is declared, 2 by the length of the bias (the second axis) or, where that is silent, by the name."""
    if not is_kernel(tensor):
        return 0
    if is_declared(tensor, TRANSPOSED_CONVOLUTIONS):
        evidence = 3
    else:
        evidence = 2 if _by_bias(tensor, tensors) or _by_name(tensor, tensors) else 0
    return evidence if evidence and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The unfolding of (out / groups, in / groups, *k); the channels in one block-diagonal row where each is alone."""
    groups = declared_groups(tensor)
    if _is_depthwise(tensor):
        outputs, taps = tensor.shape[1], prod(tensor.shape[2:])
        read = partial(_filters, tensor.read)
        yield Matrix(tensor.name, "channels", (groups * outputs, groups * taps), tensor.stored, read)
        return
    for prefix, kernel in _groups(tensor):
        shape = (tensor.shape[1], tensor.shape[0] // groups * prod(tensor.shape[2:]))
        view = prefix or "unfolding"
        yield Matrix(tensor.name, view, shape, tensor.stored, partial(unfolded, kernel), note=_note(tensor, tensors))


def _slices(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    if _is_depthwise(tensor):
        for index, at in positions(tensor):
            shape = (tensor.shape[0] * tensor.shape[1], tensor.shape[0])
            yield Matrix(tensor.name, f"position {at}", shape, tensor.stored, partial(_filters_at, tensor.read, index))
        return
    shape = (tensor.shape[1], tensor.shape[0] // declared_groups(tensor))
    for prefix, kernel in _groups(tensor):
        for index, at in positions(tensor):
            view = f"{prefix} position {at}".strip()
            yield Matrix(tensor.name, view, shape, tensor.stored, partial(sliced, kernel, index), note=_note(tensor, tensors))


def _operator(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    yield operator(tensor, tensor.read, upsampling=True)


requested = {"slices": _slices, "operator": _operator}


def _by_bias(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    if not named_freely(tensor) or not is_named_weight(tensor) or tensor.leaf == "kernel" or is_stacked(tensor.name):
        return False
    return bias_length(tensor, tensors) == tensor.shape[1] != tensor.shape[0]


def _by_name(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    if not named_freely(tensor) or not is_named_weight(tensor) or is_stacked(tensor.name) or not _NAME.search(step(tensor.name)):
        return False
    if tensor.shape[1] == 1 and is_depthwise(tensor.name):
        return False
    return bias_length(tensor, tensors) in {None, tensor.shape[1]}


def _note(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str:
    known = is_declared(tensor, TRANSPOSED_CONVOLUTIONS) or _by_bias(tensor, tensors)
    return "" if known else _BY_NAME


def _is_depthwise(tensor: Tensor) -> bool:
    groups = declared_groups(tensor)
    return groups > 1 and groups == tensor.shape[0]


def _groups(tensor: Tensor) -> Iterator[tuple[str, Read]]:
    groups = declared_groups(tensor)
    if groups == 1:
        yield "", partial(exchanged, tensor.read)
        return
    for group in range(groups):
        yield f"group {group}", partial(exchanged, partial(grouped, tensor.read, group, groups))


def _filters(read: Read) -> Blocks:
    kernel = read()
    return Blocks(kernel.reshape(*kernel.shape[:2], -1))


def _filters_at(read: Read, index: int) -> Blocks:
    kernel = read()
    return Blocks(kernel.reshape(*kernel.shape[:2], -1)[:, :, index : index + 1])
