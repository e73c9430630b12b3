"""Layers that take turns at the same work: a training step or a forward pass of each, and the round whose ratio is the median."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from _measure import Ratio
from _processor import spent
from torch import Tensor, nn

Work = Callable[[], None]
Call = Callable[[Tensor], Tensor]


def turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Processor time of each, round after round; a round before them does not count, and every other one runs backwards.

    In its turn each runs once before the run that counts, so that it finds the caches as its own loop of steps leaves them, and not
    as the other layers do.
    """
    clocks = {name: spent(work) for name, work in works.items()}
    found: dict[str, list[float]] = {name: [] for name in clocks}
    for turn in range(rounds + 1):
        for name in list(clocks) if turn % 2 else reversed(clocks):
            works[name]()
            cost = clocks[name]()
            if turn:
                found[name].append(cost)
    return found


def ratio(name: str, against: str, ours: list[float], theirs: list[float], *, limit: float | None, **words: Any) -> Ratio:
    """The median ratio of the rounds, with the two times of that round."""
    pairs = sorted(zip(ours, theirs, strict=True), key=lambda pair: pair[0] / pair[1])
    mine, other = pairs[len(pairs) // 2]
    return Ratio(name, against, limit, mine / other, mine, other, **words)


def predicted(found: Ratio, share: float) -> Ratio:
    """The same row with the ratio that multiply-adds predict beside what was measured."""
    assert found.value is not None
    said = f"{share:.3g} by multiply-adds, measured {found.value / share:.2g} x that"
    return Ratio(**{**vars(found), "remark": ". ".join(filter(None, (said, found.remark)))})


def adam(layer: nn.Module) -> torch.optim.Optimizer:
    """AdamW in its fused form, so that neither layer waits for it."""
    return torch.optim.AdamW(layer.parameters(), lr=1e-6, fused=True)


def step(layer: nn.Module, x: Tensor, *, call: Call | None = None, optimizer: torch.optim.Optimizer | None = None) -> Work:
    """Forward, backward to weights and input, as of a layer between others, and the optimizer's step."""
    forward, inputs, held = call or layer, x.detach().requires_grad_(), optimizer or adam(layer)
    gradient = torch.randn(forward(inputs).shape)

    def run() -> None:
        held.zero_grad()
        inputs.grad = None
        forward(inputs).backward(gradient)
        held.step()

    return run


def inference(layer: nn.Module, x: Tensor, repeats: int = 1) -> Work:
    """Forward passes without a graph."""

    def run() -> None:
        with torch.inference_mode():
            for _ in range(repeats):
                layer(x)

    return run
