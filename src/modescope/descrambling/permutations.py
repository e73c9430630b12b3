"""Neurons in a smooth order: the descrambler among permutations, which commute with every activation.

`tr(P^T A P B)` over permutations is a quadratic assignment problem. For differences of neighbours it is the shortest open path
through the neurons, with the squared distances of their signals as lengths, and on a ring the shortest round trip. Small problems
are solved exactly; others by several heuristics, each polished until no simple change helps, and compared with lower bounds. For
channels of a convolution the second moment is that of the channels over samples and positions.

References:
    Held & Karp (1962), doi:10.1137/0110015; Umeyama (1988), doi:10.1109/34.6778; Vogelstein et al. (2015),
    doi:10.1371/journal.pone.0121002; Hadley, Rendl & Wolkowicz (1992), doi:10.1287/moor.17.3.727, for the projected bound.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, quadratic_assignment

from modescope.descrambling.closed_form import ROUGH
from modescope.descrambling.finite import finite_matrix, squarable
from modescope.descrambling.operators import Smoothness
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.seeds import generator
from modescope.svd import Values

Order = NDArray[np.int64]

PATHS = 13  # neurons up to which paths and round trips are solved exactly: 2^13 sets
ALL = 9  # neurons up to which all orders are tried otherwise: 362 880
MATCHED = 256  # neurons up to which FAQ is used: some dozen linear assignments; beyond, exchanges begin from two starts only
EXCHANGED = 40  # neurons up to which SciPy's 2-opt is used, in Python
KICKS = 200  # random changes after which the best path is polished again
SHAKEN = 10  # so many times fewer where all exchanges are looked at again
PIECE = 50  # stops within which such a change lies
ASCENT = 150  # steps towards the best bound by trees
PATIENCE = 10  # steps without a better bound after which they are halved
LONGEST = 3  # neurons in a piece that or-opt moves
SAME = 1e-12  # relative gain below which a change is rounding


@dataclass(frozen=True, eq=False)
class Ordering:
    """Neurons in an order.

    Attributes:
        order: (m,) which neuron stands at each place; the weight is shown as `W[order]`.
        value: `tr(P^T A P B)` of the order.
        identity: The same of the order that the network has.
        random_mean: Mean over all orders.
        rotation: The least value over all rotations, which bounds it from below.
        bound: The best lower bound known: that, the same over rotations that keep the constant signal, that of trees for a path or
            a round trip, that of an assignment for others, or the value if it is exact.
        gap: `value / bound - 1`; 0 where the order is proven optimal, None where the bound is zero.
        origin: What led to the order.
        exact: It is proven that no order is smoother.
        tried: Value of every attempt after its polish, by name.
        status: A sentence.
    """

    order: Order
    value: float
    identity: float
    random_mean: float
    rotation: float
    bound: float
    gap: float | None
    origin: str
    exact: bool
    tried: Mapping[str, float]
    status: str

    @property
    def p(self) -> Values:
        """(m, m) permutation matrix: `(P W)[i] = W[order[i]]`."""
        return np.eye(self.order.size)[self.order]


@dataclass(frozen=True, eq=False)
class _Problem:
    """`tr(P^T A P B)`, with both decomposed; `power` holds the eigenvalues of B, descending.

    `ring` holds lengths of a round trip where it is one, with the stop at home last.
    """

    a: Values
    b: Values
    v: Values
    u: Values
    power: Values
    ring: Values | None
    scale: float
    home: bool

    @property
    def free(self) -> bool:
        """A constant signal costs nothing, so that the objective does not see what B has of it."""
        return bool(np.abs(self.a.sum(axis=1)).max() <= 1e-10 * np.abs(self.a).max())

    def value(self, order: Order) -> float:
        return float(np.sum(self.a * self.b[np.ix_(order, order)]))


def smoothest_order(second: Array, smoothness: Smoothness, /, *, kicks: int = KICKS, seed: int = 0) -> Ordering:
    """The order of the neurons in which their signals are smoothest, or the best one found.

    Args:
        second: (m, m) second moment of the hidden data, of channels over samples and positions for a convolution.
        smoothness: The difference operator along the places.
        kicks: How often the best path is disturbed at random and polished again, where it is not exact.
        seed: Of the random changes.

    Returns:
        The order. Reversed, and on a ring turned, orders are as smooth: the one whose first neuron has the larger power is given.

    Raises:
        UsageError: The sizes do not fit, an entry is not finite, or an eigenvalue is negative.
    """
    b = finite_matrix(second, "second moment")
    m = b.shape[0]
    if b.shape != (m, m) or smoothness.a.size != m:
        raise UsageError(f"second moment: expected {smoothness.a.size} rows and columns for {smoothness.name}, got {b.shape}.")
    if kicks < 0:
        raise UsageError(f"kicks: expected 0 or more, got {kicks}.")
    squarable(float(np.abs(b).max()) ** 0.5, f"second moment {b.shape}, its root")
    problem = _posed((b + b.T) / 2, smoothness)
    if problem.power[-1] < -ROUGH * abs(problem.power[0]):  # bounds would lie above values, and prove what is wrong
        raise UsageError(
            f"second moment: expected a positive semidefinite one, got {b.shape} with eigenvalues from {problem.power[-1]:.3g} to "
            f"{problem.power[0]:.3g}. Pass S' S / N of the hidden data S."
        )
    rotation, bound = _bounds(problem, smoothness)
    solved = _solved(problem)
    tried = {}
    if solved is not None:
        found, origin = solved
        tried[origin] = problem.value(found)
    else:
        found, origin, tried = _searched(problem, kicks, seed)
    found = _turned(problem, found)
    value = problem.value(found)
    if solved is None and problem.ring is not None:
        bound = max(bound, problem.scale * tree_bound(problem.ring, value / problem.scale))
    elif solved is None:
        bound = max(bound, assignment_bound(problem.a, _centred(problem.b) if problem.free else problem.b))
    exact = solved is not None or bound >= value * (1 - SAME)
    if exact:
        bound = value
    status = "proven to be the smoothest order" if exact else f"the best of {len(tried)} attempts, not proven"
    return Ordering(
        order=found,
        value=value,
        identity=problem.value(np.arange(m)),
        random_mean=random_mean(problem.a, problem.b),
        rotation=rotation,
        bound=bound,
        gap=0.0 if exact else (value / bound - 1 if bound > 0 else None),
        origin=origin,
        exact=exact,
        tried=tried,
        status=status,
    )


def random_mean(a: Values, b: Values, /) -> float:
    """Mean of `tr(P^T A P B)` over all permutations: `tr A tr B / m + off(A) off(B) / (m (m - 1))`, off without diagonal."""
    m = a.shape[0]
    traces: float = float(np.trace(a) * np.trace(b)) / m
    off: float = float((a.sum() - np.trace(a)) * (b.sum() - np.trace(b))) / max(m * (m - 1), 1)
    return traces + off


def distances(second: Values, /) -> Values:
    """(m, m) squared distances of the signals of two neurons, `B_ii + B_jj - 2 B_ij`; zero on the diagonal."""
    power = np.diag(second)
    found: Values = np.maximum(power[:, None] + power - 2 * second, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def held_karp(lengths: Values, /) -> Order:
    """The shortest round trip through n stops, exactly, by dynamic programming over sets of stops.

    Args:
        lengths: (n, n) symmetric. Time and memory grow as `2^n`.

    Returns:
        (n,) stops in order; the last one is stop n - 1.
    """
    n = lengths.shape[0]
    if n < 2:
        return np.arange(n)
    inner, k = lengths[:-1, :-1], n - 1
    best = np.full((1 << k, k), np.inf)  # shortest way from stop n - 1 through a set of stops that ends at one of them
    best[1 << np.arange(k), np.arange(k)] = lengths[-1, :-1]
    bits = 1 << np.arange(k)
    for chosen in range(1, 1 << k):
        here = best[chosen]
        onward = np.flatnonzero(~(chosen & bits).astype(np.bool_))
        if onward.size:
            at = chosen | bits[onward]
            best[at, onward] = np.minimum(best[at, onward], (here[:, None] + inner[:, onward]).min(axis=0))
    chosen, last = (1 << k) - 1, int(np.argmin(best[-1] + lengths[:-1, -1]))
    trip = [n - 1, last]
    while len(trip) < n:
        rest = chosen & ~(1 << last)
        last, chosen = int(np.argmin(best[rest] + inner[:, last])), rest
        trip.append(last)
    return np.array(trip[1:] + trip[:1], dtype=np.int64)


def enumerated(a: Values, b: Values, /) -> Order:
    """The best of all orders of few neurons.

    Args:
        a: (m, m) of the places, symmetric.
        b: (m, m) of the neurons, symmetric.
    """
    m = a.shape[0]
    orders = np.array(list(permutations(range(m))), dtype=np.int8)
    values = np.zeros(orders.shape[0])
    for i in range(m):
        values += a[i, i] * b[orders[:, i], orders[:, i]]
        for j in range(i):
            if a[i, j] != 0:
                values += 2 * a[i, j] * b[orders[:, i], orders[:, j]]
    found: Order = orders[int(values.argmin())].astype(np.int64)
    return found


def shortened(lengths: Values, trip: Order, /, *, fresh: Iterable[int] | None = None) -> Order:
    """A round trip polished until neither reversing a part of it nor moving up to three neighbours makes it shorter.

    The gain of a change is the difference of a few edges, so all changes at one stop cost O(n), and only stops next to a change are
    looked at again.

    Args:
        lengths: (n, n) symmetric.
        trip: (n,) stops in order.
        fresh: Stops to look at first, where the rest is polished already; None: all.
    """
    if trip.size < 5:
        return trip
    unit = SAME * float(lengths.max(initial=0.0))
    waiting = dict.fromkeys(trip.tolist() if fresh is None else fresh)
    while waiting:
        stop = next(iter(waiting))
        turned = np.roll(trip, -int(np.flatnonzero(trip == stop)[0]))
        for way in (turned, np.roll(turned[::-1], 1)):
            better = _reversed(lengths, way, unit) or _moved(lengths, way, unit)
            if better is not None:
                trip, touched = better
                waiting.update(dict.fromkeys(touched))
                break
        else:
            del waiting[stop]
    return trip


def tree_bound(lengths: Values, upper: float, /, *, steps: int = ASCENT) -> float:
    """A lower bound of all round trips: the least tree with one more edge, after prices on stops that it visits too often.

    Args:
        lengths: (n, n) symmetric, n at least 3.
        upper: Length of a round trip that is known; it sets the size of the steps.
        steps: Of the ascent, each O(n^2). Any number gives a true bound.

    References:
        Held & Karp (1970), doi:10.1287/opre.18.6.1138.
    """
    n = lengths.shape[0]
    prices, best, still, pace = np.zeros(n), -np.inf, 0, 1.0
    for _ in range(steps):
        length, degrees = _one_tree(lengths + prices[:, None] + prices)
        reached = length - 2 * float(prices.sum())
        still = 0 if reached > best else still + 1
        best = max(best, reached)
        off = degrees - 2
        if not off.any() or upper - best <= SAME * abs(upper):
            break
        if still == PATIENCE:
            pace, still = pace / 2, 0
        prices = prices + pace * max(upper - reached, SAME * abs(upper)) / float(off @ off) * off
    return best


def assignment_bound(a: Values, b: Values, /) -> float:
    """A lower bound of all orders: what every neuron costs in every place if the others stood at best for it, then assigned.

    Args:
        a: (m, m) of the places, symmetric.
        b: (m, m) of the neurons, symmetric; where A does not see constants it is the closer without their part.

    References:
        Gilmore (1962), doi:10.1137/0110022; Lawler (1963), doi:10.1287/mnsc.9.4.586.
    """
    m = a.shape[0]
    others = ~np.eye(m, dtype=np.bool_)
    rising, along = (np.sort(square[others].reshape(m, m - 1), axis=1) for square in (a, b))
    cost = rising @ along[:, ::-1].T + np.outer(np.diag(a), np.diag(b))
    return float(cost[linear_sum_assignment(cost)].sum())


def _one_tree(lengths: Values) -> tuple[float, Values]:
    """Length and degrees of the least spanning tree of all stops but the last (Prim), and the last on its two shortest edges."""
    n = lengths.shape[0]
    degrees, total = np.zeros(n), 0.0
    near, origin = lengths[0, :-1].copy(), np.zeros(n - 1, dtype=np.int64)
    near[0] = np.inf
    outside = np.ones(n - 1, dtype=np.bool_)
    outside[0] = False
    for _ in range(n - 2):
        new = int(near.argmin())
        total += float(near[new])
        degrees[new] += 1
        degrees[origin[new]] += 1
        outside[new], near[new] = False, np.inf
        closer = outside & (lengths[new, :-1] < near)
        near[closer], origin[closer] = lengths[new, :-1][closer], new
    two = np.argpartition(lengths[-1, :-1], 1)[:2]
    degrees[two] += 1
    degrees[-1] = 2
    return total + float(lengths[-1, two].sum()), degrees


def exchanged(a: Values, b: Values, order: Order, /) -> Order:
    """An order polished until no exchange of two neurons makes `tr(P^T A P B)` smaller.

    Args:
        a: (m, m) of the places, symmetric.
        b: (m, m) of the neurons, symmetric.
        order: (m,) start.
    """
    found = order.copy()
    m = found.size
    c = b[np.ix_(found, found)]
    mixed = a @ c
    unit = SAME * (float(np.abs(a).max()) * float(np.abs(b).max()) or 1.0)
    own_a, quiet = np.diag(a), 0
    place = 0
    while quiet < m:
        r, place = place, (place + 1) % m
        gain = _exchange(a, c, mixed, own_a, r)
        s = int(gain.argmin())
        quiet += 1
        if gain[s] >= -unit:
            continue
        quiet = 0
        both = [r, s]
        before = c[both].copy()
        found[both] = found[[s, r]]
        c[both] = c[[s, r]]
        c[:, both] = c[:, [s, r]]
        mixed += a[:, both] @ (c[both] - before)
        mixed[:, both] = a @ c[:, both]
    return found


def _exchange(a: Values, c: Values, mixed: Values, own_a: Values, r: int) -> Values:
    """(m,) change of the objective when place r and every other place exchange their neurons."""
    own_c, square = np.diag(c), np.diag(mixed)
    plain = mixed[r] + mixed[:, r] - mixed[r, r] - square
    at_r = (a[r, r] - a[:, r]) * (c[r] - c[r, r])
    at_s = (a[r] - own_a) * (own_c - c[r])
    gain: Values = 2 * (plain - at_r - at_s) + (a[r, r] - own_a) * (own_c - c[r, r])
    gain[r] = 0.0
    return gain


def _posed(b: Values, smoothness: Smoothness) -> _Problem:
    d = smoothness.matrix()
    a = d.T @ d
    m = b.shape[0]
    power, u = np.linalg.eigh(b)
    plain = _Problem(a, b, smoothness.modes, u[:, ::-1], power[::-1], None, 1.0, home=False)
    if m < 3:
        return plain
    for home in (True, False):
        laplacian = _laplacian(m, closed=not home)
        scale = float(np.trace(a) / np.trace(laplacian))
        if scale > 0 and np.abs(a - scale * laplacian).max() <= 1e-12 * scale:
            ring = distances(b)
            # A stop at no distance from all others turns an open path into a round trip.
            return replace(plain, ring=np.pad(ring, (0, int(home))), scale=scale, home=home)
    return plain


def _laplacian(m: int, *, closed: bool) -> Values:
    d = np.diff(np.eye(m), axis=0, append=np.eye(m)[:1]) if closed else np.diff(np.eye(m), axis=0)
    found: Values = d.T @ d
    return found


def _bounds(problem: _Problem, smoothness: Smoothness) -> tuple[float, float]:
    """Least value over all rotations, and over those that keep the constant signal, as permutations do."""
    rotation = float(smoothness.a @ np.maximum(problem.power, 0.0))
    m = problem.b.shape[0]
    if m < 2:
        return rotation, rotation
    a = smoothness.a[1:] if problem.free else np.linalg.eigvalsh(_centred(problem.a))[1:]
    projected = float(a @ np.maximum(np.linalg.eigvalsh(_centred(problem.b))[::-1], 0.0)[:-1])
    if not problem.free:  # what the constant signal has to do with others depends on the order linearly: sorting is best
        across, data = problem.a.sum(axis=1), problem.b.sum(axis=1)
        projected += float(2 / m * np.sort(across) @ np.sort(data)[::-1]) - float(across.sum() * data.sum()) / m**2
    return rotation, max(rotation, projected)


def _centred(square: Values) -> Values:
    """Without what it has to do with constant signals."""
    once = square - square.mean(axis=0)
    found: Values = once - once.mean(axis=1, keepdims=True)
    return found


def _solved(problem: _Problem) -> tuple[Order, str] | None:
    """A proven optimum, where the problem is small or easy."""
    m = problem.b.shape[0]
    if problem.ring is not None and m <= PATHS:
        return _placed(problem, held_karp(problem.ring)), "Held-Karp"
    if not np.any(problem.a - np.diag(np.diag(problem.a))):
        order = np.empty(m, dtype=np.int64)
        order[np.argsort(np.diag(problem.a), kind="stable")] = np.argsort(-np.diag(problem.b), kind="stable")
        return order, "sorting"
    return (enumerated(problem.a, problem.b), "enumeration") if m <= ALL else None


def _searched(problem: _Problem, kicks: int, seed: int) -> tuple[Order, str, dict[str, float]]:
    """The best of all heuristics, each polished."""
    polish = _polish(problem)
    best, origin, tried = np.arange(problem.b.shape[0]), "", {}
    for name, start in _starts(problem, seed):
        order = polish(start)
        tried[name] = problem.value(order)
        if not origin or tried[name] < tried[origin] * (1 - SAME):
            best, origin = order, name
    if kicks and (problem.ring is not None or best.size <= MATCHED):
        rng = generator(seed, "kicks")
        if problem.ring is None:
            order = _shaken(problem, best, kicks, rng)
        else:
            order = _placed(problem, _kicked(problem.ring, _trip(problem, best), kicks, rng))
        tried["kicks"] = problem.value(order)
        if tried["kicks"] < tried[origin] * (1 - SAME):
            best, origin = order, f"{origin}, kicks"
    return best, origin, tried


def _starts(problem: _Problem, seed: int) -> Iterator[tuple[str, Order]]:
    a, b, m = problem.a, problem.b, problem.b.shape[0]
    if problem.ring is not None or m <= MATCHED:
        yield "as it is", np.arange(m)
        yield "Umeyama", _assigned(np.abs(problem.v) @ np.abs(problem.u).T)
        yield "nearest to the rotation", _assigned(problem.v @ _signed(problem.u).T)
    far = distances(b)
    wave = problem.v[:, min(1, m - 1)]
    for name, line in (("Fiedler", _fiedler(far)), ("first component", _first_component(b))):
        yield name, _ranked(wave, line)
    if problem.ring is not None:
        yield "nearest neighbours", _placed(problem, _greedy(problem.ring))
    if m <= MATCHED:
        yield "FAQ", _scipy(a, b, "faq", {"P0": "randomized", "rng": generator(seed, "FAQ")})
    if m <= EXCHANGED:
        yield "2-opt", _scipy(a, b, "2opt", {"rng": generator(seed, "2-opt")})


def _scipy(a: Values, b: Values, method: str, options: Mapping[str, object]) -> Order:
    return np.asarray(quadratic_assignment(a, b, method=method, options=dict(options)).col_ind, dtype=np.int64)


def _assigned(score: Values) -> Order:
    return np.asarray(linear_sum_assignment(score, maximize=True)[1], dtype=np.int64)


def _signed(u: Values) -> Values:
    """Eigenvectors whose largest entry is positive."""
    top = u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])]
    found: Values = u * np.where(top < 0, -1.0, 1.0)
    return found


def _fiedler(far: Values) -> Values:
    """Second mode of the graph of similar neurons: it changes least between neurons that are alike."""
    unit = float(np.median(far[far > 0])) if np.any(far > 0) else 1.0
    alike = np.exp(-far / unit)
    found: Values = np.linalg.eigh(np.diag(alike.sum(axis=1)) - alike)[1][:, min(1, far.shape[0] - 1)]
    return found


def _first_component(b: Values) -> Values:
    """Place of each neuron along the direction in which the signals of the neurons differ most."""
    found: Values = np.linalg.eigh(_centred(b))[1][:, -1]
    return found


def _ranked(wave: Values, line: Values) -> Order:
    """The neuron that comes first along its line at the place where the wave is lowest, and so on."""
    order = np.empty(wave.size, dtype=np.int64)
    order[np.argsort(wave, kind="stable")] = np.argsort(line, kind="stable")
    return order


def _polish(problem: _Problem) -> Callable[[Order], Order]:
    if problem.ring is None:
        return lambda order: exchanged(problem.a, problem.b, order)
    ring = problem.ring
    return lambda order: _placed(problem, shortened(ring, _trip(problem, order)))


def _trip(problem: _Problem, order: Order) -> Order:
    return np.append(order, order.size) if problem.home else order


def _placed(problem: _Problem, trip: Order) -> Order:
    """The order of the neurons on a round trip, without the stop at home."""
    if not problem.home:
        return trip
    home = int(np.flatnonzero(trip == trip.size - 1)[0])
    return np.roll(trip, -home)[1:]


def _turned(problem: _Problem, order: Order) -> Order:
    """Of the orders that are equal by symmetry the one that begins with the larger power; it does not depend on the numbering."""
    if problem.ring is None:
        return order
    power = np.diag(problem.b)
    if problem.home:
        return order[::-1].copy() if power[order[0]] < power[order[-1]] else order
    order = np.roll(order, -int(power[order].argmax()))
    return np.roll(order[::-1], 1) if power[order[1]] < power[order[-1]] else order


def _greedy(lengths: Values) -> Order:
    """From the last stop always to the nearest that is left."""
    n = lengths.shape[0]
    left = np.ones(n, dtype=np.bool_)
    trip = [n - 1]
    for _ in range(n - 1):
        left[trip[-1]] = False
        trip.append(int(np.where(left, lengths[trip[-1]], np.inf).argmin()))
    return np.array(trip, dtype=np.int64)


def _kicked(lengths: Values, trip: Order, kicks: int, rng: np.random.Generator) -> Order:
    """Iterated local search: exchange two random pieces that are neighbours, polish around them, keep it if it is shorter."""
    best, least = trip, _length(lengths, trip)
    for _ in range(kicks):
        best = np.roll(best, int(rng.integers(best.size)))
        i, j, k = np.sort(rng.choice(np.arange(1, min(best.size, PIECE)), 3, replace=False))
        ends = best[[0, i - 1, i, j - 1, j, k - 1, k % best.size]].tolist()
        other = shortened(lengths, np.concatenate([best[:i], best[j:k], best[i:j], best[k:]]), fresh=ends)
        length = _length(lengths, other)
        if length < least:
            best, least = other, length
    return best


def _shaken(problem: _Problem, order: Order, kicks: int, rng: np.random.Generator) -> Order:
    """The same for exchanges: permute a few neurons, polish, keep it if it is smoother. A polish looks at all, so fewer do."""
    best, least = order, problem.value(order)
    for _ in range(max(1, kicks // SHAKEN)):
        at = rng.choice(order.size, min(order.size, max(3, order.size // 16)), replace=False)
        other = best.copy()
        other[at] = best[rng.permutation(at)]
        other = exchanged(problem.a, problem.b, other)
        value = problem.value(other)
        if value < least:
            best, least = other, value
    return best


def _length(lengths: Values, trip: Order) -> float:
    return float(lengths[trip, np.roll(trip, -1)].sum())


def _reversed(lengths: Values, way: Order, unit: float) -> tuple[Order, list[int]] | None:
    """2-opt: the best reversal of a part that begins after the first stop, with the stops it touches."""
    ends, after = way[1:-1], way[2:]
    gain = lengths[way[0]][ends] + lengths[way[1]][after] - lengths[way[0], way[1]] - lengths[ends, after]
    j = int(gain.argmin())
    if gain[j] >= -unit:
        return None
    return np.concatenate([way[:1], way[j + 1 : 0 : -1], way[j + 2 :]]), [int(way[k]) for k in (0, 1, j + 1, j + 2)]


def _moved(lengths: Values, way: Order, unit: float) -> tuple[Order, list[int]] | None:
    """Or-opt: the best other place for a short piece that begins with the first stop, either way round."""
    for size in range(1, LONGEST + 1):
        piece, rest = way[:size], way[size:]
        if rest.size < 2:
            return None
        first, last, before, behind = piece[0], piece[-1], rest[-1], rest[0]
        left, right = rest[:-1], rest[1:]
        from_first, from_last = lengths[first], lengths[last]
        ahead = from_first[left] + from_last[right]
        back = from_last[left] + from_first[right]
        cost = np.minimum(ahead, back) - lengths[left, right]
        j = int(cost.argmin())
        if cost[j] - (from_first[before] + from_last[behind] - lengths[before, behind]) < -unit:
            put = piece if ahead[j] <= back[j] else piece[::-1]
            touched = [int(stop) for stop in (first, last, before, behind, rest[j], rest[j + 1])]
            return np.concatenate([rest[: j + 1], put, rest[j + 1 :]]), touched
    return None
