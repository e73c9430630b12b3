"""Separation: sums by hand, exact chance, and what permuted labels and the bootstrap say about planted classes."""

import itertools

import numpy as np
import pytest

from modescope.profiles.class_sums import _Draws
from modescope.profiles.membership import Membership, membership
from modescope.profiles.separation import Null, core, edge_stability, mean_jaccard, separation
from profiles_hyper_cases import RNG, Values, planted, statistics

ONES = np.ones(8)


def eta(signals: Values, labels: np.ndarray) -> float:
    """As it is defined, with loops."""
    between = 0.0
    for c in set(labels.tolist()):
        rows = signals[labels == c]
        between += len(rows) / len(signals) * float(np.sum((rows.mean(axis=0) - signals.mean(axis=0)) ** 2))
    return between / float(signals.var(axis=0).sum())


def index(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum()) if (a | b).any() else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_both_numbers_their_intervals_and_their_nulls_are_those_of_loops(seed: int) -> None:
    signals, labels = planted(seed, apart=0.4)
    numbers = statistics(signals, labels, resamples=40, permutations=9, seed=seed)
    belongs = membership(numbers, ONES, value=3)
    found = separation(numbers, belongs)
    draws = _Draws(labels, 4, 40, 9, seed)
    weights, others = draws.resampled(labels).astype(int), draws.permuted(labels.size)
    again = [np.repeat(np.arange(labels.size), weights[:, b]) for b in range(40)]
    drawn, null = [eta(signals[i], labels[i]) for i in again], [eta(signals, others[:, p]) for p in range(9)]
    own = eta(signals, labels)
    assert found.eta.value == pytest.approx(own, rel=1e-12)
    assert found.eta.interval == pytest.approx(np.percentile(drawn, [2.5, 97.5]), rel=1e-9)
    assert found.eta.expected == pytest.approx(3 / 119)
    told = found.eta.null
    assert told is not None
    assert (told.mean, told.low, told.high) == pytest.approx((np.mean(null), min(null), max(null)), rel=1e-9)
    assert told.outside == pytest.approx(own - max(null), rel=1e-9)

    def mean(member: np.ndarray) -> float:
        return float(np.mean([index(member[a], member[b]) for a, b in itertools.combinations(range(4), 2)]))

    overlap = found.jaccard
    assert overlap.value == pytest.approx(mean(belongs.member), rel=1e-12)
    assert overlap.interval == pytest.approx(np.percentile([mean(one) for one in belongs.resampled], [2.5, 97.5]), rel=1e-12)
    values = [mean(one) for one in belongs.permuted]
    assert overlap.null is not None
    assert overlap.value is not None
    assert (overlap.null.mean, overlap.null.low, overlap.null.high) == pytest.approx((np.mean(values), min(values), max(values)))
    assert overlap.null.p_low == (sum(v <= overlap.value + 1e-9 for v in values) + 1) / 10
    assert overlap.null.p_high == (sum(v >= overlap.value - 1e-9 for v in values) + 1) / 10
    expected = [np.mean([index(one[c], belongs.member[c]) for one in belongs.resampled]) for c in range(4)]
    np.testing.assert_allclose(edge_stability(belongs), expected, rtol=1e-12)
    np.testing.assert_array_equal(found.edge_stability, edge_stability(belongs))


def test_eta_lies_between_nothing_and_all() -> None:
    labels = np.arange(40) % 4
    means = RNG(0).standard_normal((4, 8))
    whole = statistics(means[labels], labels)
    assert separation(whole, membership(whole, ONES)).eta.value == pytest.approx(1, rel=1e-12)
    same = np.repeat(RNG(1).standard_normal((10, 8)), 4, axis=0)  # every image once in each class
    none = statistics(same, labels)
    assert separation(none, membership(none, ONES)).eta.value == pytest.approx(0, abs=1e-20)


def test_permuted_labels_have_the_expected_share() -> None:
    """E eta = (C - 1) / (N - 1); the mean of 400 permutations is within five standard errors of it."""
    signals, labels = planted(1, apart=3)
    numbers = statistics(signals, labels, resamples=0, permutations=400)
    found = separation(numbers, membership(numbers, ONES)).eta
    assert found.null is not None
    assert found.expected is not None
    error = (found.null.high - found.null.low) / 2 / 20  # half of the range is more than one deviation
    assert abs(found.null.mean - found.expected) < 5 * error
    assert found.null.p_high == 1 / 401
    assert found.null.p_low == 1
    assert found.interval is None


def test_classes_that_differ_stand_outside_their_null_and_random_ones_do_not() -> None:
    signals, labels = planted(2, apart=1.5)
    for marks, separate in ((labels, True), (RNG(0).permutation(labels), False)):
        numbers = statistics(signals, marks, permutations=99, resamples=0)
        null = separation(numbers, membership(numbers, ONES)).eta.null
        assert null is not None
        assert (null.p_high == 0.01) == separate
        assert (null.outside > 0) == separate


