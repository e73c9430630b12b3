"""Which modes belong to a class: class means in common units, and a rule for how far from nothing a mode must be."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.profiles.basis import Indices
from modescope.profiles.class_sums import ClassStatistics, Counts, Replicates
from modescope.svd import Values

Flags = NDArray[np.bool_]
T = TypeVar("T", Values, Flags)
Signs = NDArray[np.int8]
Standardise = Callable[[ClassStatistics, Values], tuple[Values, Values]]
"""From statistics and singular values (r,) to an offset (r,) and a gain (r,): `(signal - offset) * gain` is in common units."""
Rule = Callable[[Values, float], Flags]
"""From weights (..., C, r), not negative, to members; 0 is a weight that says nothing and never makes a member."""

ROUNDING = 1e-12  # of the root mean square of a signal; what is smaller is nothing


def none(_statistics: ClassStatistics, s: Values) -> tuple[Values, Values]:
    """Signals as they are: what all classes have in common dominates."""
    return np.zeros(s.size), np.ones(s.size)


def rms(statistics: ClassStatistics, s: Values) -> tuple[Values, Values]:
    """Signals over their root mean square."""
    return np.zeros(s.size), _inverse(np.sqrt(statistics.mean_square), np.zeros(s.size))


def sigma(_statistics: ClassStatistics, s: Values) -> tuple[Values, Values]:
    """Signals over the singular value of their mode, which takes the gain of the layer away."""
    return np.zeros(s.size), _inverse(s, np.full(s.size, ROUNDING * s.max(initial=0)))


def z(statistics: ClassStatistics, _s: Values) -> tuple[Values, Values]:
    """Signals less their mean over their standard deviation: what tells a class from the rest. A constant signal becomes 0."""
    deviation = np.sqrt(statistics.variance)
    return statistics.total, _inverse(deviation, ROUNDING * np.sqrt(statistics.mean_square))


STANDARDISATIONS: Mapping[str, Standardise] = {"none": none, "rms": rms, "sigma": sigma, "z": z}


def topm(weights: Values, m: float) -> Flags:
    """The m largest weights of every class, those of the smaller index where they are equal."""
    place = np.argsort(-weights, axis=-1, kind="stable")[..., : int(m)]
    found = np.zeros(weights.shape, bool)
    np.put_along_axis(found, place, True, axis=-1)
    return found & (weights > 0)


def threshold(weights: Values, t: float) -> Flags:
    """Weights of at least t."""
    found: Flags = (weights >= t) & (weights > 0)
    return found


RULES: Mapping[str, Rule] = {"topm": topm, "threshold": threshold, "fraction": threshold}
"""`fraction` is a threshold too, on the share of images that chose a mode in place of the class mean."""
DEFAULTS: Mapping[str, Callable[[int], float]] = {
    "topm": lambda r: max(2, r // 8),
    "threshold": lambda _: 0.5,
    "fraction": lambda _: 0.5,
}


@dataclass(frozen=True, eq=False)
class Membership:
    """Which vertices belong to which class at one site. A vertex is a mode, or a mode with the sign in which classes use it.

    Attributes:
        site: Its name.
        counts: (C,) images of each class; a class without images has no members.
        profile: (C, r) class means in common units.
        error: (C, r) their standard errors, NaN for a class of one image.
        index: (V,) mode of each vertex, counted from 0.
        sign: (V,) 1 or -1, or 0 where signs are not told apart.
        weight: (C, V) modulus of the profile, or share of the images that chose the mode; 0 for the sign that a class does not use.
        member: (C, V) whether the vertex belongs to the class.
        resampled: (B, C, V) the same in every replicate of the bootstrap, in the units of all images.
        permuted: (P, C, V) the same for permuted labels.
        standardise: Name of the units.
        rule: Name of the rule.
        value: Its parameter: m, t or the share.
        note: What is special about it, or empty.
    """

    site: str
    counts: Counts
    profile: Values
    error: Values
    index: Indices
    sign: Signs
    weight: Values
    member: Flags
    resampled: Flags
    permuted: Flags
    standardise: str
    rule: str
    value: float
    note: str = ""

    @property
    def stability(self) -> Values:
        """(C, V) share of the replicates in which a vertex belongs to a class, NaN where there are no replicates."""
        if not len(self.resampled):
            return np.full(self.member.shape, np.nan)
        found: Values = self.resampled.mean(axis=0)
        return found


def membership(
    statistics: ClassStatistics,
    s: Values,
    /,
    *,
    standardise: str = "z",
    rule: str = "topm",
    value: float | None = None,
    signed: bool = True,
) -> Membership:
    """Decide which modes belong to which class.

    Args:
        statistics: Of one site.
        s: All its singular values.
        standardise: One of `STANDARDISATIONS`.
        rule: One of `RULES`.
        value: Its parameter; by default max(2, r // 8) modes, 0.5 units, or half of the images.
        signed: Take a mode that is used in opposite directions for two vertices.

    Raises:
        UsageError: There is no such name, the parameter is out of range, or `fraction` is asked for and nothing chose modes.
    """
    for name, word, known in (("standardise", standardise, STANDARDISATIONS), ("rule", rule, RULES)):
        if word not in known:
            raise UsageError(f"{name}: expected one of {', '.join(known)}, got {word!r}.")
    r = statistics.mean.shape[1]
    if s.size <= statistics.modes[-1]:
        raise UsageError(f"layer {statistics.site!r}: expected at least {statistics.modes[-1] + 1} singular values, got {s.size}.")
    value = DEFAULTS[rule](r) if value is None else value
    _check(rule, value)
    offset, gain = STANDARDISATIONS[standardise](statistics, s[statistics.modes])
    least = ROUNDING * np.sqrt(statistics.mean_square)
    present = statistics.counts[:, None] > 0

    def profile(means: Values) -> Values:
        apart = means - offset
        found: Values = np.where(present & (np.abs(apart) > least), apart * gain, 0)
        return found

    own = profile(statistics.mean)
    if rule == "fraction":
        weight, lean = _shares(statistics)
        again, null = _drawn_shares(statistics.resampled), _drawn_shares(statistics.permuted)
    else:
        weight, lean = np.abs(own), own
        again, null = (_pair(profile(drawn.means())) for drawn in (statistics.resampled, statistics.permuted))
    index, sign = _vertices(statistics.modes, signed=signed)
    member = _split(RULES[rule](weight, value), lean, sign)
    return Membership(
        site=statistics.site,
        counts=statistics.counts,
        profile=own,
        error=statistics.error * np.abs(gain),
        index=index,
        sign=sign,
        weight=_split(weight, lean, sign),
        member=member,
        resampled=_split(RULES[rule](again[0], value), again[1], sign),
        permuted=_split(RULES[rule](null[0], value), null[1], sign),
        standardise=standardise,
        rule=rule,
        value=float(value),
        note=" ".join(filter(None, (statistics.note, _note(statistics, member)))),
    )


def _check(rule: str, value: float) -> None:
    if rule == "topm" and (value < 1 or value != int(value)):
        raise UsageError(f"topm: expected a number of modes, at least 1, got {value}.")
    if rule == "threshold" and not 0 < value < np.inf:
        raise UsageError(f"threshold: expected a positive number of units, got {value}.")
    if rule == "fraction" and not 0 < value <= 1:
        raise UsageError(f"fraction: expected a share of the images of a class, above 0 and at most 1, got {value}.")


def _inverse(scale: Values, least: Values) -> Values:
    """One over it; 0 where it is nothing."""
    held = scale > least
    found: Values = held / np.where(held, scale, 1)
    return found


def _shares(statistics: ClassStatistics) -> tuple[Values, Values]:
    if statistics.chosen is None or statistics.leaning is None:
        raise UsageError(f"layer {statistics.site!r}: expected the modes that each image chose for the rule 'fraction', got none.")
    n = np.maximum(statistics.counts, 1)[:, None]
    return statistics.chosen / n, statistics.leaning / n


def _drawn_shares(drawn: Replicates) -> tuple[Values, Values]:
    return drawn.shares(), drawn.leanings()


def _pair(profile: Values) -> tuple[Values, Values]:
    return np.abs(profile), profile


def _vertices(modes: Indices, *, signed: bool) -> tuple[Indices, Signs]:
    """Modes in their order, the positive direction of each first."""
    if not signed:
        return modes, np.zeros(modes.size, np.int8)
    return np.repeat(modes, 2), np.tile(np.array([1, -1], np.int8), modes.size)


def _split(found: T, lean: Values, sign: Signs) -> T:
    """From modes (..., C, r) to vertices (..., C, V): what a mode has goes to the sign it leans to, to + where it leans nowhere."""
    if not sign.any():
        return found
    doubled: T = np.repeat(found, 2, axis=-1) * ((np.repeat(lean, 2, axis=-1) >= 0) == (sign > 0))
    return doubled


def _note(statistics: ClassStatistics, member: Flags) -> str:
    present = statistics.counts > 0
    parts = []
    if present.sum() == 1:
        parts.append("There is one class, which nothing tells from the rest.")
    if not present.all():
        parts.append(f"{int((~present).sum())} of {present.size} classes have no images and no modes.")
    empty = int((present & ~member.any(axis=1)).sum())
    if empty:
        parts.append(f"{empty} classes with images have no modes.")
    return " ".join(parts)
