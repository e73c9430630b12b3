"""Law of the overlap of a random direction with a fixed frame: its tail to 1e-8 relative, its thresholds and its closed forms.

Let u be Haar distributed on the unit sphere of R^N and B a fixed (N, z) matrix. The overlap `a = |B' u|^2` depends on B by the
eigenvalues `gamma` of `B' B` alone: it is `sum_k gamma_k g_k^2 / |g|^2`, g standard normal. Its mean is `sum gamma / N`, its least
and largest values are those of the N eigenvalues (those that are not listed are 0), and

    P(a > t) = P(Q > 0),    Q = sum_k (gamma_k - t) g_k^2,   k = 1..N.

The eigenvalues need not sum to 1: overlaps are in units of `gamma`. Where a direction is matched with a single one the law is
`gamma_1 Beta(1/2, (N - 1) / 2)`. Tails are given as natural logarithms, which do not underflow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv, betaln

Values = NDArray[np.float64]
Complex = NDArray[np.complex128]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rule = tuple[float, float, float]

ZERO = 1e-14  # eigenvalues below this share of the largest are rounding of the product they come from
EQUAL = 1e-12  # and those within this share of it are as large
HALVINGS = 48  # of the interval that holds the saddlepoint; any point near it does
# Step and reach of the trapezoidal rule, which ends at reach[0] + reach[1] / N, where the integrand is below 1e-10 of its sum. The
# first has a relative error of 1e-9 at N = 4096 and 1e-13 at N = 16, the second of 1e-12 where t is near the mean as well.
USUAL, FINE = (0.14, 6.0, 50.0), (0.02, 9.0, 60.0)
NEAR = math.log(0.25)  # tails above this are near the mean
CHUNK = 1 << 15  # complex numbers in one work array, so that a few of them stay in the cache
PRODUCTS = 16  # factors whose product stays within the range of floats
UNDERFLOW = 1e-280  # incomplete beta functions below it are computed in logarithms
SETTLED = 1e-12  # relative error of the logarithm of a level at which a threshold is found
NEAREST = -60.0  # ln(1 - t / gamma_1) below which t is the largest eigenvalue in any float
STEPS = 80  # of Newton's method, which needs 3 to 6, and halvings where it leaves its bracket


def conditional_tail(gamma: ArrayLike, dimension: int, t: ArrayLike) -> Values:
    """Logarithm of the probability that a random direction has a larger overlap than `t` with a fixed frame.

    Exact: closed forms where there is one eigenvalue or all are equal, and else a contour integral of the characteristic function
    of Q through its saddlepoint. Relative error of the probability below 1e-8 for every `t`, down to 1e-300 and beyond.

    Args:
        gamma: (R, r) eigenvalues of one frame per row, in any order and of any sum; zeros may be listed or left out.
        dimension: N, at least the number of positive eigenvalues.
        t: (R,) overlaps, in units of `gamma`.

    Returns:
        (R,) `ln P(a > t)`: 0 at or below the least possible overlap, -inf at or above the largest eigenvalue.

    Raises:
        ValueError: Eigenvalues are negative or not finite, more of them are positive than there are dimensions, or shapes differ.

    References:
        Imhof (1961), doi:10.1093/biomet/48.3-4.419, for the quadratic form; Rice (1980), doi:10.1137/0901032, for the integral
        through the saddlepoint; Trefethen & Weideman (2014), doi:10.1137/130932132, for the rule.
    """
    shares, largest = _shares(gamma, dimension)
    t = _overlaps(t, largest.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(t >= largest, 0.0, np.where(t <= 0, 1.0, (largest - t) / largest))
    return _tail(shares, dimension, room)


def derivative(gamma: ArrayLike, dimension: int, t: ArrayLike) -> Values:
    """`d ln P(a > t) / dt` of `conditional_tail`, in units of `1 / gamma`; the density of `a` is minus this times the tail.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        t: (R,) overlaps.

    Returns:
        (R,) slopes, not positive; 0 outside the support, where the logarithm has none.

    Raises:
        ValueError: As `conditional_tail`.
    """
    shares, largest = _shares(gamma, dimension)
    t = _overlaps(t, largest.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(t >= largest, 0.0, np.where(t <= 0, 1.0, (largest - t) / largest))
        slope = _slope(shares, dimension, room, _tail(shares, dimension, room))
        return np.where(slope > 0, -slope / (room * largest), 0.0)


def threshold(gamma: ArrayLike, dimension: int, log_alpha: float) -> Values:
    """The overlap that a random direction exceeds with probability `alpha`, one per frame.

    Newton's method in `x = ln(1 - t / gamma_1)`, in which the logarithm of the tail is nearly straight with slope `(N - 1) / 2`; it
    starts at the quantile of the matched Beta and keeps a bracket.

    Args:
        gamma: (R, r) eigenvalues of one frame per row.
        dimension: N.
        log_alpha: Natural logarithm of the level, below 0; -700 and less are no trouble.

    Returns:
        (R,) overlaps in units of `gamma`. Where the overlap cannot vary (all N eigenvalues are equal) it is the eigenvalue, which
        is never exceeded; at levels beyond the resolution of floats it is the largest eigenvalue.

    Raises:
        ValueError: `log_alpha` is not below 0 and finite, or as `conditional_tail`.
    """
    if not -math.inf < log_alpha < 0:
        raise ValueError(
            f"threshold: expected log_alpha, the logarithm of a level between 0 and 1, finite and below 0, got {log_alpha}."
        )
    shares, largest = _shares(gamma, dimension)
    room = np.zeros(largest.size)
    equal, count = _equal(shares)
    for c in np.unique(count[equal]):
        room[equal & (count == c)] = _beta_room(c / 2, (dimension - c) / 2, log_alpha) if c < dimension else 0.0
    rest = np.flatnonzero(~equal)
    if rest.size:
        room[rest] = _solve(shares[rest], dimension, log_alpha)
    return largest * (1 - room)


def matched_beta(gamma: ArrayLike, dimension: int) -> tuple[Values, Values]:
    """Parameters of the Beta with the mean and the variance of `a / sum(gamma)`: an approximation, far too optimistic in the tail.

    At a nominal 1e-9 it understates p up to 25 times, and by more beyond. Exact for one eigenvalue; for equal ones it has the right
    moments and the wrong support.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N, at least 2.

    Returns:
        (R,) `alpha`, (R,) `beta`, with `alpha / (alpha + beta) = 1 / N`; infinite where the overlap cannot vary.

    Raises:
        ValueError: As `conditional_tail`.
    """
    shares, _ = _shares(gamma, dimension)
    spread = dimension * (shares**2).sum(1) / shares.sum(1) ** 2 - 1
    with np.errstate(divide="ignore"):
        size = np.where(spread > EQUAL, (dimension - 1) * (dimension + 2) / (2 * np.maximum(spread, 0.0)) - 1, np.inf)
    return size / dimension, size * (1 - 1 / dimension)


def rank_one_bound(gamma: ArrayLike, dimension: int, t: ArrayLike) -> Values:
    """Upper bound of `conditional_tail` above the second eigenvalue, without an integral; sharp towards the largest one.

    `P(a > t) <= prod_{k >= 2} (1 - gamma_k / t)^(-1/2) P(Beta(1/2, (N - 1) / 2) > t / gamma_1)`: the directions that lose are
    rescaled to lose alike, and the Gaussian density only grows.

    Args:
        gamma: (R, r) eigenvalues.
        dimension: N.
        t: (R,) overlaps.

    Returns:
        (R,) logarithms of bounds, at most 0; 0 where `t` is not above the second eigenvalue.

    Raises:
        ValueError: As `conditional_tail`.
    """
    shares, largest = _shares(gamma, dimension)
    t = _overlaps(t, largest.size)
    second = shares[:, 1:] * largest[:, None]
    applies = (t > second.max(axis=1, initial=0.0)) & (t > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        lost = -0.5 * np.log1p(-second / t[:, None]).sum(1)
        room = np.where(t >= largest, 0.0, (largest - t) / largest)
        found = lost + log_beta_tail(0.5, (dimension - 1) / 2, np.clip(room, 0.0, 1.0))
    return np.where(applies, np.minimum(found, 0.0), 0.0)


def paired(gamma: ArrayLike, dimension: int, t: ArrayLike) -> Values:
    """`conditional_tail` of eigenvalues that come in pairs, in closed form.

    `P(a > t) = sum_{gamma_k > t} prod_{j != k} (gamma_k - t) / (gamma_k - gamma_j) (1 - t / gamma_k)^((N - r) / 2)`, r = 2 j. The
    terms change sign, so that values close to each other cost digits.

    Args:
        gamma: (R, j) distinct positive eigenvalues, each of multiplicity two.
        dimension: N, at least `2 j`.
        t: (R,) overlaps above 0.

    Returns:
        (R,) `ln P(a > t)`.

    Raises:
        ValueError: There are more eigenvalues than dimensions, or shapes differ.
    """
    values = _table(gamma)
    if 2 * values.shape[1] > dimension:
        raise ValueError(f"paired: expected at most {dimension // 2} pairs in {dimension} dimensions, got {values.shape[1]}.")
    t = _overlaps(t, values.shape[0])
    above = np.maximum(values - t[:, None], 0.0)
    between = values[:, :, None] - values[:, None, :]
    pairs = range(values.shape[1])
    factors = [np.prod([above[:, k] / between[:, k, j] for j in pairs if j != k], axis=0) for k in pairs]
    with np.errstate(divide="ignore"):
        rest = np.log(above / values) * ((dimension - 2 * len(pairs)) / 2) if dimension > 2 * len(pairs) else np.zeros_like(above)
        rest = np.where(above > 0, rest, -np.inf)
        top = np.max(rest, axis=1)
        found = np.log(np.sum(np.stack(factors, axis=1) * np.exp(rest - np.where(top > -np.inf, top, 0.0)[:, None]), axis=1)) + top
    return np.where(t <= 0, 0.0, found)


def log_beta_tail(a: ArrayLike, b: ArrayLike, room: ArrayLike) -> Values:
    """`ln P(X > 1 - room)` for X ~ Beta(a, b), without underflow.

    Args:
        a: First parameter, above 0.
        b: Second parameter, above 0, of the shape of `a`.
        room: `1 - t`, between 0 and 1, which keeps the digits of a `t` close to 1; of a shape that `a` and `b` have or go with.

    Returns:
        Logarithms; -inf where `room` is 0.
    """
    a, b, y = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (a, b, room)))
    plain = betainc(b, a, y)
    with np.errstate(divide="ignore"):
        found = np.log(plain)
    deep = (plain < UNDERFLOW) & (y > 0)
    if deep.any():
        found = np.array(found)
        found[deep] = _log_beta_by_fraction(b[deep], a[deep], y[deep])
    return np.asarray(np.minimum(found, 0.0))


def _log_beta_by_fraction(p: Values, q: Values, x: Values) -> Values:
    """Logarithm of the incomplete beta function `I_x(p, q)` by its continued fraction, for `x` well below `p / (p + q)`.

    References:
        DLMF 8.17.22, evaluated by the modified method of Lentz.
    """
    c = np.ones_like(x)
    d = 1 / (1 - (p + q) * x / (p + 1))
    fraction = d
    for m in range(1, 500):
        for numerator in (
            m * (q - m) * x / ((p + 2 * m - 1) * (p + 2 * m)),
            -(p + m) * (p + q + m) * x / ((p + 2 * m) * (p + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d)
            c = 1 + numerator / c
            fraction = fraction * (c * d)
        if np.abs(c * d - 1).max() < 1e-15:
            break
    found: Values = p * np.log(x) + q * np.log1p(-x) - np.log(p) - betaln(p, q) + np.log(fraction)
    return found


def _table(gamma: ArrayLike) -> Values:
    values = np.asarray(gamma, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"gamma: expected (R, r), the eigenvalues of one frame per row, got shape {values.shape}.")
    return values


def _overlaps(t: ArrayLike, rows: int) -> Values:
    found = np.asarray(t, dtype=np.float64)
    if found.shape != (rows,) or np.isnan(found).any():
        raise ValueError(f"t: expected {rows} overlaps, one per row of gamma, none NaN, got shape {found.shape}.")
    return found


def _shares(gamma: ArrayLike, dimension: int) -> tuple[Values, Values]:
    """Eigenvalues, descending, as shares of the largest, rounding set to 0 and columns of zeros left out; and the largest."""
    values = _table(gamma)
    if not np.isfinite(values).all() or values.shape[1] == 0 or dimension < 1:
        raise ValueError(
            f"gamma: expected finite eigenvalues in a space of 1 dimension or more, got {values.shape} of them in {dimension}."
        )
    values = -np.sort(-values, axis=1)
    largest = values[:, 0].copy()
    if (largest < 0).any() or (values[:, -1] < -1e-8 * largest).any():
        raise ValueError(f"gamma: expected eigenvalues of a Gram matrix, none of them negative, got {values.min():.3g}.")
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(largest[:, None] > 0, values / largest[:, None], 0.0)
    shares = np.where(shares < ZERO, 0.0, shares)
    shares[:, 0] = 1.0  # of a row of zeros too: its largest value, 0, says what its overlap is
    used = int((shares > 0).sum(1).max(initial=1))
    if used > dimension:
        raise ValueError(f"gamma: expected at most {dimension} positive eigenvalues in {dimension} dimensions, got {used}.")
    return shares[:, :used], largest


def _least(shares: Values, dimension: int) -> Values:
    """The least of all N eigenvalues, those that are not listed included."""
    return shares[:, -1] if shares.shape[1] == dimension else np.zeros(shares.shape[0])


def _equal(shares: Values) -> tuple[Mask, Indices]:
    """Rows whose positive eigenvalues are all equal, and their number in every row."""
    positive = shares > 0
    return np.all((shares >= 1 - EQUAL) | ~positive, axis=1), np.count_nonzero(positive, axis=1).astype(np.int64)


def _tail(shares: Values, dimension: int, room: Values) -> Values:
    """`ln P(a > gamma_1 (1 - room))`, for rows whose largest eigenvalue is 1."""
    found = np.full(room.size, -np.inf)
    equal, count = _equal(shares)
    for c in np.unique(count[equal]):
        rows = equal & (count == c) & (room > 0)
        found[rows] = log_beta_tail(c / 2, (dimension - c) / 2, room[rows]) if c < dimension else 0.0
    rest = ~equal & (room > 0)
    sure = rest & (1 - room <= _least(shares, dimension))
    found[sure] = 0.0
    rest &= ~sure
    for rule in (USUAL, FINE):
        for rows, side in _sides(rest, shares, dimension, room, rule):
            path = _path(shares[rows], dimension, room[rows], side, rule)
            tail = path.height + np.log((path.step / path.s).imag.sum(1) / math.pi)
            found[rows] = tail if side > 0 else np.log1p(-np.exp(tail))
        rest &= found > NEAR
    return found


def _slope(shares: Values, dimension: int, room: Values, tail: Values) -> Values:
    """Derivative of `_tail` by `ln(room)`, not negative; 0 where the tail is 1 or 0."""
    found = np.zeros(room.size)
    equal, count = _equal(shares)
    inside = (room > 0) & (1 - room > _least(shares, dimension))
    for c in np.unique(count[equal]):
        rows = equal & (count == c) & inside & (room < 1)
        if c < dimension:
            a, b, y = c / 2, (dimension - c) / 2, room[rows]
            found[rows] = np.exp(b * np.log(y) + (a - 1) * np.log1p(-y) - betaln(a, b) - tail[rows])
    rest = ~equal & inside
    for rule, some in ((USUAL, rest & (tail <= NEAR)), (FINE, rest & (tail > NEAR))):
        for rows, side in _sides(some, shares, dimension, room, rule):
            path = _path(shares[rows], dimension, room[rows], side, rule)
            sums = np.zeros_like(path.s)
            for k, n in enumerate(path.number):
                sums += n / (1 - path.s * path.weights[:, k, None])
            # every weight of Q falls alike as t grows
            density = (path.step * sums).imag.sum(1) / math.pi / (2 * path.top)
            found[rows] = np.exp(path.height - tail[rows]) * density * room[rows]
    return found


def _sides(rows: Mask, shares: Values, dimension: int, room: Values, rule: Rule) -> Iterator[tuple[Indices, float]]:
    """Rows in chunks, with 1 where t is at or above the mean, so that the tail is small, and -1 where its complement is."""
    below = 1 - room < shares.sum(1) / dimension
    chunk = max(1, CHUNK // _nodes(dimension, rule)[0].size)
    for chosen, side in ((np.flatnonzero(rows & ~below), 1.0), (np.flatnonzero(rows & below), -1.0)):
        for start in range(0, chosen.size, chunk):
            yield chosen[start : start + chunk], side


def _nodes(dimension: int, rule: Rule) -> tuple[Values, Values]:
    """Nodes of a rule, and their weights; the integrand is conjugate on the other half line."""
    step, near, far = rule
    w = step * np.arange(math.ceil((near + far / dimension) / step) + 1, dtype=np.float64)
    weights = np.full(w.size, step)
    weights[0] /= 2
    return w, weights


@dataclass(frozen=True, eq=False)
class _Path:
    """A contour, and the moment generating function M of Q on it.

    Attributes:
        s: (R, nodes) points, in units of `1 / (2 top)`.
        step: (R, nodes) `M(s) ds exp(-height)`.
        height: (R,) `ln M` at the saddlepoint.
        weights: (R, w) distinct weights of Q, in units of `top`.
        number: (w,) how often each occurs.
        top: (R,) the largest of them, in units of `gamma_1`.
    """

    s: Complex
    step: Complex
    height: Values
    weights: Values
    number: Values
    top: Values


def _path(shares: Values, dimension: int, room: Values, side: float, rule: Rule) -> _Path:
    """The contour of `P(side Q > 0) = 1 / (2 pi i) int M(s) / s ds`.

    All singularities lie on the real axis outside (0, 1), and the contour crosses it at the saddlepoint x. The hyperbola
    `x + bend (cosh w - 1) + i width sinh w` is steepest descent near the axis and keeps an angle of 45 degrees or more to it. (A
    parabola bends back to the axis, where an eigenvalue just above t costs half of the digits.)
    """
    # in units of gamma_1, t is 1 - room; a direction that is not listed weighs -t
    columns = [shares[:, k] - 1 + room for k in range(shares.shape[1])]
    times = [1.0] * len(columns)
    if dimension > len(columns):
        columns.append(room - 1)
        times.append(float(dimension - len(times)))
    q, number = side * np.stack(columns, axis=1), np.array(times)
    top = q.max(1)
    q /= top[:, None]
    x = _saddlepoint(q, number)
    ratio: Values = q / (1 - x[:, None] * q)
    second: Values = (ratio**2) @ number / 2 + 1 / x**2
    third = (ratio**3) @ number - 2 / x**3
    width = 1 / np.sqrt(second)
    bend: Values = np.clip(third * width**4 / 3, 0.0, width)
    w, weights = _nodes(dimension, rule)
    away = np.outer(bend, 2 * np.sinh(w / 2) ** 2) + 1j * np.outer(width, np.sinh(w))
    step: Complex = (np.outer(bend, np.sinh(w)) + 1j * np.outer(width, np.cosh(w))) * weights
    step *= np.exp(_log_generating(away, ratio, number))
    height: Values = -np.log1p(-x[:, None] * q) @ number / 2
    return _Path(x[:, None] + away, step, height, q, number, top)


def _saddlepoint(q: Values, number: Values) -> Values:
    """Where `ln M(s) - ln s` is least between 0 and 1; its derivative rises from -inf to inf there."""
    low, high = np.zeros(q.shape[0]), np.ones(q.shape[0])
    for _ in range(HALVINGS):
        x = (low + high) / 2
        rising = (q / (1 - x[:, None] * q)) @ number / 2 > 1 / x
        high, low = np.where(rising, x, high), np.where(rising, low, x)
    return low + (high - low) / 2


def _log_generating(away: Complex, ratio: Values, number: Values) -> Complex:
    """`ln M(x + away) - ln M(x) = -1/2 sum_k number_k ln(1 - away ratio_k)`, continued into the upper half plane.

    Two factors share a logarithm, the dear part: the angle of each lies between -pi and 0 where its weight is positive, else
    between 0 and pi / 2 (the real part of `away` is not negative), so that only the product of two positive ones can
    leave the principal branch.
    """
    single = int((number == 1).sum())  # the others are one column at the end
    angle, size, logs = np.zeros(away.shape), np.ones(away.shape), np.zeros(away.shape)
    for k in range(0, single, 2):
        d = 1 - away * ratio[:, k, None]
        if k + 1 < single:
            d *= 1 - away * ratio[:, k + 1, None]
            turn = np.arctan2(d.imag, d.real)
            both = ((ratio[:, k] > 0) & (ratio[:, k + 1] > 0))[:, None]
            angle += np.where(both & (turn > 0), turn - 2 * math.pi, turn)
        else:
            angle += np.arctan2(d.imag, d.real)
        size *= d.real**2 + d.imag**2
        if k % PRODUCTS == PRODUCTS - 2:
            logs += np.log(size)
            size.fill(1.0)
    logs += np.log(size)
    logs *= -0.25
    angle *= -0.5
    for k in range(single, number.size):
        d = 1 - away * ratio[:, k, None]
        logs -= number[k] / 4 * np.log(d.real**2 + d.imag**2)
        angle -= number[k] / 2 * np.arctan2(d.imag, d.real)
    return logs + 1j * angle


def _beta_room(a: float, b: float, log_alpha: float) -> float:
    """`1 - t` at which the tail of Beta(a, b) is `alpha`."""
    if log_alpha > math.log(UNDERFLOW):
        return float(betaincinv(b, a, math.exp(log_alpha)))
    # I_y(b, a) = y^b / (b B(a, b)) (1 + O(y)): Newton in ln(y), in which its logarithm is nearly straight
    x = (log_alpha + math.log(b) + float(betaln(a, b))) / b
    for _ in range(STEPS):
        x = min(x, -1e-9)
        y = math.exp(x)
        if y == 0:
            return 0.0
        value = float(log_beta_tail(a, b, y))
        slope = math.exp(b * x + (a - 1) * math.log1p(-y) - float(betaln(a, b)) - value)
        step = (log_alpha - value) / slope
        x += step
        if abs(step) <= SETTLED * abs(x):
            break
    return math.exp(x)


def _solve(shares: Values, dimension: int, log_alpha: float) -> Values:
    """`1 - t / gamma_1` at which the tail is `alpha`, for rows whose eigenvalues differ."""
    a, b = matched_beta(shares, dimension)
    guess = betaincinv(b, a, math.exp(log_alpha)) if log_alpha > math.log(UNDERFLOW) else np.zeros(a.size)
    start = 1 - shares.sum(1) * (1 - guess)
    high = np.log1p(-_least(shares, dimension))
    low = np.full(a.size, -np.inf)
    # beyond the largest eigenvalue the matched Beta knows nothing: start where the rank-one law would be
    alone = 2 * log_alpha / (dimension - 1) - 1.0
    x = np.where(start > 1e-3, np.log(np.maximum(start, 1e-3)), max(alone, NEAREST / 2))
    x = np.minimum(x, high - 1e-3)
    active = np.arange(a.size)
    for _ in range(STEPS):
        some, room = shares[active], np.exp(x[active])
        value = _tail(some, dimension, room)
        error = value - log_alpha
        now = x[active]
        low[active] = np.where(error < 0, now, low[active])
        high[active] = np.where(error > 0, now, high[active])
        with np.errstate(divide="ignore", invalid="ignore"):
            to = now - error / _slope(some, dimension, room, value)
        floor = np.where(low[active] > -np.inf, low[active], np.minimum(now, high[active]) * 2 - 20.0)
        halved = (floor + high[active]) / 2
        to = np.where((to > floor) & (to < high[active]), to, halved)
        going = (np.abs(error) > SETTLED * abs(log_alpha)) & (np.abs(to - now) > 1e-15 * np.abs(now)) & (now > NEAREST)
        x[active] = np.where(going, np.maximum(to, NEAREST), now)
        active = active[going]
        if not active.size:
            break
    found: Values = np.exp(x)
    return found
