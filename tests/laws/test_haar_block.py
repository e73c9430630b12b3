"""The law of a random subspace against draws, closed forms and the law of one direction."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from modescope.laws import haar_block as law
from modescope.laws import haar_overlap
from null_cases import eigenvalues, haar, smooth


def drawn(gamma, n, k, random, draws):
    """Overlaps of Haar subspaces with a diagonal G."""
    u = haar(n, k, random, draws=draws)[:, : len(gamma)]
    return np.einsum("i,dik->d", gamma, u**2)


def spectrum(n, size, random):
    """Eigenvalues of the sum of the Gram matrices of some smooth 3 x 3 kernels."""
    frames = smooth(size, n, random).transpose(1, 0, 2).reshape(n, -1)
    return np.linalg.eigvalsh(frames @ frames.T).clip(0)


@pytest.mark.parametrize(("n", "k", "size"), [(32, 6, 5), (32, 3, 3), (16, 5, 2)])
def test_mean_and_variance_of_blocks_with_taps(n, k, size):
    """20000 draws: a variance is known to 1 % (its standard error, for a kurtosis near 3), and 4 % is allowed."""
    random = np.random.default_rng(n + k)
    gamma = spectrum(n, size, random)
    sums = drawn(gamma, n, k, random, 20_000)
    found = law.moments(gamma[None], n, k)
    assert sums.mean() == pytest.approx(found.mean[0], abs=4 * sums.std() / math.sqrt(sums.size))
    assert found.mean[0] == pytest.approx(k * size / n, rel=1e-9)
    assert sums.var() == pytest.approx(found.variance[0], rel=0.04)
    assert found.least[0] - 1e-9 <= sums.min() <= sums.max() <= found.most[0] + 1e-9


@pytest.mark.parametrize(("n", "k", "size"), [(64, 16, 16), (64, 3, 3), (24, 20, 10)])
def test_variance_of_subspaces_is_that_of_two_projections(n, k, size):
    found = law.moments(np.ones((1, size)), n, k)
    assert found.variance[0] == pytest.approx(2 * k * size * (n - k) * (n - size) / (n**2 * (n - 1) * (n + 2)), rel=1e-12)
    assert (found.least[0], found.most[0]) == pytest.approx((max(0, k + size - n), min(k, size)), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_support_is_reached_by_subspaces_of_eigenvectors(seed):
    random = np.random.default_rng(seed)
    n, k = 9, 4
    gamma = random.random(6)
    every = np.sort(np.append(gamma, np.zeros(3)))
    found = law.moments(gamma[None], n, k)
    assert (found.least[0], found.most[0]) == pytest.approx((every[:k].sum(), every[-k:].sum()))


def test_one_direction_has_the_variance_of_its_own_law():
    gamma = np.array([[0.5, 0.3, 0.2]])
    a, b = (x[0] for x in haar_overlap.matched_beta(gamma, 20))
    assert law.moments(gamma, 20, 1).variance[0] == pytest.approx(a * b / ((a + b) ** 2 * (a + b + 1)), rel=1e-12)


@pytest.mark.parametrize(("n", "k", "size", "taps"), [(64, 8, 12, 1), (64, 3, 3, 1), (32, 6, 5, 9), (32, 3, 3, 9)])
def test_the_matched_beta_has_its_size_at_one_in_a_hundred(n, k, size, taps):
    """12000 draws: the share above a true quantile is .01 with a standard error of .0009; .007 to .014 is asked of the match."""
    random = np.random.default_rng(n * k)
    gamma = np.ones(size) if taps == 1 else spectrum(n, size, random)
    sums = drawn(gamma, n, k, random, 12_000)
    p = np.exp(law.matched_tail(np.tile(gamma, (sums.size, 1)), n, k, sums))
    assert 0.007 <= (p <= 0.01).mean() <= 0.014
    assert 0.04 <= (p <= 0.05).mean() <= 0.06


@pytest.mark.parametrize(("n", "k", "size"), [(20, 1, 5), (20, 5, 1), (20, 19, 3), (20, 3, 19)])
def test_where_one_side_has_one_dimension_or_all_but_one_the_match_is_the_law(n, k, size):
    """The complements of two subspaces overlap by `N - k - l + T`, so that a hyperplane has the law of its normal."""
    least = max(0, k + size - n)
    t = np.linspace(least + 0.02, min(k, size) - 0.02, 5)
    lines = 1 in (k, size)
    other = max(k, size) if lines else n - min(k, size)
    exact = beta.sf(t - least, other / 2, (n - other) / 2)
    assert np.exp(law.matched_tail(np.ones((5, size)), n, k, t)) == pytest.approx(exact, rel=1e-9)
    assert np.exp(law.tail(np.ones((5, size)), n, k, t)[0]) == pytest.approx(exact, rel=1e-9)


@given(st.integers(3, 60), st.integers(2, 9), st.integers(0, 500))
@settings(max_examples=30, deadline=None)
def test_one_direction_has_the_tail_of_one_direction(n, r, seed):
    random = np.random.default_rng(seed)
    gamma = random.dirichlet(np.ones(min(r, n)), 4)
    t = gamma.max(axis=1) * random.uniform(0.1, 0.9, 4)
    found, exact = law.tail(gamma, n, 1, t)
    assert found == pytest.approx(haar_overlap.conditional_tail(gamma, n, t), rel=1e-12)
    assert exact.all()


@pytest.mark.parametrize("n", [5, 12, 40])
def test_all_directions_but_one_have_the_law_of_the_one_left(n):
    """`T > t` is `a < trace(G) - t` for the direction left, whose tail is known."""
    gamma = np.array([[0.5, 0.3, 0.15, 0.05]])
    for p in (0.9, 0.3, 0.05):
        left = haar_overlap.threshold(gamma, n, math.log(1 - p))
        found, exact = law.tail(gamma, n, n - 1, 1 - left)
        assert math.exp(found[0]) == pytest.approx(p, rel=1e-6)
        assert exact.all()


def test_a_subspace_that_fills_the_space_is_no_evidence():
    found, exact = law.tail(np.array([[0.5, 0.2]]), 7, 7, [0.7])
    assert (found.tolist(), exact.tolist()) == ([0.0], [True])
    assert law.z_score(np.array([[0.5, 0.2]]), 7, 7, [0.7]).tolist() == [0.0]
    assert law.tail(np.ones((1, 7)), 7, 3, [3.0])[0].tolist() == [0.0]


@given(st.integers(3, 200), st.integers(1, 9), st.integers(0, 500))
@settings(max_examples=40, deadline=None)
def test_the_bound_is_never_below_an_exact_tail(n, r, seed):
    random = np.random.default_rng(seed)
    gamma = random.dirichlet(np.ones(min(r, n)), 4)
    t = gamma.max(axis=1) * random.uniform(0.05, 0.999, 4)
    assert (law.bound(gamma, n, 1, t) >= haar_overlap.conditional_tail(gamma, n, t) - 1e-9).all()
    k = int(random.integers(1, n))
    t = random.uniform(0.02, 0.98, 4)
    exact = haar_overlap.log_beta_tail(k / 2, (n - k) / 2, 1 - t)
    assert (law.bound(np.ones((4, 1)), n, k, t) >= exact - 1e-9).all()


@pytest.mark.parametrize(("n", "k"), [(12, 3), (12, 9), (24, 6)])
def test_the_bound_is_never_below_the_share_of_draws(n, k):
    """20000 draws: above the quantile of p = .01 there are 200 +- 14."""
    random = np.random.default_rng(n + k)
    gamma = 0.6 ** np.arange(6)
    sums = drawn(gamma, n, k, random, 20_000)
    for p in (0.3, 0.1, 0.01, 0.001):
        t = np.quantile(sums, 1 - p)
        assert math.exp(law.bound(gamma[None], n, k, [t])[0]) >= p


def test_the_bound_follows_deep_tails():
    """Against the exact law of a line and a subspace: ln of the bound is within a tenth of ln p."""
    for k, t in ((5, 0.9), (12, 0.99)):
        exact = haar_overlap.log_beta_tail(k / 2, (64 - k) / 2, 1 - t)
        assert law.bound(np.ones((1, 1)), 64, k, [t])[0] == pytest.approx(exact, rel=0.1)


def test_the_tail_falls_with_the_overlap_and_never_claims_more_than_is_proven():
    gamma = np.tile(0.7 ** np.arange(6), (300, 1))
    most = law.moments(gamma[:1], 30, 4).most[0]
    t = np.linspace(0.01, most, 300)
    found, exact = law.tail(gamma, 30, 4, t)
    assert (np.diff(found) <= 1e-12).all()
    assert not exact.any()
    far = found < math.log(law.TRUSTED) - 1e-9
    assert far.any()
    assert (found[far] >= law.bound(gamma, 30, 4, t)[far] - 1e-9).all()
    assert (found >= law.matched_tail(gamma, 30, 4, t) - 1e-12).all()


@pytest.mark.parametrize(
    ("gamma", "n", "k"),
    [
        ((1, 1), 4, 2),
        ((1, 1, 1), 5, 3),
        ((0.7, 0.3), 4, 2),
        ((1, 1, 1, 1), 8, 4),
        ((1, *(0.1,) * 8), 32, 3),
        ((1, 1, 1), 12, 3),
        ((1,) * 8, 16, 3),
        ((1,) * 3, 16, 13),
    ],
)
def test_the_tail_is_not_liberal_in_small_spaces_or_for_uneven_eigenvalues(gamma, n, k):
    """100000 draws: 5000 at .05, 1000 at .01, 100 +- 10 at .001; a third more is allowed, and the match alone has six times."""
    sums = drawn(np.array(gamma, dtype=float), n, k, np.random.default_rng(n), 100_000)
    thresholds = np.linspace(*np.quantile(sums, (0.5, 1)), 400)
    found = law.tail(np.tile(np.array(gamma, dtype=float), (400, 1)), n, k, thresholds)[0]
    for level in (0.05, 0.01, 0.001):
        passing = thresholds[found <= math.log(level)]
        assert not passing.size or (sums >= passing[0]).mean() <= 1.35 * level


def test_the_z_score_counts_standard_deviations():
    gamma = np.array([[1.0, 1.0, 1.0]])
    found = law.moments(gamma, 20, 4)
    assert law.z_score(gamma, 20, 4, found.mean + 2.5 * np.sqrt(found.variance)) == pytest.approx(2.5)


def test_what_cannot_be_a_block_is_refused():
    with pytest.raises(ValueError, match="1 <= k <= N"):
        law.moments(np.ones((1, 2)), 5, 6)
    with pytest.raises(ValueError, match="at most 2 positive"):
        law.tail(np.ones((1, 3)), 2, 1, [0.5])


def test_kernels_of_the_cases_have_structure():
    """What the tests call smooth has fewer effective taps than nine."""
    gamma = eigenvalues(smooth(6, 20, np.random.default_rng(0)))
    assert (1 / (gamma**2).sum(axis=1)).max() < 4
