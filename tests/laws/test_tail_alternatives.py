import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, special, stats

from modescope.laws import tail_alternatives
from modescope.laws.tail_alternatives import against_exponential, against_lognormal, against_truncated, vuong
from tail_cases import pareto

LAWS = (against_exponential, against_lognormal, against_truncated)


def exponential(n, seed):
    return 1.0 + np.random.default_rng(seed).exponential(0.5, n)


def lognormal(n, seed):
    values = np.random.default_rng(seed).lognormal(0.0, 0.6, 4 * n)
    return values[values >= 1.0][:n]


def power_law_likelihood(tail, xmin):
    t = np.log(tail / xmin)
    alpha = 1.0 + 1.0 / t.mean()
    return float(np.sum(np.log((alpha - 1.0) / xmin) - alpha * t))


def lognormal_likelihood(tail, xmin):
    """Largest log-likelihood of a lognormal cut off at xmin, by search from near and far-left means."""

    def negative(theta):
        mu, sigma = theta[0], math.exp(theta[1])
        mass = stats.norm.logsf((math.log(xmin) - mu) / sigma)
        return -float(np.sum(stats.norm.logpdf(np.log(tail), mu, sigma) - np.log(tail) - mass))

    y = np.log(tail)
    starts = [(y.mean() - shift, math.log(y.std() * (1 + shift / 4))) for shift in (0.0, 1.0, 5.0, 20.0)]
    options = {"maxiter": 4000, "xatol": 1e-10, "fatol": 1e-10}
    return -min(optimize.minimize(negative, start, method="Nelder-Mead", options=options).fun for start in starts)


def truncated_likelihood(tail, xmin):
    """Largest log-likelihood of x^-alpha e^(-rate x), its integral by adaptive quadrature."""
    z = tail / xmin

    def negative(theta):
        alpha, rate = theta[0], math.exp(theta[1])
        mass = integrate.quad(lambda x: x**-alpha * math.exp(-rate * (x - 1.0)), 1.0, math.inf, epsabs=1e-13, limit=200)[0]
        return float(np.sum(alpha * np.log(z) + rate * (z - 1.0)) + z.size * math.log(mass))

    starts = [(1.0 + 1.0 / np.log(z).mean(), math.log(0.05 / z.mean())), (0.0, math.log(1.0 / (z.mean() - 1.0)))]
    return -min(optimize.minimize(negative, start, method="Nelder-Mead", options={"maxiter": 2000}).fun for start in starts)


def test_pareto_data_beat_the_exponential_and_not_their_own_limits():
    tail = pareto(800, 2.5, 0)
    ratio = against_exponential(tail, 1.0)
    assert ratio.value > 0
    assert ratio.p < 1e-3
    assert against_lognormal(tail, 1.0).p > 0.1
    assert against_truncated(tail, 1.0).p > 0.05


@pytest.mark.parametrize("law", LAWS)
def test_exponential_data_beat_the_power_law(law):
    ratio = law(exponential(800, 1), 1.0)
    assert ratio.value < 0
    assert ratio.p < 0.01


def test_lognormal_data_beat_the_power_law():
    ratio = against_lognormal(lognormal(800, 2), 1.0)
    assert ratio.value < 0
    assert ratio.p < 0.01


def test_exponential_ratio_is_that_of_the_densities():
    tail = pareto(100, 3.0, 3, xmin=2.0)
    rate = 1.0 / (tail.mean() - 2.0)
    expected = power_law_likelihood(tail, 2.0) - np.sum(np.log(rate) - rate * (tail - 2.0))
    assert against_exponential(tail, 2.0).value == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("tail", [exponential(300, 4), lognormal(300, 5), lognormal(40, 6), 1.0 + np.linspace(0, 1, 50) ** 0.5])
def test_lognormal_maximum_equals_a_search_from_many_starts(tail):
    tail = np.sort(np.append(tail, 1.0))
    expected = power_law_likelihood(tail, 1.0) - lognormal_likelihood(tail, 1.0)
    assert against_lognormal(tail, 1.0).value == pytest.approx(expected, abs=1e-6 * tail.size)


@pytest.mark.parametrize("power", [0.93, 0.96, 0.98])
def test_lognormal_maximum_near_its_limit_equals_a_search(power):
    t = np.random.default_rng(3).exponential(1.0, 400) ** power
    assert 1.75 < np.mean(t**2) / np.mean(t) ** 2 < 2  # 2 is the limit
    expected = power_law_likelihood(np.exp(t), 1.0) - lognormal_likelihood(np.exp(t), 1.0)
    assert expected < -1e-3
    assert against_lognormal(np.exp(t), 1.0).value == pytest.approx(expected, rel=1e-3)


