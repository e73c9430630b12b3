"""Tensors of labels: beside a tensor, the number of the channel that each of its entries belongs to.

Labels are float64, since every function that moves entries takes it, and it counts exactly to 2**53. Along axes on which they do
not change they are held once, by a stride of 0.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from modescope.spectral_graph.wiring import Rows

Labels = Any  # a torch tensor; torch is not imported here


def numbers(labels: Labels) -> Rows:
    (small,) = shrunk(labels)
    found: Rows = np.unique(small.reshape(-1).numpy()).astype(np.int64)
    return found


def marked(labels: Labels) -> bool:
    (small,) = shrunk(labels)
    return bool((small > 0).any())


def shrunk(*labels: Labels) -> tuple[Labels, ...]:
    """Tensors of one shape, with the axes along which all are constant by their strides cut to one entry."""
    shape = labels[0].shape
    once = tuple(
        slice(0, 1) if size > 1 and not any(one.stride(axis) for one in labels) else slice(None) for axis, size in enumerate(shape)
    )
    return tuple(one[once] for one in labels) if shape else labels


def compact(labels: Labels) -> Labels:
    """The same labels, held once along axes on which they do not change."""
    (small,) = shrunk(labels)
    for axis in range(small.ndim):
        first = small.narrow(axis, 0, 1) if small.shape[axis] > 1 else small
        if small.shape[axis] > 1 and bool((small == first).all()):
            small = first
    return small.expand(labels.shape)


def address(tensor: Any) -> int | None:
    return int(tensor.untyped_storage().data_ptr()) or None if str(tensor.layout) == "torch.strided" else None


def is_float(value: Any) -> bool:
    return hasattr(value, "untyped_storage") and bool(value.is_floating_point() or value.is_complex())


def floats(value: Any) -> Iterator[Any]:
    """All tensors of floating or complex numbers in nested containers."""
    return filter(is_float, tensors(value))


def tensors(value: Any) -> Iterator[Any]:
    """All tensors in nested containers."""
    if hasattr(value, "untyped_storage"):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from tensors(part)
    elif hasattr(value, "__dataclass_fields__"):
        yield from tensors(vars(value))
