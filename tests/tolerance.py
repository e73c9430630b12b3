"""How far two correct computations may differ, from the precision, the size and the scale of what they compute."""

import math

import ml_dtypes
import numpy as np


def tol(dtype: str, shape: tuple[int, ...], scale: float) -> float:
    """Absolute tolerance of a backward-stable computation: `8 sqrt(longest side) eps * scale`."""
    eps = float(ml_dtypes.finfo(np.dtype(getattr(ml_dtypes, dtype, dtype))).eps)
    return 8 * math.sqrt(max(shape)) * eps * scale
