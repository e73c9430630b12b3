"""Gaussian averages of a soft committee machine and its teacher: generalisation error, drift and noise of online learning.

Fields are jointly normal with mean 0: first those of the K students, then those of their teachers. A unit is
`g(x) = erf(x / sqrt 2)` with `g'(x) = sqrt(2/pi) exp(-x^2 / 2)`, and the error of a sample is `sum_q signs[q] g(field q)`, with
signs 1/K of students and -1/K of teachers. A factor `g'(x_i)` is itself a Gaussian weight: under it the fields have the covariance
`C - c_i c_i^T / (1 + C_ii)`. So all averages come down to two, `E[g(a) g(b)] = (2/pi) asin(C_ab / sqrt((1 + C_aa)(1 + C_bb)))` and
`E[a g(b)] = C_ab E[g'(b)]`.

References:
    Saad & Solla (1995), doi:10.1103/PhysRevE.52.4225; the derivation by weights is ours.
"""

import numpy as np
from numpy.typing import NDArray

from modescope.svd import Values

BATCH = 1 << 20  # entries of an array of intermediate numbers


def error(covariance: Values, signs: Values) -> Values:
    """Generalisation error, half of the mean squared error over all inputs.

    Args:
        covariance: (..., n, n) of the fields.
        signs: (n,) weight of each field in the output of the student less that of the teacher.

    Returns:
        (...) errors.
    """
    found: Values = _pairs(covariance) @ signs @ signs / 2
    return found


def slopes(covariance: Values, signs: Values, students: int) -> Values:
    """Mean derivative of every student's error signal by every field.

    With `delta_i = signs[i] (y - t) g'(field i)`, Stein's lemma gives `E[delta x] = slopes @ Cov(fields, x)` for any x that is
    jointly normal with the fields.

    Args:
        covariance: (n, n) of the fields.
        signs: (n,) weight of each field in the error.
        students: K, the number of leading fields that learn.

    Returns:
        (K, n).
    """
    own = covariance[:students]
    one = 1 + np.diagonal(covariance)
    weights = signs / np.sqrt(one[:students, None] * one - own**2)
    weights[:, :students] -= np.diag((weights * own).sum(axis=1) / one[:students])
    found: Values = 2 / np.pi * signs[:students, None] * weights
    return found


def noise(covariance: Values, signs: Values, students: int) -> Values:
    """Second moment `E[delta delta^T]` of the students' error signals.

    Takes O(K^2 n^2) arcsines, in batches of 8 MB.

    Args:
        covariance: (n, n) of the fields.
        signs: (n,) weight of each field in the error.
        students: K, the number of leading fields that learn.

    Returns:
        (K, K), symmetric.
    """
    rows, columns = np.triu_indices(students)
    found = np.empty((students, students))
    size = max(1, BATCH // covariance.size)
    for start in range(0, rows.size, size):
        i, j = rows[start : start + size], columns[start : start + size]
        found[i, j] = _noise(covariance, signs, i, j)
    found[columns, rows] = found[rows, columns]
    return found


def _noise(covariance: Values, signs: Values, i: NDArray[np.intp], j: NDArray[np.intp]) -> Values:
    """Entries (i, j) of the noise: the fields under both weights, and the mean of the squared error under them."""
    between, one = covariance[i, j], 1 + np.diagonal(covariance)
    determinant = one[i] * one[j] - between**2
    c_i, c_j = covariance[i], covariance[j]
    by_i = (one[j, None] * c_i - between[:, None] * c_j) / determinant[:, None]
    by_j = (one[i, None] * c_j - between[:, None] * c_i) / determinant[:, None]
    weighted = covariance - by_i[:, :, None] * c_i[:, None, :] - by_j[:, :, None] * c_j[:, None, :]
    found: Values = 2 / np.pi * signs[i] * signs[j] / np.sqrt(determinant) * (_pairs(weighted) @ signs @ signs)
    return found


def _pairs(covariance: Values) -> Values:
    """(..., n, n) of `E[g(a) g(b)]`; rounding may bring the sine of a multiple of one field above 1."""
    scale = 1 / np.sqrt(1 + np.diagonal(covariance, axis1=-2, axis2=-1))
    sines = covariance * scale[..., :, None] * scale[..., None, :]
    found: Values = 2 / np.pi * np.arcsin(np.clip(sines, -1, 1))
    return found
