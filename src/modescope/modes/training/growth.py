"""Growing and pruning modes while a network trains: small rules that are asked between two epochs.

Where a network both prunes and grows, it prunes first. What has just grown has no importance yet: give it some epochs, by `every`,
before the next pruning.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modescope.errors import UsageError
from modescope.modes.factors import svd, truncated
from modescope.modes.training.resizing import add, drop, exchange

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from modescope.modes.modules.base import ModeLayer

Rule = Callable[["ModeLayer", int, "Optimizer", np.random.Generator], str | None]
"""Takes a layer, the number of the epoch that begins (2 or more), the optimizer and where to draw from; changes the layer, or not,
and says what it did in a sentence. It must depend on nothing else, so that a resumed training is the same."""


@dataclass(frozen=True)
class PruneBelow:
    """Drop the modes whose importance omega is below a share of the largest of their layer; the others stay as they are.

    Which of several modes that share one direction is the small one depends on training: weight decay on the factors, which
    minimises a sum of omega^(2/3), is what sets them apart. `KeepEnergy` does not depend on it.

    Attributes:
        share: Of the largest omega.
        every: Epochs from one pruning to the next.
        start: First epoch before which it may happen.
        least: Modes that are kept at least.
    """

    share: float = 0.01
    every: int = 1
    start: int = 2
    least: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(f"PruneBelow: expected a share of the largest omega above 0 and below 1, got {self.share}.")
        _check(self)

    def __call__(self, layer: "ModeLayer", epoch: int, optimizer: "Optimizer", rng: np.random.Generator) -> str | None:  # noqa: ARG002
        """Prune, where it is time."""
        if not _due(self, epoch):
            return None
        omega = layer.modes().omega
        order = np.argsort(-omega, kind="stable")
        count = max(int((omega >= self.share * omega.max()).sum()), min(self.least, omega.size))
        if count == omega.size:
            return None
        drop(layer, order[:count], optimizer)
        return f"{omega.size} modes to {count}: omega of the others is below {self.share:g} of the largest"


@dataclass(frozen=True)
class KeepEnergy:
    """Keep as many singular modes of the weight as hold a share of its energy, exactly and in the balanced gauge.

    All modes are then new ones, orthogonal within the layer, and the optimizer begins anew with them.

    Attributes:
        energy: Share of ||W||_F^2 that is kept at least.
        every: Epochs from one pruning to the next.
        start: First epoch before which it may happen.
        least: Modes that are kept at least.
    """

    energy: float = 0.999
    every: int = 5
    start: int = 2
    least: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.energy < 1:
            raise UsageError(f"KeepEnergy: expected a share of the energy above 0 and below 1, got {self.energy}.")
        _check(self)

    def __call__(self, layer: "ModeLayer", epoch: int, optimizer: "Optimizer", rng: np.random.Generator) -> str | None:  # noqa: ARG002
        """Prune, where it is time."""
        if not _due(self, epoch):
            return None
        modes = layer.modes()
        squares = svd(modes)[1] ** 2
        if not squares[0]:
            return None  # of a weight of 0, no modes could be learnt again
        left = 1 - np.cumsum(squares) / squares.sum()
        count = min(max(int(np.argmax(left <= 1 - self.energy)) + 1, self.least), squares.size)
        if count >= modes.count:
            return None
        exchange(layer, truncated(modes, count), optimizer)
        return f"{modes.count} modes to {count}, which hold {1 - max(left[count - 1], 0.0):.6g} of the energy"


@dataclass(frozen=True)
class Grow:
    """Add modes that change nothing at first: output patterns of 0, fresh input patterns.

    Attributes:
        count: Modes that are added at a time.
        most: Modes of a layer at most; by default as many as still save parameters and add rank.
        every: Epochs from one growth to the next.
        start: First epoch before which it may happen.
    """

    count: int = 2
    most: int | None = None
    every: int = 5
    start: int = 2

    def __post_init__(self) -> None:
        if self.count < 1 or (self.most is not None and self.most < 1):
            raise UsageError(f"Grow: expected a count and a limit of 1 or more, got {self.count} and {self.most}.")
        _check(self)

    def __call__(self, layer: "ModeLayer", epoch: int, optimizer: "Optimizer", rng: np.random.Generator) -> str | None:
        """Grow, where it is time."""
        before = layer.n_modes
        room = (layer.cost.most if self.most is None else self.most) - before
        if not _due(self, epoch) or room < 1:
            return None
        add(layer, min(self.count, room), rng, optimizer)
        return f"{before} modes to {layer.n_modes}, which change nothing yet"


def _due(rule: Any, epoch: int) -> bool:
    due: bool = epoch >= rule.start and (epoch - rule.start) % rule.every == 0
    return due


def _check(rule: Any) -> None:
    for name, least in (("every", 1), ("start", 2), ("least", 1)):
        value = getattr(rule, name, least)
        if value < least:
            raise UsageError(f"{type(rule).__name__}: expected {name} of {least} or more, got {value}.")