def test_p_values_under_the_null_are_never_too_small() -> None:
    """(rank + 1) / (P + 1) is at most 0.1 with probability at most 0.1: in 200 trials at most 37, five deviations above 20."""
    rng = RNG(3)
    low = 0
    for trial in range(200):
        labels = rng.permutation(np.arange(30) % 3)
        numbers = statistics(rng.standard_normal((30, 2)), labels, permutations=9, resamples=0, seed=trial, batch=30)
        null = separation(numbers, membership(numbers, np.ones(2))).eta.null
        assert null is not None
        low += null.p_high <= 0.1
    assert 3 <= low <= 37


def test_values_inside_the_null_are_outside_by_nothing_and_below_it_by_a_negative_number() -> None:
    signals, labels = planted(4, apart=3, r=16)
    numbers = statistics(signals, labels, permutations=30)
    below = separation(numbers, membership(numbers, np.ones(16), standardise="none", value=4)).jaccard
    assert below.null is not None
    assert below.value is not None
    assert below.null.outside == pytest.approx(below.value - below.null.low)
    assert below.null.outside < 0
    assert below.null.p_low == 1 / 31
    assert below.null.mean > 0.5  # without centring, random classes share what all images have in common


def members(member: np.ndarray, *, signed: bool, r: int) -> Membership:
    index = np.repeat(np.arange(r), 2) if signed else np.arange(r)
    sign = np.tile(np.array([1, -1], np.int8), r) if signed else np.zeros(r, np.int8)
    nothing = np.zeros((0, *member.shape), bool)
    counts = np.full(len(member), 5)
    zeros = np.zeros((len(member), r))
    return Membership("site", counts, zeros, zeros, index, sign, 1.0 * member, member, nothing, nothing, "z", "topm", 2.0)


@pytest.mark.parametrize("signed", [True, False])
def test_chance_is_that_of_random_sets_of_the_same_sizes(signed: bool) -> None:
    """Against 4000 drawings of sets of 1, 3, 3, 5 and 0 of 8 modes; five standard errors."""
    from modescope.profiles.separation import chance

    rng, sizes = RNG(5), (1, 3, 3, 5, 0)
    values = []
    for _ in range(4000):
        member = np.zeros((5, 16 if signed else 8), bool)
        for c, size in enumerate(sizes):
            chosen = rng.permutation(8)[:size]
            member[c, 2 * chosen + rng.integers(0, 2, size) if signed else chosen] = True
        values.append(mean_jaccard(member))
    numbers = np.array(values, dtype=float)
    assert chance(members(member, signed=signed, r=8)) == pytest.approx(numbers.mean(), abs=5 * numbers.std() / 4000**0.5)


def test_stability_and_core_say_how_often_replicates_hold_a_mode() -> None:
    signals, labels = planted(6, apart=0.5)
    one = membership(statistics(signals, labels, resamples=100), ONES, value=3)
    stable = one.resampled.mean(axis=0)
    np.testing.assert_array_equal(core(one), (stable >= 0.8) & one.member)
    np.testing.assert_array_equal(core(one, least=0.3, beyond=True), stable >= 0.3)
    assert (core(one, least=0.2, beyond=True) & ~one.member).any()
    assert not (core(one, least=0.2) & ~one.member).any()
    np.testing.assert_array_equal(core(one, least=0.2), (stable >= 0.2) & one.member)


def test_without_replicates_there_is_no_core_and_no_interval() -> None:
    signals, labels = planted(7)
    numbers = statistics(signals, labels, resamples=0, permutations=0)
    found = separation(numbers, membership(numbers, ONES))
    assert not found.core.any()
    assert np.isnan(found.edge_stability).all()
    assert (found.eta.interval, found.jaccard.interval, found.eta.null, found.jaccard.null) == (None,) * 4
    assert found.eta.value is not None


def test_one_class_or_constant_signals_have_no_separation() -> None:
    signals, labels = planted(8)
    alone = statistics(signals, np.zeros(len(signals), int))
    found = separation(alone, membership(alone, ONES))
    assert found.jaccard.value is None
    assert found.eta.value == pytest.approx(0, abs=1e-20)
    assert found.eta.expected == 0
    still = statistics(np.full((120, 8), 0.1), labels)
    found = separation(still, membership(still, ONES))
    assert found.eta.value is None
    assert found.jaccard.value == 0
    assert "4 classes with images have no modes" in found.note


def test_classes_without_images_change_nothing() -> None:
    signals, labels = planted(9)
    marks = np.array([0, 2, 5, 6])[labels]
    numbers, more = statistics(signals, labels), statistics(signals, marks, classes=9)
    one, other = (separation(x, membership(x, ONES, value=6)) for x in (numbers, more))
    assert one.jaccard.value
    assert one.jaccard.value == other.jaccard.value
    assert one.jaccard.expected == other.jaccard.expected
    assert one.eta.value == pytest.approx(other.eta.value, rel=1e-12)
    assert one.eta.expected == other.eta.expected
    assert isinstance(other.eta.null, Null)
