"""Membership: every standardisation and rule against loops over classes and modes, and what must not change it."""

import itertools
from typing import Any

import numpy as np
import pytest

from modescope.errors import UsageError
from modescope.profiles.class_sums import ClassSums
from modescope.profiles.membership import DEFAULTS, RULES, STANDARDISATIONS, Membership, membership, topm
from profiles_hyper_cases import RNG, Values, batches, planted, statistics

S = np.geomspace(4, 0.5, 8)
CASES = list(itertools.product(STANDARDISATIONS, [("topm", 3), ("threshold", 0.4), ("fraction", 0.5)], [True, False]))


def strong(signals: Values) -> np.ndarray:
    return np.abs(signals) >= np.median(np.abs(signals), axis=1)[:, None]


def found(signals: Values, labels: np.ndarray, *, s: Values = S, seed: int = 0, resamples: int = 25, **options: Any) -> Membership:
    numbers = statistics(signals, labels, choose=strong, seed=seed, resamples=resamples, permutations=5)
    return membership(numbers, s, **options)


def as_sets(one: Membership, row: np.ndarray) -> set[tuple[int, int]]:
    return {(int(one.index[v]), int(one.sign[v])) for v in np.flatnonzero(row)}


def by_hand(signals: Values, labels: np.ndarray, standardise: str, rule: tuple[str, float], *, signed: bool, units: Values) -> Any:
    """Edges as sets of (mode, sign), with weights; `units` are the images that constants are taken from."""
    edges, weights = [], []
    for c in range(labels.max() + 1):
        rows = signals[labels == c]
        scores = {}
        for i in range(signals.shape[1]):
            whole = units[:, i]
            own = {
                "none": rows[:, i],
                "rms": rows[:, i] / np.sqrt(np.mean(whole**2)),
                "sigma": rows[:, i] / S[i],
                "z": (rows[:, i] - whole.mean()) / whole.std(),
            }[standardise]
            mean = own.mean()
            if rule[0] == "fraction":
                chosen = strong(rows)[:, i]
                scores[i] = (chosen.mean(), 1 if np.sign(rows[chosen, i]).sum() >= 0 else -1)
            else:
                scores[i] = (abs(mean), 1 if mean >= 0 else -1)
        ranked = sorted(scores, key=lambda i: (-scores[i][0], i))
        kept = ranked[: int(rule[1])] if rule[0] == "topm" else [i for i in ranked if scores[i][0] >= rule[1]]
        edges.append({(i, scores[i][1] if signed else 0) for i in kept})
        weights.append({i: scores[i][0] for i in kept})
    return edges, weights


@pytest.mark.parametrize(("standardise", "rule", "signed"), CASES)
def test_members_are_those_of_loops_over_classes_and_modes(standardise: str, rule: tuple[str, float], signed: bool) -> None:
    signals, labels = planted(0, apart=1.0)
    one = found(signals, labels, standardise=standardise, rule=rule[0], value=rule[1], signed=signed)
    edges, weights = by_hand(signals, labels, standardise, rule, signed=signed, units=signals)
    for c in range(4):
        assert as_sets(one, one.member[c]) == edges[c]
        for v in np.flatnonzero(one.member[c]):
            assert one.weight[c, v] == pytest.approx(weights[c][int(one.index[v])], rel=1e-12)


@pytest.mark.parametrize(("standardise", "rule", "signed"), CASES[::3])
def test_members_of_replicates_are_those_of_loops_over_the_images_drawn(
    standardise: str, rule: tuple[str, float], signed: bool
) -> None:
    """Constants stay those of all images."""
    from modescope.profiles.class_sums import _Draws

    signals, labels = planted(1, apart=1.0)
    one = found(signals, labels, standardise=standardise, rule=rule[0], value=rule[1], signed=signed, seed=4)
    draws = _Draws(labels, 4, 25, 5, 4)
    weights, others = draws.resampled(labels).astype(int), draws.permuted(labels.size)
    count = np.zeros(one.member.shape)
    for b in range(25):
        again = np.repeat(np.arange(labels.size), weights[:, b])
        edges, _ = by_hand(signals[again], labels[again], standardise, rule, signed=signed, units=signals)
        assert [as_sets(one, row) for row in one.resampled[b]] == edges
        count += [[(int(i), int(g)) in edge for i, g in zip(one.index, one.sign, strict=True)] for edge in edges]
    np.testing.assert_allclose(one.stability, count / 25, atol=1e-15)
    for p in range(5):
        edges, _ = by_hand(signals, others[:, p], standardise, rule, signed=signed, units=signals)
        assert [as_sets(one, row) for row in one.permuted[p]] == edges


