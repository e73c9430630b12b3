"""What a reading asks of an array before it looks at it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.errors import UsageError

LARGE = 1e145  # size whose square, times the square of another number of ordinary size, float64 still holds


def real(values: ArrayLike, what: str, /) -> NDArray[np.float64]:
    """The array as float64, of any shape and with what is not finite left in it.

    Args:
        values: Real numbers, whole ones and bfloat16 included.
        what: Its name in a message.

    Raises:
        UsageError: They are complex, text or objects, or of no rectangular shape.
    """
    try:
        given = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what}: expected an array of real numbers, got {type(values).__name__}: {error}") from error
    if given.dtype.kind not in "biufV" or given.dtype.type is np.void:  # ml_dtypes are of kind V, and raw bytes are too
        raise UsageError(f"{what}: expected real numbers, got shape {given.shape} of {given.dtype}.")
    return given.astype(np.float64, copy=False)


def squarable(size: float, what: str, /) -> None:
    """Refuse numbers whose squares leave the range of float64, as every criterion here is a sum of squares.

    Args:
        size: The largest modulus among them; zero is no error.
        what: Their name in a message.

    Raises:
        UsageError: It is above 1e145 or, but for zero, below 1e-145.
    """
    if size and not 1 / LARGE <= size <= LARGE:
        raise UsageError(
            f"{what}: expected numbers whose squares float64 can hold, of size 1e-145 to 1e145, got {size:.1e}. "
            "Give them in another unit: the scale moves no rotation."
        )


def finite_matrix(values: ArrayLike, what: str, /) -> NDArray[np.float64]:
    """The array as float64.

    Args:
        values: (rows, columns) real numbers.
        what: Its name in a message.

    Raises:
        UsageError: It is no matrix, empty, not real or not finite.
    """
    array = real(values, what)
    if array.ndim != 2 or 0 in array.shape:
        raise UsageError(f"{what}: expected a matrix (rows, columns), got shape {array.shape}.")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise UsageError(f"{what}: {bad} of {array.size} entries of the {array.shape[0]} x {array.shape[1]} matrix are not finite.")
    return array
