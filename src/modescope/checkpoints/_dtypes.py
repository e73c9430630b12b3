"""Names of stored dtypes as NumPy dtypes; bfloat16 and the 8-bit floats are known through ml_dtypes."""

from typing import Any

import ml_dtypes
import numpy as np

NARROW = frozenset(
    {
        "bfloat16",
        "float8_e3m4",
        "float8_e4m3",
        "float8_e4m3b11fnuz",
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
    }
)
PLAIN = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"}
    | {"float16", "float32", "float64", "complex64", "complex128"}
)


def numpy_dtype(stored: str) -> np.dtype[Any]:
    """The little-endian NumPy dtype of a stored name.

    Args:
        stored: One of `PLAIN` or `NARROW`, "float32" or "bfloat16".

    Returns:
        The dtype; its `name` is `stored`.
    """
    if stored in NARROW:
        narrow: np.dtype[Any] = np.dtype(getattr(ml_dtypes, stored))
        return narrow
    return np.dtype(stored).newbyteorder("<")
