"""Torch tensors as NumPy arrays in their stored dtype, and which of them can be; torch itself is imported by who has a tensor."""

from typing import Any

from modescope.checkpoints._dtypes import NARROW, PLAIN, numpy_dtype
from modescope.matrix import Array


def is_torch_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor, of whatever subclass, without importing torch."""
    return any(base.__name__ == "Tensor" and base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__)


def why_unreadable(tensor: Any) -> str | None:
    """Why a tensor has no plain array of numbers, or None where it has one."""
    if any(base.__name__ == "UninitializedTensorMixin" for base in type(tensor).__mro__):
        return "not initialised: the module has not seen an input yet"
    if getattr(tensor, "is_nested", False):
        return "nested tensor: rows of different lengths"
    if tensor.is_meta:
        return "on the meta device: it has a shape but no numbers"
    if str(tensor.layout) != "torch.strided":
        return f"stored {str(tensor.layout).removeprefix('torch.')}: not a dense array"
    if tensor.is_quantized:
        return f"quantised ({_name(tensor.dtype)}): not analysed without dequantising"
    if _name(tensor.dtype) not in PLAIN | NARROW:
        return f"dtype {_name(tensor.dtype)}: packed or unknown to NumPy"
    return None


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Shape of a tensor; () where it has none of its own."""
    if any(base.__name__ == "UninitializedTensorMixin" for base in type(tensor).__mro__) or getattr(tensor, "is_nested", False):
        return ()
    return tuple(tensor.shape)


def stored_name(tensor: Any) -> str:
    """NumPy or ml_dtypes name of the tensor's dtype."""
    return _name(tensor.dtype)


def storage_key(tensor: Any) -> tuple[Any, ...]:
    """Equal for two tensors exactly where they are the same numbers in the same memory."""
    place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), str(tensor.device)) if tensor.numel() else id(tensor)
    return place, tuple(tensor.shape), tensor.stride(), _name(tensor.dtype)


def as_array(tensor: Any) -> Array:
    """The numbers of a tensor on the CPU, read-only, in their stored dtype; without a copy where they are there already."""
    import torch

    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    name = _name(plain.dtype)
    if name in NARROW:
        plain = plain.view(torch.uint16 if plain.element_size() == 2 else torch.uint8)
    array: Array = plain.numpy()
    array = array.view(numpy_dtype(name)) if name in NARROW else array
    array.flags.writeable = False  # the memory is the model's own
    return array


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")
