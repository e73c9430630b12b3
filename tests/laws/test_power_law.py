import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modescope.laws.power_law import MINIMUM, curve, fit, sample
from tail_cases import best, lists, pareto, scan

LISTS = lists()


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("name", LISTS)
def test_search_finds_what_trying_every_candidate_finds(name, two_sided):
    ks, index, alpha = best(LISTS[name], two_sided)
    found = fit(LISTS[name], two_sided=two_sided)
    assert found.index == index
    # narrow: y = ln x has 1e-16 of rounding on gaps of 1e-8, so the exponent keeps eight digits less two
    tolerance = 1e-12 if name != "narrow" else 1e-6
    assert found.alpha == pytest.approx(alpha, rel=tolerance)
    assert found.ks == pytest.approx(ks, abs=max(1e-13, tolerance / 10))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(MINIMUM, 400),
    alpha=st.floats(1.2, 12.0),
    body=st.floats(0.0, 0.9),
    two_sided=st.booleans(),
)
def test_search_equals_the_minimum_of_the_whole_curve(seed, n, alpha, body, two_sided):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(n) < body, rng.uniform(0.01, 1.5, n), pareto(n, alpha, seed))
    found, whole = fit(values, two_sided=two_sided), curve(values, two_sided=two_sided)
    first = int(whole.ks.argmin())
    assert (found.index, found.ks) == (whole.index[first], whole.ks[first])
    assert found.alpha == whole.alpha[first]
    assert found.xmin == whole.xmin[first]


def test_search_equals_the_minimum_of_the_whole_curve_where_every_candidate_fits():
    for seed in range(5):
        values = pareto(3000, 2.5, seed)
        whole = curve(values)
        assert fit(values).index == whole.index[whole.ks.argmin()]


@pytest.mark.parametrize("two_sided", [True, False])
def test_curve_equals_its_slow_twin_at_every_candidate(two_sided):
    values = LISTS["ties"]
    twin, whole = scan(values, two_sided), curve(values, two_sided=two_sided)
    np.testing.assert_array_equal(whole.index, [index for _, index, _ in twin])
    np.testing.assert_allclose(whole.ks, [ks for ks, _, _ in twin], atol=1e-13)
    np.testing.assert_allclose(whole.alpha, [alpha for _, _, alpha in twin], rtol=1e-12)


def test_candidates_are_the_distinct_values_but_the_largest():
    values = LISTS["ties"]
    np.testing.assert_array_equal(curve(values).xmin, np.unique(values)[:-1])


@pytest.mark.parametrize(("alpha", "within"), [(2.0, 0.05), (2.5, 0.05), (3.5, 0.1), (4.0, 0.1), (6.0, 0.15)])
def test_mean_exponent_of_pareto_data_is_the_planted_one(alpha, within):
    # 20 draws of 5000; the search shortens tails, so the mean scatters by about twice (alpha - 1) / sqrt(20 * 5000)
    found = [fit(pareto(5000, alpha, seed, xmin=0.3)).alpha for seed in range(20)]
    assert np.mean(found) == pytest.approx(alpha, abs=within)


def test_tail_above_a_flat_body_is_found_with_its_size():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.uniform(0.0, 1.0, 2000), pareto(1000, 2.5, 4)])
    found = fit(values)
    assert found.xmin == pytest.approx(1.0, abs=0.15)
    assert found.alpha == pytest.approx(2.5, abs=4 * found.alpha_stderr)
    assert found.n_tail == np.count_nonzero(values >= found.xmin)


def test_standard_error_is_that_of_the_tail_alone():
    found = fit(LISTS["body and tail"])
    assert found.alpha_stderr == pytest.approx((found.alpha - 1) / np.sqrt(found.n_tail), rel=1e-14)
    assert found.n_tail == np.count_nonzero(LISTS["body and tail"] >= found.xmin) < found.n


def test_standard_error_covers_the_planted_exponent_in_most_draws():
    inside = 0
    for seed in range(100):
        found = fit(pareto(500, 2.5, seed))
        inside += abs(found.alpha - 2.5) <= 1.96 * found.alpha_stderr
    assert 80 <= inside <= 100  # nominal 95; searching xmin costs some


@settings(max_examples=30, deadline=None)
@given(exponent=st.floats(-100.0, 100.0), seed=st.integers(0, 1000))
def test_scaling_the_values_scales_xmin_alone(exponent, seed):
    values, factor = pareto(200, 2.2, seed), 10.0**exponent
    plain, scaled = fit(values), fit(factor * values)
    assert scaled.index == plain.index
    assert scaled.xmin == pytest.approx(factor * plain.xmin, rel=1e-14)
    assert scaled.alpha == pytest.approx(plain.alpha, rel=1e-10)
    assert scaled.ks == pytest.approx(plain.ks, abs=1e-11)


def test_order_of_the_values_does_not_matter():
    values = LISTS["lognormal"]
    assert fit(values) == fit(values[::-1]) == fit(np.random.default_rng(0).permutation(values))


def test_two_sided_distance_is_never_below_the_one_sided():
    for values in LISTS.values():
        assert (curve(values).ks >= curve(values, two_sided=False).ks).all()


def test_too_few_values_give_a_sentence_and_no_numbers():
    found = fit(pareto(MINIMUM - 1, 2.0, 0))
    assert found.status == "19 positive values, 20 needed"
    assert found.alpha is found.xmin is found.ks is found.n_tail is found.index is found.alpha_stderr is None
    assert fit(pareto(MINIMUM, 2.0, 0)).status == "ok"


@pytest.mark.parametrize("values", [np.ones(50), 3.0 * (1.0 + 1e-12 * np.arange(50))])
def test_equal_values_give_a_sentence_and_no_numbers(values):
    found = fit(values)
    assert found.status == "the values are all equal: no tail"
    assert found.alpha is None


def test_sample_follows_the_law():
    values = sample(200_000, 2.5, 0.7, np.random.default_rng(0))
    for x in (0.8, 1.5, 10.0):  # exceedance (x / xmin)^(1 - alpha), three standard errors of a share
        expected = (x / 0.7) ** -1.5
        assert np.mean(values >= x) == pytest.approx(expected, abs=3 * np.sqrt(expected / values.size))
    assert values.min() >= 0.7


@pytest.mark.parametrize("two_sided", [True, False])
def test_search_measures_few_of_many_candidates(two_sided):
    values = np.linalg.svd(np.random.default_rng(0).normal(size=(800, 400)), compute_uv=False) ** 2
    from modescope.laws import power_law

    tails = power_law._Tails(np.log(np.sort(values)), two_sided)
    measured = []
    distance = tails.distance
    tails.distance = lambda candidate: (measured.append(candidate), distance(candidate))[1]
    power_law._search(tails)
    assert len(measured) < 40
