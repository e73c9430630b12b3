"""Plain mappings from names to arrays: a state dict in memory, NumPy or torch, nested or flat."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from modescope.checkpoints import _torch_arrays
from modescope.checkpoints._dtypes import NARROW, PLAIN
from modescope.checkpoints._state import flatten
from modescope.matrix import Array, Skip, Tensor


def claims(source: Any, _head: bytes, /) -> int:
    """3 for a mapping."""
    return 3 if isinstance(source, Mapping) else 0


def tensors(source: Mapping[Any, Any], /) -> Iterator[Tensor | Skip]:
    """Every array of the mapping; keys of nested mappings are joined by dots.

    Args:
        source: Values may be NumPy arrays, torch tensors, or anything with `__array__`; one with a shape and a dtype
            of its own (an HDF5 dataset, say) is not read yet.

    Raises:
        UnreadableError: Two arrays have one name.
    """
    seen: dict[Any, Tensor] = {}
    skips: list[Skip] = []
    for item in flatten(source, _is_array, "mapping"):
        if isinstance(item, Skip):
            skips.append(item)
            continue
        found, key = _tensor(item.name, item.value)
        if isinstance(found, Skip):
            skips.append(found)
        elif key in seen:
            seen[key] = replace(seen[key], aliases=(*seen[key].aliases, item.name))
        else:
            seen[key] = found
    yield from seen.values()
    yield from skips


def _is_array(value: Any) -> bool:
    if isinstance(value, np.generic):  # a NumPy scalar
        return False
    return isinstance(value, np.ndarray) or _torch_arrays.is_torch_tensor(value) or hasattr(type(value), "__array__")


def _tensor(name: str, value: Any) -> tuple[Tensor | Skip, Any]:
    if _torch_arrays.is_torch_tensor(value):
        shape = _torch_arrays.shape_of(value)
        reason = _torch_arrays.why_unreadable(value)
        if reason is not None:
            return Skip(name, shape, reason), None
        return Tensor(
            name, shape, _torch_arrays.stored_name(value), partial(_torch_arrays.as_array, value)
        ), _torch_arrays.storage_key(value)
    dtype = getattr(value, "dtype", None)
    lazy = isinstance(dtype, np.dtype) and isinstance(getattr(value, "shape", None), tuple)
    array = value if lazy else np.asarray(value)
    if array.dtype.name not in PLAIN | NARROW:
        return Skip(name, tuple(array.shape), f"entries of dtype {array.dtype.name}: not numbers of a weight"), None
    return Tensor(name, tuple(array.shape), array.dtype.name, partial(_read, array)), _memory(array)


def _memory(array: Any) -> Any:
    """Equal for two arrays exactly where they are the same numbers in the same memory."""
    if isinstance(array, np.ndarray) and array.size:
        return array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str, array.dtype.name
    return id(array)


def _read(array: Any, /) -> Array:
    view: Array = np.asarray(array).view()
    view.flags.writeable = False  # the memory is the caller's own
    return view if view.dtype.isnative else view.astype(view.dtype.newbyteorder("="))
