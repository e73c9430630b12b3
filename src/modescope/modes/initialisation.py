"""How modes begin: as published, at a chosen variance for any number of modes, or as the SVD of a dense draw.

`gain` is N Var W, with N the inputs (fan-in): 2 is He's for ReLU, 1 keeps the variance of linear layers.
"""

import math

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

from modescope.laws.haar_frames import frame
from modescope.modes.factors import Modes, of_svd
from modescope.svd import Values


def published(outputs: int, inputs: int, p: int, rng: np.random.Generator, gain: float = 2.0) -> Modes:  # noqa: ARG001
    """Every entry of every factor normal with standard deviation `(N ln N)^(-1/6)`, so that N Var W = p / ln N.

    That is 1 where p is about ln N, and more beyond: with many modes it starts several times above He's variance. `gain` has no
    effect. A single input counts as two, whose logarithm is not 0.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, and their public code.
    """
    fan = max(inputs, 2)
    return _normal(outputs, inputs, p, rng, (1 / (fan * math.log(fan))) ** (1 / 6))


def iid(outputs: int, inputs: int, p: int, rng: np.random.Generator, gain: float = 2.0) -> Modes:
    """Every entry of every factor normal with standard deviation `(gain / (p N))^(1/6)`, so that N Var W = gain for any p."""
    return _normal(outputs, inputs, p, rng, (gain / (p * inputs)) ** (1 / 6))


def spectral(outputs: int, inputs: int, p: int, rng: np.random.Generator, gain: float = 2.0) -> Modes:
    """The p leading modes of a dense Gaussian weight of variance gain / N, rescaled to its Frobenius norm, balanced.

    The dense weight is never formed: its singular vectors are Haar frames, independent of the singular values, which are those of a
    bidiagonal matrix of chi variables (Dumitriu & Edelman). Beyond p = min(outputs, inputs), further modes come from further draws
    and each draw is weakened, so that the variance of the weight stays.

    References:
        Dumitriu & Edelman (2002), doi:10.1063/1.1507823, theorem 3.1; Khodak et al. (2021), arXiv:2105.01029, for the use of it.
    """
    most = min(outputs, inputs)
    sizes = [min(most, p - start) for start in range(0, p, most)]
    drawn = [_leading(outputs, inputs, size, rng, gain / inputs) for size in sizes]
    share = 1 / math.sqrt(len(drawn))
    u, s, vh = zip(*drawn, strict=True)
    return of_svd(np.hstack(u), share * np.concatenate(s), np.vstack(vh))


def _normal(outputs: int, inputs: int, p: int, rng: np.random.Generator, sigma: float) -> Modes:
    return Modes(
        sigma * rng.standard_normal((outputs, p)), sigma * rng.standard_normal(p), sigma * rng.standard_normal((p, inputs))
    )


def _leading(outputs: int, inputs: int, p: int, rng: np.random.Generator, variance: float) -> tuple[Values, Values, Values]:
    values, norm = gaussian_values(outputs, inputs, p, rng)
    scale = math.sqrt(variance) * norm / float(np.linalg.norm(values))
    return frame(rng, p, outputs).T, scale * values, frame(rng, p, inputs)


def gaussian_values(outputs: int, inputs: int, p: int, rng: np.random.Generator) -> tuple[Values, float]:
    """The p largest singular values of a matrix of standard normal entries, and its Frobenius norm, in its exact joint law.

    Returns:
        (p,) values, descending, and the norm of all min(outputs, inputs) of them.
    """
    long, short = max(outputs, inputs), min(outputs, inputs)
    diagonal = np.sqrt(rng.chisquare(np.arange(long, long - short, -1)))
    beside = np.sqrt(rng.chisquare(np.arange(short - 1, 0, -1))) if short > 1 else np.zeros(0)
    squares = diagonal**2
    squares[1:] += beside**2
    found = eigvalsh_tridiagonal(squares, diagonal[:-1] * beside, select="i", select_range=(short - p, short - 1))
    values: Values = np.sqrt(np.maximum(found[::-1], 0.0))
    return values, math.sqrt(float(squares.sum()))