def test_the_profile_and_its_error_are_in_the_same_units() -> None:
    signals, labels = planted(2)
    one = found(signals, labels)
    scaled = (signals - signals.mean(axis=0)) / signals.std(axis=0)
    for c in range(4):
        rows = scaled[labels == c]
        np.testing.assert_allclose(one.profile[c], rows.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(one.error[c], rows.std(axis=0, ddof=1) / np.sqrt(len(rows)), rtol=1e-12)


@pytest.mark.parametrize("standardise", STANDARDISATIONS)
@pytest.mark.parametrize("rule", RULES)
def test_a_flip_of_a_mode_leaves_unsigned_members_and_swaps_the_signs_of_signed_ones(standardise: str, rule: str) -> None:
    signals, labels = planted(3, apart=1.0)
    flips = np.where(RNG(0).random(8) < 0.5, -1.0, 1.0)
    before, after = (found(x, labels, standardise=standardise, rule=rule, signed=False) for x in (signals, signals * flips))
    np.testing.assert_array_equal(before.member, after.member)
    np.testing.assert_array_equal(before.resampled, after.resampled)
    one, other = (found(x, labels, standardise=standardise, rule=rule) for x in (signals, signals * flips))
    for c in range(4):
        assert {(i, int(g * flips[i])) for i, g in as_sets(one, one.member[c])} == as_sets(other, other.member[c])


@pytest.mark.parametrize("standardise", STANDARDISATIONS)
def test_another_order_of_modes_renames_members_only(standardise: str) -> None:
    signals, labels = planted(4)
    order = RNG(1).permutation(8)
    one = found(signals, labels, standardise=standardise, signed=False)
    other = found(signals[:, order], labels, s=S[order], standardise=standardise, signed=False)
    np.testing.assert_array_equal(one.member[:, order], other.member)


def test_another_order_of_classes_permutes_edges_only() -> None:
    signals, labels = planted(5)
    order = np.array([2, 0, 3, 1])
    one, other = found(signals, labels), found(signals, order[labels])
    np.testing.assert_array_equal(other.member[order], one.member)


def test_a_class_whose_images_are_copies_of_one_has_stability_one() -> None:
    signals, labels = planted(6, apart=0.1)
    signals[labels == 2] = signals[labels == 2][0]
    for rule in RULES:
        one = found(signals, labels, rule=rule, resamples=100)
        assert one.member[2].any()
        np.testing.assert_array_equal(one.stability[2], one.member[2])
        others = one.stability[[0, 1, 3]]
        assert ((others > 0) & (others < 1)).any()


def test_equal_weights_are_taken_by_index() -> None:
    weights = np.array([[1.0, 2.0, 2.0, 2.0, 0.5], [0.0, 0.0, 3.0, 0.0, 0.0]])
    np.testing.assert_array_equal(topm(weights, 2), [[0, 1, 1, 0, 0], [0, 0, 1, 0, 0]])


def test_a_mode_that_images_choose_with_both_signs_alike_is_taken_as_positive() -> None:
    signals = np.array([[3.0, 0.1], [-3.0, 0.1]] * 5)
    numbers = statistics(signals, np.zeros(10, int), choose=strong)
    one = membership(numbers, np.ones(2), rule="fraction")
    assert as_sets(one, one.member[0]) == {(0, 1)}


def test_members_of_a_larger_m_hold_those_of_a_smaller_and_higher_thresholds_are_held_by_lower() -> None:
    signals, labels = planted(7)
    for rule, values in (("topm", [1, 2, 5, 8, 20]), ("threshold", [2.0, 0.7, 0.1]), ("fraction", [1.0, 0.6, 0.2])):
        members = [found(signals, labels, rule=rule, value=value).member for value in values]
        assert all((small <= large).all() for small, large in itertools.pairwise(members))
    assert members[0].sum() < members[-1].sum()


def test_defaults_are_those_of_the_note() -> None:
    signals, labels = planted(8, r=40)
    one = found(signals, labels, s=np.ones(40))
    assert (one.standardise, one.rule, one.value) == ("z", "topm", 5)
    assert (one.member.sum(axis=1) == 5).all()
    assert found(signals, labels, s=np.ones(40), rule="threshold").value == 0.5
    assert found(signals, labels, s=np.ones(40), rule="fraction").value == 0.5
    assert [DEFAULTS["topm"](r) for r in (1, 9, 16, 32, 64)] == [2, 2, 2, 4, 8]


def test_a_mode_without_any_signal_is_never_a_member() -> None:
    """A constant signal is nothing under z, and 0 is nothing under any standardisation, even where m asks for more modes."""
    signals, labels = planted(9)
    signals[:, 3] = 0.3
    signals[:, 5] = 0
    for standardise in STANDARDISATIONS:
        one = found(signals, labels, standardise=standardise, value=8, signed=False)
        assert not one.member[:, 5].any()
        assert not one.resampled[..., 5].any()
        assert one.member[:, 3].all() == (standardise != "z")
    assert not one.profile[:, 3].any()


def test_a_single_class_has_no_modes_under_z_and_is_told() -> None:
    signals, _ = planted(10)
    one = found(signals, np.zeros(len(signals), int))
    assert not one.member.any()
    assert "There is one class" in one.note
    assert "1 classes with images have no modes" in one.note
    assert found(signals, np.zeros(len(signals), int), standardise="none").member.sum() == 2


def test_a_class_without_images_has_no_members() -> None:
    signals, labels = planted(11, classes=3)
    labels[labels == 1] = 4
    for standardise, rule in itertools.product(STANDARDISATIONS, RULES):
        one = found(signals, labels, standardise=standardise, rule=rule)
        assert one.member[[0, 2, 4]].any()
        assert not one.member[[1, 3]].any()
        assert not one.resampled[:, [1, 3]].any()
        assert not one.permuted[:, [1, 3]].any()
    assert "2 of 5 classes have no images" in one.note


def test_the_scale_of_the_signals_changes_no_members_under_rms_and_z() -> None:
    signals, labels = planted(12)
    for standardise in ("rms", "z"):
        for scale in (1e-30, 1e30):
            one, other = (found(x, labels, standardise=standardise, rule="threshold") for x in (signals, signals * scale))
            np.testing.assert_array_equal(one.member, other.member)


def test_without_replicates_there_is_no_stability() -> None:
    signals, labels = planted(13)
    assert np.isnan(found(signals, labels, resamples=0).stability).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"standardise": "Z"}, "one of none, rms, sigma, z, got 'Z'"),
        ({"rule": "top"}, "one of topm, threshold, fraction, got 'top'"),
        ({"value": 0}, "at least 1, got 0"),
        ({"value": 1.5}, "at least 1, got 1.5"),
        ({"rule": "threshold", "value": 0.0}, "positive number of units"),
        ({"rule": "threshold", "value": float("nan")}, "positive number of units"),
        ({"rule": "fraction", "value": 1.1}, "above 0 and at most 1"),
    ],
)
def test_rules_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    signals, labels = planted(14)
    with pytest.raises(UsageError, match=said):
        found(signals, labels, **options)


