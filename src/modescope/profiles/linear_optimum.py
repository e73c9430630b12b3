"""The input of a single linear layer that makes the signal of a mode as large as any can: no optimiser is needed.

The signal of a mode at one position, and its mean over positions, are linear in the input of the layer: `<g, x>`. On a ball the
best input is g itself, in a box it is one corner. What an optimiser reaches is judged by that.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modescope.errors import UsageError
from modescope.profiles.basis import Basis
from modescope.profiles.survey import is_convolution
from modescope.svd import Values

Cotangent = Callable[[tuple[int, ...]], Values]
"""From the positions of an output to the weight of each in the objective."""

PADDINGS = {"circular": "wrap", "reflect": "reflect", "replicate": "edge"}


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best inputs, one for each mode.

    Attributes:
        images: (r, *shape) inputs of the layer.
        values: (r,) signals that they give: positive for the sign +1, negative for -1.
    """

    images: Values
    values: Values

    def __post_init__(self) -> None:
        for array in (self.images, self.values):
            array.flags.writeable = False


def centre(positions: tuple[int, ...]) -> Values:
    """All the weight on the middle position, size // 2 along each axis."""
    found = np.zeros(positions)
    found[tuple(size // 2 for size in positions)] = 1.0
    return found


def mean(positions: tuple[int, ...]) -> Values:
    """The same weight on every position."""
    return np.full(positions, 1 / math.prod(positions))


OBJECTIVES: Mapping[str, Cotangent] = {"centre": centre, "mean": mean}


def slopes(basis: Basis, module: Any, shape: tuple[int, ...], /, *, objective: str = "centre") -> Values:
    """Gradient of the signals of one layer in its input: the adjoint of the layer, applied to the weights of the positions.

    Args:
        basis: Modes of the layer.
        module: The layer: Linear, or any convolution.
        shape: Of one input: (in, *sizes) of a convolution, (*positions, in) of a linear layer, or any shape of `in` numbers.
        objective: "centre" or "mean"; the other ones are not linear.

    Returns:
        (r, *shape) g, with the signal `<g, x>` for every input x; `<sigma v, x>` where the layer has one position.

    Raises:
        UsageError: Another objective, or a shape that the layer does not take.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"objective: expected a linear one, {' or '.join(OBJECTIVES)}, got {objective!r}.")
    if not is_convolution(module):
        return _of_linear(basis, shape, OBJECTIVES[objective])
    channels = module.in_channels
    if len(shape) != len(module.kernel_size) + 1 or shape[0] != channels:
        raise UsageError(
            f"{basis.layer}: expected an input ({channels}, {', '.join(['size'] * len(module.kernel_size))}), got shape {shape}."
        )
    if module.transposed:
        return _of_transposed(basis, module, shape, OBJECTIVES[objective])
    return _of_convolution(basis, module, shape, OBJECTIVES[objective])


def on_ball(slopes: Values, /, *, sign: int = 1, radius: float = 1.0) -> Optimum:
    """Best inputs of norm `radius` at most: the slope itself, `sigma v` put where the layer sees it, and its norm as the value."""
    flat = slopes.reshape(len(slopes), -1)
    norms = np.linalg.norm(flat, axis=1)
    best = sign * radius * flat / np.where(norms > 0, norms, 1.0)[:, None]
    return Optimum(best.reshape(slopes.shape), sign * radius * norms)


def on_box(slopes: Values, /, *, sign: int = 1, span: tuple[float, float] = (0.0, 1.0)) -> Optimum:
    """Best inputs with all entries in a range: its upper end where the slope has the sign, its lower end elsewhere."""
    best = np.where(sign * slopes > 0, span[1], span[0])
    return Optimum(best, (slopes * best).reshape(len(slopes), -1).sum(axis=1))


def _of_linear(basis: Basis, shape: tuple[int, ...], cotangent: Cotangent) -> Values:
    size = basis.vh.shape[1]
    rows = basis.s[:, None] * basis.vh
    if math.prod(shape) == size:
        return rows.reshape(-1, *shape)
    if shape[-1:] != (size,):
        raise UsageError(f"{basis.layer}: expected an input of {size} numbers, or (..., {size}), got shape {shape}.")
    weights = cotangent(shape[:-1])
    found: Values = weights[None, ..., None] * rows.reshape(-1, *[1] * weights.ndim, size)
    return found


def _of_convolution(basis: Basis, module: Any, shape: tuple[int, ...], cotangent: Cotangent) -> Values:
    import torch
    from torch.nn import functional

    sizes, kernel, stride, dilation = shape[1:], module.kernel_size, module.stride, module.dilation
    pads = _pads(module)
    padded = tuple(size + sum(pad) for size, pad in zip(sizes, pads, strict=True))
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    outputs = tuple((size - r) // s + 1 for size, r, s in zip(padded, reach, stride, strict=True))
    if min(outputs) < 1:
        raise UsageError(f"{basis.layer}: expected an input that its kernel {kernel} fits in, got shape {shape}.")
    rest = tuple(size - (o - 1) * s - r for size, o, s, r in zip(padded, outputs, stride, reach, strict=True))
    adjoint = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[len(sizes) - 1]
    modes = basis.s.size  # every mode is a group of its own: one output channel, read from the channels of its group
    weights = torch.as_tensor(np.ascontiguousarray(basis.s.reshape(-1, *[1] * (len(sizes) + 1)) * basis.patches))
    given = torch.as_tensor(np.broadcast_to(cotangent(outputs), (1, modes, *outputs)).copy())
    found = adjoint(given, weights, stride=stride, output_padding=rest, dilation=dilation, groups=modes)
    inside = found.numpy().reshape(modes, -1, *padded)
    return _spread(basis, _folded(inside, sizes, pads, module.padding_mode), shape)


def _of_transposed(basis: Basis, module: Any, shape: tuple[int, ...], cotangent: Cotangent) -> Values:
    import torch
    from torch.nn import functional

    options = zip(shape[1:], module.kernel_size, module.stride, module.padding, module.dilation, module.output_padding, strict=True)
    outputs = tuple((size - 1) * s - 2 * p + d * (k - 1) + more + 1 for size, k, s, p, d, more in options)
    adjoint = (functional.conv1d, functional.conv2d, functional.conv3d)[len(outputs) - 1]
    weights = basis.s.reshape(-1, *[1] * (len(outputs) + 1)) * basis.patches
    modes, channels = weights.shape[:2]
    filters = torch.as_tensor(np.ascontiguousarray(weights.reshape(modes * channels, 1, *weights.shape[2:])))
    given = torch.as_tensor(cotangent(outputs))[None, None]
    found = adjoint(given, filters, stride=module.stride, padding=module.padding, dilation=module.dilation)
    inside = found.numpy().reshape(modes, channels, *found.shape[2:])
    for axis, size in enumerate(shape[1:], start=2):  # output padding of a stride or more makes positions that are no inputs
        inside = inside.take(np.arange(size), axis=axis)
    return _spread(basis, inside, shape)


def _pads(module: Any) -> list[tuple[int, int]]:
    """Positions before and behind, along each axis."""
    if module.padding == "valid":
        return [(0, 0)] * len(module.kernel_size)
    if module.padding == "same":
        totals = [d * (k - 1) for k, d in zip(module.kernel_size, module.dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(pad, pad) for pad in module.padding]


def _folded(padded: Values, sizes: tuple[int, ...], pads: list[tuple[int, int]], mode: str) -> Values:
    """Adjoint of the padding: what fell on a padded position goes back to the position that it repeats, or is lost."""
    for axis, (size, pad) in enumerate(zip(sizes, pads, strict=True), start=2):
        if mode == "zeros":
            padded = padded.take(np.arange(pad[0], pad[0] + size), axis=axis)
            continue
        origin = np.pad(np.arange(size), pad, mode=PADDINGS[mode])  # type: ignore[call-overload]
        summed = np.zeros((*padded.shape[:axis], size, *padded.shape[axis + 1 :]))
        np.add.at(np.moveaxis(summed, axis, 0), origin, np.moveaxis(padded, axis, 0))
        padded = summed
    return padded


def _spread(basis: Basis, inside: Values, shape: tuple[int, ...]) -> Values:
    """(r, in, *sizes) out of what each mode reads of its own group."""
    modes, channels = inside.shape[:2]
    found = np.zeros((modes, basis.groups, channels, *shape[1:]))
    found[np.arange(modes), basis.group] = inside
    return found.reshape(modes, *shape)
