"""GRU weights, gate by gate in torch's order (reset, update, new)."""

from collections.abc import Iterator, Mapping

from modescope.layers._recurrent import blocks, evidence
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the class is declared, 2 by torch's names and three blocks of rows per hidden unit."""
    return evidence(tensor, tensors, frozenset({"GRU", "GRUCell"}), 3)


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """Three matrices: "gate r", "gate z" and "gate n"."""
    yield from blocks(tensor, ("r", "z", "n"))
