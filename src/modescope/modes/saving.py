"""Write tensors to a safetensors file, so that a disk that is full is an error of the system like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def save(tensors: "Mapping[str, Tensor]", path: Path, metadata: Mapping[str, str], /) -> None:
    """Write torch tensors, as the library of the format does.

    Raises:
        OSError: The file cannot be written, which that library says in an error of its own.
    """
    from safetensors.torch import save_file

    _as_system_error(save_file, dict(tensors), path, metadata)


def save_arrays(arrays: Mapping[str, Any], path: Path, metadata: Mapping[str, str], /) -> None:
    """Write NumPy arrays likewise.

    Raises:
        OSError: As `save`.
    """
    from safetensors.numpy import save_file

    _as_system_error(save_file, dict(arrays), path, metadata)


def _as_system_error(write: Any, tensors: dict[str, Any], path: Path, metadata: Mapping[str, str]) -> None:
    from safetensors import SafetensorError

    try:
        write(tensors, path, dict(metadata))
    except SafetensorError as error:
        raise OSError(str(error)) from error
