"""Matrices whose spectrum is known by construction: noise of several kinds, planted directions, unequal rows."""

from functools import partial

import numpy as np

from modescope.matrix import Matrix
from modescope.spectrum import Spectrum, decompose

GIANTS = np.array([1.3, 1.15, 1.0, 0.8, 0.65])  # relative strengths of the five spikes that carry half of the energy


def _given(a):
    return a


def matrix(a, name="w", view="dense"):
    return Matrix(name, view, a.shape, a.dtype.name, partial(_given, a))


def spectrum(a, name="w", view="dense"):
    """Through the library's own decomposition."""
    return decompose(matrix(a, name, view))


def spectrum_of_values(s, shape):
    """A spectrum by its values alone, as of an operator that is never formed."""
    return Spectrum(Matrix("w", "given", shape, "float64", partial(_given, None)), np.asarray(s, dtype=np.float64))


def with_values(s, out, in_, seed=0):
    """An (out, in_) matrix with the singular values `s`."""
    random = np.random.default_rng(seed)
    u = np.linalg.qr(random.standard_normal((out, len(s))))[0]
    v = np.linalg.qr(random.standard_normal((in_, len(s))))[0]
    return (u * np.asarray(s)) @ v.T


def gaussian(out, in_, seed):
    return np.random.default_rng(seed).standard_normal((out, in_))


def student(out, in_, df, seed):
    return np.random.default_rng(seed).standard_t(df, (out, in_))


def row_scales(out, in_, spread, seed):
    """Gaussian noise whose rows have log-normal scales."""
    random = np.random.default_rng(seed)
    return random.standard_normal((out, in_)) * np.exp(spread * random.standard_normal((out, 1)))


def visible(out, in_, sigma=1.0):
    """The strength above which a planted direction shows, as the papers write it."""
    return sigma * (out * in_) ** 0.25


def planted(out, in_, strengths, seed, sigma=1.0):
    """Gaussian noise plus orthogonal random directions of the given strengths."""
    return sigma * gaussian(out, in_, [seed, 1]) + with_values(strengths, out, in_, [seed, 2])


def g5(out, in_):
    """Strengths of five spikes whose energy equals that of noise of variance one."""
    return GIANTS * np.sqrt(out * in_ / (GIANTS**2).sum())


def g15(out, in_):
    """`g5` and ten more between 1.5 and 3 times the visible strength."""
    return np.concatenate((g5(out, in_), np.linspace(3.0, 1.5, 10) * visible(out, in_)))
