"""Where a rotation stands between the best and a random one, and what of its picture the criterion imposes.

All numbers come from the spectra of D and of the hidden data and from how they are paired. A gain over random rotations alone
proves nothing: untrained weights have one too, so every number here belongs beside those of `controls`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from modescope.descrambling.closed_form import Rotation
from modescope.descrambling.operators import Smoothness, periodic_difference
from modescope.errors import UsageError
from modescope.svd import Values

FLAT = 1e-12  # spread of the criterion relative to its mean below which all rotations are equally smooth
ORTHOGONAL = 1e-6  # largest entry of P' P - I of a matrix that counts as a rotation
CONVERGED = 1e-3  # excess over the least value up to which a given rotation counts as a descrambler
ALIGNED = 0.95  # cosine of the first component with the mean from which it is the mean
DOMINANT = 0.25  # share of the mean in the power of the data from which it is said


@dataclass(frozen=True)
class Scale:
    """The criterion in the native order, at its best, at its worst and at random.

    Attributes:
        identity: `eta(I)`, the neurons as they are.
        optimal: Least value over all rotations.
        maximal: Largest value.
        random_mean: Mean over all rotations, `trace(A) trace(B) / m`.
        random_std: Exact standard deviation over all rotations.
        z_identity: `(identity - random_mean) / random_std`: far below 0 where the native order is smooth already. None where the
            criterion cannot vary.
        gain_identity: `identity / optimal`; None where the least value is 0.
        gain_random: `random_mean / optimal`; None as well.
        status: "ok", or why numbers are missing.
    """

    identity: float
    optimal: float
    maximal: float
    random_mean: float
    random_std: float
    z_identity: float | None
    gain_identity: float | None
    gain_random: float | None
    status: str = "ok"


@dataclass(frozen=True, eq=False)
class Judged:
    """Any P compared with the exact solution.

    Attributes:
        objective: `eta(P)`.
        excess: `eta(P) / optimal - 1`; None where the least value is 0.
        score: 1 at the least value and 0 at the mean of random rotations; None where all are equal.
        pairing: (m, m) `(v_i' P u_j)^2`: the identity at the optimum, up to blocks of ties.
        orthogonality: Largest modulus in `P' P - I`.
        determinant: Of P.
        status: "ok", or what is wrong with P.
    """

    objective: float
    excess: float | None
    score: float | None
    pairing: Values
    orthogonality: float
    determinant: float
    status: str


@dataclass(frozen=True, eq=False)
class Spectra:
    """The spectrum of the hidden data, and which modes pay.

    Attributes:
        effective_rank: `exp` of the entropy of `b_i / sum b`.
        stable_rank: `sum b / b_1`.
        top_share: `b_1 / sum b`.
        cost: (m,) `a_i b_i`; they sum to the least value.
        cumulative: (m,) running sum of the cost.
    """

    effective_rank: float
    stable_rank: float
    top_share: float
    cost: Values
    cumulative: Values


@dataclass(frozen=True)
class MeanDominance:
    """How much of uncentred hidden data is their mean.

    Attributes:
        share: `|mean|^2 / trace(B)`.
        cosine: Between the first principal component and the mean; None where the mean is 0.
        top_share: Of the first component of the uncentred data.
        top_share_centred: The same once the mean is off; None for constant data.
        status: "ok", or that the first component is the mean.
    """

    share: float
    cosine: float | None
    top_share: float
    top_share_centred: float | None
    status: str


@dataclass(frozen=True, eq=False)
class Ridge:
    """The curve along which `|fft2(P W)|` is large by sorting alone, and so without a meaning of its own.

    Attributes:
        harmonic: (k,) input frequency, in periods per length of the input axis, predicted for each mode of D in order.
        power: (k,) power of the hidden data in that input frequency, descending.
        agreement: 1 less the total variation between the shares of `power` and of the true `b`; 1 where the modes of the hidden
            data are plane waves of the input axis, as for a convolution of stationary data.
    """

    harmonic: Values
    power: Values
    agreement: float


def scale(rotation: Rotation, /) -> Scale:
    """The criterion in the native order of the neurons, against its least, its largest and its mean over random rotations.

    Args:
        rotation: From `smoothest` or `smoothest_of`.
    """
    a, b = rotation.smoothness.a, rotation.b
    m = a.size
    identity = float(a @ _pairing(np.eye(m), rotation) @ b)
    mean = float(a.sum() * b.sum() / m)
    spread = a[-1] * b[0] * math.sqrt(_spread(a / a[-1]) * _spread(b / b[0])) if a[-1] else 0.0  # squares would leave float64
    std = float(spread) * math.sqrt(2 / ((m - 1) * (m + 2))) if m > 1 else 0.0
    varies, paid = rotation.maximal - rotation.optimal > FLAT * mean, rotation.optimal > 0
    said = [] if varies else ["every rotation is equally smooth"]
    if not paid:
        said.append("the least value is 0: the modes of D that cost nothing hold all of the data")
    return Scale(
        identity=identity,
        optimal=rotation.optimal,
        maximal=rotation.maximal,
        random_mean=mean,
        random_std=std,
        z_identity=(identity - mean) / std if varies else None,
        gain_identity=identity / rotation.optimal if paid else None,
        gain_random=mean / rotation.optimal if paid else None,
        status="; ".join(said) or "ok",
    )


def judged(p: ArrayLike, rotation: Rotation, /) -> Judged:
    """How far a rotation from elsewhere is from the exact solution.

    Args:
        p: (m, m).
        rotation: The exact solution for the same data and operator.

    Raises:
        UsageError: P is not a finite (m, m) matrix.
    """
    given, m = np.asarray(p, dtype=np.float64), rotation.b.size
    if given.shape != (m, m) or not np.isfinite(given).all():
        raise UsageError(
            f"judged: expected a finite P of shape {(m, m)}, got {given.shape}, {int(np.isfinite(given).sum())} finite."
        )
    pairing = _pairing(given, rotation)
    reached = float(rotation.smoothness.a @ pairing @ rotation.b)
    mean = float(rotation.smoothness.a.sum() * rotation.b.sum() / m)
    room = mean - rotation.optimal
    excess = reached / rotation.optimal - 1 if rotation.optimal > 0 else None
    apart = float(np.abs(given.T @ given - np.eye(m)).max())
    if apart > ORTHOGONAL:
        status = (
            f"P is not orthogonal: P' P differs from the identity by {apart:.2g}, so its value has no bound to be compared with"
        )
    elif excess is not None and excess > CONVERGED:
        status = f"not converged: the criterion is {excess:.3g} times its least value above it"
    else:
        status = "ok"
    score = (mean - reached) / room if room > FLAT * mean else None
    return Judged(reached, excess, score, pairing, apart, float(np.linalg.det(given)), status)


def spectra(rotation: Rotation, /) -> Spectra:
    """Ranks of the hidden data, and what every mode costs.

    Args:
        rotation: From `smoothest` or `smoothest_of`.
    """
    b = rotation.b
    share = b[b > 0] / b.sum()
    cost = rotation.smoothness.a * b
    return Spectra(
        effective_rank=float(np.exp(-(share * np.log(share)).sum())),
        stable_rank=float(b.sum() / b[0]),
        top_share=float(b[0] / b.sum()),
        cost=cost,
        cumulative=np.cumsum(cost),
    )


def mean_dominance(second: ArrayLike, mean: ArrayLike, /) -> MeanDominance:
    """Whether the first component of uncentred hidden data is their mean.

    Args:
        second: (m, m) uncentred second moment B.
        mean: (m,) mean of the hidden data.

    Raises:
        UsageError: They do not fit each other, or are not finite.
    """
    moment, centre = np.asarray(second, dtype=np.float64), np.asarray(mean, dtype=np.float64)
    if (
        moment.shape != (centre.size, centre.size)
        or centre.ndim != 1
        or not (np.isfinite(moment).all() and np.isfinite(centre).all())
    ):
        raise UsageError(f"mean_dominance: expected finite B (m, m) and mean (m,), got {moment.shape} and {centre.shape}.")
    b, u = np.linalg.eigh(moment)
    total, square = float(np.trace(moment)), float(centre @ centre)
    if total <= 0:
        raise UsageError(f"mean_dominance: expected hidden data that are not zero, got B {moment.shape} with trace {total:.3g}.")
    rest = float(np.linalg.eigvalsh(moment - np.outer(centre, centre))[-1])
    share = min(square / total, 1.0)
    cosine = abs(float(u[:, -1] @ centre)) / math.sqrt(square) if square > 0 else None
    leads = cosine is not None and cosine > ALIGNED and share > DOMINANT
    status = (
        f"the mean holds {share:.0%} of the power of the hidden data and is their first component; compare with centred data"
        if leads
        else "ok"
    )
    centred = rest / (total - square) if total - square > FLAT * total else None
    return MeanDominance(share, cosine, float(b[-1]) / total, centred, status)


def resolved(rotation: Rotation, samples: int, /) -> int:
    """Number of leading components whose gaps all stand above the scatter of a second moment, `b_1 sqrt(m / N)`.

    A guide only, and a strict one; the bootstrap of `controls` measures it.

    Args:
        rotation: From `smoothest` or `smoothest_of`.
        samples: N behind the second moment.
    """
    clear = rotation.gaps > math.sqrt(rotation.b.size / max(samples, 1))
    return int(clear.size if clear.all() else clear.argmin())


def predicted_ridge(weight: ArrayLike, inputs_second: ArrayLike, rotation: Rotation, /) -> Ridge:
    """The rank-frequency curve: plane waves of the input axis, sorted by the power with which they reach the hidden layer.

    The i-th strongest goes to the i-th mode of D whatever its own frequency is, so a slanted, cubic or V-shaped ridge in the 2-D
    spectrum of `P W` is a sorted gain curve and no rescaling of a frequency axis.

    Args:
        weight: (m, n) weight W.
        inputs_second: (n, n) second moment C of the layer's inputs, as it entered B.
        rotation: The rotation of the hidden space of W.

    Returns:
        `Ridge` with k = min(m, n); frequencies of equal power in the order of frequency.

    Raises:
        UsageError: Shapes do not fit.
    """
    w, c = np.asarray(weight, dtype=np.float64), np.asarray(inputs_second, dtype=np.float64)
    if w.ndim != 2 or w.shape[0] != rotation.b.size or c.shape != (w.shape[1], w.shape[1]):
        raise UsageError(
            f"predicted_ridge: expected a weight ({rotation.b.size}, n) and the second moment (n, n) of its inputs, got {w.shape} "
            f"and {c.shape}."
        )
    n = w.shape[1]
    value, vector = np.linalg.eigh((c + c.T) / 2)
    root = (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T
    power = ((w @ root @ periodic_difference(n).modes) ** 2).sum(axis=0)
    coarse = np.round(power / max(float(power.max()), np.finfo(np.float64).tiny), 10)  # pairs of a harmonic tie up to rounding
    order = np.argsort(-coarse, kind="stable")[: min(w.shape)]
    shares, true = np.zeros(rotation.b.size), rotation.b / rotation.b.sum()
    shares[: order.size] = power[order] / max(float(power.sum()), np.finfo(np.float64).tiny)
    return Ridge(((order + 1) // 2).astype(np.float64), power[order], 1 - float(np.abs(shares - true).sum()) / 2)


def cautions(rotation: Rotation, /, *, samples: int = 0, dominance: MeanDominance | None = None) -> tuple[str, ...]:
    """What must be said beside a picture, in sentences.

    Args:
        rotation: What is drawn.
        samples: Number behind the second moment, where it is known.
        dominance: From `mean_dominance`, where the data are not centred.
    """
    said = [
        f"The structure along the hidden axis is that of the {rotation.smoothness.name}, for any weights: read V'PW and the "
        "spectrum, beside the controls."
    ]
    said += [_sentence(text) for text in (_operator(rotation.smoothness), rotation.status) if text not in ("", "ok")]
    if 0 < samples < rotation.b.size:
        said.append(f"There are {samples} samples for {rotation.b.size} neurons.")
    elif samples and (clear := resolved(rotation, samples)) < rotation.rank:
        said.append(
            f"By their gaps, {clear} leading component{'s' if clear != 1 else ''} of {rotation.rank} can be told apart with "
            f"{samples} samples; the bootstrap says which subspaces hold."
        )
    if dominance is not None and dominance.status != "ok":
        said.append(_sentence(dominance.status))
    return tuple(said)


def _operator(smoothness: Smoothness) -> str:
    """The note of the operator, with the count of its tied groups where it has any."""
    tied = len(smoothness.ties)
    return f"{smoothness.note} ({tied} tied group{'s' if tied != 1 else ''} of modes)" if tied else smoothness.note


def _pairing(p: Values, rotation: Rotation) -> Values:
    found: Values = (rotation.smoothness.modes.T @ p @ rotation.u) ** 2
    return found


def _spread(values: Values) -> float:
    return float(((values - values.mean()) ** 2).sum())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