def test_truncated_p_is_that_of_one_degree_of_freedom():
    ratio = against_truncated(pareto(200, 2.5, 9), 1.0)
    assert ratio.value < 0
    assert ratio.p == pytest.approx(stats.chi2.sf(-2 * ratio.value, 1), rel=1e-12)


def test_lognormal_limit_is_reported_as_indistinguishable():
    # logarithms that scatter more than an exponential's: no lognormal is better than its limit, the power law
    tail = np.exp(np.random.default_rng(0).exponential(1.0, 400) ** 1.5)
    ratio = against_lognormal(tail, 1.0)
    assert (ratio.value, ratio.p) == (0.0, 1.0)
    assert lognormal_likelihood(tail, 1.0) <= power_law_likelihood(tail, 1.0) + 1e-6


def test_lognormal_ratio_is_continuous_at_its_limit():
    rng = np.random.default_rng(1)
    t = rng.exponential(1.0, 300)
    values = [against_lognormal(np.exp(t**power), 1.0).value for power in np.linspace(0.9, 1.1, 41)]
    assert max(values) <= 1e-8
    # a jump at the limit would show as a step of the order of the whole range
    assert np.abs(np.diff(values)).max() < 0.2 * max(1.0, abs(min(values)))


@pytest.mark.parametrize("tail", [exponential(200, 7), lognormal(200, 8), pareto(200, 1.6, 9), pareto(200, 3.0, 10)])
def test_truncated_maximum_is_at_least_that_of_a_search(tail):
    expected = min(0.0, power_law_likelihood(tail, 1.0) - truncated_likelihood(tail, 1.0))
    assert against_truncated(tail, 1.0).value == pytest.approx(expected, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 300), power=st.floats(0.2, 3.0))
def test_laws_that_contain_the_power_law_are_never_worse(seed, n, power):
    tail = np.exp(np.random.default_rng(seed).exponential(1.0, n) ** power)
    tail[0] = 1.0
    for ratio in (against_truncated(tail, 1.0), against_lognormal(tail, 1.0)):
        assert ratio.value <= 1e-9
        assert 0.0 <= ratio.p <= 1.0


@pytest.mark.parametrize("law", LAWS)
def test_ratio_does_not_depend_on_the_unit(law):
    tail = lognormal(200, 11)
    plain, scaled = law(tail, 1.0), law(1e-9 * tail, 1e-9)
    assert scaled.value == pytest.approx(plain.value, rel=1e-7)
    assert scaled.p == pytest.approx(plain.p, rel=1e-6)


def test_exchanging_the_laws_changes_the_sign_alone():
    rng = np.random.default_rng(12)
    first, second = rng.normal(size=50), rng.normal(size=50) - 0.1
    one, other = vuong(first, second), vuong(second, first)
    assert one.value == -other.value
    assert one.p == other.p


def test_vuong_p_is_that_of_a_standard_normal_ratio():
    difference = np.random.default_rng(13).normal(0.05, 1.0, 400)
    statistic = difference.sum() / (np.sqrt(400) * difference.std())
    assert vuong(difference, np.zeros(400)).p == pytest.approx(2 * stats.norm.sf(abs(statistic)), rel=1e-12)


def test_vuong_p_of_equal_laws_is_uniform_enough():
    rng = np.random.default_rng(14)
    p = [vuong(rng.normal(size=200), np.zeros(200)).p for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


@pytest.mark.parametrize("alpha", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.1, 1.0, 30.0])
def test_normalising_integral_is_the_exponential_integral(alpha, rate):
    log_mass = tail_alternatives._moments(np.array([float(alpha), rate]), 0.0)[0]
    assert log_mass == pytest.approx(math.log(special.expn(alpha, rate)), abs=1e-12)


@pytest.mark.parametrize("alpha", [-0.5, 1.37, 2.5])
def test_normalising_integral_of_real_order_equals_quadrature(alpha):
    direct = integrate.quad(lambda x: x**-alpha * math.exp(-0.2 * x), 1.0, math.inf, epsabs=1e-14, epsrel=1e-13)[0]
    assert tail_alternatives._moments(np.array([alpha, 0.2 * math.exp(3.0)]), 3.0)[0] == pytest.approx(math.log(direct), abs=1e-11)
