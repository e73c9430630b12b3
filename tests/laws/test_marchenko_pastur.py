import numpy as np
import pytest
from hypothesis import example, given
from hypothesis.strategies import floats, integers
from scipy.integrate import quad

from modescope.laws import marchenko_pastur as mp
from modescope.laws import wishart
from spectrum_cases import gaussian, row_scales

ASPECTS = (0.001, 0.05, 0.25, 0.5, 0.9, 0.999, 1.0)


def support(q):
    return (1 - np.sqrt(q)) ** 2, (1 + np.sqrt(q)) ** 2


def integral(function, x, q):
    """From the lower edge to x, with the density as the paper writes it; x = a + (b - a) u^2 takes out the lower root."""
    a, b = support(q)

    def density(t):
        return np.sqrt((b - t) * (t - a)) / (2 * np.pi * q * t)

    def both(u):
        t = a + (b - a) * u * u
        return function(t) * density(t) * 2 * (b - a) * u

    end = np.sqrt((x - a) / (b - a))
    return quad(
        both, 0, end, epsabs=1e-14, epsrel=1e-13, limit=2000, points=[min(end, 2 * np.sqrt(a))] if 0 < a < end**2 else None
    )[0]


@pytest.mark.parametrize("q", ASPECTS)
def test_the_distribution_function_and_partial_mean_are_the_integrals_of_the_density(q):
    a, b = support(q)
    for share in (0.01, 0.2, 0.5, 0.8, 0.99, 1.0):
        x = a + share * (b - a)
        assert mp.cdf(x, q) == pytest.approx(integral(lambda t: 1.0, x, q), abs=1e-12)
        assert mp.partial_mean(x, q) == pytest.approx(integral(lambda t: t, x, q), abs=1e-12)


@pytest.mark.parametrize("q", ASPECTS)
def test_the_law_starts_at_zero_ends_at_one_and_has_mean_one(q):
    a, b = support(q)
    assert mp.cdf([0.0, a, b, 1e9], q) == pytest.approx([0, 0, 1, 1], abs=1e-12)
    assert mp.partial_mean([a, b], q) == pytest.approx([0, 1], abs=1e-14)
    assert mp.pdf([a / 2, b + 1e-9, 1e300], q) == pytest.approx(0.0)


@pytest.mark.parametrize("q", ASPECTS)
def test_the_density_is_the_derivative_of_the_distribution_function(q):
    a, b = support(q)
    x = a + (b - a) * np.linspace(0.1, 0.9, 17)
    h = 1e-5 * (b - a)
    assert (mp.cdf(x + h, q) - mp.cdf(x - h, q)) / (2 * h) == pytest.approx(mp.pdf(x, q), rel=1e-6)


@pytest.mark.parametrize(
    ("q", "median"), [(0.05, 0.9833083), (0.25, 0.9160041), (0.5, 0.8304659), (0.9, 0.6892221), (1.0, 0.6527759)]
)
def test_medians_are_those_of_the_literature(q, median):
    assert mp.quantile(0.5, q) == pytest.approx(median, abs=1e-7)


@given(q=floats(1e-3, 1.0), p=floats(0.0, 1.0))
@example(q=1.0, p=1e-10)  # the density is unbounded at zero: the last digit of x is many of p
@example(q=0.5, p=0.62890625)  # a Newton step lands on the solution to the last bit, and so on its own bracket
def test_the_quantile_inverts_the_distribution_function(q, p):
    x = mp.quantile(p, q)
    a, b = support(q)
    assert a - 1e-12 <= x <= b + 1e-12
    assert mp.cdf(x, q) == pytest.approx(p, abs=1e-12)


@given(q=floats(1e-3, 1.0), x=floats(0.0, 1e300))
def test_no_eigenvalue_gives_nan(q, x):
    values = np.array([mp.cdf(x, q), mp.pdf(x, q), mp.partial_mean(x, q)])
    assert np.isfinite(values).all()
    assert (values >= -1e-12).all()


