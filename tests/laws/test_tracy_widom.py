import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats
from scipy.integrate import solve_ivp, trapezoid
from scipy.special import airy

from modescope.laws import tracy_widom as tw

# Exceedance and quantile: Bejan (2005), Prähofer (2003) to the digits given there, further ones by the published method.
TABLE = [
    (0.995, -4.147877),
    (0.99, -3.895433),
    (0.95, -3.180380),
    (0.9, -2.782428),
    (0.5, -1.268575),
    (0.1, 0.450143),
    (0.05, 0.979316),
    (0.025, 1.453771),
    (0.01, 2.023449),
    (0.005, 2.422327),
    (0.001, 3.272196),
    (1e-4, 4.359420),
    (1e-5, 5.344296),
    (1e-6, 6.256354),
]


@pytest.mark.parametrize(("p", "quantile"), TABLE)
def test_quantiles_are_the_published_ones(p, quantile):
    assert tw.isf(p) == pytest.approx(quantile, abs=1e-5)


def test_the_distribution_function_solves_painleve_two():
    # F_1(s) = exp(-1/2 int_s^inf q(x) + (x - s) q(x)^2 dx), q'' = x q + 2 q^3, q ~ Ai at infinity (Tracy & Widom 1996)
    start, value = 6.0, airy(6.0)

    def right(s, y):
        q, slope, square, _, _ = y
        return [slope, s * q + 2 * q**3, -(q**2), -q, -square]

    # square = int_s q^2, first = int_s q, both = int_s (x - s) q^2; the pieces beyond the start are those of Ai
    tail = np.linspace(6.0, 30.0, 200_001)
    ai = airy(tail)[0]
    y0 = [value[0], value[1], trapezoid(ai**2, tail), trapezoid(ai, tail), trapezoid((tail - start) * ai**2, tail)]
    grid = np.array([4.0, 2.0, 0.0, -1.2, -3.0, -4.0])
    y = solve_ivp(right, (start, -4.0), y0, t_eval=grid, method="DOP853", rtol=1e-12, atol=1e-15).y
    assert tw.cdf(grid) == pytest.approx(np.exp(-0.5 * (y[3] + y[4])), abs=1e-7)


def test_mean_and_spread_are_those_of_the_law():
    s = np.linspace(-9.9, 12, 1500)
    density = tw.pdf(s)
    mean = trapezoid(s * density, s)
    assert trapezoid(density, s) == pytest.approx(1, abs=1e-9)
    assert mean == pytest.approx(-1.2065, abs=1e-3)
    assert np.sqrt(trapezoid((s - mean) ** 2 * density, s)) == pytest.approx(1.2680, abs=1e-3)


def test_the_density_is_the_derivative_of_the_distribution_function():
    s, h = np.array([-5.0, -3.0, -1.0, 0.0, 2.0, 4.0]), 1e-4
    assert (tw.cdf(s + h) - tw.cdf(s - h)) / (2 * h) == pytest.approx(tw.pdf(s), rel=1e-6)


def test_more_nodes_change_nothing(monkeypatch):
    s = np.array([-9.0, -6.0, -3.0, -1.0, 0.0, 2.0, 5.0, 10.0, 30.0, 90.0])
    few, few_above = tw.cdf(s), tw.sf(s)
    monkeypatch.setattr(tw, "NODES", 90)
    tw._rule.cache_clear()
    many, many_above = tw.cdf(s), tw.sf(s)
    monkeypatch.undo()
    tw._rule.cache_clear()
    assert few == pytest.approx(many, abs=1e-13)
    assert few_above == pytest.approx(many_above, rel=1e-12)


def test_far_exceedances_keep_their_digits():
    # 1 - F_1 ~ exp(-2/3 s^1.5) / (4 sqrt(pi) s^0.75) (1 - 41/48 s^-1.5 ...): the first term alone is off by less than s^-1.5
    s = np.array([10.0, 20.0, 40.0, 80.0])
    leading = np.exp(-2 / 3 * s**1.5) / (4 * np.sqrt(np.pi) * s**0.75)
    ratio = tw.sf(s) / leading
    assert (np.abs(1 - ratio) < s**-1.5).all()
    assert (np.diff(ratio) > 0).all()


def test_exceedance_and_distribution_function_sum_to_one_where_both_matter():
    s = np.linspace(-9, 5, 30)
    assert tw.sf(s) + tw.cdf(s) == pytest.approx(np.ones(30), abs=1e-14)


@pytest.mark.parametrize("s", [-1e6, -20.0, 200.0, 1e6])
def test_far_values_are_certain(s):
    assert (float(tw.cdf(s)), float(tw.sf(s))) == ((0.0, 1.0) if s < 0 else (1.0, 0.0))
    assert tw.pdf(s) == 0.0


@given(floats(-250, -0.01))
def test_the_quantile_inverts_the_exceedance_down_to_family_levels_of_any_size(exponent):
    p = 10.0**exponent
    assert float(tw.sf(tw.isf(p))) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, float("nan")])
def test_a_level_that_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="expected p"):
        tw.isf(p)


def test_scaling_ignores_transposition_and_follows_the_edge():
    assert tw.scaling(300, 40) == tw.scaling(40, 300)
    law = tw.scaling(40_000, 10_000)
    assert law.centre == pytest.approx((200 + 100) ** 2, rel=1e-4)
    assert law.width == pytest.approx(300 * (1 / 200 + 1 / 100) ** (1 / 3), rel=1e-4)
