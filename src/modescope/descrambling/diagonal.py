"""Diagonal criteria: the rotation of the outputs of a square layer that brings its weight to the diagonal.

The largest sum on the diagonal makes `P W` symmetric and positive, whatever W is: that it looks symmetric and diagonally dominant
says nothing of the network. The largest sum of squares has no closed form, but a bound that proves it.

With the columns `w_i` of W and the rows `p_i` of P that sum is `sum (p_i w_i)^2`: how well orthogonal measurements tell the states
`w_i` apart. Any symmetric Z with `Z >= w_i w_i^T` for all i has a trace that no P exceeds, and where the iteration ends with
`P W diag(d)` positive definite that matrix, turned back by P, is such a Z and its trace is the sum: no such end is local. Where a
`d_i` is zero the climb may stand at a saddle.

References:
    Yuen, Kennedy & Lax (1975), doi:10.1109/TIT.1975.1055351, for the bound.
"""

from dataclasses import dataclass

import numpy as np

from modescope.descrambling.finite import finite_matrix, squarable
from modescope.errors import UsageError
from modescope.laws import haar_frames as haar
from modescope.matrix import Array
from modescope.seeds import generator
from modescope.svd import Values

RESTARTS = 10  # random starts besides the polar factor and the identity, as long as none is proven to be the best
ITERATIONS = 1000
PROVEN = 1e-9  # relative gap to the bound below which no other matrix is better
SETTLED = 1e-13  # asymmetry of `P W diag(d)`, relative to the sum of squares of W, at which the iteration has settled


@dataclass(frozen=True, eq=False)
class Diagonal:
    """A weight brought to the diagonal.

    Attributes:
        p: (m, m) orthogonal matrix; the weight is shown as `P W`.
        value: What the criterion is: the sum on the diagonal, or the sum of squares.
        bound: What no orthogonal matrix exceeds: the sum of the singular values; for squares the least that was found.
        identity: The criterion for the weight as it is.
        unique: No other matrix does as well; False where it cannot be known.
        starts: Value reached from every start that was tried by its name; one entry for the closed form.
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
    """The orthogonal matrix with the largest sum of squares on the diagonal of `P W`, or how near the best one found is to it.

    Every step replaces P by the polar factor for `W diag(d)`, `d = diag(P W)`. The sum is convex in P, so no step makes it smaller.
    Signs of its rows are free.

    Args:
        weight: (m, m).
        restarts: Random orthogonal starts, besides the polar factor of the weight and the identity; they end with the first one
            that is proven to be the best there is, which for a regular weight mostly is the polar factor.
        iterations: Steps at most from every start.
        seed: Of the random starts.

    Returns:
        The best, and what every start came to; its status is "ok" where it reaches the bound.

    Raises:
        UsageError: As `max_diag_sum`, a count is negative, or squares of entries leave float64.
    """
    w = _square(weight)
    if restarts < 0 or iterations < 1:
        raise UsageError(f"max_diag_normsq: expected restarts >= 0 and iterations >= 1, got {restarts} and {iterations}.")
    squarable(float(np.abs(w).max()), f"weight {w.shape}")
    m = w.shape[0]
    starts = {"polar": _polar(w), "identity": np.eye(m)}
    rng = generator(seed, "diagonal")
    starts |= {f"random {number}": haar.frame(rng, m, m) for number in range(restarts)}
    ends, values, bound = {}, {}, float(np.sum(w**2))
    for name, start in starts.items():
        ends[name] = _climbed(w, start, iterations)
        values[name] = _squares(w, ends[name])
        bound = min(bound, squares_bound(w, ends[name]))
        if values[name] >= bound * (1 - PROVEN):
            break
    # Starts that meet in one optimum differ by rounding: the first of them stands for all.
    best = next(name for name, value in values.items() if value >= max(values.values()) * (1 - 1e-12))
    p, value = ends[best], values[best]
    gap = bound / value - 1 if value else 0.0
    status = "ok" if gap <= PROVEN else f"at most {gap:.2g} times its value below the largest there is, after {iterations} steps"
    return Diagonal(p, value, bound, _squares(w, np.eye(m)), False, values, status)


def squares_bound(weight: Values, p: Values, /) -> float:
    """What no orthogonal matrix exceeds, from one of them: the closer, the nearer that one is to the best.

    A little more than the positive part of `M = P W diag(d)` is scaled until it is above `x x^T` for every column x of `P W`, that
    is until `x^T M^-1 x <= 1`. Its trace then is a bound.

    Args:
        weight: (m, m).
        p: (m, m) orthogonal matrix.

    Returns:
        Never more than the sum of squares of all entries.
    """
    shown = p @ weight
    total = float(np.sum(weight**2))
    scaled = shown * np.diag(shown)
    values, vectors = np.linalg.eigh((scaled + scaled.T) / 2)
    values = np.maximum(values, 0.0) + SETTLED * total
    if not total:
        return 0.0
    reach = float((((vectors.T @ shown) ** 2) / values[:, None]).sum(axis=0).max())
    return min(total, max(reach, 1.0) * float(values.sum()))


def climb(weight: Values, p: Values, /) -> Values:
    """One step of the iteration: the transposed polar factor of `W diag(d)`."""
    return _polar(weight * np.sum(p * weight.T, axis=1))


def _climbed(w: Values, p: Values, iterations: int) -> Values:
    """Where the iteration ends: stationary, or after as many steps."""
    rounding = SETTLED * float(np.sum(w**2))
    for _ in range(iterations):
        shown = p @ w
        scaled = shown * np.diag(shown)
        if np.abs(scaled - scaled.T).max() <= rounding and np.linalg.eigvalsh((scaled + scaled.T) / 2)[0] >= -rounding:
            break
        p = climb(w, p)
    return p


def _squares(w: Values, p: Values) -> float:
    return float(np.sum(np.sum(p * w.T, axis=1) ** 2))


def _polar(w: Values) -> Values:
    u, _, zh = np.linalg.svd(w)
    found: Values = zh.T @ u.T
    return found


def _square(weight: Array) -> Values:
    w = finite_matrix(weight, "weight")
    if w.shape[0] != w.shape[1]:
        raise UsageError(f"weight: expected a square one for a diagonal criterion, got shape {w.shape}; use smoothness.")
    return w
