"""The published numerical descrambler: a Cayley transform, its analytic gradient and L-BFGS; slow, and there to be compared with.

Amey et al. (2021) searched for the rotation `P = (I + Q)^-1 (I - Q)` over the entries of a skew-symmetric Q, from Q = 0, for a few
hundred to some ten thousand steps. The closed form reaches the minimum at once, so this is the yardstick and never the default. The
transform covers rotations without the eigenvalue -1, and a descent may be driven towards that pole: a search that ends need not
have ended at the minimum.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lu_factor, lu_solve
from scipy.optimize import OptimizeResult, minimize

from modescope.descrambling.finite import finite_matrix, squarable
from modescope.descrambling.operators import Smoothness
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.seeds import generator
from modescope.svd import Values

ITERATIONS = 400  # what the published program says "usually suffices"
MEMORY = 5  # pairs that L-BFGS keeps, as published
GRADIENT = 1e-9  # largest entry of the gradient of the scaled objective at which a search has converged
GAIN = 1e-16  # relative decrease of it at which one has converged as well: rounding
ATTEMPTS = 100  # random choices of signs before a start is given up; one in two is regular for a generic rotation

Criterion = Callable[[Values], tuple[float, Values]]
"""An objective to be made small, and its gradient in all entries of P as if they were free."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a search stood after some iterations.

    Attributes:
        iteration: How many.
        value: Of the objective.
        excess: `value / optimal - 1`; None where the optimum is zero.
    """

    iteration: int
    value: float
    excess: float | None


@dataclass(frozen=True, eq=False)
class Optimised:
    """What the search found.

    Attributes:
        p: (m, m) rotation, orthogonal up to rounding.
        value: The objective at `p`, in its own units: `tr(P^T A P B)`, or the diagonal criterion that was to be large.
        optimal: What the closed form reaches; None for the sum of squares on the diagonal, which has no closed form.
        excess: How far `value` is from it, relative to it and not negative but for rounding; None where `optimal` is zero or None.
        iterations: Steps of L-BFGS.
        evaluations: Of the objective with its gradient, each some products of m x m matrices and one inverse.
        converged: The gradient, or the gain of a step, came down to rounding.
        checkpoints: Where it stood at the iterations that were asked for.
        status: "converged", or why it ended before.
    """

    p: Values
    value: float
    optimal: float | None
    excess: float | None
    iterations: int
    evaluations: int
    converged: bool
    checkpoints: tuple[Checkpoint, ...]
    status: str


def optimised(
    second: Array,
    smoothness: Smoothness,
    /,
    *,
    iterations: int = ITERATIONS,
    start: Array | None = None,
    seed: int = 0,
    checkpoints: Collection[int] = (),
) -> Optimised:
    """Search for the rotation that makes hidden data smooth, as published.

    Args:
        second: (m, m) second moment of the hidden data.
        smoothness: The difference operator.
        iterations: Steps at most; the published figures took 10^4.
        start: (m, m) orthogonal matrix to start from; by default the identity, as published. Rows are turned round in the modes of
            the operator, which changes no objective, until the start has a bounded Q.
        seed: Of the signs that are tried for that.
        checkpoints: Iterations at which to note the objective.

    Returns:
        The rotation with its excess over the closed form.

    Raises:
        UsageError: The sizes do not fit, an entry is not finite, or the start is not orthogonal.

    References:
        Amey et al. (2021), doi:10.1073/pnas.2016917118.
    """
    b = _square(second, "second moment")
    m = b.shape[0]
    if smoothness.a.size != m:
        raise UsageError(f"optimised: expected an operator on {m} neurons, got {smoothness.name} on {smoothness.a.size}.")
    b = (b + b.T) / 2
    values, u = np.linalg.eigh(b)
    values = np.maximum(values, 0.0)
    a = (smoothness.modes * smoothness.a) @ smoothness.modes.T
    top = (float(smoothness.a[-1]) or 1.0, float(values[-1]) or 1.0)
    q = np.zeros((m, m)) if start is None else skew_of(_of_size(start, m), modes=smoothness.modes, seed=seed)
    unit = top[0] * top[1] / m**2
    found = _searched(smooth(a * (m / top[0]), b * (m / top[1])), q, iterations)
    optimal = float(smoothness.a @ values[::-1])
    # A sum of terms that are not negative: the trace itself would lose a small minimum among large entries.
    value = float(smoothness.a @ (smoothness.modes.T @ found.p @ u) ** 2 @ values)
    return _told(found, value, optimal, [(at, unit * reached) for at, reached in found.seen if at in checkpoints], 1.0)


def optimised_diagonal_sum(
    weight: Array, /, *, iterations: int = ITERATIONS, start: Array | None = None, checkpoints: Collection[int] = ()
) -> Optimised:
    """Search for the rotation that makes the sum on the diagonal of a square weight large, as published.

    Args:
        weight: (m, m).
        iterations: Steps at most.
        start: (m, m) rotation without the eigenvalue -1; by default the identity.
        checkpoints: Iterations at which to note the objective.

    Returns:
        `optimal` is what rotations can reach: the sum of the singular values, less twice the least for a negative determinant.

    Raises:
        UsageError: The weight is not square, an entry is not finite, or the start cannot be written as a Cayley transform.
    """
    w = _square(weight, "weight")
    found = _searched(diagonal_sum(w), _plain(start, w.shape[0]), iterations)
    s = np.linalg.svd(w, compute_uv=False)
    optimal = float(s.sum() - 2 * s[-1] * (np.linalg.slogdet(w)[0] < 0))
    value = float(np.trace(found.p @ w))
    return _told(found, value, optimal, [(at, -reached) for at, reached in found.seen if at in checkpoints], -1.0)


def optimised_diagonal_normsq(
    weight: Array, /, *, iterations: int = ITERATIONS, start: Array | None = None, checkpoints: Collection[int] = ()
) -> Optimised:
    """Search for the rotation that makes the sum of squares on the diagonal of a square weight large, as published.

    Args:
        weight: (m, m).
        iterations: Steps at most.
        start: (m, m) rotation without the eigenvalue -1; by default the identity.
        checkpoints: Iterations at which to note the objective.

    Returns:
        A local optimum; nothing says how far it is from the best.

    Raises:
        UsageError: As for the sum, or squares of entries leave float64.
    """
    w = _square(weight, "weight")
    squarable(float(np.abs(w).max()), f"weight {w.shape}")
    found = _searched(diagonal_normsq(w), _plain(start, w.shape[0]), iterations)
    value = float(np.sum(np.diag(found.p @ w) ** 2))
    return _told(found, value, None, [(at, -reached) for at, reached in found.seen if at in checkpoints], -1.0)


def smooth(a: Values, b: Values, /) -> Criterion:
    """`tr(P^T A P B)` with gradient `2 A P B`."""

    def criterion(p: Values) -> tuple[float, Values]:
        apb = a @ p @ b
        return float(np.sum(p * apb)), 2 * apb

    return criterion


def diagonal_sum(weight: Values, /) -> Criterion:
    """`-tr(P W)`."""

    def criterion(p: Values) -> tuple[float, Values]:
        return -float(np.sum(p * weight.T)), -weight.T

    return criterion


def diagonal_normsq(weight: Values, /) -> Criterion:
    """`-sum_i (P W)_ii^2`."""

    def criterion(p: Values) -> tuple[float, Values]:
        diagonal = np.sum(p * weight.T, axis=1)
        return -float(diagonal @ diagonal), -2 * diagonal[:, None] * weight.T

    return criterion


def cayley(q: Values, /) -> Values:
    """The rotation of a skew-symmetric matrix, `(I + Q)^-1 (I - Q)`."""
    eye = np.eye(q.shape[0])
    found: Values = np.asarray(np.linalg.solve(eye + q, eye - q), dtype=np.float64)
    return found


def value_in_skew(entries: Values, criterion: Criterion, m: int, /) -> tuple[float, Values]:
    """An objective as a function of the m (m - 1) / 2 entries of Q below the diagonal, and its gradient.

    With F the gradient in P it is `G_ij - G_ji` for `G = -(I + Q)^-T F (I + P)^T`.
    """
    below = np.tril_indices(m, -1)
    half = np.zeros((m, m))
    half[below] = entries
    q: Values = half - half.T
    eye = np.eye(m)
    factors = lu_factor(eye + q, check_finite=False)
    p = lu_solve(factors, eye - q, check_finite=False)
    value, free = criterion(p)
    g = -lu_solve(factors, free @ (eye + p).T, trans=1, check_finite=False)
    return value, (g - g.T)[below]


def skew_of(p: Array, /, *, modes: Values | None = None, seed: int = 0) -> Values:
    """A skew-symmetric matrix whose Cayley transform is an orthogonal matrix, up to signs of its rows in a basis.

    Turning two rows round multiplies `det(I + P)` by the square of the entry of Q between them, so doing it wherever an entry
    exceeds 1 ends, with all entries in that basis at most 1.

    Args:
        p: (m, m) orthogonal matrix, also with determinant -1.
        modes: (m, m) basis, the modes of the operator: the smoothness of `V diag(s) V^T P` is that of P.
        seed: Of the signs that are tried where the matrix has the eigenvalue -1.

    Returns:
        (m, m) Q.

    Raises:
        UsageError: The matrix is not orthogonal.

    References:
        O'Dorney (2014), doi:10.1016/j.laa.2014.01.020.
    """
    given = _orthogonal(p)
    m = given.shape[0]
    v = np.eye(m) if modes is None else modes
    turned = v.T @ given @ v
    signs = np.ones(m)
    rng = generator(seed, "cayley signs")
    for _ in range(ATTEMPTS):
        if np.linalg.slogdet(turned * signs[:, None])[0] < 0:
            signs[rng.integers(m)] *= -1
        q = _skew(turned * signs[:, None])
        if q is not None:
            break
        signs = rng.choice([-1.0, 1.0], m)
    else:
        raise UsageError(f"start: found no signs for which the {m} x {m} matrix is a Cayley transform in {ATTEMPTS} attempts.")
    while np.abs(q).max(initial=0.0) > 1 + 1e-9:
        signs[list(np.unravel_index(np.abs(q).argmax(), q.shape))] *= -1
        better = _skew(turned * signs[:, None])
        if better is None:  # only rounding can make it so, as the determinant has grown
            break
        q = better
    back = v @ q @ v.T
    found: Values = (back - back.T) / 2
    return found


@dataclass(frozen=True, eq=False)
class _Found:
    p: Values
    seen: list[tuple[int, float]]
    iterations: int
    evaluations: int
    converged: bool
    status: str


def _searched(criterion: Criterion, q: Values, iterations: int) -> _Found:
    if iterations < 0:
        raise UsageError(f"iterations: expected 0 or more, got {iterations}.")
    m = q.shape[0]
    below = np.tril_indices(m, -1)
    if iterations == 0 or m < 2:
        return _Found(_nearest(cayley(q)), [], 0, 0, m < 2, "converged" if m < 2 else "stopped after 0 iterations")
    seen: list[tuple[int, float]] = []

    def note(intermediate_result: OptimizeResult) -> None:
        seen.append((len(seen) + 1, float(intermediate_result.fun)))

    result = minimize(
        value_in_skew,
        q[below],
        args=(criterion, m),
        jac=True,
        method="L-BFGS-B",
        callback=note,
        options={"maxcor": MEMORY, "maxiter": iterations, "maxfun": 30 * iterations, "ftol": GAIN, "gtol": GRADIENT},
    )
    end = np.zeros((m, m))
    end[below] = result.x
    converged = result.status == 0
    words = {0: "converged", 1: f"stopped after {result.nit} iterations, before it had converged"}
    status = words.get(result.status, "stopped: no step makes it smaller, near rounding or the Cayley pole")
    return _Found(_nearest(cayley(end - end.T)), seen, int(result.nit), int(result.nfev), converged, status)


def _told(found: _Found, value: float, optimal: float | None, seen: list[tuple[int, float]], sense: float) -> Optimised:
    def excess(reached: float) -> float | None:
        return sense * (reached / optimal - 1) if optimal else None

    return Optimised(
        p=found.p,
        value=value,
        optimal=optimal,
        excess=excess(value),
        iterations=found.iterations,
        evaluations=found.evaluations,
        converged=found.converged,
        checkpoints=tuple(Checkpoint(at, reached, excess(reached)) for at, reached in seen),
        status=found.status,
    )


def _square(given: Array, what: str) -> Values:
    array = finite_matrix(given, what)
    if array.shape[0] != array.shape[1]:
        raise UsageError(f"{what}: expected a square matrix, got shape {array.shape}.")
    return array


def _orthogonal(given: Array) -> Values:
    p = _square(given, "start")
    off = float(np.abs(p.T @ p - np.eye(p.shape[0])).max())
    if off > 1e-6:
        raise UsageError(f"start: expected an orthogonal matrix, got one of shape {p.shape} whose P^T P is off by {off:.1g}.")
    return _nearest(p)


def _of_size(start: Array, m: int) -> Array:
    if np.shape(start) != (m, m):
        raise UsageError(f"start: expected shape ({m}, {m}), got {np.shape(start)}.")
    return start


def _plain(start: Array | None, m: int) -> Values:
    """Q of a start whose signs matter."""
    if start is None:
        return np.zeros((m, m))
    p = _orthogonal(_of_size(start, m))
    q = _skew(p) if np.linalg.slogdet(p)[0] > 0 else None
    if q is None:
        raise UsageError(f"start: expected a rotation without the eigenvalue -1, got one of shape {p.shape} that has it.")
    return q


def _skew(p: Values) -> Values | None:
    """`(I - P) (I + P)^-1`, or None near its pole."""
    eye = np.eye(p.shape[0])
    if np.linalg.cond(eye + p, 1) > 1e12:
        return None
    q = np.linalg.solve((eye + p).T, (eye - p).T).T
    found: Values = (q - q.T) / 2
    return found


def _nearest(p: Values) -> Values:
    """The nearest orthogonal matrix: near the pole the transform is orthogonal only roughly."""
    left, _, right = np.linalg.svd(p)
    found: Values = left @ right
    return found
