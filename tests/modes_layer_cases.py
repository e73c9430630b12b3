"""Layers of modes for the tests: every kind with its dense twin of torch, and gradients by central differences."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from modescope.modes.factors import Modes
from modescope.modes.modules.base import ModeLayer
from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
from modescope.modes.modules.linear import ModeLinear

DOUBLE = {"dtype": torch.float64}


@dataclass(frozen=True)
class Case:
    """A layer, what goes in, and the dense layer of torch that it stands for."""

    mode: type[ModeLayer]
    dense: type[nn.Module]
    sizes: tuple
    p: int
    options: dict
    x: tuple[int, ...]

    def __str__(self):
        said = ",".join(f"{name}={one}" for name, one in self.options.items())
        return f"{self.mode.__name__}{self.sizes}x{self.p}-{said}-{self.x}"

    def layer(self, **more):
        torch.manual_seed(0)
        made = self.mode(*self.sizes, self.p, **{**DOUBLE, **self.options, **more})
        if made.bias is not None:
            nn.init.normal_(made.bias)
        return made

    def twin(self, layer):
        """The dense layer with the weight of the other, formed."""
        made = self.dense(*self.sizes, **{**DOUBLE, **self.options})
        with torch.no_grad():
            made.weight.copy_(layer.weight)
            if made.bias is not None:
                made.bias.copy_(layer.bias)
        return made

    def input(self):
        return torch.randn(self.x, generator=torch.Generator().manual_seed(1), **DOUBLE)


CASES = [
    Case(ModeLinear, nn.Linear, (7, 5), 3, {}, (4, 7)),
    Case(ModeLinear, nn.Linear, (7, 5), 9, {"bias": False}, (40, 7)),
    Case(ModeLinear, nn.Linear, (7, 5), 1, {}, (7,)),
    Case(ModeLinear, nn.Linear, (1, 1), 2, {}, (2, 3, 1)),
    Case(ModeConv1d, nn.Conv1d, (3, 5, 3), 2, {}, (2, 3, 11)),
    Case(ModeConv1d, nn.Conv1d, (3, 5, 4), 17, {"stride": 2, "padding": 1, "dilation": 2, "bias": False}, (3, 11)),
    Case(ModeConv1d, nn.Conv1d, (3, 2, 4), 4, {"padding": "same", "padding_mode": "circular"}, (2, 3, 11)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, 3), 5, {}, (2, 3, 8, 7)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, (3, 2)), 2, {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 3)}, (2, 3, 8, 9)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, 3), 2, {"padding": "same", "dilation": 2}, (3, 8, 7)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, 3), 2, {"padding": "valid"}, (2, 3, 8, 7)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, 3), 2, {"padding": 2, "padding_mode": "reflect", "stride": 2}, (2, 3, 8, 7)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, (2, 3)), 2, {"padding": (0, 1), "padding_mode": "replicate"}, (3, 8, 7)),
    Case(ModeConv2d, nn.Conv2d, (3, 4, 1), 2, {}, (2, 3, 8, 7)),
]


def gaussian(outputs=6, inputs=8, p=4, seed=0):
    """Modes with Gaussian entries."""
    rng = np.random.default_rng(seed)
    return Modes(rng.standard_normal((outputs, p)), rng.standard_normal(p), rng.standard_normal((p, inputs)))


def central_difference(loss, parameter, step=1e-5):
    """Gradient of a scalar function by central differences, entry by entry."""
    found = torch.zeros_like(parameter)
    with torch.no_grad():
        flat, slopes = parameter.view(-1), found.view(-1)
        for at in range(flat.numel()):
            held = flat[at].item()
            flat[at] = held + step
            above = loss()
            flat[at] = held - step
            slopes[at] = (above - loss()) / (2 * step)
            flat[at] = held
    return found
