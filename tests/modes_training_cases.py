"""Small tasks and networks for tests of training, and a network that kills its process in the middle of an epoch."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.tasks import Task, of_arrays
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import Grow, PruneBelow

SETTINGS: dict[str, Any] = {"epochs": 6, "batch": 16, "halve_every": 2, "clip": 5.0, "validation": 0.2, "seed": 3}
RULES: dict[str, Any] = {"prune": PruneBelow(0.3, every=3, start=3, least=2), "grow": Grow(1, most=6, every=2, start=2)}


def blobs(seed: int = 0, train: int = 80, test: int = 30) -> Task:
    """Three clouds in six dimensions, which overlap a little."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * rng.standard_normal((3, 6))
    y = rng.integers(0, 3, train + test)
    x = centres[y] + rng.standard_normal((train + test, 6))
    return of_arrays(x[:train], y[:train], x[train:], y[train:], name="blobs")


def teacher(rank: int, *, inputs: int = 12, outputs: int = 10, samples: int = 400) -> Task:
    """Numbers that a linear map of a chosen rank makes, with singular values between 1 and 2."""
    rng = np.random.default_rng(rank)
    u, v = (np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in (outputs, inputs))
    weight = (u * np.linspace(2, 1, rank)) @ v.T
    x = rng.standard_normal((samples + 100, inputs))
    y = x @ weight.T
    return of_arrays(x[:samples], y[:samples], x[samples:], y[samples:], name="teacher")


def net(seed: int = 0, modes: Any = (4, 3), **options: Any) -> ModeMLP:
    """6-8-3 in modes."""
    return ModeMLP([6, 8, 3], list(modes), over_complete=True, generator=torch.Generator().manual_seed(seed), **options)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all that is in the state dict."""
    return {name: one.detach().clone() for name, one in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two state dicts are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Fatal(ModeMLP):
    """6-8-3 with dropout, which ends its process, or raises, at a certain step of training."""

    def __init__(self, at: int | None = None, error: type[BaseException] | None = None) -> None:
        super().__init__([6, 8, 3], [4, 3], over_complete=True, generator=torch.Generator().manual_seed(0))
        self.left, self.error = at, error

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.left is not None:
            self.left -= 1
            if self.left < 0 and self.error is not None:
                raise self.error
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(nn.functional.dropout(x, 0.2, self.training))


def fatal_run(folder: Path, at: int) -> None:
    """Train until killed."""
    fit(Fatal(at), blobs(), folder=folder, **SETTINGS, **RULES)


if __name__ == "__main__":
    fatal_run(Path(sys.argv[1]), int(sys.argv[2]))
