"""Broken power laws: planted ones are found, single ones are not called broken, and untrained layers are the null."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from modes_trained_cases import trained
from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.initialisation import iid, published, spectral
from modescope.modes.reading.broken_power_law import BrokenPowerLaw, _fitted, broken_power_law
from modescope.modes.reading.evaluating import mode_layers
from modescope.modes.reading.importance import MEASURES, Measure, omega, tau
from modescope.modes.reading.init_null import Init, sorted_at_start
from modescope.svd import Values

RANK = np.arange(1.0, 31)
BROKEN = np.where(RANK <= 12, RANK**-0.2, 12**0.9 * RANK**-1.1)


def fitted(values: Values, seed: int = 0, **options: object) -> BrokenPowerLaw:
    return broken_power_law(values, rng=np.random.default_rng(seed), **options)  # type: ignore[arg-type]


def slow(y: Values) -> tuple[dict[str, float], int, tuple[float, float]]:
    """BIC of the three models, the best break and its slopes, by a fit for every break."""
    n = y.size
    rank = np.arange(1.0, n + 1)
    x = np.log(rank)

    def left(at: Values, values: Values) -> float:
        return float(((values - np.polyval(np.polyfit(at, values, 1), at)) ** 2).sum())

    def bic(squares: float, q: int) -> float:
        return float(n * np.log(squares / n) + q * np.log(n))

    each = {k: left(x[:k], y[:k]) + left(x[k:], y[k:]) for k in range(4, n - 3)}
    best = min(each, key=lambda k: each[k])
    slopes = float(np.polyfit(x[:best], y[:best], 1)[0]), float(np.polyfit(x[best:], y[best:], 1)[0])
    return {"line": bic(left(x, y), 2), "exponential": bic(left(rank, y), 2), "broken": bic(each[best], 5)}, best, slopes


@given(n=integers(9, 60), seed=integers(0, 999))
def test_all_breaks_at_once_are_those_of_a_fit_for_each(n: int, seed: int) -> None:
    y = -np.sort(np.random.default_rng(seed).standard_normal(n))
    bic, at, slopes = slow(y)
    found = _fitted(np.stack([y, 2 * y]))
    for name, value in bic.items():
        assert found.bic[name][0] == pytest.approx(value, rel=1e-8)
        assert found.bic[name][1] == pytest.approx(value + 2 * n * np.log(2), rel=1e-8)
    assert found.at.tolist() == [at, at]
    assert found.slopes[:, 0] == pytest.approx(slopes, rel=1e-6)


def test_a_planted_break_is_recovered_exactly_without_noise() -> None:
    found = fitted(BROKEN)
    assert found.verdict == "broken"
    assert found.slopes is not None
    assert found.at in (11, 12)
    assert [one.value for one in found.slopes] == pytest.approx([-0.2, -1.1], abs=1e-9)
    assert found.broken() == pytest.approx(BROKEN, rel=1e-9)


def test_the_order_and_the_scale_of_the_modes_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    noisy = BROKEN * np.exp(0.05 * rng.standard_normal(30))
    one, other = fitted(noisy), fitted(1e-6 * rng.permutation(noisy))
    assert one.slopes is not None
    assert other.slopes is not None
    assert other.at == one.at
    assert [slope.value for slope in other.slopes] == pytest.approx([slope.value for slope in one.slopes], rel=1e-9)


def test_a_planted_break_lies_in_the_intervals_of_its_slopes_under_noise() -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal(30)
        found = fitted(BROKEN * np.exp(0.05 * noise), seed)
        assert found.slopes is not None
        for slope, truth in zip(found.slopes, (-0.2, -1.1), strict=True):
            assert slope.low <= truth <= slope.high


@pytest.mark.parametrize("n", [15, 30, 70])
def test_sorted_draws_from_one_power_law_are_called_broken_at_most_at_the_stated_rate(n: int) -> None:
    # 100 lists: at most 5 are expected, and 5 + 4 * 2.2 tolerated. By BIC alone most of the longer ones would be.
    rng = np.random.default_rng(n)
    found = [fitted(np.exp(0.7 * rng.standard_exponential(n)), seed, resamples=40) for seed in range(100)]
    assert sum(one.verdict == "broken" for one in found) <= 13
    assert sum(one.p_line is not None and one.p_line <= 0.05 for one in found) <= 13
    assert n == 15 or any("sorted draws from one power law bend as much" in one.said for one in found)
    if n > 15:
        assert sum(one.bic["line"] - one.bic["broken"] > 10 for one in found) > 50


def test_a_straight_line_and_an_exponential_are_called_what_they_are() -> None:
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(30))
    straight = fitted(RANK**-0.7 * noise)
    assert straight.verdict != "broken"
    assert min(straight.bic, key=straight.bic.__getitem__) == "line"
    assert straight.said.endswith(
        "It is a case of a break and never better by more than 10.2: nothing here speaks for a break."
    )  # 3 ln 30
    assert straight.line is not None
    assert straight.line[0] == pytest.approx(-0.7, abs=0.02)
    assert fitted(RANK**-0.7).verdict == "line"
    bent = fitted(np.exp(-0.1 * RANK) * noise)
    assert bent.verdict == "exponential"
    assert bent.exponential is not None
    assert bent.exponential[0] == pytest.approx(-0.1, abs=0.002)


def test_what_untrained_layers_have_too_is_no_learnt_break() -> None:
    rng = np.random.default_rng(0)
    null = BROKEN * np.exp(0.05 * rng.standard_normal((60, 30)))
    same = fitted(BROKEN, null=null, init="mine")
    assert same.verdict == "undecided"
    assert "untrained layers have such slopes" in same.said
    flat = np.exp(0.05 * rng.standard_normal((100, 30)))
    other = fitted(BROKEN, null=flat, init="mine")
    assert other.null is not None
    assert other.verdict == "broken"
    assert other.null.p <= 0.05
    assert other.null.quantiles[1] == 0


@pytest.mark.parametrize("init", [published, spectral, iid])
def test_an_untrained_layer_is_outside_of_its_own_null_at_most_at_the_stated_rate(init: Init) -> None:
    # 60 layers: 3 are expected outside, and 3 + 4 * 1.7 tolerated; the two slopes share a bound, so that it is fewer.
    rng = np.random.default_rng(0)
    null = sorted_at_start((40, 30), 20, init, {"omega": omega}, rng=rng, draws=150)["omega"]
    layers = sorted_at_start((40, 30), 20, init, {"omega": omega}, rng=rng, draws=60)["omega"]
    found = [fitted(one, null=null, resamples=10).null for one in layers]
    assert sum(one is not None and one.p <= 0.05 for one in found) <= 9


def test_the_slopes_of_untrained_layers_are_those_that_were_measured_for_them() -> None:
    # 64 inputs, 100 outputs, p = 30, 200 draws, break at 19: tau of the published start -.31 / -1.02, omega of the spectral one
    # -.14 / -.52 and its tau a third of that.
    rng = np.random.default_rng(0)

    def at_19(init: Init, measure: Measure) -> list[float]:
        mean = sorted_at_start((100, 64), 30, init, {"it": measure}, rng=rng)["it"].mean(0)
        parts = (slice(None, 19), slice(19, None))
        return [float(np.polyfit(np.log(RANK[part]), np.log(mean[part]), 1)[0]) for part in parts]

    assert at_19(published, tau) == pytest.approx([-0.31, -1.02], rel=0.05)
    strong = at_19(spectral, omega)
    assert strong == pytest.approx([-0.14, -0.52], rel=0.05)
    assert at_19(spectral, tau) == pytest.approx([one / 3 for one in strong], rel=0.05)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_short_way_to_spectral_layers_has_the_importances_of_whole_ones(frozen: bool) -> None:
    # Means by rank over 200 layers of both; 5 standard errors are tolerated.
    def whole(outputs: int, inputs: int, p: int, rng: np.random.Generator, gain: float) -> Modes:
        return spectral(outputs, inputs, p, rng, gain)

    drawn = [
        sorted_at_start((20, 15), 8, init, MEASURES, rng=np.random.default_rng(seed), draws=200, frozen=frozen)
        for seed, init in enumerate((spectral, whole))
    ]
    assert not frozen or np.all(drawn[0]["abs_s"] == 1)
    for name in MEASURES:
        short, long = (one[name] for one in drawn)
        error = np.sqrt((short.var(0) + long.var(0)) / 200) + 1e-12
        assert np.all(np.abs(short.mean(0) - long.mean(0)) <= 5 * error)


def test_trained_tau_bends_and_prefers_the_break_to_a_line_beside_the_null() -> None:
    # M13: abs(slope2) > 2 abs(slope1), BIC prefers the break to one line, and the null is there.
    for name in ("0", "2"):
        modes = mode_layers(trained())[name].modes()
        null = sorted_at_start(modes.shape, 30, published, {"tau": tau}, rng=np.random.default_rng(0), draws=100)["tau"]
        found = fitted(tau(modes), null=null, init="published")
        assert found.slopes is not None
        assert found.null is not None
        assert abs(found.slopes[1].value) > 2 * abs(found.slopes[0].value)
        assert found.bic["broken"] < found.bic["line"] - 10


def test_runs_are_resampled_where_there_are_five() -> None:
    rng = np.random.default_rng(0)
    lists = BROKEN * np.exp(0.05 * rng.standard_normal((5, 30)))
    few, many = fitted(lists[:4]), fitted(lists)
    assert (few.resampled, few.runs) == ("modes", 4)
    assert (many.resampled, many.runs) == ("runs", 5)
    assert many.values == pytest.approx((-np.sort(-lists, axis=1)).mean(0), rel=1e-14)


def test_modes_of_importance_0_are_left_out_and_said() -> None:
    found = fitted(np.concatenate([BROKEN, np.zeros(3)]))
    assert (found.left_out, found.values.size) == (3, 30)
    assert found.verdict == "broken"


def test_few_modes_have_no_fit_but_a_sentence() -> None:
    for values in (RANK[:8], np.zeros(20)):
        found = fitted(values)
        assert found.status == f"it needs 9 modes of importance above 0, and there are {int((values > 0).sum())}"
        assert found.verdict == "undecided"
        assert found.slopes is None
        with pytest.raises(UsageError, match="expected a fit"):
            found.broken()
    assert fitted(RANK[:9]).status == "ok"


def test_bad_importances_are_refused() -> None:
    for values in (np.array([1.0, -1.0]), np.array([1.0, np.nan]), np.zeros(0)):
        with pytest.raises(UsageError, match="finite importances of 0 or more"):
            fitted(values)
    with pytest.raises(UsageError, match="init null"):
        fitted(BROKEN, null=np.ones((5, 20)))
