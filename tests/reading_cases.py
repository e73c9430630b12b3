"""How one vector is fitted: a search among all parameters, and the best curve near what it finds."""

import numpy as np

from modescope.descrambling.families import Family
from modescope.descrambling.separable import Solution, projected, solved


def fit(family: Family, vector: np.ndarray) -> Solution:
    centred = vector - vector.mean()
    grid = family.grid(vector.size)
    unit = centred[None] / np.linalg.norm(centred)
    theta, _ = projected(family.columns, grid, unit, searched=family.searched, starts=family.starts)
    return solved(family.columns, grid, vector, theta[0], searched=family.searched)
