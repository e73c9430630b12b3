"""Which axis of a tensor holds the channels, and what the unfolded weight of a convolution acts on."""

import re
from collections.abc import Iterator
from math import prod
from typing import Any

from modescope.errors import UsageError

AT_ONCE = 1 << 22  # entries of unfolded patches that are held at once

_SPATIAL = re.compile(r"(Conv|ConvTranspose|Pool|InstanceNorm|LPPool)([123])d$")
_CHANNELS_SECOND = re.compile(r"BatchNorm(\dd)?$|GroupNorm$")
_LAST = ("Linear", "Embedding", "LayerNorm", "RMSNorm", "RNNBase", "RNNCellBase", "MultiheadAttention", "Bilinear")
_ELEMENTWISE_UP_TO = 3  # axes of a tensor whose last one is taken for the channels without being told


def channels_last(module: Any, tensor: Any, axis: int | None) -> Any:
    """The tensor with its channels on the last axis, as a view.

    Raises:
        UsageError: The axis is not known, does not exist, or the entries are no real floats.
    """
    if tensor.is_nested or str(tensor.layout) != "torch.strided":
        raise UsageError("expected a dense tensor, got a nested or a sparse one.")
    if not tensor.is_floating_point():
        raise UsageError(f"expected real floating-point values, got {str(tensor.dtype).removeprefix('torch.')}.")
    if tensor.ndim == 0:
        raise UsageError("expected values with an axis of channels, got a single number.")
    place = _axis(module, tensor) if axis is None else axis
    if not -tensor.ndim <= place < tensor.ndim:
        raise UsageError(f"expected axis {place} of channels, got shape {tuple(tensor.shape)}; choose another axis.")
    return tensor.movedim(place, -1)


def is_convolution(module: Any) -> bool:
    """Whether its input can be unfolded."""
    return any(base.__name__ == "_ConvNd" for base in type(module).__mro__)


def is_recurrent(module: Any) -> bool:
    """Whether it is one of torch's recurrent layers or cells, whose outputs are hidden states."""
    return any(base.__name__ in ("RNNBase", "RNNCellBase") for base in type(module).__mro__)


def unfolded(module: Any, tensor: Any, size: Any = None) -> Iterator[Any]:
    """What the unfolded weight acts on: (samples, *positions of the output, in * taps), some samples at a time.

    Rows are in order (sample, position), columns in order (channel, tap), so that `rows @ weight.reshape(out, -1).T` are the
    channels of the output, less the bias; for a transposed convolution, whose weight is (in, out, *taps), the first two axes are
    exchanged before. `size` is that of the output, with or without its first axes, where a transposed convolution is told it.
    """
    import torch

    axes = len(module.kernel_size)
    if tensor.ndim == axes + 1:
        tensor = tensor[None]
    taps = prod(module.kernel_size)
    transposed = module.transposed
    grown = prod(module.stride) if transposed else 1
    each = max(AT_ONCE // max(prod(tensor.shape[1:]) * taps * grown, 1), 1)
    shape = () if not transposed else _output_shape(module, tensor) if size is None else tuple(size)[-axes:]
    for part in torch.split(tensor, each):
        part = _spread(module, part, shape) if transposed else _padded(module, part)
        stride = (1,) * axes if transposed else module.stride
        for i, (wide, step, far) in enumerate(zip(module.kernel_size, stride, module.dilation, strict=True)):
            part = part.unfold(2 + i, (wide - 1) * far + 1, step)[..., ::far]
        if transposed:
            part = part.flip(*range(2 + axes, 2 + 2 * axes))
        rows = part.permute(0, *range(2, 2 + axes), 1, *range(2 + axes, 2 + 2 * axes))
        yield rows.reshape(*rows.shape[: 1 + axes], tensor.shape[1] * taps)


def _padded(module: Any, part: Any) -> Any:
    from torch.nn import functional

    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return functional.pad(part, module._reversed_padding_repeated_twice, mode=mode)


def _output_shape(module: Any, tensor: Any) -> tuple[int, ...]:
    """Positions of the output of a transposed convolution called without an output size."""
    return tuple(
        (n - 1) * step - 2 * pad + far * (size - 1) + more + 1
        for n, size, step, pad, far, more in zip(
            tensor.shape[2:],
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.output_padding,
            strict=True,
        )
    )


def _spread(module: Any, part: Any, shape: tuple[int, ...]) -> Any:
    """Input with zeros between its entries and around it: a transposed convolution is a plain one with flipped taps on it."""
    from torch.nn import functional

    places = [(n - 1) * step + 1 for n, step in zip(part.shape[2:], module.stride, strict=True)]
    wide = part.new_zeros((*part.shape[:2], *places))
    wide[(..., *(slice(None, None, step) for step in module.stride))] = part
    around: list[int] = []
    for n, size, pad, far, out in zip(places, module.kernel_size, module.padding, module.dilation, shape, strict=True):
        before = far * (size - 1) - pad
        around = [before, out + far * (size - 1) - before - n, *around]
    return functional.pad(wide, around)


def _axis(module: Any, tensor: Any) -> int:
    bases = [base.__name__ for base in type(module).__mro__]
    for name in bases:
        if found := _SPATIAL.search(name):
            return int(tensor.ndim) - 1 - int(found[2])
        if _CHANNELS_SECOND.search(name):
            return 1
    if tensor.ndim <= _ELEMENTWISE_UP_TO or any(name in _LAST for name in bases):
        return -1
    raise UsageError(
        f"the axis of the channels of {type(module).__name__} is not known for values {tuple(tensor.shape)}; pass axis, "
        "1 where they come from a convolution, -1 where they are the last."
    )
