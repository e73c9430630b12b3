"""Match the modes of two checkpoints: one by one where they have an identity, as subspaces where they have none."""

from dataclasses import dataclass

import numpy as np

from modescope.comparison import haar
from modescope.comparison.groups import Group, assign, close, components, groups, settled
from modescope.svd import Values

LEAST_P = 1e-300  # quantiles below are not computed
FOUND = 0.5  # what a mode must have in common with a group, of 1, to belong to it
MIXTURE = 0.85  # what it has in common with all modes of the other checkpoint where it is their mixture and nothing new
STANDS = 0.5  # cosine from which on a match counts as kept: what is below may be no chance, but is mostly another direction


@dataclass(frozen=True, eq=False)
class Modes:
    """All modes of one matrix that can be told from zero.

    Attributes:
        s: (m,) singular values, descending.
        u: (out, m) output directions.
        vh: (m, in) input directions.
    """

    s: Values
    u: Values
    vh: Values


@dataclass(frozen=True)
class Match:
    """Modes of the earlier checkpoint that are found again in the later one.

    Attributes:
        before: Places in the earlier checkpoint, counted from 0; more than one where they are near-degenerate.
        after: Places in the later one.
        overlap: Of two modes the root of `(u . u') (v . v')`; of groups the root mean square of `cosines`.
        left: Cosine of the output directions; of groups the root mean square over the principal angles.
        right: The same of the input directions.
        cosines: Of groups, the joint principal cosines after the later basis was turned onto the earlier one; else empty.
        p: Probability of as good a match where the directions of one side, whichever, or of both are random.
        corrected: The same for the best of all pairs that were tried.
        cut: The group reaches the last mode that was looked at, so that a part of it may lie beyond.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    overlap: float
    left: float
    right: float
    cosines: tuple[float, ...]
    p: float
    corrected: float
    cut: bool

    @property
    def kept(self) -> int:
        """Dimensions found again with a cosine that stands for something."""
        return sum(cosine >= STANDS for cosine in self.cosines or (self.overlap,))


@dataclass(frozen=True)
class Lone:
    """A mode without a match.

    Attributes:
        mode: Its place.
        beyond: Mode beyond those looked at that it continues as, or has most in common with where it is a mixture; else None.
        unclear: It is a mixture of modes of the other checkpoint, of those looked at or in a space so small that any mode would
            be: neither gone nor new.
    """

    mode: int
    beyond: int | None
    unclear: bool


@dataclass(frozen=True, eq=False)
class Matching:
    """The modes of two checkpoints against each other.

    Attributes:
        matches: In order of their first mode.
        lost: Modes of the earlier checkpoint that are found nowhere among the first of the later one.
        born: Modes of the later one that come from none of the first of the earlier one.
        overlaps: (k, l) signed roots of `(u . u') (v . v')`; negative where a gain has turned round.
        threshold: Overlap of two single modes below which there is no match.
        level: Probability that random directions give any match.
    """

    matches: tuple[Match, ...]
    lost: tuple[Lone, ...]
    born: tuple[Lone, ...]
    overlaps: Values
    threshold: float
    level: float


def match(before: Modes, after: Modes, *, modes: int, level: float) -> Matching:
    """Match the first modes of two checkpoints.

    Args:
        before: All modes of the earlier checkpoint.
        after: All modes of the later one.
        modes: How many of each are matched.
        level: Probability that random directions, on one side or on both, give any match in this matrix.

    Returns:
        `Matching`. Modes without an identity form groups, see `groups` and `settled`. Single modes and groups are assigned so that
        the sum of significant overlaps is largest; inside a group no mode is matched with another, and members that have too
        little in common with the other group are taken out of it.
    """
    k, size = min(modes, before.s.size), min(modes, after.s.size)
    dims = before.u.shape[0], before.vh.shape[1]
    left, right = before.u.T @ after.u, before.vh @ after.vh.T
    u, v = left[:k, :size], right[:k, :size]
    sides = settled(
        groups(before.s[:k], (left[:k] * after.s) @ right[:k].T),
        groups(after.s[:size], (left[:, :size].T * before.s) @ right[:, :size]),
        u,
        v,
        (before.s[:k], after.s[:size]),
    )
    p = max(level / max(k * size, 1), LEAST_P)
    cuts = k if k < before.s.size else -1, size if size < after.s.size else -1
    matches = []
    for row, column in _found(sides, u, v, dims, p):
        cut = len(row) + len(column) > 2 and (row[-1] + 1 == cuts[0] or column[-1] + 1 == cuts[1])
        rest = _trimmed(row, column, u * v, (before.s, after.s), max(FOUND, *(haar.cosine(n, 1 - haar.HIGH) for n in dims)))
        if rest is not None and _p(u, v, *rest, dims) <= p:
            matches.append(_match(*rest, u, v, dims, tried=k * size, cut=cut))
    kept, taken = {mode for m in matches for mode in m.before}, {mode for m in matches for mode in m.after}
    far = max(level / max(k * after.s.size + size * (before.s.size - k), 1), LEAST_P)  # of all pairs that are looked at
    return Matching(
        tuple(sorted(matches, key=lambda m: m.before)),
        tuple(_lone(i, left[i], right[i], size, dims, far) for i in range(k) if i not in kept),
        tuple(_lone(j, left[:, j], right[:, j], k, dims, far) for j in range(size) if j not in taken),
        _overlaps(u, v),
        haar.joint_threshold(*dims, p) ** 0.5,
        level,
    )


def unchanged(found: Modes, *, modes: int, level: float) -> Matching:
    """The matching of a matrix with itself: every mode with itself, whatever can be told from chance in spaces so small."""
    k, dims = min(modes, found.s.size), (found.u.shape[0], found.vh.shape[1])
    own = np.eye(k)
    matches = tuple(_match((i,), (i,), own, own, dims, tried=k * k, cut=False) for i in range(k))
    p = max(level / max(k * k, 1), LEAST_P)
    return Matching(matches, (), (), own, haar.joint_threshold(*dims, p) ** 0.5, level)


def aligned(u: Values, v: Values) -> tuple[Values, Values]:
    """Turn the basis of a later group onto an earlier one, output and input directions by the same rotation.

    Args:
        u: (a, b) inner products of earlier and later output directions.
        v: (a, b) the same of the input directions.

    Returns:
        The rotation (b, a) `Q`, a partial isometry where the groups differ in size, that minimises
        `|U - U' Q|**2 + |V - V' Q|**2` (orthogonal Procrustes), and the joint principal cosines, descending.
    """
    x, cosines, yh = np.linalg.svd((u + v) / 2, full_matrices=False)
    return yh.T @ x.T, np.minimum(cosines, 1.0)


def _overlaps(u: Values, v: Values) -> Values:
    product = u * v
    signed: Values = np.sign(product) * np.sqrt(np.minimum(np.abs(product), 1.0))
    return signed


def _found(
    sides: tuple[tuple[Group, ...], tuple[Group, ...]], u: Values, v: Values, dims: tuple[int, int], p: float
) -> list[tuple[Group, Group]]:
    """The assignment between single modes and groups; what random directions may show has no benefit."""
    benefit = np.zeros((len(sides[0]), len(sides[1])))
    overlaps = _overlaps(u, v)
    least = haar.joint_threshold(*dims, p) ** 0.5, haar.cosine(dims[0], p), haar.cosine(dims[1], p)
    clear = (overlaps >= least[0]) & (np.abs(u) >= least[1]) & (np.abs(v) >= least[2])
    for i, row in enumerate(sides[0]):
        for j, column in enumerate(sides[1]):
            if len(row) == len(column) == 1:
                benefit[i, j] = overlaps[row[0], column[0]] if clear[row[0], column[0]] else 0.0
            elif _p(u, v, row, column, dims) <= p:
                benefit[i, j] = (u[np.ix_(row, column)] * v[np.ix_(row, column)]).sum()
    return [(sides[0][i], sides[1][j]) for i, j in assign(benefit)]


def _p(u: Values, v: Values, row: Group, column: Group, dims: tuple[int, int]) -> float:
    """Probability of as good a match with random directions: on both sides, on the one given the other, whichever is largest.

    That both sides agree, and in the same way, is what makes a mode: one side alone may be as it was although the other was drawn
    anew, as when the rows of a matrix change places.
    """
    a, b = u[np.ix_(row, column)], v[np.ix_(row, column)]
    total = float((a * b).sum())
    if len(row) == len(column) == 1:
        sides = [haar.cosine_p(min(abs(float(x[0, 0])), 1.0), n) for x, n in zip((a, b), dims, strict=True)]
        return max(haar.joint_p(total, *dims), *sides)
    given = (float(np.linalg.norm(b)), dims[0]), (float(np.linalg.norm(a)), dims[1])
    return max(haar.frames_p(total, norm, n) for norm, n in given)


def _trimmed(row: Group, column: Group, product: Values, s: tuple[Values, Values], least: float) -> tuple[Group, Group] | None:
    """A matched pair of groups without the members that have less than `least` in common with the other group, if any are left.

    In common is `sum((u . u') (v . v'))` over the modes of the other group: 1 for any mixture of them, about 0 for a mode whose
    output and input directions have nothing to do with each other there, however large the group. Of members closer than rounding
    any basis is as good, so they stay or go together, by their sum.
    """
    if len(row) == len(column) == 1:
        return row, column
    common = product[np.ix_(row, column)]
    rows, columns = _sharing(row, s[0], common.sum(axis=1), least), _sharing(column, s[1], common.sum(axis=0), least)
    return (rows, columns) if rows and columns else None


def _sharing(group: Group, s: Values, common: Values, least: float) -> Group:
    parts = components(len(group), close(s[list(group)]))
    return tuple(sorted(group[i] for part in parts if common[list(part)].sum() >= least for i in part))


def _match(row: Group, column: Group, u: Values, v: Values, dims: tuple[int, int], *, tried: int, cut: bool) -> Match:
    place = np.ix_(row, column)
    p = _p(u, v, row, column, dims)
    if len(row) == len(column) == 1:
        i, j = row[0], column[0]
        shown = (float(_overlaps(u[place], v[place])[0, 0]), min(abs(float(u[i, j])), 1.0), min(abs(float(v[i, j])), 1.0))
        cosines: tuple[float, ...] = ()
    else:
        joint = aligned(u[place], v[place])[1]
        cosines = tuple(float(c) for c in joint)
        least = min(len(row), len(column))
        shown = _root_mean(joint, least), _root_mean(u[place], least), _root_mean(v[place], least)
    return Match(row, column, *shown, cosines=cosines, p=p, corrected=min(1.0, p * tried), cut=cut)


def _root_mean(cosines: Values, count: int) -> float:
    return min(float(np.sqrt((cosines**2).sum() / count)), 1.0)


def _lone(mode: int, u: Values, v: Values, window: int, dims: tuple[int, int], p: float) -> Lone:
    """A mode without a match; it may go on, whole or mixed with others, beyond the modes that were looked at."""
    products = u * v
    total, near = float(products.sum()), float(products[:window].sum())
    if window < products.size:
        best = window + int(products[window:].argmax())
        threshold = haar.joint_threshold(*dims, p)
        single = products[best] >= threshold and abs(u[best]) >= haar.cosine(dims[0], p) and abs(v[best]) >= haar.cosine(dims[1], p)
        least = max(float(np.linalg.norm(v)) * haar.cosine(dims[0], p), float(np.linalg.norm(u)) * haar.cosine(dims[1], p))
        if single or (total >= max(MIXTURE, least) and near < MIXTURE):
            return Lone(mode, best, unclear=False)
    return Lone(mode, None, unclear=total >= MIXTURE or not np.isfinite(haar.joint_threshold(*dims, p)))
