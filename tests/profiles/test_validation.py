"""Trained weights beside their start, their entries in other places, and Gaussian ones."""

from copy import deepcopy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import MatrixError, UsageError
from modescope.laws import marchenko_pastur
from modescope.measures import bulk
from modescope.profiles import validation
from modescope.profiles.validation import MEANINGS, Count, by_entries, by_median, count, validate, validations
from profiles_features_cases import chain, looked, state
from profiles_net_cases import digits_net

HIDDEN = ("2", "5", "9")  # with a short side of at least 32


@pytest.fixture(scope="module")
def digits():
    net = digits_net()
    found = looked(net.model, 1, 8, 8)
    return net, found, {one.layer: one for one in validate(found.survey, found.bases, start=net.start)}


def test_hidden_layers_stand_out_of_their_start_their_permutations_and_gaussian_noise(digits):
    _, _, by = digits
    assert [*by] == ["0", *HIDDEN[:2], "9", "11"]
    for name in HIDDEN:
        one = by[name]
        assert one.status == "ok"
        assert one.trained.above_margin >= 2
        assert one.trained.ratio > 1.5
        assert one.start.ratio <= 1.2
        assert one.permuted["ratio"].high <= 1.2
        assert one.gaussian["ratio"].high <= 1.2
        assert one.p == 1 / 20
        assert one.permuted["above_edge"].mean < 1
        assert one.trained.stable_rank < one.permuted["stable_rank"].low
        assert one.trained.effective_rank < one.permuted["effective_rank"].low


def test_small_layers_are_said_to_be_small_and_have_no_bulk_that_is_confused_with_a_count(digits):
    _, _, by = digits
    assert by["0"].status.startswith("with caution: 9 values")
    assert by["0"].trained is not None
    assert by["0"].bulk.outliers is None
    assert by["0"].edge is None
    assert by["2"].edge == pytest.approx(by["2"].bulk.edge_upper ** 0.5)


def test_the_verdict_beside_the_counts_is_the_one_of_a_scan_of_all_matrices(digits):
    _, found, by = digits
    for name in HIDDEN:
        assert by[name].bulk == bulk.analyze(found.bases[name].spectrum, level=0.01, tests=5, seed=0)


def test_what_is_given_is_not_changed_and_the_same_seed_repeats(digits):
    net, found, by = digits
    before = state(net.model), state(net.start)
    again = {one.layer: one for one in validate(found.survey, found.bases, start=net.start.state_dict())}
    assert (state(net.model), state(net.start)) == before
    assert again["2"].permuted == by["2"].permuted
    assert again["2"].gaussian == by["2"].gaussian
    assert again["2"].start == by["2"].start
    assert again["2"].start_from == "the start that was given"
    told = []
    other = validate(found.survey, {"2": found.bases["2"]}, draws=10, seed=1, progress=lambda *now: told.append(now))
    assert [one.layer for one in other] == ["2"]
    assert other[0].permuted["ratio"] != by["2"].permuted["ratio"]
    assert told == [("validation", 1, 1)]


def test_without_a_start_layers_are_started_anew_as_their_class_does(digits):
    net, found, _ = digits
    before = state(net.model)
    ones = {one.layer: one for one in validate(found.survey, found.bases, draws=10)}
    assert state(net.model) == before  # which has the state of the generators
    for name in HIDDEN:
        assert ones[name].start.ratio <= 1.2
        assert "reset_parameters" in ones[name].start_from


def test_a_start_that_does_not_fit_is_told_and_costs_nothing_else(digits):
    _, found, _ = digits
    given = {
        "2.weight": torch.zeros(32, 17, 3, 3),
        "5.weight": torch.ones(32, 32, 3, 3),
        "9.weight": torch.full((64, 128), torch.nan),
    }
    by = {one.layer: one for one in validate(found.survey, found.bases, start=given, draws=10)}
    assert by["0"].start_from == "the start has no '0.weight'"
    assert "another shape, (32, 17, 3, 3)" in by["2"].start_from
    assert "all entries are equal" in by["5"].start_from
    assert "not finite" in by["9"].start_from
    assert all(one.start is None and one.trained is not None for one in by.values())


def test_weights_that_are_computed_have_no_start_of_their_own():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(40, 40))
    found = looked(nn.Sequential(layer), 40)
    (one,) = validate(found.survey, found.bases, draws=10)
    assert one.start is None
    assert "computed from other parameters" in one.start_from
    assert one.trained is not None


