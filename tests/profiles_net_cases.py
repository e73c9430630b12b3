"""The digits network of the experiments: small, trained once for a whole run of the tests, with the start it was trained from."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

EPOCHS = 20  # with a rate that falls to zero; forty at a constant one end as high
BATCH, RATE = 64, 4e-3
TRAINED_ON = 1300


@dataclass(frozen=True, eq=False)
class DigitsNet:
    """A trained network, what it was before, and the images that it was not trained with (n, 1, 8, 8), from 0 to 1."""

    model: Any
    start: Any
    images: Any
    labels: Any


def digits_data(seed: int = 0) -> tuple[Any, Any]:
    """All 1797 images (1797, 1, 8, 8) and labels, in a fixed random order."""
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return torch.tensor(data / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)[order], torch.tensor(target)[order]


def digits_start(seed: int = 0) -> Any:
    """The untrained network: three convolutions and two linear layers with torch's own start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )


@cache
def digits_net(seed: int = 0) -> DigitsNet:
    """Train the network; what is returned is shared by all tests and must be left as it is."""
    images, labels = digits_data()
    start = digits_start(seed).eval()
    model = deepcopy(start)
    order = torch.Generator().manual_seed(seed)
    batches = [part for _ in range(EPOCHS) for part in torch.randperm(TRAINED_ON, generator=order).split(BATCH)]
    parameters = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step, rows in enumerate(batches, start=1):  # Adam by hand: the one of torch loads a compiler
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        slopes = torch.autograd.grad(loss, parameters)
        rate = RATE * (1 + np.cos(np.pi * step / len(batches))) / 2
        with torch.no_grad():
            for p, g, m, v in zip(parameters, slopes, first, second, strict=True):
                m.lerp_(g, 0.1)
                v.lerp_(g.square(), 0.001)
                p -= rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
    return DigitsNet(model, start, images[TRAINED_ON:], labels[TRAINED_ON:])
