"""A profiled network small enough to be made anew, and one of photographs, with names that want to be more than text."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from modescope.profiles import profile
from modescope.profiles.images import Images
from modescope.profiles.result import NetworkProfile
from profiles_net_cases import digits_data, digits_start

HOSTILE = "<img src=x onerror=alert(1)>"
CLASSES = [HOSTILE, "=1+1", *map(str, range(2, 10))]
COUNT = 200
LAYERS = ("0", "2", "5", "9", "11")


@cache
def net() -> Any:
    """The digits network before training, with a strong mode put into every layer but the first and the last."""
    made = digits_start()
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for place in (2, 5, 9):
            weight = made[place].weight
            u, v = (torch.randn(n, generator=random) for n in (len(weight), weight[0].numel()))
            weight += (3 * torch.outer(u / u.norm(), v / v.norm())).reshape(weight.shape)
    return made.eval()


@cache
def digits() -> NetworkProfile:
    """Of the digits network, with everything there is."""
    images, labels = digits_data()
    return profile(
        net(), images[:COUNT], labels=labels[:COUNT], classes=CLASSES, untrained=digits_start(), truncation=True, features=2,
        shown=2, exemplars=4, resamples=40, share=0.5,
    )  # fmt: skip


@cache
def bare() -> NetworkProfile:
    """Of the same without labels, features and truncation, by the positions of the largest signals."""
    images, _ = digits_data()
    return profile(net(), images[:40], aggregate="max", shown=1, exemplars=2, features=0, truncation=False, resamples=0)


class Odd(nn.Module):
    """A network of photographs with a name that is markup, a grouped layer, a layer that is called twice and one that is not."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.add_module(HOSTILE.replace(".", ""), nn.Conv2d(3, channels, 3, padding=1, bias=False))
        self.grouped = nn.Conv2d(channels, channels, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(channels)
        self.shared = nn.Conv2d(channels, channels, 1)
        self.unused = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        x = torch.relu(next(iter(self.children()))(x))
        x = torch.relu(self.norm(self.grouped(x)))
        return self.shared(torch.relu(self.shared(x)))


@cache
def odd() -> NetworkProfile:
    """Of a network that gives no classes, on coloured pictures of which one could not be read."""
    torch.manual_seed(0)
    net = Odd().eval()
    x = torch.rand(12, 3, 10, 14)
    found = Images(lambda: iter([x]), 12, labels=np.arange(12) % 3, classes=("a", HOSTILE, "c"), skipped=((HOSTILE, "cut"),))
    return profile(net, found, bn="fold", select="all", shown=1, exemplars=2, features=1, resamples=10, permutations=5)