def slowly(a, variance):
    """The definitions, term by term."""
    n, m = max(a.shape), min(a.shape)
    values = np.linalg.eigvalsh(a @ a.T if a.shape[0] == m else a.T @ a) / n
    edge = variance * (1 + np.sqrt(m / n)) ** 2
    centre = (np.sqrt(n - 0.5) + np.sqrt(m - 0.5)) ** 2
    width = (np.sqrt(n - 0.5) + np.sqrt(m - 0.5)) * (1 / np.sqrt(n - 0.5) + 1 / np.sqrt(m - 0.5)) ** (1 / 3)
    share = values / values.sum()
    return {
        "above_edge": (values > edge).sum(),
        "above_margin": (values > 1.1 * edge).sum(),
        "above_tracy_widom": (values * n / variance > centre + 2.0234 * width).sum(),
        "ratio": values.max() / edge,
        "stable_rank": values.sum() / values.max(),
        "effective_rank": np.exp(-(share * np.log(share)).sum()),
    }


def spiked(shape, strengths, seed=0):
    """Unit noise and planted directions of these t = theta^2 / n."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    for t in strengths:
        u, v = (rng.standard_normal(side) for side in shape)
        noise += np.sqrt(t * max(shape)) * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return noise


def counted(a, **more):
    return count(np.linalg.svd(a, compute_uv=False), a.shape, float(a.std()), **more)


@pytest.mark.parametrize("shape", [(32, 144), (64, 40), (50, 50)])
def test_counts_are_those_of_the_definitions(shape):
    a = spiked(shape, (0.3, 3, 5))
    found, expected = counted(a), slowly(a, a.var())
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)
    assert found.above_edge > 0


@pytest.mark.parametrize(("times", "seen"), [(1.001, 1), (0.999, 0)])
def test_the_level_of_one_in_a_hundred_is_where_the_law_of_the_largest_value_has_it(times, seen):
    n, m = 200, 80
    values = n * marchenko_pastur.quantile((np.arange(m)[::-1] + 0.5) / m, m / n)
    root, other = np.sqrt(n - 0.5), np.sqrt(m - 0.5)
    values[0] = times * ((root + other) ** 2 + 2.0234 * (root + other) * (1 / root + 1 / other) ** (1 / 3))
    found = count(np.sqrt(values), (m, n), 1.0)
    assert (found.above_tracy_widom, found.above_edge) == (seen, 1)


def test_counts_ignore_scale_and_transposition():
    a = spiked((40, 70), (2, 4))
    one = counted(a)
    for other in (counted(1e-3 * a), counted(a.T)):
        assert vars(other) == pytest.approx(vars(one), rel=1e-9)


def test_a_planted_direction_is_counted_where_theory_sees_it_and_not_below():
    shape = (300, 600)
    q = 0.5
    t = 4 * np.sqrt(q)
    seen = counted(spiked(shape, (t,)), variance=by_median)
    assert (seen.above_edge, seen.above_margin, seen.above_tracy_widom) == (1, 1, 1)
    assert seen.ratio == pytest.approx((1 + t) * (q + t) / t / (1 + np.sqrt(q)) ** 2, rel=0.05)
    assert counted(spiked(shape, (0.5 * np.sqrt(q),))).above_margin == 0


def test_the_bulk_below_planted_directions_is_as_close_to_the_law_as_noise():
    noise, strong = counted(spiked((200, 400), ())), counted(spiked((200, 400), (9, 16)), variance=by_median)
    assert noise.distance <= 0.02
    assert strong.distance <= 0.02
    uneven = np.random.default_rng(0).standard_normal((200, 400)) * np.linspace(0.1, 2, 200)[:, None]
    assert counted(uneven, variance=by_median).distance > 0.1


@pytest.mark.parametrize("shape", [(64, 128), (32, 288)])
def test_the_median_hardly_moves_with_strong_directions_and_the_entries_do(shape):
    a = spiked(shape, (4, 6, 8, 10, 12))
    s = np.linalg.svd(a, compute_uv=False)
    ascending = s[::-1] ** 2
    assert by_entries(ascending, max(shape), a.std()) > 1.4
    assert by_median(ascending, max(shape), a.std()) == pytest.approx(1, abs=0.12)
    assert counted(a, variance=by_median).above_margin == 5


def test_what_has_no_noise_says_so():
    with pytest.raises(MatrixError, match="all entries are equal"):
        counted(np.ones((9, 12)))


def test_noise_is_no_more_often_at_the_end_of_its_permutations_than_chance():
    # p <= 1 / 11 has probability 1 / 11: of 60 matrices more than 14 pass once in a thousand trials
    first = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model = chain(*[nn.Linear(20, 20) for _ in range(5)])
        with torch.no_grad():
            for layer in model:
                layer.weight.copy_(torch.tensor(rng.standard_normal((20, 20))))
        found = looked(model, 20)
        first += sum(one.p <= 1 / 11 for one in validate(found.survey, found.bases, draws=10, seed=seed))
    assert 0 < first <= 14


def test_each_group_is_a_matrix_of_its_own_unless_groups_are_too_small():
    model = chain(nn.Conv2d(16, 20, 3, groups=2), nn.Conv2d(20, 20, 3, groups=20), nn.Conv2d(20, 24, 1)).eval()
    found = looked(model, 16, 7, 7)
    ones = validate(found.survey, found.bases, draws=10)
    assert [(one.layer, one.group) for one in ones] == [("0", 0), ("0", 1), ("1", None), ("2", None)]
    for one, part in zip(ones[:2], model[0].weight.detach().flatten(1).numpy().reshape(2, 10, -1), strict=True):
        assert vars(one.trained) == pytest.approx(vars(counted(part)), rel=1e-9)
        assert one.start is not None
    assert ones[0].permuted != ones[1].permuted
    assert ones[2].trained is None
    assert ones[2].status == "20 groups of shape (1, 9): a short side of 1 is too few values for a law, 8 are needed"
    assert {name: len(found) for name, found in validations(found.survey, found.bases).items()} == {"0": 2, "1": 1, "2": 1}


def test_modes_of_a_folded_batch_norm_are_validated_with_its_gain_and_caution():
    model = chain(nn.Conv2d(4, 12, 3), nn.BatchNorm2d(12)).eval()
    model[1].running_var.uniform_(0.5, 2)
    found = looked(model, 4, 7, 7, bn="fold")
    (one,) = validate(found.survey, found.bases, start=deepcopy(model), draws=10)
    assert one.trained.ratio == pytest.approx(one.start.ratio, rel=1e-9)  # the start is the weight itself
    gain = (model[1].weight / (model[1].running_var + model[1].eps).sqrt()).detach().numpy()
    assert vars(one.trained) == pytest.approx(vars(counted(gain[:, None] * model[0].weight.detach().flatten(1).numpy())), rel=1e-9)
    assert "rows are scaled by 1" in one.status


def test_ranges_are_in_order_and_every_number_has_a_meaning(digits):
    _, _, by = digits
    for ranges in (by["2"].permuted, by["2"].gaussian):
        assert all(a <= b for one in ranges.values() for a, b in pairwise((one.low, one.mean, one.high)))
        assert {*ranges} == {*Count.__dataclass_fields__}
    assert {*MEANINGS} == {*Count.__dataclass_fields__, "p", "bulk"}


def test_matrices_whose_permutations_would_take_too_long_keep_the_rest(digits, monkeypatch):
    _, found, by = digits
    monkeypatch.setattr(validation, "WORK", 19 * 144 * 32**2)
    (one,) = validate(found.survey, {"2": found.bases["2"]})
    assert one.permuted is not None
    (one,) = validate(found.survey, {"5": found.bases["5"]})
    assert (one.permuted, one.p) == (None, None)
    assert one.status == "with caution: 19 permutations would take too long and were not drawn"
    assert (one.trained, one.gaussian) == (by["5"].trained, by["5"].gaussian)


def test_few_draws_are_refused(digits):
    _, found, _ = digits
    with pytest.raises(UsageError, match="at least 10"):
        validate(found.survey, found.bases, draws=9)


def test_starting_anew_seeds_no_accelerator(digits, monkeypatch):
    _, found, _ = digits
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    assert all(one.start is not None for one in validate(found.survey, found.bases, draws=10) if one.status == "ok")
    assert seeded == []


def test_a_matrix_that_is_as_large_as_each_of_its_permutations_has_the_largest_p():
    layer = nn.Linear(12, 9).double()
    with torch.no_grad():
        layer.weight.zero_()[2, 3] = 1.0  # wherever it stands the one value is the same
    found = looked(nn.Sequential(layer), 12)
    assert validate(found.survey, found.bases, draws=10)[0].p == 1
