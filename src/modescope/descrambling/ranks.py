"""P-values from the rank of a value among those of random draws; never 0, and values that differ by rounding count as equal."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

TIED = 1e-9  # of the larger of 1 and the value, within which two shares are one: in few dimensions all draws reach the same


def as_high(null: Values, value: float, /) -> float:
    """Probability that a draw reaches `value` or more, the value itself counted as one of the draws."""
    return (1 + int(np.count_nonzero(null >= value - _slack(value)))) / (1 + null.size)


def as_low(null: Values, value: float, /) -> float:
    """Probability that a draw stays at `value` or below, the value itself counted as one of the draws."""
    return (1 + int(np.count_nonzero(null <= value + _slack(value)))) / (1 + null.size)


def _slack(value: float) -> float:
    return TIED * max(1.0, abs(value))
