"""The volume-preserving tail: how many of the largest eigenvalues have a product of one when their mean is one."""

import numpy as np
from numpy.typing import ArrayLike


def volume_tail(values: ArrayLike) -> int:
    """Number of largest values after which the running product of `values / mean` first falls below one.

    Noise has such a tail, too: of Marchenko-Pastur eigenvalues it holds .7311 at q = 1, .8145 at 1/2, .8699 at 1/4. Logarithms are
    summed, since the product itself overflows from some thousand values on.

    Args:
        values: Non-negative, in any order, not all zero.

    Returns:
        The number of values, all of them where the product never falls below one.

    References:
        Martin & Hinrichs (2025), arXiv:2507.17912.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())[::-1]
    x = x[x > 0.0] / x.mean()
    below = np.flatnonzero(np.cumsum(np.log(x)) < 0.0)
    return int(below[0]) + 1 if below.size else x.size
