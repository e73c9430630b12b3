"""How many threads of torch share a step: those of small networks are over before a second one has woken up."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

LARGE = 1_000_000  # parameters from which a step is worth several threads


@contextmanager
def shared_by(count: int | None, networks: Sequence["nn.Module"]) -> Iterator[None]:
    """Set the number of threads that torch has meanwhile.

    Args:
        count: The number; None is one where all networks are small, and else what torch has.
        networks: What is trained.
    """
    import torch

    before = torch.get_num_threads()
    small = max(sum(one.numel() for one in network.parameters()) for network in networks) < LARGE
    torch.set_num_threads(count or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
