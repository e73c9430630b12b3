"""Arrays that lie in a file as plain bytes, mapped into memory when they are read."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Array

MOST_AXES = 64
MOST_BYTES = 2**63 - 1


def mapped(
    path: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, order: Literal["C", "F"] = "C", /
) -> Array:
    """Map one array of a file.

    Args:
        path: The file.
        name: The tensor, for errors.
        dtype: As it lies in the file; another byte order than the machine's costs a copy.
        shape: Its shape; the product may be zero.
        offset: First byte, of any alignment.
        order: "F" where the first axis runs fastest.

    Returns:
        A read-only array of `shape`.

    Raises:
        UnreadableError: The file is gone, or shorter than when it was opened.
    """
    if 0 in shape:  # an empty range of bytes cannot be mapped
        return np.empty(shape, dtype.newbyteorder("="))
    try:
        array: Array = np.asarray(np.memmap(path, dtype, "r", offset, shape, order))
    except (OSError, ValueError) as error:
        raise UnreadableError(
            f"{path}: tensor {shown(name)}: the file changed since it was opened ({error}). Open it again."
        ) from error
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def byte_count(shape: tuple[int, ...], itemsize: int) -> int | None:
    """Bytes of an array, or None where no array can have this shape (too many axes, or more bytes than an address reaches).

    Zero axes count as one for the limit, because NumPy refuses `(0, 2**62, 2**62)` as well.
    """
    if len(shape) > MOST_AXES or any(axis < 0 for axis in shape):
        return None
    if math.prod(max(axis, 1) for axis in shape) * itemsize > MOST_BYTES:
        return None
    return math.prod(shape) * itemsize
