"""Dense maps stored (out, in), as they are: linear layers, output heads, and any other matrix nothing more is known of."""

from collections.abc import Iterator, Mapping

from modescope.layers._heads import by_head
from modescope.layers._names import LINEAR, layer_class
from modescope.layers._reasons import is_weight
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """1 for a matrix, 2 where a linear layer is declared; never 3, so that a kind that knows more may outrank it."""
    if len(tensor.shape) != 2 or not is_weight(tensor, tensors):
        return 0
    return 2 if layer_class(tensor) in LINEAR else 1


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The matrix as it is stored."""
    rows, columns = tensor.shape
    yield Matrix(tensor.name, "dense", (rows, columns), tensor.stored, tensor.read)


def _heads(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    for matrix in views(tensor, tensors):
        yield from by_head(tensor, tensors, matrix, tensor.read)


requested = {"heads": _heads}
