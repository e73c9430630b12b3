import numpy as np
import pytest

from modescope.laws import tail_resampling
from modescope.laws.power_law import PowerLaw, fit
from modescope.laws.tail_resampling import bootstrap, goodness
from tail_cases import noise_values, pareto

RNG = np.random.default_rng


def test_interval_covers_the_planted_exponent():
    intervals = [bootstrap(pareto(300, 2.5, seed), 100, RNG(seed)) for seed in range(40)]
    # nominal 38 of 40; 33 or fewer has probability .003 there
    assert sum(one.low <= 2.5 <= one.high for one in intervals) >= 34


def test_interval_is_about_as_wide_as_the_formula_says():
    values = pareto(1000, 3.0, 1)
    found, interval = fit(values), bootstrap(values, 300, RNG(0))
    assert 0.7 < (interval.high - interval.low) / (2 * 1.96 * found.alpha_stderr) < 2.5


def test_interval_holds_the_coverage_asked_for():
    values = pareto(200, 2.0, 2)
    narrow, wide = bootstrap(values, 200, RNG(0), coverage=0.5), bootstrap(values, 200, RNG(0), coverage=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def refitted(monkeypatch, run):
    """The lists of values that a function fits."""
    seen = []
    monkeypatch.setattr(tail_resampling, "fit", lambda values, **options: (seen.append(values), fit(values, **options))[1])
    run()
    return seen


def test_resamples_are_as_many_of_the_values(monkeypatch):
    values = pareto(150, 2.0, 2)
    seen = refitted(monkeypatch, lambda: bootstrap(values, 20, RNG(0)))
    assert len(seen) == 20
    assert all(one.size == 150 and np.isin(one, values).all() for one in seen)
    assert len({one.tobytes() for one in seen}) == 20


def test_synthetic_sets_keep_the_body_and_draw_the_tail_from_the_law(monkeypatch):
    values = np.concatenate([RNG(1).uniform(0.0, 1.0, 300), pareto(200, 2.5, 4)])
    found = fit(values)
    seen = refitted(monkeypatch, lambda: goodness(values, found, 40, RNG(0)))
    body, drawn = values[values < found.xmin], [one[~np.isin(one, values)] for one in seen]
    assert all(np.isin(one[one < found.xmin], body).all() for one in seen)
    assert not any(np.isin(one[one >= found.xmin], values).any() for one in seen)
    assert all(one.size == 500 for one in seen)
    # mean share of the tail: 40 binomials of 500
    share = found.n_tail / 500
    assert np.mean([one.size for one in drawn]) / 500 == pytest.approx(share, abs=3 * np.sqrt(share * (1 - share) / 20_000))


def test_same_generator_gives_the_same_interval_and_p():
    values = pareto(100, 2.0, 3)
    assert bootstrap(values, 30, RNG(5)) == bootstrap(values, 30, RNG(5))
    assert bootstrap(values, 30, RNG(5)) != bootstrap(values, 30, RNG(6))
    assert goodness(values, fit(values), 30, RNG(5)) == goodness(values, fit(values), 30, RNG(5))


def rejected(samples, sets=60):
    return sum(goodness(values, fit(values), sets, RNG(seed)) <= 0.1 for seed, values in enumerate(samples))


def test_goodness_rarely_rejects_a_power_law():
    assert rejected(pareto(300, 2.5, seed) for seed in range(25)) <= 5


def test_goodness_rejects_most_noise_spectra():
    assert rejected(noise_values(1024, 256, seed) for seed in range(12)) >= 7


def test_goodness_of_true_power_laws_is_spread_evenly():
    # synthetic sets that were not refitted would lie further from the law than the data: p would gather near 1
    p = [goodness(values, fit(values), 60, RNG(seed)) for seed, values in enumerate(pareto(200, 2.5, 50 + i) for i in range(30))]
    assert abs(np.mean(p) - 0.5) < 3 * np.sqrt((1 / 12 + 1 / 240) / 30)


def test_goodness_of_no_fit_is_none():
    assert goodness(np.ones(30), PowerLaw(n=30), 10, RNG(0)) is None
