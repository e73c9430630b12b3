"""How far the classes of a data set are apart at one layer, beside chance, permuted labels and a bootstrap of the images."""

from dataclasses import dataclass

import numpy as np

from modescope.profiles.class_sums import ClassStatistics, Counts
from modescope.profiles.hypergraph import chance_jaccard
from modescope.profiles.membership import Flags, Membership
from modescope.svd import Values

PERCENTILES = (2.5, 97.5)
STABLE = 0.8  # share of replicates from which on a vertex is of the core
SAME = 1e-12  # two values that are sums of the same numbers in another order


@dataclass(frozen=True)
class Null:
    """Where a number stands among those of permuted labels.

    Attributes:
        count: P, how often labels were permuted.
        mean: Of its values.
        low: Smallest.
        high: Largest.
        p_low: (values at most as large as the number + 1) / (P + 1).
        p_high: (values at least as large + 1) / (P + 1).
        outside: How far the number is above the largest, or, negative, below the smallest; 0 in between.
    """

    count: int
    mean: float
    low: float
    high: float
    p_low: float
    p_high: float
    outside: float


@dataclass(frozen=True)
class Measured:
    """One number about the separation of classes.

    Attributes:
        value: The number, or None where it is not defined: signals that never vary, or a single class.
        interval: 2.5 and 97.5 percentiles over the bootstrap within classes, or None without. Resampling adds noise to class
            means, so that it may lie to one side of the number where classes are small.
        expected: By chance, exactly, or None where the number is not defined.
        null: For permuted labels, or None without.
    """

    value: float | None
    interval: tuple[float, float] | None
    expected: float | None
    null: Null | None


@dataclass(frozen=True, eq=False)
class Separation:
    """How far classes are apart at one site.

    Attributes:
        site: Its name.
        eta: Share of the variance of signals, summed over modes, that lies between class means; beside (C - 1) / (N - 1).
        jaccard: Mean Jaccard index of the modes of two classes; beside that of random sets of these sizes.
        edge_stability: (C,) mean Jaccard index of the modes of a class and those of its replicates, NaN without replicates.
        core: (C, V) vertices of a class that at least 80 % of its replicates have too.
        note: What is special, or empty.
    """

    site: str
    eta: Measured
    jaccard: Measured
    edge_stability: Values
    core: Flags
    note: str = ""


def separation(statistics: ClassStatistics, membership: Membership, /) -> Separation:
    """Measure the separation of classes at one site.

    Both numbers are needed: the Jaccard index depends on how the profile was standardised, and without centring overlap in early
    layers is what all classes have in common. Classes without images are left out.
    """
    present = statistics.counts > 0
    return Separation(
        site=statistics.site,
        eta=_eta(statistics),
        jaccard=_jaccard(membership, present),
        edge_stability=edge_stability(membership),
        core=core(membership),
        note=membership.note,
    )


def variance_share(means: Values, counts: Counts, variance: float, /) -> Values:
    """Share of the variance that lies between class means.

    Args:
        means: (..., C, r) class means.
        counts: (C,) images of each class.
        variance: Population variance of all images, summed over modes, positive; or (...) of them.
    """
    weights = counts / counts.sum()
    centre = np.einsum("c,...cr->...r", weights, means)
    apart = means - centre[..., None, :]
    found: Values = np.einsum("c,...cr,...cr->...", weights, apart, apart) / variance
    return found


def mean_jaccard(member: Flags, /) -> float | None:
    """Mean Jaccard index over pairs of classes of members (C, V); 0 for two empty sets, None where there are no two classes."""
    if len(member) < 2:
        return None
    held = member.astype(np.float64)
    both = held @ held.T
    sizes = held.sum(axis=1)
    ratio = both / np.maximum(sizes[:, None] + sizes - both, 1)
    return float(ratio[np.triu_indices(len(member), 1)].mean())


def chance(membership: Membership, /) -> float | None:
    """Mean Jaccard index of random sets of modes that are as large as those of the classes with images; None for one class."""
    sizes = membership.member[membership.counts > 0].sum(axis=1)
    if sizes.size < 2:
        return None
    r, signed = membership.profile.shape[1], bool(membership.sign.any())
    values, times = np.unique(sizes, return_counts=True)
    total = 0.0  # over pairs
    for i, (m, count) in enumerate(zip(values.tolist(), times.tolist(), strict=True)):
        total += count * (count - 1) / 2 * chance_jaccard(r, m, signed=signed)
        for other, more in zip(values[:i].tolist(), times[:i].tolist(), strict=True):
            total += count * more * chance_jaccard(r, m, other, signed=signed)
    pairs = int(sizes.size) * (int(sizes.size) - 1) / 2
    return float(total / pairs)


def edge_stability(membership: Membership, /) -> Values:
    """(C,) mean over replicates of the Jaccard index of a class and its replicate; NaN without replicates."""
    if not len(membership.resampled):
        return np.full(len(membership.member), np.nan)
    both = (membership.resampled & membership.member).sum(axis=2)
    either = (membership.resampled | membership.member).sum(axis=2)
    found: Values = (both / np.maximum(either, 1)).mean(axis=0)
    return found


def core(membership: Membership, /, *, least: float = STABLE, beyond: bool = False) -> Flags:
    """(C, V) vertices that a share of the replicates of a class has.

    Args:
        membership: At one site.
        least: The share.
        beyond: With vertices that replicates have though the class does not.
    """
    stable: Flags = membership.stability >= least
    return stable if beyond else stable & membership.member


def _eta(statistics: ClassStatistics) -> Measured:
    whole = float(statistics.variance.sum())
    counts = statistics.counts
    if not whole > (SAME**2) * float(statistics.mean_square.sum()):
        return Measured(None, None, None, None)
    value = float(variance_share(statistics.mean, counts, whole))
    drawn = np.zeros(0)
    if len(statistics.resampled):
        varies = statistics.spread > 0  # a replicate may draw one image alone
        drawn = np.zeros(len(statistics.resampled))
        means = statistics.resampled.means()
        drawn[varies] = [
            float(variance_share(one, counts, spread)) for one, spread in zip(means[varies], statistics.spread[varies], strict=True)
        ]
    null = np.array([float(variance_share(one, counts, whole)) for one in statistics.permuted.means()])
    present, n = int((counts > 0).sum()), int(counts.sum())
    return Measured(value, _interval(drawn), (present - 1) / (n - 1), _null(value, null))


def _jaccard(membership: Membership, present: Flags) -> Measured:
    value = mean_jaccard(membership.member[present])
    if value is None:
        return Measured(None, None, None, None)
    drawn, null = (
        np.array([found for one in again[:, present] if (found := mean_jaccard(one)) is not None])
        for again in (membership.resampled, membership.permuted)
    )
    return Measured(value, _interval(drawn), chance(membership), _null(value, null))


def _interval(drawn: Values) -> tuple[float, float] | None:
    if not drawn.size:
        return None
    low, high = np.percentile(drawn, PERCENTILES).tolist()
    return low, high


def _null(value: float, null: Values) -> Null | None:
    if not null.size:
        return None
    low, high, count = float(null.min()), float(null.max()), null.size
    p_low = (int((null <= value + SAME).sum()) + 1) / (count + 1)
    p_high = (int((null >= value - SAME).sum()) + 1) / (count + 1)
    outside = max(value - high, 0.0) + min(value - low, 0.0)
    return Null(count, float(null.mean()), low, high, p_low, p_high, outside)
