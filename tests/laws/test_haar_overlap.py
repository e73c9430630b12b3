"""The law of one random direction against closed forms, Imhof's integral, quadrature in logarithms and draws."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln, gammaln
from scipy.stats import beta

from modescope.laws import haar_overlap as law
from null_cases import directions

LEVELS = np.log([0.3, 0.05, 1e-3, 1e-8, 1e-15, 1e-30, 1e-100, 1e-290])
DIMENSIONS = [16, 64, 512, 4096]


def imhof(gamma, dimension, t):
    """P(Q > 0) by Imhof (1961), equation 3.2: absolute error of the quadrature only, so for p far above 1e-10."""
    weights = np.append(np.asarray(gamma) - t, -t)
    times = np.append(np.ones(len(gamma)), dimension - len(gamma))

    def integrand(x):
        theta = 0.5 * (times * np.arctan(weights * x)).sum()
        return math.sin(theta) / x * math.exp(-0.25 * (times * np.log1p((weights * x) ** 2)).sum())

    scale = 1 / np.abs(weights).max()
    ends = [0.0, *(scale * 4.0 ** np.arange(-3, 22))]
    return 0.5 + sum(quad(integrand, a, b, epsabs=1e-14, limit=400)[0] for a, b in pairwise(ends)) / math.pi


def log_beta_by_quadrature(a, b, room):
    """ln P(Beta(a, b) > 1 - room): the density is divided by its value at the threshold before it is integrated."""
    value = quad(
        lambda x: (1 - x) ** (b - 1) * ((1 - room * (1 - x)) / (1 - room)) ** (a - 1), 0, 1, epsabs=0, epsrel=1e-12, limit=400
    )[0]
    return b * math.log(room) + (a - 1) * math.log1p(-room) - betaln(a, b) + math.log(value)


def spectra(random, count, r, dimension):
    """Eigenvalues of many shapes: even, geometric, one above a floor, sparse, nearly equal."""
    r = min(r, dimension)
    drawn = [
        random.dirichlet(np.ones(r)),
        0.6 ** np.arange(r),
        np.append(0.8, np.full(r - 1, 0.2 / max(r - 1, 1))),
        random.dirichlet(np.full(r, 0.1)) + 1e-9,
        1 + 0.3 * random.random(r),
    ]
    table = np.array([drawn[i % 5] for i in range(count)])
    return table / table.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n", DIMENSIONS)
def test_the_contour_rule_gives_the_beta_of_one_eigenvalue(n):
    """A second eigenvalue of 3e-14 sends the rule round its closed form, and changes p by less than 1e-9."""
    top = np.array([[1.0]])
    t = np.array([law.threshold(top, n, level)[0] for level in LEVELS])
    t = t[1 - t > 1e-6]
    contour = law.conditional_tail(np.tile([1.0, 3e-14], (t.size, 1)), n, t)
    assert contour == pytest.approx(law.log_beta_tail(0.5, (n - 1) / 2, 1 - t), abs=1e-8)


@pytest.mark.parametrize("n", DIMENSIONS)
@pytest.mark.parametrize("r", [4, 8])
def test_the_contour_rule_gives_the_beta_of_equal_eigenvalues(n, r):
    """They differ by up to 2e-11, which moves ln p by N / 2 times that over 1 - t."""
    t = np.array([law.threshold(np.ones((1, r)), n, level)[0] for level in LEVELS])
    t = t[1 - t > 1e-2]
    nearly = 1 - 3e-12 * np.arange(r)
    contour = law.conditional_tail(np.tile(nearly, (t.size, 1)), n, t)
    assert contour == pytest.approx(law.log_beta_tail(r / 2, (n - r) / 2, 1 - t), abs=5e-8)


@pytest.mark.parametrize("n", [7, 12, *DIMENSIONS])
def test_the_contour_rule_gives_the_closed_form_of_pairs(n):
    values = np.array([[0.5, 0.3, 0.15]])
    gamma = np.repeat(values, 2, axis=1)
    levels = np.append(LEVELS, np.log([0.9, 0.99]))
    t = np.concatenate([law.threshold(gamma, n, level) for level in levels])
    t = t[0.5 - t > 1e-6]
    contour = law.conditional_tail(np.repeat(gamma, t.size, axis=0), n, t)
    assert contour == pytest.approx(law.paired(np.repeat(values, t.size, axis=0), n, t), abs=1e-8, rel=1e-10)


@pytest.mark.parametrize(("n", "r"), [(2, 2), (3, 2), (3, 3), (4, 3), (8, 8), (12, 5), (12, 12), (30, 30), (64, 9), (300, 4)])
def test_the_tail_equals_imhofs_integral(n, r):
    random = np.random.default_rng(n * 100 + r)
    gamma = spectra(random, 10, r, n)
    least = gamma.min(axis=1) if r == n else np.zeros(10)
    t = least + (gamma.max(axis=1) - least) * random.uniform(0.02, 0.6, 10)
    slow = np.array([imhof(g, n, x) for g, x in zip(gamma, t, strict=True)])
    p = np.exp(law.conditional_tail(gamma, n, t))
    assert p == pytest.approx(slow, abs=3e-9)  # the quadrature, over an oscillating tail in two dimensions
    clear = slow > 1e-3
    assert p[clear] == pytest.approx(slow[clear], rel=1e-5)


@pytest.mark.parametrize("n", [3, 4, 6, 12, 64])
def test_an_eigenvalue_just_above_or_below_the_overlap_costs_no_digits(n):
    """The integrand then decays slowly for long: ten times finer and twice as far says what the value is."""
    gamma = np.array([[0.6, 0.25, 0.15]] * 6)
    t = 0.25 + np.array([1e-9, 1e-6, 1e-3, -1e-3, -1e-6, -1e-9])
    usual = law.conditional_tail(gamma, n, t)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(law, "USUAL", (0.014, 14.0, 100.0))
        fine = law.conditional_tail(gamma, n, t)
    assert usual == pytest.approx(fine, abs=1e-8)


@pytest.mark.parametrize("n", [2, 3, 5, 8, 16, 100, 1000, 4096])
def test_a_finer_rule_changes_nothing(n):
    random = np.random.default_rng(n)
    for r in (2, 9, 49):
        gamma = spectra(random, 40, r, n)
        high = gamma.max(axis=1) * (1 - 10.0 ** -random.uniform(0.01, 3, 40))
        t = np.where(np.arange(40) % 2, high, gamma.sum(axis=1) / n * random.uniform(0.1, 4.0, 40))
        usual = law.conditional_tail(gamma, n, t)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(law, "USUAL", (0.05, 9.0, 75.0))
            patch.setattr(law, "FINE", (0.01, 11.0, 75.0))
            fine = law.conditional_tail(gamma, n, t)
        assert usual == pytest.approx(fine, abs=1e-8)


def test_the_tail_is_the_share_of_random_directions_above():
    """4e5 draws: the standard error of a share p is below sqrt(p / 4e5), 5 % at p = .001; four of them are allowed."""
    random = np.random.default_rng(5)
    gamma = np.array([0.5, 0.3, 0.1, 0.1])
    draws = (directions(24, 400_000, random)[:4] ** 2 * gamma[:, None]).sum(axis=0)
    for level in (0.9, 0.5, 0.1, 0.01, 0.001):
        t = law.threshold(gamma[None], 24, math.log(level))[0]
        assert (draws > t).mean() == pytest.approx(level, abs=4 * math.sqrt(level / 400_000))


@given(st.integers(2, 600), st.integers(1, 12), st.floats(1e-3, 1e3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_order_zeros_and_units_do_not_matter(n, r, scale, seed):
    random = np.random.default_rng(seed)
    gamma = spectra(random, 5, r, n)
    t = gamma.max(axis=1) * random.uniform(0.05, 0.95, 5)
    found = law.conditional_tail(gamma, n, t)
    padded = np.concatenate([gamma[:, ::-1], np.zeros((5, 3))], axis=1)
    assert law.conditional_tail(padded * scale, n, t * scale) == pytest.approx(found, rel=1e-9, abs=1e-9)
    assert law.threshold(gamma * scale, n, -9.0) == pytest.approx(scale * law.threshold(gamma, n, -9.0), rel=1e-9)


def test_the_tail_falls_from_one_to_zero_over_the_support():
    gamma = np.array([[0.5, 0.3, 0.2]])
    ends = np.array([-1.0, 0.0, 0.5, 2.0])
    assert law.conditional_tail(np.repeat(gamma, 4, axis=0), 8, ends).tolist() == [0.0, 0.0, -math.inf, -math.inf]
    assert law.conditional_tail(np.repeat(gamma, 2, axis=0), 3, np.array([0.2, 0.1])).tolist() == [0.0, 0.0]
    t = np.linspace(1e-6, 0.5 - 1e-6, 400)
    found = law.conditional_tail(np.repeat(gamma, 400, axis=0), 8, t)
    assert (np.diff(found) <= 0).all()
    assert found[0] == pytest.approx(0, abs=1e-4)


def test_an_overlap_that_cannot_vary_is_certain():
    assert law.conditional_tail(np.full((2, 3), 0.4), 3, np.array([0.399, 0.4])).tolist() == [0.0, -math.inf]
    assert law.threshold(np.full((1, 3), 0.4), 3, -5.0).tolist() == [0.4]
    assert law.threshold(np.ones((1, 1)), 1, -5.0).tolist() == [1.0]


def test_a_reader_of_nothing_overlaps_with_nothing():
    assert law.conditional_tail(np.zeros((2, 3)), 9, np.array([0.0, 0.1])).tolist() == [-math.inf, -math.inf]
    assert law.threshold(np.zeros((1, 3)), 9, -5.0).tolist() == [0.0]


@pytest.mark.parametrize("n", [2, 3, 5, 16, 64, 512, 4096])
@pytest.mark.parametrize("level", [math.log(0.9), math.log(0.2), -4.0, -16.0, -100.0, -690.0, -3000.0])
def test_thresholds_reproduce_their_level(n, level):
    random = np.random.default_rng(n)
    for r in (1, 2, 9):
        gamma = spectra(random, 15, r, n)
        t = law.threshold(gamma, n, level)
        largest = gamma.max(axis=1)
        clear = t < largest * (1 - 1e-5)  # nearer to the end, the rounding of t itself moves p by more
        assert (clear | (t <= largest)).all()
        assert law.conditional_tail(gamma[clear], n, t[clear]) == pytest.approx(
            np.full(int(clear.sum()), level), abs=1e-9 * max(1, n / 50)
        )


@pytest.mark.parametrize("n", [3, 6, 40, 700])
def test_the_derivative_is_the_limit_of_differences(n):
    random = np.random.default_rng(n)
    for r in (1, 3, 9):
        gamma = spectra(random, 15, r, n)
        level = math.log(0.2)
        t = law.threshold(gamma, n, level * 20) if n > 6 else law.threshold(gamma, n, level)
        h = 1e-5 * np.minimum(t, gamma.max(axis=1) - t)
        difference = (law.conditional_tail(gamma, n, t + h) - law.conditional_tail(gamma, n, t - h)) / (2 * h)
        clear = h > 1e-12
        assert law.derivative(gamma, n, t)[clear] == pytest.approx(difference[clear], rel=1e-5)


def test_the_derivative_below_the_mean_is_that_of_the_complement():
    gamma, t = np.array([[0.5, 0.3, 0.2]] * 3), np.array([0.005, 0.01, 0.02])
    difference = (law.conditional_tail(gamma, 30, t * 1.0001) - law.conditional_tail(gamma, 30, t / 1.0001)) / (
        t * 1.0001 - t / 1.0001
    )
    assert law.derivative(gamma, 30, t) == pytest.approx(difference, rel=1e-5)
    assert law.derivative(gamma, 30, np.array([-1.0, 0.0, 0.7])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("a", "b", "room"), [(0.5, 2047.5, 0.6), (0.5, 255.5, 1e-9), (24.5, 900.0, 0.3), (0.5, 31.5, 1e-14), (4.5, 5e3, 0.8)]
)
def test_beta_tails_keep_their_digits_far_below_the_smallest_float(a, b, room):
    assert law.log_beta_tail(a, b, room) == pytest.approx(log_beta_by_quadrature(a, b, room), rel=1e-12, abs=1e-9)


def test_beta_tails_are_continuous_where_the_logarithmic_form_takes_over():
    room = np.linspace(0.50, 0.56, 200)  # ln p crosses ln(1e-280) = -645 inside
    found = law.log_beta_tail(0.5, 1000.0, room)
    assert found.min() < math.log(law.UNDERFLOW) < found.max()
    assert np.abs(np.diff(found, 3)).max() < 1e-3


@given(st.integers(2, 4096), st.floats(-280 * math.log(10), -0.01))
@settings(max_examples=60, deadline=None)
def test_thresholds_of_dense_layers_are_quantiles_of_the_beta(n, level):
    t = law.threshold(np.ones((1, 1)), n, level)[0]
    assert t == pytest.approx(beta.isf(math.exp(level), 0.5, (n - 1) / 2), rel=1e-6, abs=1e-14)


def test_published_thresholds_at_three_and_four_sigma():
    """Values of the Beta law for (N, z) = (64, 1), (64, 9) and (16, 1), known to five digits."""
    three, four = math.log(1.3498980316e-3), math.log(3.1671241833e-5)
    assert law.threshold(np.ones((1, 1)), 64, three)[0] == pytest.approx(0.15155, abs=5e-6)
    assert law.threshold(np.ones((1, 9)), 576, three)[0] == pytest.approx(0.04638, abs=5e-6)
    assert law.threshold(np.ones((1, 1)), 16, four)[0] == pytest.approx(0.69560, abs=5e-6)


@given(st.integers(3, 300), st.integers(2, 9), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_the_matched_beta_has_the_mean_and_the_variance_of_the_law(n, r, seed):
    gamma = spectra(np.random.default_rng(seed), 5, r, n)
    a, b = law.matched_beta(gamma, n)
    variance = 2 * (n * (gamma**2).sum(axis=1) - 1) / (n**2 * (n + 2))
    some = variance > 1e-12
    assert (a / (a + b))[some] == pytest.approx(np.full(int(some.sum()), 1 / n), rel=1e-12)
    assert (a * b / ((a + b) ** 2 * (a + b + 1)))[some] == pytest.approx(variance[some], rel=1e-6)


def test_the_matched_beta_understates_deep_tails_many_times():
    """The ratio nominal to exact at nominal 1e-2 and 1e-9 that was tabulated for this kernel: .79 and .04."""
    gamma = 0.6 ** np.arange(9)[None] / (0.6 ** np.arange(9)).sum()
    a, b = (x[0] for x in law.matched_beta(gamma, 64))
    for nominal, ratio in ((1e-2, 0.79), (1e-9, 0.04)):
        exact = math.exp(law.conditional_tail(gamma, 64, np.array([beta.isf(nominal, a, b)]))[0])
        assert nominal / exact == pytest.approx(ratio, abs=0.006)


@given(st.integers(4, 500), st.integers(2, 9), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_rank_one_bound_is_never_below_the_tail(n, r, seed):
    random = np.random.default_rng(seed)
    gamma = np.sort(spectra(random, 10, r, n))[:, ::-1]
    t = gamma[:, 1] + (gamma[:, 0] - gamma[:, 1]) * random.uniform(0.001, 0.999, 10)
    assert (law.rank_one_bound(gamma, n, t) >= law.conditional_tail(gamma, n, t) - 1e-9).all()


def test_the_rank_one_bound_is_sharp_towards_the_largest_eigenvalue():
    """The ratios bound to exact that were tabulated at these exact p for .8 and eight times .025: from 3.95 down to 1.20."""
    gamma = np.append(0.8, np.full(8, 0.025))[None]
    for p, ratio in ((1.2e-2, 3.95), (2.3e-4, 1.74), (9.1e-9, 1.20)):
        t = law.threshold(gamma, 64, math.log(p))
        assert math.exp(law.rank_one_bound(gamma, 64, t)[0]) / p == pytest.approx(ratio, rel=0.02)
    assert law.rank_one_bound(gamma, 64, np.array([0.02])).tolist() == [0.0]


def test_what_cannot_be_a_frame_is_refused():
    with pytest.raises(ValueError, match="at most 2 positive"):
        law.conditional_tail(np.ones((1, 3)), 2, [0.5])
    with pytest.raises(ValueError, match="none of them negative"):
        law.conditional_tail([[1.0, -0.5]], 9, [0.5])
    with pytest.raises(ValueError, match="finite eigenvalues"):
        law.conditional_tail([[math.nan]], 9, [0.5])
    with pytest.raises(ValueError, match="one frame per row"):
        law.threshold([1.0], 9, -1.0)
    with pytest.raises(ValueError, match="one per row"):
        law.conditional_tail([[1.0]], 9, [0.5, 0.6])
    with pytest.raises(ValueError, match="below 0"):
        law.threshold([[1.0]], 9, 0.0)
    with pytest.raises(ValueError, match="at most 2 pairs"):
        law.paired([[0.5, 0.3, 0.2]], 5, [0.4])


def test_the_mean_of_the_law_is_the_integral_of_its_tail():
    gamma = np.array([0.45, 0.3, 0.25])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    t = (nodes + 1) / 2 * 0.45
    p = np.exp(law.conditional_tail(np.tile(gamma, (400, 1)), 20, t))
    assert float((p * weights).sum()) * 0.225 == pytest.approx(1 / 20, rel=1e-6)
    second = 2 * (20 * (gamma**2).sum() - 1) / (400 * 22) + 1 / 400
    assert float((2 * t * p * weights).sum()) * 0.225 == pytest.approx(second, rel=1e-6)


def test_leading_order_of_the_beta_tail_is_its_value_near_the_end():
    """`I_y(b, a) = y^b / (b B(a, b)) (1 + O(y))`, written with gamma functions."""
    b, y = 500.0, 1e-10
    leading = b * math.log(y) - math.log(b) + gammaln(0.5 + b) - gammaln(0.5) - gammaln(b)
    assert law.log_beta_tail(0.5, b, y) == pytest.approx(leading, rel=1e-13)