@given(n=integers(1, 10_000), m=integers(1, 10_000), sigma=floats(1e-6, 1e6))
def test_edges_ignore_transposition_and_scale_with_the_variance(n, m, sigma):
    assert mp.edges(n, m, sigma) == mp.edges(m, n, sigma)
    assert mp.edges(n, m, sigma).upper == pytest.approx(sigma**2 * mp.edges(n, m, 1.0).upper, rel=1e-14)


@pytest.mark.parametrize(("n", "m"), [(50, 50), (400, 100), (3000, 30)])
def test_the_upper_edge_is_where_the_inverse_of_the_stieltjes_map_turns(n, m):
    t = np.linspace(0, 1, 200_001)[1:-1]  # Silverstein & Choi (1995)
    assert mp.edges(n, m, 0.3).upper == pytest.approx(0.09 * np.min(m / t + n / (1 - t)), rel=1e-8)


@pytest.mark.parametrize(("n", "m", "error"), [(400, 400, 1e-5), (400, 398, 1e-5), (1200, 600, 1e-5), (576, 64, 2e-4)])
def test_the_scale_of_eigenvalues_placed_as_the_law_says_is_the_true_one(n, m, error):
    values = n * mp.quantile((np.arange(m) + 0.5) / m, m / n)
    for sigma in (1e-6, 1.0, 1e6):
        assert mp.scale(sigma**2 * values, n) == pytest.approx(sigma, rel=error)


def test_the_scale_ignores_what_lies_outside_the_middle_of_the_bulk():
    values = wishart.sample(400, 300, np.random.default_rng(0))
    changed = values.copy()
    changed[:60] = 0.0
    changed[-60:] *= 100.0
    assert mp.scale(changed, 400) == mp.scale(values, 400)


@pytest.mark.parametrize("sigma", [0.9, 1.1])  # a law to the left of the values, and one to the right
def test_the_distance_is_the_supremum_over_both_sides_of_every_step(sigma):
    values = wishart.sample(90, 60, np.random.default_rng(1))
    law = mp.cdf(values / (90 * sigma**2), 60 / 90)
    slow = max(max(abs((i + 1) / 60 - law[i]), abs(i / 60 - law[i])) for i in range(60))
    assert mp.distance(values, 90, sigma) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(64, 64), (576, 64), (300, 300), (600, 600)])
def test_noise_stays_within_the_critical_distance(n, m):
    random = np.random.default_rng([n, m])
    draws = [wishart.sample(n, m, random) for _ in range(100)]
    within = sum(mp.distance(values, n, mp.scale(values, n)) <= mp.critical_distance(m) for values in draws)
    assert within >= 95  # 99 expected; 94 or fewer has probability under 1e-3


@pytest.mark.parametrize(
    "matrix",
    [
        row_scales(400, 400, 0.3, 0),
        gaussian(400, 400, 1) @ gaussian(400, 400, 2) / 20,
        np.linalg.qr(gaussian(400, 400, 3))[0],
    ],
    ids=["unequal rows", "product", "orthogonal"],
)
def test_what_is_not_independent_noise_is_far_from_the_law(matrix):
    values = np.linalg.eigvalsh(matrix.T @ matrix)
    assert mp.distance(values, 400, mp.scale(values, 400)) > 2.5 * mp.critical_distance(400)


def test_empty_rows_are_an_atom_beside_the_law_of_the_rest():
    out, in_, dead = 300, 1000, 100
    a = gaussian(out, in_, 5)
    a[:dead] = 0.0
    values = np.linalg.eigvalsh(a @ a.T)
    share = 1 - dead / out
    x = np.linspace(0.01, 3.0, 200) * in_
    mixture = 1 - share + share * mp.cdf(x / in_, (out - dead) / in_)
    seen = np.searchsorted(values, x) / out
    assert np.abs(mixture - seen).max() <= 0.02
