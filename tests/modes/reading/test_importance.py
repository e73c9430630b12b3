"""Measures of importance: what the gauge does to them, their order against the exact increase of the loss."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from scipy.stats import spearmanr

from modescope.errors import UsageError
from modescope.modes.factors import Modes, balanced, gauged
from modescope.modes.reading import importance
from modescope.modes.reading.importance import MEASURES, abs_s, agreement, first_order, omega, tau


def drawn(p: int = 6, seed: int = 0) -> Modes:
    rng = np.random.default_rng(seed)
    return Modes(rng.standard_normal((7, p)), rng.standard_normal(p), rng.standard_normal((p, 5)))


def test_omega_is_free_of_the_gauge_and_tau_and_abs_s_are_not() -> None:
    modes = drawn()
    powers = 2.0 ** np.arange(-2, 4)
    other = gauged(modes, powers, 1.0)
    assert np.array_equal(omega(other), omega(modes))
    for measure in (tau, abs_s):
        assert not np.array_equal(np.argsort(measure(other)), np.argsort(measure(modes)))


def test_omega_is_the_norm_of_each_term() -> None:
    modes = drawn()
    for k, value in enumerate(omega(modes)):
        term = modes.s[k] * np.outer(modes.xi_out[:, k], modes.xi_in[k])
        assert value == pytest.approx(np.linalg.norm(term), rel=1e-14)


def test_tau_gives_strengths_and_norms_one_mean() -> None:
    modes = drawn()
    assert (tau(modes) - np.abs(modes.s)).mean() == pytest.approx(np.abs(modes.s).mean(), rel=1e-14)


def test_in_the_balanced_gauge_tau_is_twice_the_cube_root_of_omega() -> None:
    modes = balanced(drawn())
    assert tau(modes) == pytest.approx(2 * np.cbrt(omega(modes)), rel=1e-13)


def test_a_negative_strength_counts_as_much_as_a_positive_one() -> None:
    modes = drawn()
    flipped = Modes(modes.xi_out, -modes.s, modes.xi_in)
    for measure in MEASURES.values():
        assert np.array_equal(measure(flipped), measure(modes))


def test_patterns_of_norm_0_leave_tau_finite() -> None:
    modes = Modes(np.zeros((3, 2)), np.array([1.0, 2.0]), np.zeros((2, 3)))
    assert np.array_equal(tau(modes), [1.0, 2.0])


def test_first_order_has_the_sign_of_an_increase() -> None:
    # L = 3 s grows with s, so that to take the mode out lowers it.
    assert first_order([2.0], [3.0])[0] == -6.0
    with pytest.raises(UsageError, match=r"got \(2,\) and \(3,\)"):
        first_order(np.ones(2), np.ones(3))


@given(n=integers(3, 40), seed=integers(0, 1000))
def test_the_correlation_is_spearmans_also_with_ties(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 8, n).astype(float), rng.standard_normal(n)
    if one.min() == one.max():
        return
    assert agreement(one, other, rng=rng).rho == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


def test_equal_orders_agree_wholly_and_reversed_ones_not_at_all() -> None:
    values = np.arange(10.0)
    rng = np.random.default_rng(0)
    same, reverse = agreement(values, values**3, rng=rng), agreement(values, -values, rng=rng)
    assert same.rho == pytest.approx(1)
    assert reverse.rho == pytest.approx(-1)
    assert same.p is not None
    assert same.p < 0.001


def test_the_p_value_holds_its_level_and_the_interval_its_coverage_where_nothing_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "PERMUTATIONS", 399)
    # 200 pairs of independent lists: 10 +- 3.1 below 5 %, and 10 +- 3.1 intervals without 0; 4 standard errors are tolerated.
    rng = np.random.default_rng(1)
    found = [agreement(rng.standard_normal(20), rng.standard_normal(20), rng=rng) for _ in range(200)]
    assert sum(one.p is not None and one.p <= 0.05 for one in found) <= 22
    assert sum(not one.low <= 0 <= one.high for one in found if one.low is not None and one.high is not None) <= 22


def test_a_constant_measure_has_no_correlation_and_few_modes_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert agreement(np.ones(9), np.arange(9.0), rng=rng).rho is None
    few = agreement([1, 2, 3, 5], [1, 2, 3, 4], rng=rng)
    assert few.rho == pytest.approx(1)
    assert few.low is None
    with pytest.raises(UsageError, match="two finite numbers"):
        agreement([1, math.nan], [1, 2], rng=rng)
