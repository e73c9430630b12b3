"""Weights of a plain recurrent network, which has no gates: one matrix each for input and hidden state."""

from collections.abc import Iterator, Mapping

from modescope.layers._recurrent import evidence
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the class is declared, 2 by torch's names and a square hidden-to-hidden weight."""
    return evidence(tensor, tensors, frozenset({"RNN", "RNNCell"}), 1)


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The matrix as it is stored."""
    n_out, n_in = tensor.shape
    yield Matrix(tensor.name, "dense", (n_out, n_in), tensor.stored, tensor.read)
