"""Train small convolutional networks on scikit-learn's handwritten digits, in torch and double precision.

Recipe: convolutions 1-12-24-48 of 3 x 3, batch norm and ReLU behind each, halved in size twice, and a linear layer; the images and
their split are those of `digits_mlp.py`. Adam on the cross-entropy in batches of 64, 12 epochs at a rate of 2e-3.
"""

import numpy as np
import torch
from digits_mlp import data
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

WIDTHS, EPOCHS, BATCH, RATE = (12, 24, 48), 12, 64, 2e-3


def images() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Images (n, 1, 8, 8) and labels, to train and to test."""
    x, y, x_test, y_test = (torch.tensor(part) for part in data())
    return (x.reshape(-1, 1, 8, 8), y), (x_test.reshape(-1, 1, 8, 8), y_test)


def network(seed: int) -> nn.Sequential:
    """Untrained, in double precision."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for n_in, n_out in zip((1, *WIDTHS), WIDTHS, strict=False):
        pool = nn.MaxPool2d(2) if n_in > 1 else nn.Identity()
        parts += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(), pool]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(WIDTHS[-1] * 4, 10)).double()


def train(model: nn.Sequential, seed: int) -> None:
    """Adam on the cross-entropy, in place."""
    (pictures, labels), _ = images()
    generator, optimizer = torch.Generator().manual_seed(seed), torch.optim.Adam(model.parameters(), lr=RATE)
    model.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(pictures), generator=generator).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pictures[rows]), labels[rows]).backward()
            optimizer.step()


def responses(model: nn.Sequential, pictures: Tensor) -> dict[str, tuple[Array, Array]]:
    """By convolution, what goes into the ReLU behind it and what comes out: channels in columns, a row an image and position."""
    found, x, before, name = {}, pictures, pictures, ""
    with torch.no_grad():
        for place, part in enumerate(model):
            before, x = x, part(x)
            name = f"{place}.weight" if isinstance(part, nn.Conv2d) else name
            if isinstance(part, nn.ReLU):
                found[name] = tuple(y.movedim(1, -1).flatten(0, -2).numpy() for y in (before, x))
    return found
