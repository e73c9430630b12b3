"""Match the modes of two checkpoints: one by one where they have an identity, as subspaces where they have none."""

from dataclasses import dataclass

import numpy as np

from modescope.comparison import haar
from modescope.comparison.groups import Group, assign, groups, settled, shared
from modescope.svd import Values

LEAST_P = 1e-300  # quantiles below are not computed


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
        p: Probability of as good a match between random directions.
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


@dataclass(frozen=True)
class Lone:
    """A mode without a match: its place, and the mode beyond those looked at that it continues as, or None."""

    mode: int
    beyond: int | None


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
        level: Probability that random directions give any match in this matrix.

    Returns:
        `Matching`. Modes without an identity form groups, see `groups` and `settled`. Single modes and groups are assigned so that
        the sum of significant overlaps is largest; inside a group no mode is matched with another.
    """
    k, size = min(modes, before.s.size), min(modes, after.s.size)
    out, in_ = before.u.shape[0], before.vh.shape[1]
    left, right = before.u.T @ after.u, before.vh @ after.vh.T
    u, v = left[:k, :size], right[:k, :size]
    product = u * v
    overlaps = np.sign(product) * np.sqrt(np.minimum(np.abs(product), 1.0))
    sides = settled(
        groups(before.s[:k], (left[:k] * after.s) @ right[:k].T),
        groups(after.s[:size], (left[:, :size].T * before.s) @ right[:, :size]),
        u,
        v,
        (before.s[:k], after.s[:size]),
    )
    p = max(level / max(k * size, 1), LEAST_P)
    threshold = haar.joint_threshold(out, in_, p)
    found = _found(sides, u, v, overlaps, (out, in_), threshold, p)
    cuts = k if k < before.s.size else -1, size if size < after.s.size else -1
    matches = tuple(_match(i, j, u, v, overlaps, (out, in_), k * size, cuts) for i, j in found)
    kept, taken = {mode for m in matches for mode in m.before}, {mode for m in matches for mode in m.after}
    everything = left * right
    return Matching(
        tuple(sorted(matches, key=lambda m: m.before)),
        tuple(_lone(i, everything[i], size, threshold) for i in range(k) if i not in kept),
        tuple(_lone(j, everything[:, j], k, threshold) for j in range(size) if j not in taken),
        overlaps,
        threshold**0.5,
        level,
    )


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


def _found(
    sides: tuple[tuple[Group, ...], tuple[Group, ...]],
    u: Values,
    v: Values,
    overlaps: Values,
    dims: tuple[int, int],
    threshold: float,
    p: float,
) -> list[tuple[Group, Group]]:
    """The assignment between single modes and groups; what random directions may show has no benefit."""
    benefit = np.zeros((len(sides[0]), len(sides[1])))
    for i, row in enumerate(sides[0]):
        for j, column in enumerate(sides[1]):
            if len(row) == len(column) == 1:
                overlap = overlaps[row[0], column[0]]
                benefit[i, j] = overlap if overlap > 0 and overlap**2 >= threshold else 0.0
            elif _group_p(u, v, row, column, dims) <= p:
                benefit[i, j] = shared(u, v, row, column)
    return [(sides[0][i], sides[1][j]) for i, j in assign(benefit)]


def _group_p(u: Values, v: Values, row: Group, column: Group, dims: tuple[int, int]) -> float:
    """Fisher's combination of what the output and the input subspaces say; both are independent for random directions."""
    place = np.ix_(row, column)
    both = [
        haar.subspace_p(float((cosines[place] ** 2).sum()), len(row), len(column), n)
        for cosines, n in zip((u, v), dims, strict=True)
    ]
    product = both[0] * both[1]
    return float(product * (1 - np.log(product))) if product > 0 else 0.0  # P(chi2 of 4 degrees > -2 log product)


def _match(
    row: Group,
    column: Group,
    u: Values,
    v: Values,
    overlaps: Values,
    dims: tuple[int, int],
    tried: int,
    cuts: tuple[int, int],
) -> Match:
    place = np.ix_(row, column)
    if len(row) == len(column) == 1:
        i, j = row[0], column[0]
        p = haar.joint_p(float(u[i, j] * v[i, j]), *dims)
        shown = (float(overlaps[i, j]), min(abs(float(u[i, j])), 1.0), min(abs(float(v[i, j])), 1.0))
        cosines: tuple[float, ...] = ()
        cut = False
    else:
        p = _group_p(u, v, row, column, dims)
        joint = aligned(u[place], v[place])[1]
        cosines = tuple(float(c) for c in joint)
        least = min(len(row), len(column))
        shown = _root_mean(joint, least), _root_mean(u[place], least), _root_mean(v[place], least)
        cut = row[-1] + 1 == cuts[0] or column[-1] + 1 == cuts[1]
    return Match(row, column, *shown, cosines=cosines, p=p, corrected=min(1.0, p * tried), cut=cut)


def _root_mean(cosines: Values, count: int) -> float:
    return min(float(np.sqrt((cosines**2).sum() / count)), 1.0)


def _lone(mode: int, products: Values, window: int, threshold: float) -> Lone:
    """A mode without a match; it may have gone beyond, or come from beyond, the modes that were looked at."""
    rest = products[window:]
    best = int(rest.argmax()) if rest.size else 0
    return Lone(mode, window + best if rest.size and rest[best] >= threshold else None)
