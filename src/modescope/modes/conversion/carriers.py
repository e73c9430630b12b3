"""How many modes of a weight noise of its size cannot explain."""

from functools import partial

import numpy as np

from modescope.errors import MatrixError
from modescope.matrix import Array, Matrix
from modescope.outliers import fit, live
from modescope.spectrum import decompose

LEVEL = 0.01  # probability that pure noise shows one


def signal_modes(weight: Array, /, *, name: str = "weight", level: float = LEVEL) -> int | str:
    """Number of singular values above the noise of a weight, by the Marchenko-Pastur law.

    It says which modes stand out of noise, not that those below carry nothing: in networks that are trained well, much of what they
    know may lie inside the bulk.

    Args:
        weight: (out, in), finite.
        name: Stands for it in sentences.
        level: Probability that a weight of pure noise shows any.

    Returns:
        The number, which may be 0, or a sentence why there is no verdict.
    """
    a = np.asarray(weight)
    matrix = Matrix(name, "dense", (a.shape[0], a.shape[1]), str(a.dtype), partial(np.asarray, a))
    try:
        spectrum = decompose(matrix)
    except MatrixError as error:
        return str(error)
    part = live(spectrum)
    if isinstance(part, str):
        return part
    found = fit(spectrum, part, level=level)
    if isinstance(found, str):
        return found
    if not found.outliers:
        return "none of its modes stands out of noise"
    return found.outliers
