"""Teachers and students of online learning, and slow twins of its averages and its training, written as the papers have them."""

import math
from functools import cache

import numpy as np
from scipy.special import erf

from modescope.modes.online import equations as online_equations
from modescope.modes.online import theory as online

TIMES = np.array([0, 0.1, 1.23, 6.58, 15.2, 35.1, 81.1, 187.4, 432.9, 1000])


@cache
def reference() -> online.ModeTheory:
    """d = 30, K = 8, p = 3, eta = 5, drawn by hand in the order of the table that it is compared with."""
    rng = np.random.default_rng(1)
    scale = math.log(30) ** (-1 / 6)
    xi_out, s = scale * rng.standard_normal((8, 3)), scale * rng.standard_normal(3)
    teacher, student = scale * rng.standard_normal((3, 30)), scale * rng.standard_normal((3, 30))
    return online.of_factors(xi_out, s, student, teacher, 5.0)


@cache
def reference_course() -> online.Trajectory:
    """The theory of it from 0 to 1000, at the times of the table and between them."""
    return online_equations.integrate(reference(), np.unique(np.concatenate([TIMES, np.geomspace(0.1, 1000, 120)])))


def drawn(seed: int, *, inputs: int = 30, hidden: int = 4, p: int = 3, eta: float = 2.0) -> online.ModeTheory:
    return online.drawn(inputs, hidden, p, eta, np.random.default_rng(seed))


def whole(theory: online.ModeTheory) -> np.ndarray:
    """(2K, 2K) covariance of all fields at the start."""
    both = np.kron(np.eye(2), theory.gains)
    return both @ theory.patterns @ both.T


# Saad & Solla (1995), for g = erf(x / sqrt 2), one number at a time


def two(c, a, b):
    return 2 / math.pi * math.asin(max(-1.0, min(1.0, c[a, b] / math.sqrt((1 + c[a, a]) * (1 + c[b, b])))))


def three(c, i, t, q):
    under = (1 + c[i, i]) * (1 + c[q, q]) - c[i, q] ** 2
    return 2 / math.pi * (c[t, q] * (1 + c[i, i]) - c[i, t] * c[i, q]) / ((1 + c[i, i]) * math.sqrt(under))


def four(c, i, j, q, r):
    l4 = (1 + c[i, i]) * (1 + c[j, j]) - c[i, j] ** 2
    l0 = l4 * c[q, r] - c[j, q] * c[j, r] * (1 + c[i, i]) - c[i, q] * c[i, r] * (1 + c[j, j])
    l0 += c[i, j] * c[i, q] * c[j, r] + c[i, j] * c[i, r] * c[j, q]
    l1, l2 = (
        l4 * (1 + c[k, k]) - c[j, k] ** 2 * (1 + c[i, i]) - c[i, k] ** 2 * (1 + c[j, j]) + 2 * c[i, j] * c[i, k] * c[j, k]
        for k in (q, r)
    )
    return 4 / (math.pi**2 * math.sqrt(l4)) * math.asin(max(-1.0, min(1.0, l0 / math.sqrt(l1 * l2))))


def slow_error(c, e):
    n = range(len(e))
    return sum(e[q] * e[r] * two(c, q, r) for q in n for r in n) / 2


def slow_signal(c, e, students):
    """E[delta_i field_t] (K, 2K)."""
    n = range(len(e))
    return np.array([[e[i] * sum(e[q] * three(c, i, t, q) for q in n) for t in n] for i in range(students)])


def slow_noise(c, e, students):
    """E[delta_i delta_j] (K, K)."""
    n, k = range(len(e)), range(students)
    return np.array([[e[i] * e[j] * sum(e[q] * e[r] * four(c, i, j, q, r) for q in n for r in n) for j in k] for i in k])


def sampled(fields, e, students):
    """Error, delta (K, N) of samples of the fields (2K, N), by what the words mean."""
    wrong = e @ erf(fields / math.sqrt(2))
    return wrong, e[:students, None] * wrong * math.sqrt(2 / math.pi) * np.exp(-(fields[:students] ** 2) / 2)


def slow_training(xi_out, s, xi, teacher_patterns, eta, samples, slow=0.0):
    """One run with the weights formed, R, T and B after all samples."""
    d = xi.shape[1]
    k = len(xi_out)
    taught = xi_out * s @ teacher_patterns
    for x in samples:
        b = xi_out * s
        fields, theirs = b @ xi @ x / math.sqrt(d), taught @ x / math.sqrt(d)
        wrong = (erf(fields / math.sqrt(2)).sum() - erf(theirs / math.sqrt(2)).sum()) / k
        delta = wrong / k * math.sqrt(2 / math.pi) * np.exp(-(fields**2) / 2)
        h = xi @ x / math.sqrt(d)
        xi = xi - eta / math.sqrt(d) * b.T @ np.outer(delta, x)
        xi_out, s = xi_out - slow / d * np.outer(delta, s * h), s - slow / d * (xi_out.T @ delta) * h
    return xi @ xi.T / d, xi @ teacher_patterns.T / d, xi_out * s
