"""One basis out of all that are equally good: canonical signs, canonical bases of tied groups, and what counts as a tie.

A minimiser of the smoothness criterion is known up to the sign of every mode and up to a rotation inside every group of equal
eigenvalues. The rules here choose one of them from what does not depend on the arbitrary basis of the hidden space: the rows
`u_i' W` that are shown. Hence W and R W, with R orthogonal, give the same picture.

1. Modes of the operator have a canonical order and sign: those of `operators`, or `canonical` where they are computed.
2. The entry of largest modulus in a row `u_i' W` is positive, the first one where several tie.
3. In a group of ties the rows `u_i' W` are orthogonal, the longest first; where lengths tie as well the group is `canonical`.
4. Neighbours closer than `max(RELATIVE, size * eps)` times the largest value are a group.
"""

from itertools import pairwise

import numpy as np

from modescope.svd import Values

Groups = tuple[tuple[int, int], ...]

RELATIVE = (
    1e-14  # gap below which two eigenvalues are one, relative to the largest: rounding, and no more, as a turn inside a group costs
)
EQUAL = 1e-6  # share of the largest entry within which entries tie, so that a (anti)symmetric row has a sign
LENGTHS = 1e-9  # gap of singular values below which rows of a group are of one length


def groups(values: Values, /, *, relative: float = RELATIVE) -> Groups:
    """Half-open ranges of two and more neighbours that are equal up to rounding.

    Args:
        values: (m,) sorted, in either direction.
        relative: Gap below which neighbours are equal, in units of the largest modulus; never less than `m * eps`.
    """
    top = float(np.abs(values).max(initial=0.0))
    tolerance = max(relative, values.size * float(np.finfo(np.float64).eps)) * top
    apart = np.abs(np.diff(values)) > tolerance
    if apart.all():
        return ()
    cuts = np.flatnonzero(apart) + 1
    return tuple((start, stop) for start, stop in pairwise([0, *(int(cut) for cut in cuts), values.size]) if stop - start > 1)


def signed(rows: Values, /) -> Values:
    """(k,) signs, 1 or -1, that make the entry of largest modulus of every row positive.

    Args:
        rows: (k, n); a row of zeros keeps its sign.
    """
    if not rows.size:
        return np.ones(rows.shape[0])
    high, low = rows.max(axis=1), -rows.min(axis=1)
    signs = np.where(high < low, -1.0, 1.0)
    for row in np.flatnonzero(np.minimum(high, low) >= (1 - EQUAL) * np.maximum(high, low)):
        size = np.abs(rows[row])
        signs[row] = -1.0 if rows[row, (size >= (1 - EQUAL) * size.max()).argmax()] < 0 else 1.0
    return signs


def canonical(basis: Values, frame: Values, /) -> Values:
    """The rotation of an orthonormal basis that depends on the space it spans only.

    Goes through the columns of a fixed frame in order and takes each whose part outside of those taken before is not small. As the
    squared parts of m frame vectors in one remaining dimension sum to 1, a threshold of `1 / (4 m)` always completes the basis.

    Args:
        basis: (m, g) orthonormal columns.
        frame: (m, m) orthonormal columns in the order of preference.

    Returns:
        (g, g) orthogonal L; the columns of `basis @ L` have a positive product with the frame vector each was made from.
    """
    return _settled(basis.T @ frame)


def _settled(shadows: Values) -> Values:
    """(g, g) the rotation from the shadows (g, m) of the frame vectors in the space."""
    size, (g, m) = 1 / (4 * shadows.shape[1]), shadows.shape
    turn = np.zeros((g, g))
    found = 0
    for k in range(m):
        if found == g:
            break
        rest = shadows[:, k]
        if rest @ rest <= size:
            continue
        for _ in range(2):  # twice is enough for orthogonality to rounding
            rest = rest - turn[:, :found] @ (turn[:, :found].T @ rest)
        if rest @ rest > size:
            turn[:, found] = rest / np.sqrt(rest @ rest)
            found += 1
    return turn


def fixed(u: Values, ties: Groups, weight: Values | None, /) -> Values:
    """Principal components with their signs and tied groups chosen by what is seen of them in the weight.

    Args:
        u: (m, m) orthonormal columns.
        ties: Groups of columns that may be rotated among themselves.
        weight: (m, n) whose rows live in the same space; None where there is none: the components are then seen as they are.

    Returns:
        (m, m) columns that span the same groups.
    """
    u = u.copy()
    for start, stop in ties:
        rows = u[:, start:stop].T
        u[:, start:stop] = u[:, start:stop] @ _aligned(rows if weight is None else rows @ weight)
    u *= signed(u.T if weight is None else u.T @ weight)
    return u


def _aligned(rows: Values) -> Values:
    """(g, g) rotation L that makes the rows of `L' rows` orthogonal, the longest first."""
    g, n = rows.shape
    left, s, vh = np.linalg.svd(rows, full_matrices=n < g)  # of what is wide no (n, n) basis
    lengths = np.zeros(g)
    lengths[: s.size] = np.where(s > LENGTHS * s.max(initial=0.0), s, 0.0)
    for start, stop in groups(lengths, relative=LENGTHS):
        if lengths[start]:
            left[:, start:stop] = left[:, start:stop] @ _settled(vh[start:stop])
    return np.asarray(left, dtype=np.float64)
