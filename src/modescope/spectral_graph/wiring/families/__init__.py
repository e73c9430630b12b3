"""Architectures that a config.json names: one file per family says which of its layers read, write and stand inside which stream.

A family has `claims(model_type) -> int` (0 none, 3 where the configuration names it) and `wire(checkpoint, /, *, view=None) ->
Wiring`, where `view` is None, "heads" or "circuits". A layer of the checkpoint that is not in the table of its family is a gap.
"""

from types import ModuleType
from typing import Protocol

from modescope.checkpoints import Checkpoint
from modescope.registry import modules, strongest
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.weights import config


class Family(Protocol):
    """What a module in this folder must offer."""

    def claims(self, model_type: str, /) -> int:
        """3 where the name of the architecture is one of its own."""

    def wire(self, checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
        """The wiring of a checkpoint of this family."""


def family(checkpoint: Checkpoint) -> ModuleType | None:
    """The family that the configuration of a checkpoint names, or None."""
    name = config(checkpoint, "model_type")
    known = families()
    winner = strongest({key: module.claims(name) for key, module in known.items()}, f"model_type {name!r}") if name else None
    return None if winner is None else known[winner]


def families() -> dict[str, ModuleType]:
    """Every family by the name of its file."""
    return dict(modules(__name__))
