"""Trainings to watch: a small classifier of handwritten digits, a store that only remembers, and a clock that stands still."""

from dataclasses import dataclass, field
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from modescope.result import Scan


@dataclass
class Memory:
    """A store that keeps what it is given; it may fail, and may take its time."""

    fails: list[BaseException | None] = field(default_factory=list)
    clock: "Clock | None" = None
    seconds: list[float] = field(default_factory=list)
    calls: int = 0
    kept: dict[tuple[str, int | None], Scan] = field(default_factory=dict)

    def append(self, scan: Scan, *, run: str, step: int | None = None) -> None:
        self.calls += 1
        if self.clock is not None and self.seconds:
            self.clock.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        self.kept[run, step] = scan

    @property
    def steps(self) -> list[int | None]:
        return [step for _, step in self.kept]


@dataclass
class Clock:
    """Time that passes only when told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def network(seed: int = 0, *, width: int = 48) -> nn.Sequential:
    """Digits classifier with dropout, so that its training draws random numbers."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 10))


@cache
def digits() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def batch(optimizer: torch.optim.Optimizer, model: nn.Module, size: int = 32) -> float:
    """One training step on a random batch, drawn from torch's global stream."""
    images, labels = digits()
    some = torch.randint(len(images), (size,))
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images[some]), labels[some])
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
