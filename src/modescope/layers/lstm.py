"""LSTM weights, gate by gate in torch's order (input, forget, cell, output), and the projection of a projected LSTM."""

from collections.abc import Iterator, Mapping

from modescope.layers._recurrent import blocks, evidence
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the class is declared, 2 by torch's names and four blocks of rows per hidden unit."""
    return evidence(tensor, tensors, frozenset({"LSTM", "LSTMCell"}), 4)


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """Four matrices, "gate i", "gate f", "gate g" and "gate o"; or one, "projection"."""
    yield from blocks(tensor, ("i", "f", "g", "o"))
