"""The smoothest rotation of a hidden space, exactly: one symmetric eigendecomposition, and no optimiser.

`eta(P) = ||D P S||^2 = trace(P' A P B)`, with `A = D' D = V diag(a) V'` ascending and the second moment of the hidden data
`B = U diag(b) U'` descending, is least over all orthogonal P at `P = V U'`, where it is `sum a_i b_i`: the strongest principal
component of the hidden data goes to the smoothest mode of D, and so on. The largest value pairs them the other way round. The
proof is the trace inequality of von Neumann; determinant 1 gives the same values, as any mode may change its sign.

References:
    Sule, Spencer & Czaja (2025), doi:10.1016/j.acha.2025.101793.
    Brockett (1991), doi:10.1016/0024-3795(91)90021-N.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from modescope.descrambling.finite import real, squarable
from modescope.descrambling.gauge import Groups, fixed, groups
from modescope.descrambling.operators import Smoothness
from modescope.errors import UsageError
from modescope.svd import Values

ROUGH = 1e-6  # asymmetry, and negative eigenvalues, of a second moment that count as its rounding (of float32 data at worst)


@dataclass(frozen=True, eq=False)
class Rotation:
    """The smoothest orthogonal change of basis of one hidden space.

    Attributes:
        p: (m, m) orthogonal P; `P W` is a view of the weights, and no network.
        smoothness: The operator.
        b: (m,) eigenvalues of the second moment B, descending and not negative.
        u: (m, m) principal components as columns, with `P u_i = v_i`.
        optimal: Least value of the criterion, `sum a_i b_i`.
        maximal: Largest value, `sum a_i b_(m + 1 - i)`.
        rank: Numerical rank of B; components beyond it are chosen by convention.
        ties: Groups of equal `b`; inside them the components are chosen by convention. Those of D are `smoothness.ties`.
        gaps: (m - 1,) `(b_i - b_(i + 1)) / b_1`: components with a small gap are not known well.
        status: "ok", or what must be said.
    """

    p: Values
    smoothness: Smoothness
    b: Values
    u: Values
    optimal: float
    maximal: float
    rank: int
    ties: Groups
    gaps: Values
    status: str

    def __post_init__(self) -> None:
        for array in (self.p, self.b, self.u, self.gaps):
            array.flags.writeable = False


def smoothest(second: ArrayLike, smoothness: Smoothness, /, *, weight: ArrayLike | None = None, gauge: bool = True) -> Rotation:
    """The rotation that makes hidden data smoothest, from their second moment.

    A second moment squares what it is made of: components below `1e-8` of the largest singular value of the data are lost in its
    rounding. `smoothest_of` keeps them.

    Args:
        second: (m, m) second moment B of the hidden data, symmetric and positive semidefinite; its scale does not matter to P.
        smoothness: The operator D, decomposed, for m neurons.
        weight: (m, n) matrix by whose rows signs and ties are fixed, so that W and R W give one picture; the transpose of the
            next layer's weight where its columns are rotated. Without it they are fixed in the basis of the neurons.
        gauge: Fix signs and ties. Without it both are what the eigensolver returns.

    Raises:
        UsageError: B is not square, finite, symmetric and positive semidefinite, or zero; D or the weight do not fit it.
    """
    moment = _checked(second, smoothness)
    shown = _shown(weight, moment.shape[0])
    found, vectors = np.linalg.eigh(moment)
    b, u = found[::-1], vectors[:, ::-1]
    if b[-1] < -ROUGH * b[0]:
        raise UsageError(
            f"smoothest: expected a positive semidefinite second moment B, got eigenvalues from {b[-1]:.3g} to {b[0]:.3g}. "
            "Pass S' S / N of the hidden data S."
        )
    # What is no larger than the most negative eigenvalue is rounding as much as that one is.
    floor = max(moment.shape[0] * float(np.finfo(np.float64).eps) * b[0], -b[-1])
    rank = int(np.count_nonzero(b > floor))
    b = np.maximum(b, 0.0)
    return _rotation(b, u, smoothness, rank, groups(b), shown, gauge=gauge)


def smoothest_of(
    samples: ArrayLike,
    smoothness: Smoothness,
    /,
    *,
    weight: ArrayLike | None = None,
    centred: bool = False,
    gauge: bool = True,
) -> Rotation:
    """The same from all hidden data at once, by their singular values: accurate where the second moment has lost its small end.

    Args:
        samples: (N, m) hidden data, one sample per row. Fewer samples than neurons are no error; the status says so.
        smoothness: As for `smoothest`.
        weight: As for `smoothest`.
        centred: Take the mean off first.
        gauge: As for `smoothest`.

    Raises:
        UsageError: The samples are not finite, all zero, or constant though they are centred; D or the weight do not fit.
    """
    data = real(samples, "smoothest_of, samples")
    if data.ndim != 2 or 0 in data.shape:
        raise UsageError(f"smoothest_of: expected samples of shape (N, m), one per row, got {data.shape}.")
    _finite("the samples", data)
    count, m = data.shape
    _fits(smoothness, m)
    shown = _shown(weight, m)
    eps = float(np.finfo(np.float64).eps)
    dead = not data.any()
    if centred:
        data = data - data[0]  # copies of one sample differ by nothing, while their mean is off by rounding
        data = data - data.mean(axis=0)
    if not data.any():
        got = "zeros only. Look whether the layer is dead" if dead else "copies of one sample, centred. Leave centred=False"
        raise UsageError(f"smoothest_of: expected samples {data.shape} that vary, got {got}, or pass other inputs.")
    squarable(float(np.abs(data).max()), f"smoothest_of, samples {data.shape}")
    factor = np.linalg.qr(data, mode="r") if count > m else data
    _, values, vh = np.linalg.svd(factor, full_matrices=True)
    s = np.zeros(m)
    s[: values.size] = values
    rank = int(np.count_nonzero(s > max(count, m) * eps * s[0]))
    found = _rotation(s**2 / count, vh.T, smoothness, rank, groups(s), shown, gauge=gauge)
    if count - centred >= m:
        return found
    few = f"{count} samples for {m} neurons"
    return replace(found, status=few if found.status == "ok" else f"{few}: {found.status}")


def harmonics_aligned(rotation: Rotation, weight: ArrayLike, /) -> Rotation:
    """Turn every tied group of D until the rows of `V' P W` in it are orthogonal, the longest first, at no cost in smoothness.

    `smoothest` keeps principal components apart inside a harmonic, the stronger one on the cosine. Where two of them are nearly
    of one strength that choice hangs on the sample; this one hangs on the weight. `u` stays what it is, and inside the groups
    `P u_i` is no longer `v_i`.

    Args:
        rotation: With an operator that has ties.
        weight: (m, n) weight.

    Raises:
        UsageError: The weight does not fit.
    """
    u = fixed(rotation.u, rotation.smoothness.ties, _shown(weight, rotation.b.size))
    return replace(rotation, p=rotation.smoothness.compose(u.T))


def objective(p: ArrayLike, second: ArrayLike, smoothness: Smoothness, /) -> float:
    """Roughness `eta(P) = trace(P' A P B)` of the hidden data after a rotation; `||D P S||^2 / N` for `B = S S' / N`.

    Args:
        p: (m, m), orthogonal where it is to be compared with the least value.
        second: (m, m) second moment B.
        smoothness: The operator.

    Raises:
        UsageError: Shapes do not fit, or entries are not finite.
    """
    moment = _checked(second, smoothness)
    turn = real(p, "objective, P")
    if turn.shape != moment.shape:
        raise UsageError(f"objective: expected P of shape {moment.shape} as B, got {turn.shape}.")
    _finite("P", turn)
    rows = smoothness.modes.T @ turn
    return float(smoothness.a @ np.einsum("ij,ij->i", rows @ moment, rows))


def _rotation(
    b: Values, u: Values, smoothness: Smoothness, rank: int, ties: Groups, shown: Values | None, *, gauge: bool
) -> Rotation:
    squarable(float(np.sqrt(b[0]) * np.sqrt(smoothness.a[-1])), f"smoothest, {smoothness.name} of the hidden data")
    u = fixed(u, ties, shown) if gauge else np.array(u)
    return Rotation(
        p=smoothness.compose(u.T),
        smoothness=smoothness,
        b=b,
        u=u,
        optimal=float(smoothness.a @ b),
        maximal=float(smoothness.a @ b[::-1]),
        rank=rank,
        ties=ties,
        gaps=-np.diff(b) / b[0],
        status=_status(rank, b.size, ties),
    )


def _status(rank: int, m: int, ties: Groups) -> str:
    said = []
    if rank == 1 < m:
        said.append("the hidden data have rank 1: they are constant or move along one direction, so nothing else has an order")
    elif rank < m:
        said.append(f"the hidden data have rank {rank} of {m}: components {rank + 1} to {m} are chosen by convention")
    inside = [(start, stop) for start, stop in ties if stop <= rank]
    if inside:
        where = ", ".join(f"{start + 1} to {stop}" for start, stop in inside[:4]) + (", ..." if len(inside) > 4 else "")
        said.append(f"principal components that rounding cannot tell apart, each group in a basis by convention: {where}")
    return "; ".join(said) or "ok"


def _checked(second: ArrayLike, smoothness: Smoothness) -> Values:
    """B as a symmetric float64 matrix that the operator fits."""
    moment = real(second, "smoothest, second moment B")
    if moment.ndim != 2 or moment.shape[0] != moment.shape[1] or not moment.size:
        raise UsageError(
            f"smoothest: expected a square second moment B of shape (m, m), got {moment.shape}. Samples go to smoothest_of."
        )
    top = float(np.abs(moment).max())
    if not np.isfinite(top):
        _finite("the second moment B", moment)
    if top == 0:
        raise UsageError(
            f"smoothest: expected hidden data that vary, got a second moment B {moment.shape} of zeros: the data are zero, or "
            "constant and centred. Leave centred=False or pass other inputs."
        )
    squarable(top**0.5, f"smoothest, root of the second moment B {moment.shape}")
    apart = moment - moment.T
    uneven = float(np.abs(apart).max())
    if uneven > ROUGH * top:
        raise UsageError(
            f"smoothest: expected a symmetric second moment B, got {moment.shape} with B and its transpose {uneven:.3g} apart. "
            "Pass S' S / N of the hidden data S."
        )
    _fits(smoothness, moment.shape[0])
    return moment - apart / 2 if uneven else moment


def _fits(smoothness: Smoothness, m: int) -> None:
    if smoothness.size != m:
        raise UsageError(
            f"smoothest: expected an operator for the {m} neurons of the hidden data, got {smoothness.name} for {smoothness.size}. "
            f"Make it for m = {m}."
        )


def _shown(weight: ArrayLike | None, m: int) -> Values | None:
    if weight is None:
        return None
    shown = real(weight, "smoothest, weight")
    if shown.ndim != 2 or shown.shape[0] != m:
        raise UsageError(
            f"smoothest: expected a weight of shape ({m}, n), one row per neuron of the hidden data, got {shown.shape}. "
            "Pass the transpose where the columns are rotated."
        )
    _finite("the weight", shown)
    return shown


def _finite(what: str, values: Values) -> None:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise UsageError(
            f"smoothest: expected {what} {values.shape} to be finite, got {bad} of {values.size} entries that are not."
        )
