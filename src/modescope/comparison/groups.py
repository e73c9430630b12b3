"""Which modes are one subspace: where a change turns modes into each other, no single one of them can be found again."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from modescope.spectrum import DEGENERATE
from modescope.svd import Values

MIXING = 0.25  # coupling over gap from which on two modes may be one subspace: that of a turn by 15 degrees
KEPT = 0.75  # share of what a mode has in common with a group that it must have with its part, for the group to be taken apart

Group = tuple[int, ...]


def groups(s: Values, after: Values) -> tuple[Group, ...]:
    """Modes that a change may have turned into each other, or that are closer than rounding.

    To first order a change `D` turns modes i and j into each other by the angle `c / gap`, where the coupling `c` is the larger of
    `|u_i . D v_j|` and `|u_j . D v_i|` and the gap is `|s_i - s_j|`; Davis & Kahan (1970) and Wedin (1972) bound the sine of the
    angle by such a ratio. A turn by the angle t, however large, has the coupling `gap sin(2 t) / 2`. Modes are joined where the
    coupling is at least a quarter of the gap, as for a turn by 15 to 75 degrees, and so are modes joined with those. A full
    turn, two modes that swap places, leaves them alone.

    Args:
        s: (k,) singular values of the modes, descending.
        after: (k, k) the changed matrix in their basis, `u.T @ W' @ v`; off the diagonal it is the coupling.

    Returns:
        All places, each in one group.
    """
    if not s.size:
        return ()
    gap = np.abs(s[:, None] - s[None, :])
    coupling = np.maximum(np.abs(after), np.abs(after.T))
    return components(s.size, _places((gap <= DEGENERATE * s[0]) | (coupling >= MIXING * gap)))


def settled(
    before: Sequence[Group], after: Sequence[Group], u: Values, v: Values, s: tuple[Values, Values]
) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Groups of both sides made to fit each other: coarser where the one side is finer, and then as fine as the overlaps allow.

    Perturbation theory says how far modes may turn into each other, not how far they did. So a group is taken apart again into the
    finest parts in which every mode keeps three quarters of the squared cosines that it has with the whole group on the other side.
    Modes closer than rounding stay together whatever their overlaps: their directions mean nothing one by one.

    Args:
        before: Groups of the earlier checkpoint.
        after: Groups of the later one.
        u: (k, l) cosines of earlier and later output directions.
        v: (k, l) cosines of the input directions.
        s: Singular values of both.
    """
    first, second = _merged(before, after, u, v)
    pairs = assign(np.array([[shared(u, v, row, column) for column in second] for row in first]).reshape(len(first), len(second)))
    rows = [row for i, row in enumerate(first) if i not in {i for i, _ in pairs}]
    columns = [column for j, column in enumerate(second) if j not in {j for _, j in pairs}]
    for i, j in pairs:
        row, column = first[i], second[j]
        place = np.ix_(row, column)
        finer = _finest(u[place] ** 2, v[place] ** 2, [*close(s[0][list(row)]), *close(s[1][list(column)], len(row))])
        rows += [tuple(row[i] for i in part) for part in finer[0]]
        columns += [tuple(column[j] for j in part) for part in finer[1]]
    return tuple(sorted(rows)), tuple(sorted(columns))


def shared(u: Values, v: Values, row: Group, column: Group) -> float:
    """Dimensions that two groups share: the geometric mean of the sums of squared cosines on both sides."""
    place = np.ix_(row, column)
    return float(np.sqrt((u[place] ** 2).sum() * (v[place] ** 2).sum()))


def assign(benefit: Values) -> list[tuple[int, int]]:
    """Pairs of rows and columns, each used once at most, whose sum of benefits is largest; pairs without benefit are left out."""
    rows, columns = linear_sum_assignment(benefit, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if benefit[i, j] > 0]


def components(size: int, links: Iterable[tuple[int, int]]) -> tuple[Group, ...]:
    """Connected components of the places 0 to `size - 1`, in order of their first."""
    parent = list(range(size))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in links:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    parts: dict[int, list[int]] = {}
    for i in range(size):
        parts.setdefault(root(i), []).append(i)
    return tuple(tuple(part) for part in parts.values())


def close(s: Values, offset: int = 0) -> list[tuple[int, int]]:
    """Neighbours in a group that rounding cannot tell apart, by their places, counted from `offset`."""
    return [(offset + i, offset + i + 1) for i in range(s.size - 1) if s[i] - s[i + 1] <= DEGENERATE * s[0]]


def _merged(before: Sequence[Group], after: Sequence[Group], u: Values, v: Values) -> tuple[list[Group], list[Group]]:
    """Groups of both sides, made coarser until none shares more with another than it may lose."""
    count = len(before)
    links = [
        (i, count + j)
        for i, row in enumerate(before)
        for j, column in enumerate(after)
        if max(len(row), len(column)) > 1 and shared(u, v, row, column) > (1 - KEPT) * min(len(row), len(column))
    ]
    sides: tuple[list[Group], list[Group]] = ([], [])
    for part in components(count + len(after), links):
        both = (
            [mode for i in part if i < count for mode in before[i]],
            [mode for i in part if i >= count for mode in after[i - count]],
        )
        for side, merged in zip(sides, both, strict=True):
            if merged:
                side.append(tuple(sorted(merged)))
    return sides


def _finest(left: Values, right: Values, close: Sequence[tuple[int, int]]) -> tuple[list[Group], list[Group]]:
    """The parts of a matched pair of groups, joined by their larger overlaps alone; the more overlaps join, the coarser they are.

    Args:
        left: (a, b) squared cosines of the output directions.
        right: (a, b) squared cosines of the input directions.
        close: Places that stay together, those of the later group counted from a.
    """
    a = left.shape[0]
    levels = np.unique(left * right)
    low, top = 0, levels.size - 1
    while low < top:
        middle = (low + top + 1) // 2
        if _keeps(_joined(left * right >= levels[middle], close), left, right):
            low = middle
        else:
            top = middle - 1
    parts = _joined(left * right >= levels[low], close)
    rows, columns = [tuple(i for i in part if i < a) for part in parts], [tuple(i - a for i in part if i >= a) for part in parts]
    return [row for row in rows if row], [column for column in columns if column]


def _joined(overlap: Values, close: Sequence[tuple[int, int]]) -> tuple[Group, ...]:
    a, b = overlap.shape
    return components(a + b, [*((i, a + j) for i, j in _places(overlap)), *close])


def _keeps(parts: Sequence[Group], left: Values, right: Values) -> bool:
    """Every mode of both groups has enough in common with its own part."""
    a, b = left.shape
    number = np.zeros(a + b, dtype=np.int64)
    for index, part in enumerate(parts):
        number[list(part)] = index
    same = number[:a, None] == number[None, a:]
    return all(
        bool(((squares * same).sum(axis=axis) >= KEPT * squares.sum(axis=axis)).all())
        for squares in (left, right)
        for axis in (0, 1)
    )


def _places(chosen: Values) -> list[tuple[int, int]]:
    rows, columns = np.nonzero(chosen)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
