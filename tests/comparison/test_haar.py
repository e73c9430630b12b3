"""The laws of random overlaps against quadrature, closed forms and draws."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, kstest

from comparison_cases import frame
from modescope.comparison import haar


def both_by_quadrature(c: float, n: int, m: int) -> float:
    """P(|x y| >= c), the density of |x| times the tail of |y|, as the definition says."""

    def integrand(x: float) -> float:
        density = 2 * x * beta.pdf(x * x, 0.5, (n - 1) / 2)
        return float(density * beta.sf((c / x) ** 2, 0.5, (m - 1) / 2))

    peak = math.sqrt(c)
    return sum(quad(integrand, a, b, limit=200, epsrel=1e-10)[0] for a, b in ((c, peak), (peak, 1.0)))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 5), (3, 3), (10, 4), (64, 64), (300, 20), (1000, 1000)])
@pytest.mark.parametrize("c", [1e-3, 0.02, 0.2, 0.5, 0.9])
def test_the_joint_law_equals_the_integral_it_is(n: int, m: int, c: float) -> None:
    slow = both_by_quadrature(c, n, m)
    if slow > 1e-250:
        assert haar.joint_p(c, n, m) == pytest.approx(slow / 2, rel=1e-6)
    assert haar.joint_p(c, m, n) == haar.joint_p(c, n, m)
    assert haar.joint_p(-c, n, m) == pytest.approx(1 - haar.joint_p(c, n, m))


def test_the_joint_law_of_a_line_is_that_of_the_other_side() -> None:
    for c in (0.1, 0.6):
        assert 2 * haar.joint_p(c, 1, 9) == pytest.approx(beta.sf(c * c, 0.5, 4))
    assert haar.joint_p(1.0, 1, 1) == 0.5
    assert haar.joint_threshold(1, 1, 0.01) == math.inf


def test_the_joint_law_stays_a_probability_in_many_dimensions() -> None:
    values = [haar.joint_p(c, 100_000, 30_000) for c in (0.0, 1e-5, 1e-4, 1e-3, 0.5, 1.0)]
    assert values[0] == 0.5
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.0
    assert 0 < values[2] < 1e-3


def test_p_of_random_modes_is_uniform() -> None:
    """400 draws: a Kolmogorov-Smirnov p of .01 is passed by a true law 99 times in a hundred, and these seeds are fixed."""
    for out, in_ in ((30, 12), (5, 80), (2, 2)):
        rng = np.random.default_rng(out)
        products = [frame(out, 1, rng)[0, 0] * frame(in_, 1, rng)[0, 0] for _ in range(400)]
        assert kstest([haar.joint_p(float(c), out, in_) for c in products], "uniform").pvalue > 0.01


@pytest.mark.parametrize("p", [0.2, 1e-3, 1e-12, 1e-100])
def test_the_threshold_is_where_the_law_has_that_probability(p: float) -> None:
    assert haar.joint_p(haar.joint_threshold(60, 40, p), 60, 40) == pytest.approx(p, rel=1e-6)


def test_the_high_value_of_a_vector_against_a_subspace_is_that_of_a_beta() -> None:
    for n, k in ((40, 7), (9, 4)):
        for high in (haar.high(1, k, n, share=0.9), haar.high(k, 1, n, share=0.9)):
            assert beta.sf(high, k / 2, (n - k) / 2) == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize(("k", "dims", "n"), [(4, 4, 30), (3, 8, 20), (8, 8, 10), (1, 1, 6)])
def test_random_subspaces_have_the_mean_and_pass_the_high_value_once_in_a_hundred(k: int, dims: int, n: int) -> None:
    """4000 draws: the share above a true quantile is .01 with a standard error of .0016; the law is an approximation."""
    rng = np.random.default_rng(n)
    draws = 4000
    sums = np.array([(frame(n, k, rng)[:dims] ** 2).sum() for _ in range(draws)])
    assert sums.mean() == pytest.approx(haar.expected(k, dims, n), abs=4 * sums.std() / math.sqrt(draws))
    assert 0.004 < (sums > haar.high(k, dims, n)).mean() < 0.02
    assert (sums >= max(0, k + dims - n) - 1e-9).all()


def test_subspaces_that_must_coincide_are_no_evidence() -> None:
    assert haar.high(5, 3, 5) == 3.0


def test_the_largest_cosine_of_a_random_direction_stays_below_its_bound() -> None:
    """3000 draws: a share of .01 has a standard error of .0018; the bound is on the safe side."""
    rng = np.random.default_rng(0)
    basis = frame(25, 25, rng)
    largest = np.array([np.abs(basis.T @ frame(25, 1, rng)).max() for _ in range(3000)])
    assert 0.003 < (largest > haar.largest_cosine(25, 25)).mean() < 0.016
    assert haar.largest_cosine(1, 1) == 1.0


def test_the_bound_of_a_weighted_mean_is_on_the_safe_side_but_not_by_much() -> None:
    rng = np.random.default_rng(1)
    for weights in (np.array([1.0]), np.array([1.0, 0.3, 0.1]), np.ones(6)):
        k, n = 5, 40
        shares = np.array([(weights @ (frame(n, weights.size, rng)[:k] ** 2).sum(axis=0)) / weights.sum() for _ in range(3000)])
        assert 0.001 < (shares > haar.weighted_high(weights, k, n)).mean() < 0.017
    assert haar.weighted_high(np.ones(2), 6, 6) == 1.0


@pytest.mark.parametrize(("n", "k", "size"), [(6, 6, 6), (12, 4, 7), (30, 5, 5)])
@pytest.mark.parametrize("p", [0.2, 0.01])
def test_a_random_frame_has_a_large_inner_product_with_a_matrix_no_more_often_than_its_p(
    n: int, k: int, size: int, p: float
) -> None:
    """4000 draws: the share has a standard error of at most .0064 at .2 and .0016 at .01; the law may be on the safe side."""
    rng = np.random.default_rng(n)
    fixed = frame(n, k, rng) @ (frame(max(k, size), k, rng)[:size] * np.linspace(1, 0.3, k)).T
    norm = float(np.linalg.norm(fixed))
    drawn = np.array([(frame(n, size, rng) * fixed).sum() for _ in range(4000)])
    share = np.mean([haar.frames_p(float(total), norm, n) < p for total in drawn])
    assert share < p + 4 * math.sqrt(p * (1 - p) / 4000)
    assert drawn.var() == pytest.approx(norm**2 / n, rel=0.12)


def test_a_cosine_and_its_probability_are_inverse_and_a_line_says_nothing() -> None:
    for n in (2, 9, 400):
        assert haar.cosine_p(haar.cosine(n, 1e-3), n) == pytest.approx(1e-3)
    assert haar.cosine(1, 1e-9) == haar.cosine_p(1.0, 1) == 0.0
    assert haar.frames_p(0.0, 0.0, 5) == 1.0
