"""Least squares for curves that are linear in all but a few parameters, for many vectors at a time.

A constant belongs to every model. The linear coefficients are solved for wherever the others are tried (variable projection), so
that only those few are searched: on a grid, and from its best points by Levenberg-Marquardt steps on the projected residual.

References:
    Golub & Pereyra (1973), doi:10.1137/0710036, for variable projection.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Columns = Callable[[Values, int], Values]

DEPENDENT = 1e-9  # of the longest column, what must be left of one beside the others for it to count
STEPS = 40  # of Levenberg-Marquardt at most
DIFFERENCE = 1e-6  # of the range of a parameter: step of its central difference
SETTLED = 1e-13  # gain of a step, of the vector's variance, at which the search for its parameters ends
APART = 0.1  # of the range: starts closer than this are one
PART = 2**21  # numbers in memory at a time
STUCK = 1e8  # damping at which no step helps any more
POOR = 0.25  # of the gain that was promised, below which a step was too long
ILL = 1e7  # condition of the scaled Jacobian beyond which errors mean nothing


@dataclass(frozen=True, eq=False)
class Solution:
    """The best curve for one vector.

    Attributes:
        theta: (k,) parameters that are not linear.
        coefficients: (1 + c,) of the constant and of the columns.
        covariance: (1 + c + k,) squared of the coefficients and `theta`, as if what is left were independent noise of one
            variance; None where the parameters cannot be told apart or nothing is left to estimate the noise from.
        curve: (n,).
        r2: Share of the variance that the curve explains.
        edge: A parameter lies at the end of the range that was searched.
    """

    theta: Values
    coefficients: Values
    covariance: Values | None
    curve: Values
    r2: float
    edge: bool


def projected(
    columns: Columns, grid: Values, vectors: Values, /, *, searched: bool, starts: int = 1, settled: float = SETTLED
) -> tuple[Values, Values]:
    """The best parameters and shares of variance of many vectors.

    Args:
        columns: From (g, k) parameters and n to (g, n, c) columns.
        grid: (g, k) parameters to try.
        vectors: (R, n) centred and of unit length.
        searched: Go on from the best points of the grid, within its range.
        starts: From how many of them.
        settled: Gain of R^2 in a step at which the search ends.

    Returns:
        (R, k) parameters and (R,) R^2.
    """
    table = _on_grid(columns, grid, vectors)
    rows = np.arange(vectors.shape[0])
    first = table.argmax(0)
    theta, r2 = grid[first].copy(), table[first, rows]
    if not searched:
        return theta, r2
    low, high = grid.min(0), grid.max(0)
    scaled = (grid - low) / (high - low)
    for turn in range(starts):
        at = table.argmax(0)
        found, reached = _refined(columns, vectors, grid[at], low, high, settled)
        better = reached > r2
        theta[better], r2[better] = found[better], reached[better]
        if turn + 1 < starts:
            near = np.abs(scaled[:, None, :] - scaled[at][None, :, :]).max(2) <= APART
            table = np.where(near, -1.0, table)
    return theta, r2


def solved(columns: Columns, grid: Values, vector: Values, start: Values, /, *, searched: bool) -> Solution:
    """The best curve near a start, with its coefficients and their covariance.

    Args:
        columns: As for `projected`.
        grid: Its ends are those of the search.
        vector: (n,) not constant.
        start: (k,) parameters, as `projected` finds them.
        searched: Go on from there.
    """
    n = vector.size
    centred = vector - vector.mean()
    unit = centred[None] / np.linalg.norm(centred)
    theta = start
    if searched:
        theta = _refined(columns, unit, start[None], grid.min(0), grid.max(0), SETTLED)[0][0]
    linear = np.column_stack([np.ones(n), columns(theta[None], n)[0]])
    coefficients = np.linalg.lstsq(linear, vector)[0]
    curve = linear @ coefficients
    edge = searched and bool((np.isclose(theta, grid.min(0)) | np.isclose(theta, grid.max(0))).any())
    slopes = linear
    if searched and theta.size:
        step = DIFFERENCE * (grid.max(0) - grid.min(0))
        edge = edge or any(np.array_equal(*columns(theta + np.outer([1, 2], h), n)) for h in np.diag(step))  # changes nothing
        moved = [
            (columns((theta + h)[None], n)[0] - columns((theta - h)[None], n)[0]) @ coefficients[1:] / (2 * h.sum())
            for h in np.diag(step)
        ]
        slopes = np.column_stack([linear, *moved])
    rest = vector - curve
    r2 = max(1 - float(rest @ rest) / float(centred @ centred), 0.0)
    return Solution(theta, coefficients, _covariance(slopes, rest), curve, r2, edge)


def _covariance(slopes: Values, rest: Values) -> Values | None:
    freedom = rest.size - slopes.shape[1]
    length = np.linalg.norm(slopes, axis=0)
    if freedom < 1 or not length.all():
        return None
    _, s, vh = np.linalg.svd(slopes / length, full_matrices=False)
    if s[0] > ILL * s[-1]:
        return None
    inverse = (vh.T / s**2) @ vh
    covariance: Values = inverse / np.outer(length, length) * float(rest @ rest) / freedom
    return covariance


def _on_grid(columns: Columns, grid: Values, vectors: Values) -> Values:
    """(g, R) R^2 of every vector at every point of the grid."""
    n = vectors.shape[1]
    step = max(1, PART // (n * columns(grid[:1], n).shape[2]))
    parts = []
    for start in range(0, grid.shape[0], step):
        basis = orthonormal(columns(grid[start : start + step], n))
        parts.append((np.tensordot(basis, vectors, axes=(1, 1)) ** 2).sum(1))
    return np.concatenate(parts)


def orthonormal(columns: Values, /) -> Values:
    """(g, n, c) orthonormal columns of the same spans with the constant taken out; a dependent column becomes zero.

    Gram-Schmidt, twice for every column, which for so few is as good as a QR decomposition and runs over all spans at once.
    """
    basis = np.zeros(columns.shape)
    longest = np.linalg.norm(columns, axis=1).max(1)  # beside it the sine at the Nyquist frequency is rounding
    for j in range(columns.shape[2]):
        column = columns[:, :, j]
        column = column - column.mean(1, keepdims=True)
        for _ in range(2):
            column = column - np.einsum("gnc,gc->gn", basis[:, :, :j], np.einsum("gnc,gn->gc", basis[:, :, :j], column))
        left = np.linalg.norm(column, axis=1)
        kept = left > DEPENDENT * longest
        basis[:, :, j] = np.divide(column, left[:, None], out=np.zeros_like(column), where=kept[:, None])
    return basis


def _refined(columns: Columns, vectors: Values, theta: Values, low: Values, high: Values, settled: float) -> tuple[Values, Values]:
    """Levenberg-Marquardt on the projected residual of every vector, each with a damping of its own."""
    n, k = vectors.shape[1], theta.shape[1]
    theta = theta.copy()
    step = DIFFERENCE * (high - low)

    def residual(at: Values, rows: NDArray[np.int64]) -> Values:
        basis = orthonormal(columns(at, n))
        part = vectors[rows]
        left: Values = part - np.einsum("rnc,rc->rn", basis, np.einsum("rnc,rn->rc", basis, part))
        return left

    active = np.arange(vectors.shape[0])
    rest = residual(theta, active)
    damping = np.full(active.size, 1e-3)
    for _ in range(STEPS):
        at, now = theta[active], rest[active]
        slopes = np.stack(
            [(residual(at + h, active) - residual(at - h, active)) / (2 * h.sum()) for h in np.diag(step)], axis=2
        )  # (rows, n, k)
        normal = np.einsum("rnk,rnl->rkl", slopes, slopes)
        diagonal = np.einsum("rkk->rk", normal)
        scale = np.maximum(diagonal, 1e-12 * diagonal.max(1, keepdims=True) + 1e-300)
        right = np.einsum("rnk,rn->rk", slopes, now)
        near = 1e-3 * step  # what pushes against an end stays there
        free = ~(((at - low <= near) & (right > 0)) | ((high - at <= near) & (right < 0)))
        right = right * free
        normal = np.where((free[:, :, None] & free[:, None, :]) | np.eye(k, dtype=bool), normal, 0.0)
        move = np.linalg.solve(normal + (damping[active, None] * scale)[:, :, None] * np.eye(k), right[:, :, None])[:, :, 0]
        trial = np.clip(at - move, low, high)
        tried = residual(trial, active)
        gain = (now**2).sum(1) - (tried**2).sum(1)
        better = gain > 0
        theta[active[better]], rest[active[better]] = trial[better], tried[better]
        made = at - trial  # less than the move where the range ends
        promised = 2 * (right * made).sum(1) - np.einsum("rk,rkl,rl->r", made, normal, made)
        # where much is left over, full steps jump across the minimum and back: those that gain little are shortened as well
        factor = np.where(better & (gain > POOR * promised), 0.1, np.where(better, 4.0, 10.0))
        damping[active] = np.clip(damping[active] * factor, 1e-12, STUCK)
        done = (better & (gain < settled)) | (damping[active] >= STUCK)
        active = active[~done]
        if not active.size:
            break
    return theta, 1 - (rest**2).sum(1)
