"""Which engine when: the Gram route first, LAPACK where a small singular value matters and the Gram route cannot give it."""

import math

import numpy as np

from modescope.matrix import Array
from modescope.svd import Factors
from modescope.svd.gram import SAFE, gram
from modescope.svd.lapack import lapack

TRUSTED = 1e-5  # smallest relative value down to which the Gram route's vectors are used


def exact(a: Array, /, *, vectors: bool = False, rounding: float = 0.0) -> Factors:
    """All singular values to 1e-6 relative or to the rounding edge of the storage, whichever is larger.

    Args:
        a: (out, in), finite, any real dtype.
        vectors: Also compute all vectors, orthonormal to float64 rounding.
        rounding: Values below this are noise of the storage (`Entries.rounding`); they are not worth a second decomposition.

    Returns:
        `Factors` of the Gram route, or of LAPACK where the Gram route did not converge or `s_min / s_1` is below 3e-6
        (1e-5 with vectors) and not known to be rounding of the storage.

    Raises:
        numpy.linalg.LinAlgError: No driver converged.
    """
    try:
        found = gram(a, vectors=vectors)
    except np.linalg.LinAlgError:
        return _say(lapack(a, vectors=vectors), "as the Gram route did not converge")
    top, least = float(found.s[0]), float(found.s[-1])
    limit = TRUSTED if vectors else SAFE
    if top == 0 and not vectors:
        return found
    if not math.isfinite(top) or least < limit * top or top == 0:
        if not vectors and rounding >= SAFE * top > 0:
            return found
        return lapack(a, vectors=vectors)
    return found


def _say(factors: Factors, why: str) -> Factors:
    return Factors(factors.s, factors.u, factors.vh, f"{factors.engine} ({why})", factors.floor, factors.complete)
