"""Dense maps stored (in, out), turned so that `y = W x` holds: `Conv1D` of GPT-2, `kernel` of JAX and Keras."""

from collections.abc import Iterator, Mapping
from functools import partial

from modescope.layers._heads import by_head
from modescope.layers._layouts import is_in_out
from modescope.layers._names import layer_class, named_freely, own
from modescope.layers._reasons import is_weight
from modescope.layers._rows import turned
from modescope.matrix import Matrix, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """2 where the class or the name (with its bias) says so; never 3, so that a fused projection may outrank it."""
    if len(tensor.shape) != 2:
        return 0
    declared = layer_class(tensor) == "Conv1D"
    kernel = tensor.leaf == "kernel" and named_freely(tensor)
    # A fused `c_attn` is stored the same way, but knows more.
    named = own(tensor.name) != "c_attn" and is_in_out(tensor, tensors)
    return 2 if (declared or kernel or named) and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """The matrix turned."""
    inputs, outputs = tensor.shape
    yield Matrix(tensor.name, "transposed", (outputs, inputs), tensor.stored, partial(turned, tensor.read))


def _heads(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    for matrix in views(tensor, tensors):
        yield from by_head(tensor, tensors, matrix, partial(turned, tensor.read))


requested = {"heads": _heads}
