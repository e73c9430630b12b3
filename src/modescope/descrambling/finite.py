"""What a reading asks of an array before it looks at it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.errors import UsageError


def finite_matrix(values: ArrayLike, what: str, /) -> NDArray[np.float64]:
    """The array as float64.

    Args:
        values: (rows, columns) real numbers.
        what: Its name in a message.

    Raises:
        UsageError: It is no matrix, empty, not real or not finite.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "fiub":
        raise UsageError(f"{what}: expected real numbers, got {given.dtype}.")
    array = np.asarray(given, dtype=np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise UsageError(f"{what}: expected a matrix (rows, columns), got shape {array.shape}.")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise UsageError(f"{what}: {bad} of {array.size} entries of the {array.shape[0]} x {array.shape[1]} matrix are not finite.")
    return array
