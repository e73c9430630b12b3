"""Networks in modes and dense ones that are trained on digits within seconds, once for all tests that read them."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from modescope.modes.modules.linear import ModeLinear
from modescope.modes.tasks import Task, digits

WIDTH, MODES, EPOCHS, BATCH = 100, 30, 20, 50


@cache
def task() -> Task:
    return digits()


def untrained(modes: int | None = MODES, *, seed: int = 0, init: str = "published") -> nn.Sequential:
    """64-100-100-10 without biases; dense where there is no number of modes."""
    drawn = torch.Generator().manual_seed(seed)
    sizes = ((64, WIDTH), (WIDTH, WIDTH), (WIDTH, 10))
    layers: list[nn.Module] = []
    for inputs, outputs in sizes:
        if modes is None:
            dense = nn.Linear(inputs, outputs, bias=False)
            nn.init.normal_(dense.weight, std=inputs**-0.5, generator=drawn)
            layers += [dense, nn.ReLU()]
        else:
            layers += [ModeLinear(inputs, outputs, modes, bias=False, init=init, generator=drawn), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@cache
def trained(modes: int | None = MODES, *, seed: int = 0) -> nn.Sequential:
    """The same after training as the note on modes has it, but for fewer epochs. Tests give it back as it was."""
    net, data = untrained(modes, seed=seed), task()
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    steps = torch.optim.AdamW(net.parameters(), lr=0.005 if modes else 0.003, weight_decay=1e-4, fused=True)
    halving = torch.optim.lr_scheduler.StepLR(steps, EPOCHS // 3, 0.5)
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(x)), len(x) // BATCH):
            steps.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
            steps.step()
        halving.step()
    return net.eval()


def accuracy(net: nn.Module) -> float:
    data = task()
    with torch.no_grad():
        return float((net(torch.from_numpy(data.x_test)).argmax(1).numpy() == data.y_test).mean())


def state(net: nn.Module) -> dict[str, Any]:
    """Everything that reading must leave as it is."""
    return {
        **{name: one.clone() for name, one in net.state_dict().items()},
        "training": [one.training for one in net.modules()],
        "hooks": [(len(one._forward_hooks), len(one._forward_pre_hooks)) for one in net.modules()],
        "gradients": [one.grad is None for one in net.parameters()],
    }


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(held, other[name]) if isinstance(held, torch.Tensor) else held == other[name] for name, held in one.items()
    )
