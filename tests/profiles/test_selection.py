"""Modes that matter: the shortest prefix, its weights and its compatibility, and rules on singular values with planted truth."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from modescope.errors import UsageError
from modescope.profiles import selection
from modescope.profiles.basis import basis
from modescope.profiles.selection import RULES, combined, contributing, ranked

RNG = np.random.default_rng


def by_the_letter(a, share, compat=""):
    """Section by section, one image: sort, cumulate, count, take one more, weigh, and put back."""
    order = sorted(range(len(a)), key=lambda i: (-abs(a[i]), i))
    sums = np.cumsum([abs(a[i]) for i in order])
    whole, r = sums[-1], len(a)
    selected, weights = np.zeros(r, bool), np.zeros(r)
    if whole == 0:
        return selected, weights
    n = sum(1 for c in sums if c / whole <= share)
    kept = order[: n if n == r else n + 1]
    divisor = sums[len(kept) - 1] if not compat else (whole if n == 0 else sums[n - 1])
    for i in kept:
        selected[i], weights[i] = True, abs(a[i]) / divisor
    return selected, weights


# small whole numbers have exact sums, so that a share is never a matter of rounding; ties and zeros abound
TABLES = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(-4, 4).map(float))


@given(TABLES, st.sampled_from([1 / 16, 0.1, 0.25, 0.5, 0.9, 1.0]), st.sampled_from(["", "ddp"]))
def test_every_image_is_chosen_as_the_rule_says_one_by_one(a, share, compat):
    found = contributing(a, share=share, compat=compat)
    for row, (selected, weights) in enumerate(by_the_letter(one, share, compat) for one in a):
        np.testing.assert_array_equal(found.selected[row], selected)
        np.testing.assert_allclose(found.weights[row], weights, rtol=1e-12, atol=0)
        np.testing.assert_array_equal(found.signs[row], np.where(selected, np.sign(a[row]), 0))


@given(TABLES, st.floats(0.01, 1), st.floats(0.01, 1))
def test_what_is_chosen_has_more_than_the_share_is_shortest_and_grows_with_the_share(a, one, other):
    low, high = contributing(a, share=min(one, other)), contributing(a, share=max(one, other))
    assert not (low.selected & ~high.selected).any()
    size = np.abs(a)
    filled = size.any(axis=1)
    np.testing.assert_allclose(low.weights.sum(axis=1), filled, rtol=1e-12)
    for row in np.flatnonzero(filled):
        kept = np.sort(size[row][low.selected[row]])
        if low.share < 1:
            assert kept.sum() > low.share * size[row].sum() * (1 - 1e-12)
        assert kept[1:].sum() <= low.share * size[row].sum() * (1 + 1e-12)


def test_a_share_of_one_chooses_all_modes_with_their_shares_of_the_signal():
    a = RNG(0).standard_normal((50, 7))
    found = contributing(a, share=1)
    assert found.selected.all()
    np.testing.assert_allclose(found.weights, np.abs(a) / np.abs(a).sum(axis=1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 1.0])
def test_weights_of_the_peer_sum_to_the_sum_chosen_over_the_sum_before_it(share):
    a = RNG(1).standard_normal((200, 20))
    ours, theirs = contributing(a, share=share), contributing(a, share=share, compat="ddp")
    np.testing.assert_array_equal(ours.selected, theirs.selected)
    sums = np.cumsum(-np.sort(-np.abs(a), axis=1), axis=1)
    n = (sums / sums[:, -1:] <= share).sum(axis=1)
    last = np.minimum(n, 19)
    rows = np.arange(200)
    expected = np.where(n > 0, sums[rows, last] / sums[rows, np.maximum(n - 1, 0)], sums[:, 0] / sums[:, -1])
    np.testing.assert_allclose(theirs.weights.sum(axis=1), expected, rtol=1e-12)


def test_signals_near_the_ends_of_floating_point_are_chosen_like_any_others():
    a = np.array([[3.0, -2.0, 1.0]])
    for scale in (1e307, 1e-320, 5e-324):
        found = contributing(np.round(a) * scale, share=0.5)
        np.testing.assert_array_equal(found.selected, contributing(a, share=0.5).selected)
        np.testing.assert_allclose(found.weights.sum(axis=1), 1)


def test_no_images_and_no_modes_choose_nothing():
    for shape in ((0, 3), (3, 0), (0, 0)):
        found = contributing(np.zeros(shape))
        assert found.selected.shape == found.weights.shape == found.signs.shape == shape


@pytest.mark.parametrize(
    ("a", "options", "said"),
    [
        (np.zeros(3), {}, r"expected a row for each image, \(n, r\), got shape \(3,\)"),
        (np.array([[0.0], [np.nan]]), {}, "the first in row 1"),
        (np.array([[np.inf]]), {}, "finite"),
        (np.zeros((1, 1)), {"share": 0.0}, "share: expected .* got 0.0"),
        (np.zeros((1, 1)), {"share": 1.5}, "got 1.5"),
        (np.zeros((1, 1)), {"share": float("nan")}, "got nan"),
        (np.zeros((1, 1)), {"compat": "peer"}, "'ddp', got 'peer'"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(a, options, said):
    with pytest.raises(UsageError, match=said):
        contributing(a, **options)


def layer(weight, groups=1):
    weight = np.asarray(weight, float)
    module = nn.Conv2d(weight.shape[1] * groups, weight.shape[0], 1, groups=groups, bias=False)
    return basis("conv", module, weight[:, :, None, None])


def spectrum_of(values, shape=(40, 60)):
    """A weight with these singular values."""
    u, _ = np.linalg.qr(RNG(0).standard_normal((shape[0], len(values))))
    v, _ = np.linalg.qr(RNG(1).standard_normal((shape[1], len(values))))
    return (u * values) @ v.T


def planted(seed, spikes, m=64, n=256):
    """Noise of unit variance with spikes of so many times the strength that can be seen."""
    rng = RNG(seed)
    weight = rng.standard_normal((m, n))
    for strength in spikes:
        u, v = rng.standard_normal(m), rng.standard_normal(n)
        weight += strength * (m * n) ** 0.25 * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return weight


def test_the_first_k_are_kept_and_never_more_than_there_are():
    found = layer(spectrum_of(np.arange(40.0, 0, -1)))
    assert ranked(found).modes.tolist() == list(range(16))
    assert ranked(found, amount=3).modes.tolist() == [0, 1, 2]
    assert ranked(found, amount=1000).modes.size == 40
    assert ranked(found, rule="all").modes.size == 40


@pytest.mark.parametrize(("amount", "kept"), [(0.3, 1), (0.6, 2), (0.89, 2), (0.91, 3), (0.99, 4)])
def test_energy_keeps_the_fewest_modes_that_hold_the_share(amount, kept):
    found = layer(spectrum_of(np.sqrt([50.0, 40.0, 8.0, 2.0])))
    assert ranked(found, rule="energy", amount=amount).modes.tolist() == list(range(kept))


@pytest.mark.parametrize("rule", ["outliers", "edge", "optimal"])
def test_planted_spikes_are_kept_and_noise_is_not(rule):
    strong = ranked(layer(planted(3, (6, 5, 4))), rule=rule, amount=1.1 if rule == "edge" else None)
    assert strong.modes.tolist() == [0, 1, 2]
    assert not strong.nothing
    nothing = ranked(layer(planted(3, ())), rule=rule, amount=1.2 if rule == "edge" else None)
    assert nothing.modes.tolist() == [0]
    assert nothing.nothing
    assert "the first mode was kept" in nothing.note


def test_the_optimal_threshold_for_square_noise_is_2_858_medians():
    s = np.concatenate([[2.9, 2.8], np.full(29, 1.0), np.linspace(0.9, 0.1, 29)])  # Gavish & Donoho's number for square matrices
    assert ranked(layer(spectrum_of(s, (60, 60))), rule="optimal").modes.tolist() == [0]


def test_a_level_shared_by_many_layers_asks_for_more_of_each():
    kept = [
        ranked(layer(planted(seed, (1.35,))), rule="outliers", tests=tests).nothing for tests in (1, 10**9) for seed in range(12)
    ]
    assert sum(kept[:12]) < sum(kept[12:])


def test_the_groups_of_a_layer_share_its_level(monkeypatch):
    levels = []
    monkeypatch.setattr(selection, "_threshold", lambda _, *, level, seed: levels.append(level) or 0.0)
    ranked(layer(np.concatenate([planted(1, ()), planted(2, ())]), groups=2), rule="outliers", amount=0.03, tests=5)
    assert levels == pytest.approx([0.003, 0.003])


def test_outliers_are_those_of_a_scan():
    import modescope as ms

    weight = planted(5, (4, 2, 1.5))
    row = next(iter(ms.scan({"conv.weight": weight})))
    assert ranked(layer(weight), rule="outliers").modes.size == row.measures["bulk"].outliers


def test_every_group_is_judged_by_itself():
    quiet, loud = planted(7, ()), 0.01 * planted(8, (6, 5))
    found = ranked(layer(np.concatenate([quiet, loud]), groups=2), rule="outliers")
    spectra = layer(np.concatenate([quiet, loud]), groups=2)
    assert spectra.group[found.modes].tolist() == [1, 1]
    np.testing.assert_array_equal(found.modes, np.flatnonzero(spectra.group == 1)[:2])


@pytest.mark.parametrize("rule", ["outliers", "edge", "optimal"])
def test_groups_too_small_for_the_law_have_a_note_and_not_a_verdict(rule):
    found = ranked(layer(RNG(0).standard_normal((12, 9)), groups=4), rule=rule)
    assert found.nothing
    assert "4 of 4 groups without a verdict" in found.note
    assert ranked(layer(np.zeros((20, 20))), rule=rule).note.startswith("zero matrix")


def test_a_zero_matrix_keeps_its_first_mode_by_energy():
    found = ranked(layer(np.zeros((4, 4))), rule="energy")
    assert found.modes.tolist() == [0]
    assert found.nothing


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "best"}, f"expected one of {', '.join(RULES)}, got 'best'"),
        ({"amount": 0}, "topk"),
        ({"amount": 2.5}, "topk"),
        ({"amount": float("nan")}, "topk"),
        ({"amount": float("inf")}, "topk"),
        ({"rule": "energy", "amount": 1.1}, "energy"),
        ({"rule": "outliers", "amount": 1.0}, "outliers"),
        ({"rule": "edge", "amount": -1.0}, "edge"),
        ({"rule": "optimal", "amount": 2.0}, "no amount"),
        ({"rule": "all", "amount": 2.0}, "no amount"),
        ({"tests": 0}, "tests"),
    ],
)
def test_rules_and_amounts_that_make_no_sense_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        ranked(layer(np.eye(4)), **options)


def test_within_kept_modes_the_share_is_one_of_theirs_and_no_other_is_chosen():
    a = RNG(2).standard_normal((30, 40))
    kept = ranked(layer(spectrum_of(np.arange(40.0, 0, -1))), amount=5)
    found, inside = combined(a, kept, share=0.6), contributing(a[:, :5], share=0.6)
    np.testing.assert_array_equal(found.selected[:, :5], inside.selected)
    np.testing.assert_array_equal(found.weights[:, :5], inside.weights)
    np.testing.assert_array_equal(found.signs[:, :5], inside.signs)
    assert not found.selected[:, 5:].any()
    with pytest.raises(UsageError, match="r above 4"):
        combined(a[:, :4], kept)


def test_selection_takes_torch_signals_as_numbers():
    a = torch.tensor([[1.0, -3.0]])
    assert contributing(a).selected.tolist() == [[False, True]]
