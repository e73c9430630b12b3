"""How a network is trained: every setting that its weights depend on, checked before work starts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Takes outputs (n, outputs) and what was to be said, and gives the mean loss of a sample as a tensor without axes."""

Penalty = Callable[["Module"], "Tensor"]
"""Takes the network and gives what is added to the loss of every step."""

OPTIMIZER = "adamw"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training. Two trainings of equal networks on equal data by equal recipes give equal weights on one machine.

    Attributes:
        epochs: Times that all samples are gone through.
        batch: Samples in a step.
        lr: Learning rate of the first epoch.
        weight_decay: Decay, decoupled as in AdamW: a step takes `lr * weight_decay` of each weight off. Biases and the scales of
            norms are not decayed.
        halve_every: Epochs after which the learning rate is halved, again and again; None keeps it.
        seed: Derives the order of the samples, the held-out ones, and whatever layers draw as they run.
        optimizer: "adamw", or a function that takes the parameters and gives an optimizer, which then has its own lr and decay.
        loss: Mean loss of a batch; None is cross-entropy of classes, and the squared error of signs and numbers.
        penalty: Added to the loss of each step; None is nothing.
        validation: Share of the training samples that is held out and not learnt from.
        patience: Epochs without a better validation after which the training stops, with the weights of the best one.
        clip: Largest norm of all gradients together; None is no limit.
        autocast: Whether the network runs in bfloat16, with weights in their own precision.
    """

    epochs: int = 60
    batch: int = 50
    lr: float = 0.005
    weight_decay: float = 1e-4
    halve_every: int | None = 20
    seed: int = 0
    optimizer: str | Callable[..., Any] = OPTIMIZER
    loss: Loss | None = None
    penalty: Penalty | None = None
    validation: float = 0.0
    patience: int | None = None
    clip: float | None = None
    autocast: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("halve_every", 1), ("patience", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UsageError(f"{name}: expected a whole number of {least} or more, got {value!r}.")
        for name, needed, fits in (
            ("lr", "a number above 0", 0 < self.lr < math.inf),
            ("weight_decay", "a number of 0 or more", 0 <= self.weight_decay < math.inf),
            ("validation", "a share of the training samples from 0 to below 1", 0 <= self.validation < 1),
            ("clip", "a norm above 0, or none", self.clip is None or 0 < self.clip < math.inf),
        ):
            if not fits:
                raise UsageError(f"{name}: expected {needed}, got {getattr(self, name)}.")
        if self.patience is not None and not self.validation:
            raise UsageError(
                "patience: expected validation above 0 with it, as 0.1: to stop by the test samples would be to learn from them."
            )
        if isinstance(self.optimizer, str) and self.optimizer != OPTIMIZER:
            raise UsageError(f"optimizer: expected {OPTIMIZER} or a function of the parameters, got {self.optimizer!r}.")

    def settings(self) -> dict[str, Any]:
        """The settings as plain data; functions by name."""
        return {name: named(value) if callable(value) else value for name, value in vars(self).items()}


def named(function: Any, /) -> str:
    """What a function or policy is called in settings: its name, or how it prints where it is an object with settings."""
    name = getattr(function, "__qualname__", None)
    if name is not None:
        return f"{function.__module__}.{name}"
    inner = getattr(function, "func", None)
    if inner is not None:  # of functools.partial, which prints an address
        options = ", ".join(f"{key}={value!r}" for key, value in sorted(function.keywords.items()))
        return f"{named(inner)}({', '.join([*map(repr, function.args), options])})"
    return repr(function)
