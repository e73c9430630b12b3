"""Networks whose receptive fields are known, and what images on disk are made of."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from modescope.matrix import Array
from modescope.profiles.passing import Passed


def stack(*layers: dict[str, Any]) -> nn.Sequential:
    """Convolutions and poolings, each given by its arguments; `pool` takes maxima."""
    made: list[nn.Module] = []
    channels = 2
    for layer in layers:
        options = dict(layer)
        if options.pop("pool", False):
            made.append(nn.MaxPool2d(**options))
        else:
            made += [nn.Conv2d(channels, 3, **options), nn.BatchNorm2d(3), nn.ReLU(inplace=True)]
            channels = 3
    return nn.Sequential(*made)


def analytic(*layers: dict[str, Any]) -> tuple[int, int, int]:
    """(size, stride, offset) of the field of a stack: Araujo, Norris & Sim (2019), doi:10.23915/distill.00021."""
    size, stride, offset = 1, 1, 0
    for layer in layers:
        k, d, p = layer["kernel_size"], layer.get("dilation", 1), layer.get("padding", 0)
        size += d * (k - 1) * stride
        offset -= p * stride
        stride *= layer.get("stride", k if layer.get("pool") else 1)
    return size, stride, offset


def jacobian_hulls(model: nn.Module, shape: tuple[int, ...], *, seed: int = 0, draws: int = 12) -> Array:
    """(positions, axes, 2): hulls of where the Jacobian of the network itself, is not 0 at random weights and inputs."""
    random = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    axes = len(shape) - 1
    reached = None
    for _ in range(draws):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(generator=random)
        x = torch.rand(1, *shape, dtype=torch.float64, generator=random)
        found = torch.autograd.functional.jacobian(model, x)[0, :, ..., 0, :, *(slice(None),) * axes]
        here = (found != 0).any(dim=0).flatten(0, axes - 1).any(dim=1).numpy()
        reached = here if reached is None else reached | here
    assert reached is not None
    boxes = np.zeros((len(reached), axes, 2), np.int64)
    for place, mask in enumerate(reached):
        for axis in range(axes):
            hit = np.flatnonzero(mask.any(axis=tuple(i for i in range(axes) if i != axis)))
            boxes[place, axis] = hit[0], hit[-1] + 1
    return boxes


def batches(signals: Array, size: int, places: Array | None = None) -> Iterator[Passed]:
    """What passes of a site "a" give."""
    for start in range(0, len(signals), size):
        part = slice(start, start + size)
        yield Passed(start, None, {"a": signals[part]}, {} if places is None else {"a": places[part]}, None, None)