def test_what_is_missing_is_named() -> None:
    signals, labels = planted(15)
    with pytest.raises(UsageError, match="'site': expected the modes that each image chose"):
        membership(statistics(signals, labels), S, rule="fraction")
    with pytest.raises(UsageError, match="'site': expected at least 8 singular values, got 5"):
        membership(statistics(signals, labels), S[:5])


def test_vertices_are_called_by_their_mode_and_not_by_their_place() -> None:
    signals, labels = planted(16)
    kept = np.array([1, 4, 6])
    sums = ClassSums(labels, {"site": kept})
    for passed in batches({"site": signals}, 30):
        sums.add(passed)
    one = membership(sums.value()["site"], S, standardise="sigma")
    np.testing.assert_array_equal(one.index, np.repeat(kept, 2))
    expected = [signals[labels == c][:, kept].mean(axis=0) / S[kept] for c in range(4)]
    np.testing.assert_allclose(one.profile, expected, rtol=1e-10)
    np.testing.assert_array_equal(membership(sums.value()["site"], S, signed=False).index, kept)


def test_the_modes_that_contribute_to_an_image_make_the_rule_of_shares() -> None:
    from modescope.profiles.selection import contributing

    signals, labels = planted(17)
    numbers = statistics(signals, labels, choose=lambda kept: contributing(kept, share=0.5).selected)
    one = membership(numbers, S, rule="fraction", signed=False)
    chosen = contributing(signals, share=0.5).selected
    expected = [chosen[labels == c].mean(axis=0) for c in range(4)]
    np.testing.assert_allclose(one.weight, expected, rtol=1e-12)
    np.testing.assert_array_equal(one.member, np.array(expected) >= 0.5)
