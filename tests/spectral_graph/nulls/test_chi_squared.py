"""The published rule: its thresholds, its p-values, and what it warns of."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import chi2

from modescope.spectral_graph.nulls import chi_squared
from modescope.spectral_graph.overlaps import overlaps
from null_cases import directions, haar, pair

THREE, FOUR = 1.3498980316e-3, 3.1671241833e-5


@pytest.mark.parametrize(
    ("channels", "taps", "p", "published"), [(64, 1, THREE, 0.16052), (64, 9, THREE, 0.04704), (16, 1, FOUR, 1.082)]
)
def test_thresholds_are_those_of_the_published_code(channels, taps, p, published):
    assert chi_squared.threshold(p, channels, taps) == pytest.approx(published, abs=0.6 * 10.0 ** -(len(str(published)) - 2))


def test_edges_are_those_at_or_above_the_threshold():
    random = np.random.default_rng(0)
    case = pair(haar(40, 40, random), haar(40, 40, random).T)
    weights = overlaps(case)
    found = chi_squared.test(case, weights, most=0.01, draws=0, seed=0)
    assert found.reader.size == (weights >= chi_squared.threshold(0.01, 40, 1)).sum()
    assert found.log_p == pytest.approx(np.log(chi2.sf(40 * weights[found.reader, found.writer], 1)), rel=1e-10)
    assert not found.exact.any()


def test_the_rule_is_conservative_for_isotropic_directions():
    """300000 overlaps in 16 channels: the exact size is 1.1e-4, far below 1.35e-3 in any draw."""
    random = np.random.default_rng(1)
    case = pair(directions(16, 1500, random), directions(16, 200, random).T)
    assert chi_squared.test(case, overlaps(case), most=THREE, draws=0, seed=0).reader.size < 300_000 * THREE / 2


def test_a_threshold_that_no_overlap_can_reach_is_said():
    random = np.random.default_rng(2)
    case = pair(haar(16, 16, random), haar(16, 16, random).T)
    assert "exceeds 1" in chi_squared.test(case, overlaps(case), most=FOUR, draws=0, seed=0).note
    assert "exceeds 1" not in chi_squared.test(case, overlaps(case), most=THREE, draws=0, seed=0).note


@pytest.mark.parametrize(("freedom", "x"), [(1, 1500.0), (9, 1700.0), (49, 5000.0), (2, 1e5)])
def test_tails_keep_their_digits_below_the_smallest_float(freedom, x):
    """The density is divided by its value at the threshold before it is integrated."""
    s, y = freedom / 2, x / 2
    rest = quad(lambda v: math.exp(-v) * (1 + v / y) ** (s - 1), 0, 60, epsabs=0, epsrel=1e-12)[0]
    slow = (s - 1) * math.log(y) - y - gammaln(s) + math.log(rest)
    assert chi_squared.log_tail(freedom, np.array([x]))[0] == pytest.approx(slow, rel=1e-12)


def test_tails_meet_where_the_logarithmic_form_takes_over():
    x = np.linspace(1200, 1400, 101)
    assert np.abs(np.diff(chi_squared.log_tail(9, x), 2)).max() < 1e-4
