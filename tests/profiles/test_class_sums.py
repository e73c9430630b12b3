"""Statistics by class: the data set whole and in batches, and exact laws of what is drawn in one pass."""

import itertools
from math import factorial

import numpy as np
import pytest
from scipy.stats import chi2

from modescope.errors import UsageError
from modescope.profiles import class_sums
from modescope.profiles.class_sums import ClassSums, Replicates, _Draws
from profiles_hyper_cases import RNG, Values, batches, planted, statistics

CHANCE = 1e-6  # of a test of a law with a fixed seed


def strong(signals: Values) -> np.ndarray:
    return np.abs(signals) >= np.median(np.abs(signals), axis=1)[:, None]


@pytest.mark.parametrize("batch", [1, 7, 64, 500])
def test_moments_by_class_are_those_of_the_whole_data_set(batch: int) -> None:
    signals, labels = planted()
    found = statistics(signals, labels, batch=batch)
    parts = [signals[labels == c] for c in range(4)]
    np.testing.assert_array_equal(found.counts, [len(part) for part in parts])
    np.testing.assert_allclose(found.mean, [part.mean(axis=0) for part in parts], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.scatter, [part.var(axis=0) * len(part) for part in parts], rtol=1e-12)
    np.testing.assert_allclose(found.error, [part.std(axis=0, ddof=1) / len(part) ** 0.5 for part in parts], rtol=1e-12)
    np.testing.assert_allclose(found.total, signals.mean(axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.variance, signals.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.mean_square, np.square(signals).mean(axis=0), rtol=1e-12)


def test_how_images_are_cut_into_batches_changes_rounding_only() -> None:
    signals, labels = planted(1)
    one, few, many = (statistics(signals, labels, batch=size, choose=strong, resamples=30) for size in (1, 7, 64))
    for other in (few, many):
        for name in ("counts", "mean", "scatter", "spread", "chosen", "leaning"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(other.resampled.sums, one.resampled.sums, rtol=1e-12, atol=1e-11)
        np.testing.assert_allclose(other.permuted.sums, one.permuted.sums, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_draws_are_the_same_for_every_cut(cut: int) -> None:
    labels = planted(2)[1]
    whole, parts = _Draws(labels, 4, 25, 6, 3), _Draws(labels, 4, 25, 6, 3)
    pieces = [labels[start : start + cut] for start in range(0, labels.size, cut)]
    np.testing.assert_array_equal(whole.resampled(labels), np.vstack([parts.resampled(piece) for piece in pieces]))
    np.testing.assert_array_equal(whole.permuted(labels.size), np.vstack([parts.permuted(piece.size) for piece in pieces]))


def test_replicates_are_weighted_means_of_the_images() -> None:
    signals, labels = planted(3)
    found = statistics(signals, labels, resamples=11, permutations=5, choose=strong, seed=8)
    draws = _Draws(labels, 4, 11, 5, 8)
    weights, others = draws.resampled(labels), draws.permuted(labels.size)
    chosen = strong(signals)
    for b in range(11):
        again = np.repeat(np.arange(labels.size), weights[:, b].astype(int))
        assert again.size == labels.size
        assert found.spread[b] == pytest.approx(signals[again].var(axis=0).sum(), rel=1e-10)
        for c in range(4):
            rows = again[labels[again] == c]
            assert rows.size == (labels == c).sum()
            np.testing.assert_allclose(found.resampled.means()[b, c], signals[rows].mean(axis=0), atol=1e-12)
            np.testing.assert_allclose(found.resampled.shares()[b, c], chosen[rows].mean(axis=0), atol=1e-12)
            lean = (chosen * np.sign(signals))[rows].mean(axis=0)
            np.testing.assert_allclose(found.resampled.leanings()[b, c], lean, atol=1e-12)
    for p, c in itertools.product(range(5), range(4)):
        np.testing.assert_allclose(found.permuted.means()[p, c], signals[others[:, p] == c].mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.permuted.shares()[p, c], chosen[others[:, p] == c].mean(axis=0), atol=1e-12)


def test_images_chosen_are_counted_by_class_with_their_signs() -> None:
    signals, labels = planted(4)
    found = statistics(signals, labels, choose=strong)
    chosen = strong(signals)
    assert found.chosen is not None
    assert found.leaning is not None
    for c in range(4):
        np.testing.assert_array_equal(found.chosen[c], chosen[labels == c].sum(axis=0))
        np.testing.assert_array_equal(found.leaning[c], (chosen * np.sign(signals))[labels == c].sum(axis=0))


def test_the_bootstrap_of_a_class_is_multinomial() -> None:
    """Three images of a class between others: the ten outcomes have the probabilities 3! / (a! b! c!) / 27."""
    labels = np.array([0, 1, 0, 1, 0, 1, 1])
    replicates = 40_000
    drawn = _Draws(labels, 2, replicates, 0, 0).resampled(labels)[labels == 0].astype(int)
    outcomes = [one for one in itertools.product(range(4), repeat=3) if sum(one) == 3]
    seen = np.array([(one == drawn.T).all(axis=1).sum() for one in outcomes])
    law = np.array([6 / np.prod([factorial(k) for k in one]) / 27 for one in outcomes])
    assert seen.sum() == replicates
    assert chi2.sf((np.square(seen - replicates * law) / (replicates * law)).sum(), len(outcomes) - 1) > CHANCE


def test_two_classes_are_resampled_independently() -> None:
    labels = np.array([0, 1, 0, 1])
    drawn = _Draws(labels, 2, 40_000, 0, 1).resampled(labels)
    table = np.array([[((drawn[0] == a) & (drawn[1] == b)).sum() for b in range(3)] for a in range(3)])
    law = 40_000 * np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
    assert chi2.sf((np.square(table - law) / law).sum(), 8) > CHANCE


def test_every_arrangement_of_the_labels_is_equally_likely() -> None:
    labels = np.array([0, 2, 0, 1])
    found = _Draws(labels, 3, 0, 24_000, 0).permuted(4)
    arrangements = sorted(set(itertools.permutations(labels.tolist())))
    seen = np.array([(one == found.T).all(axis=1).sum() for one in arrangements])
    assert seen.sum() == 24_000  # each has the labels of the data
    assert chi2.sf((np.square(seen - 2000) / 2000).sum(), len(arrangements) - 1) > CHANCE


def test_a_seed_fixes_all_draws_and_another_gives_others() -> None:
    signals, labels = planted(5)
    first, again, other = (statistics(signals, labels, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.resampled.sums, again.resampled.sums)
    np.testing.assert_array_equal(first.permuted.sums, again.permuted.sums)
    assert not np.array_equal(first.resampled.sums, other.resampled.sums)
    assert not np.array_equal(first.permuted.sums, other.permuted.sums)


def test_a_large_mean_costs_no_digits() -> None:
    signals, labels = planted(6)
    exact = np.round(signals * 2**10) / 2**10  # such that the sums below round nowhere
    small, large = statistics(exact, labels), statistics(exact + 2.0**40, labels)
    np.testing.assert_allclose(large.scatter, small.scatter, rtol=1e-12)
    np.testing.assert_allclose(large.spread, small.spread, rtol=1e-9)


def test_a_constant_signal_varies_by_exactly_nothing() -> None:
    labels = np.arange(30) % 3
    found = statistics(np.full((30, 2), 0.1), labels, batch=7)
    assert not found.scatter.any()
    assert not found.spread.any()
    np.testing.assert_array_equal(found.mean, np.full((3, 2), 0.1))


def test_a_class_without_images_has_no_mean_and_changes_nothing_else() -> None:
    signals, labels = planted(7, classes=3)
    labels[labels == 2] = 4
    found = statistics(signals, labels, classes=6)
    np.testing.assert_array_equal(found.counts[[2, 3, 5]], 0)
    np.testing.assert_array_equal(found.mean[[2, 3, 5]], 0)
    np.testing.assert_allclose(found.variance, signals.var(axis=0), rtol=1e-12)


def test_only_the_modes_that_are_kept_are_followed() -> None:
    """Those of a grouped convolution that stand out in their group need not be the first."""
    signals, labels = planted(8)
    kept = np.array([0, 3, 7])
    sums = ClassSums(labels, {"site": kept, "other": np.array([1])}, choose=strong)
    for passed in batches({"site": signals, "other": signals}, 50):
        sums.add(passed)
    found, few = sums.value()["site"], statistics(signals[:, kept], labels, choose=strong)
    np.testing.assert_array_equal(found.modes, kept)
    np.testing.assert_array_equal(found.variance, statistics(signals[:, kept], labels, batch=50).variance)
    np.testing.assert_allclose(found.resampled.means(), few.resampled.means(), rtol=1e-12)
    np.testing.assert_array_equal(found.chosen, few.chosen)
    np.testing.assert_allclose(sums.value()["other"].variance, signals[:, 1].var(), rtol=1e-12)


def test_sites_share_their_draws() -> None:
    """A replicate is one set of images at all layers."""
    signals, labels = planted(9)
    sums = ClassSums(labels, dict.fromkeys("ab", np.arange(8)))
    for passed in batches({"a": signals, "b": 2 * signals}, 50):
        sums.add(passed)
    found = sums.value()
    np.testing.assert_allclose(found["b"].resampled.means(), 2 * found["a"].resampled.means(), rtol=1e-12, atol=1e-12)


def test_replicates_beyond_the_memory_are_fewer_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    signals, labels = planted(10)
    monkeypatch.setattr(class_sums, "LIMIT", 8 * 4 * 8 * 70)  # 70 replicates of 4 classes and 8 modes
    found = statistics(signals, labels, resamples=200, permutations=20)
    assert (len(found.resampled), len(found.permuted)) == (50, 20)
    assert found.resampled.sums.nbytes + found.permuted.sums.nbytes <= class_sums.LIMIT
    assert "50 and 20 were drawn" in found.note
    monkeypatch.setattr(class_sums, "LIMIT", 8 * 4 * 8 * 50)
    found = statistics(signals, labels, resamples=200, permutations=20)
    assert (len(found.resampled), len(found.permuted)) == (0, 20)  # 30 are too few for percentiles
    assert statistics(signals, labels, resamples=30).note == ""
    monkeypatch.setattr(class_sums, "LIMIT", 8 * 4 * 8 * 30)
    found = statistics(signals, labels, resamples=20, permutations=20)
    assert (len(found.resampled), len(found.permuted)) == (0, 15)
    found = statistics(signals, labels, resamples=30, permutations=0)
    assert (len(found.resampled), found.note) == (30, "")


def test_nothing_but_labels_grows_with_the_number_of_images() -> None:
    def held(n: int) -> int:
        signals, labels = planted(11, n=n)
        found = statistics(signals, labels)
        arrays = [found.mean, found.scatter, found.spread, found.resampled.sums, found.permuted.sums]
        return sum(array.nbytes for array in arrays)

    assert held(40) == held(800)


def test_batches_that_are_not_the_next_are_refused() -> None:
    signals, labels = planted(12)
    first, second, *_ = batches({"site": signals}, 50)
    sums = ClassSums(labels, {"site": np.arange(8)})
    with pytest.raises(UsageError, match="from 0 on of 120, got 50 from 50 on"):
        sums.add(second)
    sums.add(first)
    with pytest.raises(UsageError, match="from 50 on of 120, got 50 from 0 on"):
        sums.add(first)
    with pytest.raises(UsageError, match="expected 120 images, one for each label, got 50"):
        sums.value()
    with pytest.raises(UsageError, match="expected at least 9 modes, got 8"):
        ClassSums(labels, {"site": np.arange(9)}).add(first)
    with pytest.raises(UsageError, match="got 50 from 0 on"):
        ClassSums(labels[:40], {"site": np.arange(8)}).add(first)


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (np.array([]), {}, "integers counted from 0"),
        (np.array([0, -1]), {}, "integers counted from 0"),
        (np.array([0.0, 1.0]), {}, "integers counted from 0, got float64"),
        (np.array([[0], [1]]), {}, "shape \\(2, 1\\)"),
        (np.array([0, 3]), {"classes": 3}, "below 3, got 3"),
        (np.array([0, 1]), {"resamples": -1}, "at least 0, got -1 resamples"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, options: dict[str, int], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ClassSums(labels, {"site": np.arange(2)}, **options)


@pytest.mark.parametrize("modes", [{}, {"site": []}, {"site": [1, 1]}, {"site": [2, 1]}, {"site": [-1, 1]}, {"site": [[1]]}])
def test_modes_that_are_no_ascending_indices_are_refused(modes: dict[str, list[int]]) -> None:
    with pytest.raises(UsageError, match="at least one mode, ascending"):
        ClassSums(np.array([0, 1]), modes)  # type: ignore[arg-type]


def test_a_pass_of_a_network_gives_the_statistics_of_its_signals() -> None:
    import torch

    from modescope.profiles.images import images
    from modescope.profiles.passing import bases, passes, signals
    from modescope.profiles.survey import survey

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(inplace=True), torch.nn.Flatten(), torch.nn.Linear(27, 4))
    data = images(RNG(0).standard_normal((50, 1, 5, 5)).astype(np.float32), np.arange(50) % 3, batch=8)
    seen = survey(model, data.first())
    decomposed = bases(model, seen)
    assert data.labels is not None
    sums = ClassSums(data.labels, {name: np.arange(one.s.size) for name, one in decomposed.items()})
    for passed in passes(model, data, seen, decomposed):
        sums.add(passed)
    whole = signals(model, data, seen, decomposed)
    for name, found in sums.value().items():
        for c in range(3):
            np.testing.assert_allclose(found.mean[c], whole[name][data.labels == c].mean(axis=0), rtol=1e-10, atol=1e-12)
        assert isinstance(found.resampled, Replicates)
        assert found.resampled.means().shape == (200, 3, decomposed[name].s.size)
