"""Lists of eigenvalues, slow twins as the papers state them, and spectra with chosen values."""

import math
from functools import partial

import numpy as np

from modescope.entries import survey
from modescope.matrix import Matrix
from modescope.spectrum import Spectrum


def pareto(n, alpha, seed, xmin=1.0):
    return xmin * (1.0 - np.random.default_rng(seed).random(n)) ** (-1.0 / (alpha - 1.0))


def noise_values(n, m, seed):
    return np.linalg.svd(np.random.default_rng(seed).normal(size=(n, m)), compute_uv=False) ** 2


def lists():
    """Name -> values: every shape of tail the search must get right."""
    rng = np.random.default_rng(0)
    return {
        "pareto": pareto(500, 2.5, 1),
        "steep pareto": pareto(300, 6.0, 2),
        "gaussian square": noise_values(200, 200, 3),
        "gaussian wide": noise_values(600, 150, 4),
        "lognormal": rng.lognormal(0.0, 1.0, 400),
        "student": rng.standard_t(2, 300) ** 2,
        "body and tail": np.concatenate([rng.uniform(0.01, 1.0, 400), pareto(60, 3.0, 5)]),
        "ties": np.ceil(pareto(300, 2.0, 6) * 4),
        "bootstrap ties": rng.choice(pareto(200, 2.5, 7), 200),
        "twenty": pareto(20, 2.0, 8),
        "narrow": 1.0 + 1e-6 * rng.random(100),
        "wide": 10.0 ** rng.uniform(-12, 12, 200),
    }


def scan(values, two_sided):
    """Clauset, Shalizi & Newman (2009), eqs. 3.1 and 3.9, one candidate after the other: [(ks, index, alpha)]."""
    x = np.sort(values)
    found = []
    for index in range(x.size):
        if x[index] == x[-1] or (index and x[index] == x[index - 1]):
            continue
        tail = x[index:]
        n = tail.size
        alpha = 1.0 + n / sum(math.log(value / x[index]) for value in tail)
        law = 1.0 - (tail / x[index]) ** (1.0 - alpha)
        ks = np.abs(np.arange(n) / n - law).max()
        if two_sided:
            ks = max(ks, np.abs(np.arange(1, n + 1) / n - law).max())
        found.append((float(ks), index, alpha))
    return found


def best(values, two_sided):
    """The first candidate of the smallest distance, rounding aside: (ks, index, alpha)."""
    found = scan(values, two_sided)
    smallest = min(ks for ks, _, _ in found)
    return next(item for item in found if item[0] <= smallest + 1e-13)


def matrix(a, tensor="layer.weight"):
    return Matrix(tensor, "dense", a.shape, a.dtype.name, partial(np.asarray, a))


def of_matrix(a, tensor="layer.weight"):
    """Spectrum of an array, from the plain float64 SVD."""
    s = np.linalg.svd(a.astype(np.float64), compute_uv=False)
    return Spectrum(matrix(a, tensor), s, entries=survey(a))


def of_values(values, tensor="layer.weight"):
    """Spectrum with chosen eigenvalues and no entries behind it."""
    s = np.sqrt(np.sort(np.asarray(values, dtype=np.float64))[::-1])
    return Spectrum(Matrix(tensor, "dense", (s.size, 2 * s.size), "float64", partial(np.zeros, (1, 1))), s)


def with_values(s, shape, seed):
    """Matrix of a shape with chosen singular values and random vectors."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.normal(size=(side, s.size)))[0] for side in shape)
    return (u * s) @ v.T
