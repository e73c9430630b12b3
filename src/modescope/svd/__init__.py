"""Engines: arrays in, singular values and vectors out. An engine is a function; `exact` in `policy` chooses between them.

An engine takes a finite (out, in) array in any real dtype and orientation, with keyword-only `vectors`, and returns `Factors`.
It neither knows where the array came from nor writes to it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from modescope.matrix import Array

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Factors:
    """What an engine returns.

    Attributes:
        s: (k,) singular values, descending, float64.
        u: (out, k) or None.
        vh: (k, in) or None.
        engine: How they were computed, as a phrase; a driver that did not converge is named in it.
        floor: Relative accuracy floor: values below `floor * s[0]` are rounding of the algorithm.
        complete: False where only the largest values were asked for.
    """

    s: Values
    u: Values | None
    vh: Values | None
    engine: str
    floor: float
    complete: bool = True


class Engine(Protocol):
    """A function that decomposes one array."""

    def __call__(self, a: Array, /, *, vectors: bool = False) -> Factors:
        """Singular values of `a`, descending, and its vectors on request."""
