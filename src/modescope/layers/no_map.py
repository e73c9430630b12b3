"""Tensors that hold no linear map (biases, norms, statistics, masks, optimizer state, packed integers), each with its reason."""

from collections.abc import Iterator, Mapping

from modescope.layers._factors import belongs
from modescope.layers._reasons import why_not
from modescope.matrix import Skip, Tensor


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """2 where a reason is known; never 3, so that a kind for a declared storage (packed weights, say) may outrank it."""
    return 2 if not belongs(tensor, tensors) and why_not(tensor, tensors) is not None else 0


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Skip]:
    """The reason."""
    reason = why_not(tensor, tensors)
    if reason is not None:
        yield Skip(tensor.name, tensor.shape, reason)
