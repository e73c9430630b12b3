"""Diagonal criteria: the rotation of the outputs of a square layer that brings its weight to the diagonal.

The largest sum on the diagonal makes `P W` symmetric and positive, whatever W is: that it looks symmetric and diagonally dominant
says nothing of the network. The largest sum of squares has no closed form, and local optima.
"""

from dataclasses import dataclass

import numpy as np

from modescope.descrambling import haar
from modescope.descrambling.finite import finite_matrix
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.seeds import generator
from modescope.svd import Values

RESTARTS = 10  # random starts besides the polar factor and the identity
ITERATIONS = 1000
SETTLED = 1e-13  # asymmetry of `P W diag(d)`, relative to the sum of squares of W, at which the iteration has settled


@dataclass(frozen=True, eq=False)
class Diagonal:
    """A weight brought to the diagonal.

    Attributes:
        p: (m, m) orthogonal matrix; the weight is shown as `P W`.
        value: What the criterion is: the sum on the diagonal, or the sum of squares.
        bound: What no orthogonal matrix exceeds: the sum of the singular values, or the sum of squares of all entries.
        identity: The criterion for the weight as it is.
        unique: No other matrix does as well; False where it cannot be known.
        starts: Value reached from every start by its name; one entry for the closed form.
        status: "ok", or what must be said.
    """

    p: Values
    value: float
    bound: float
    identity: float
    unique: bool
    starts: dict[str, float]
    status: str = "ok"


def max_diag_sum(weight: Array, /) -> Diagonal:
    """The orthogonal matrix with the largest sum on the diagonal of `P W`, in closed form.

    With `W = U diag(s) Z^T` it is `P = Z U^T`, the transpose of the polar factor, and `P W = (W^T W)^(1/2)`. For the inputs of a
    layer pass the transposed weight and show `W P^T`.

    Args:
        weight: (m, m).

    Returns:
        The sum is that of the singular values.

    Raises:
        UsageError: The weight is not square, or an entry is not finite.
    """
    w = _square(weight)
    u, s, zh = np.linalg.svd(w)
    unique = bool(s[-1] > w.shape[0] * np.finfo(np.float64).eps * s[0])
    status = "ok" if unique else "not unique: the weight is singular, and its null space can be turned at will"
    return Diagonal(zh.T @ u.T, float(s.sum()), float(s.sum()), float(np.trace(w)), unique, {"polar": float(s.sum())}, status)


def max_diag_sum_rotation(weight: Array, /) -> Diagonal:
    """The same over rotations, whose determinant is 1: what a search over Cayley transforms can reach.

    Where the determinant of the weight is negative the direction of the least singular value is turned round: it costs twice that.

    Args:
        weight: (m, m).

    Raises:
        UsageError: As `max_diag_sum`.

    References:
        Kabsch (1976), doi:10.1107/S0567739476001873.
    """
    w = _square(weight)
    u, s, zh = np.linalg.svd(w)
    signs = np.ones(s.size)
    signs[-1] = np.sign(np.linalg.det(u) * np.linalg.det(zh))
    rounding = w.shape[0] * np.finfo(np.float64).eps * s[0]
    rest = s[-2] if s.size > 1 else np.inf
    # With a reflection the least value counts negative: its direction must be the only one of its kind.
    unique = bool(rest > rounding and (signs[-1] > 0 or rest - s[-1] > rounding))
    value = float(signs @ s)
    status = "ok" if unique else "not unique: the two least singular values are equal or zero, and their plane can be turned"
    return Diagonal((zh.T * signs) @ u.T, value, float(s.sum()), float(np.trace(w)), unique, {"polar": value}, status)


def max_diag_normsq(weight: Array, /, *, restarts: int = RESTARTS, iterations: int = ITERATIONS, seed: int = 0) -> Diagonal:
    """An orthogonal matrix with a large sum of squares on the diagonal of `P W`: the best of several local optima.

    Every step replaces P by the polar factor for `W diag(d)`, `d = diag(P W)`. The sum is convex in P, so no step makes it smaller.

    Args:
        weight: (m, m).
        restarts: Random orthogonal starts, besides the polar factor of the weight and the identity.
        iterations: Steps at most from every start.
        seed: Of the random starts.

    Returns:
        The best, and what every start came to; `bound` is reached only where `P W` can be diagonal.

    Raises:
        UsageError: As `max_diag_sum`, or a count is negative.
    """
    w = _square(weight)
    if restarts < 0 or iterations < 1:
        raise UsageError(f"max_diag_normsq: expected restarts >= 0 and iterations >= 1, got {restarts} and {iterations}.")
    m = w.shape[0]
    starts = {"polar": _polar(w), "identity": np.eye(m)}
    rng = generator(seed, "diagonal")
    starts |= {f"random {number}": haar.frame(rng, m, m) for number in range(restarts)}
    ends = {name: _climbed(w, p, iterations) for name, p in starts.items()}
    values = {name: float(path[-1]) for name, (_, path, _) in ends.items()}
    # Starts that meet in one optimum differ by rounding: the first of them stands for all.
    best = next(name for name, value in values.items() if value >= max(values.values()) * (1 - 1e-12))
    p, _, settled = ends[best]
    status = "local optimum: the best of those reached" if settled else f"stopped after {iterations} steps, still rising"
    bound = float(np.sum(w**2))
    if settled and values[best] >= bound * (1 - 1e-12):
        status = "ok"
    return Diagonal(p, values[best], bound, float(np.sum(np.diag(w) ** 2)), False, values, status)


def climb(weight: Values, p: Values, /) -> Values:
    """One step of the iteration: the transposed polar factor of `W diag(d)`."""
    return _polar(weight * np.sum(p * weight.T, axis=1))


def _climbed(w: Values, p: Values, iterations: int) -> tuple[Values, list[float], bool]:
    total = float(np.sum(w**2)) or 1.0
    path: list[float] = []
    for _ in range(iterations):
        shown = p @ w
        d = np.diag(shown)
        path.append(float(d @ d))
        scaled = shown * d
        if (
            np.abs(scaled - scaled.T).max() <= SETTLED * total
            and np.linalg.eigvalsh((scaled + scaled.T) / 2)[0] >= -SETTLED * total
        ):
            return p, path, True
        p = climb(w, p)
    path.append(float(np.sum(np.diag(p @ w) ** 2)))
    return p, path, False


def _polar(w: Values) -> Values:
    u, _, zh = np.linalg.svd(w)
    found: Values = zh.T @ u.T
    return found


def _square(weight: Array) -> Values:
    w = finite_matrix(weight, "weight")
    if w.shape[0] != w.shape[1]:
        raise UsageError(f"weight: expected a square one for a diagonal criterion, got shape {w.shape}; use smoothness.")
    return w
