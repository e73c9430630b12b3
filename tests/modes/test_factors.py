"""A weight as modes: its gauge, its energy and its SVD without the weight, against the weight formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from modes_layer_cases import gaussian
from modescope.errors import UsageError
from modescope.modes.factors import Modes, balanced, gauged, kept, of_svd, orthonormal, svd, truncated

SHAPES = pytest.mark.parametrize(
    ("outputs", "inputs", "p"), [(6, 8, 4), (8, 6, 6), (5, 9, 1), (4, 3, 11), (1, 1, 1), (1, 7, 3), (40, 30, 20)]
)


@SHAPES
def test_the_weight_is_the_sum_of_its_modes(outputs, inputs, p):
    modes = gaussian(outputs, inputs, p)
    terms = sum(modes.s[k] * np.outer(modes.xi_out[:, k], modes.xi_in[k]) for k in range(p))
    np.testing.assert_allclose(modes.weight, terms, atol=1e-12)
    assert (modes.shape, modes.count) == ((outputs, inputs), p)


@SHAPES
def test_energy_is_that_of_the_weight(outputs, inputs, p):
    modes = gaussian(outputs, inputs, p)
    assert modes.energy == pytest.approx(np.linalg.norm(modes.weight) ** 2, rel=1e-12)


@SHAPES
def test_omega_is_the_norm_of_each_term_in_every_gauge(outputs, inputs, p):
    modes = gaussian(outputs, inputs, p)
    norms = [np.linalg.norm(kept(modes, [k]).weight) for k in range(p)]
    other = gauged(modes, np.linspace(-3, -0.1, p), 7.0)
    for one in (modes, other, balanced(modes)):
        np.testing.assert_allclose(one.omega, norms, rtol=1e-12)


@SHAPES
def test_the_svd_is_that_of_the_dense_weight(outputs, inputs, p):
    modes = gaussian(outputs, inputs, p)
    u, s, vh = svd(modes)
    k = min(outputs, inputs, p)
    dense = np.linalg.svd(modes.weight, compute_uv=False)
    assert (u.shape, s.shape, vh.shape) == ((outputs, k), (k,), (k, inputs))
    np.testing.assert_allclose(s, dense[:k], atol=1e-10)
    np.testing.assert_allclose((u * s) @ vh, modes.weight, atol=1e-10)
    for gram in (u.T @ u, vh @ vh.T):
        np.testing.assert_allclose(gram, np.eye(k), atol=1e-12)


@SHAPES
def test_balanced_modes_of_an_svd_give_the_weight_back(outputs, inputs, p):
    modes = gaussian(outputs, inputs, p)
    again = of_svd(*svd(modes))
    np.testing.assert_allclose(again.weight, modes.weight, atol=1e-12 * np.linalg.norm(modes.weight))
    np.testing.assert_allclose(again.omega, svd(modes)[1], rtol=1e-10)
    for norms in (np.linalg.norm(again.xi_out, axis=0), np.linalg.norm(again.xi_in, axis=1)):
        np.testing.assert_allclose(norms, again.s, rtol=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_gauges_keep_the_weight_and_powers_of_two_to_the_bit(seed, p):
    modes, rng = gaussian(5, 7, p, seed), np.random.default_rng(seed)
    exact = gauged(modes, 2.0 ** rng.integers(-20, 20, p), -(2.0 ** rng.integers(-20, 20, p)))
    for k in range(p):
        np.testing.assert_array_equal(kept(exact, [k]).weight, kept(modes, [k]).weight)
    np.testing.assert_allclose(gauged(modes, rng.uniform(0.1, 9, p), 0.3).weight, modes.weight, atol=1e-12)


def cost(mode):
    return 0.5 * (np.sum(mode.xi_out**2) + np.sum(mode.s**2) + np.sum(mode.xi_in**2))


def test_balance_is_where_decay_is_least_and_its_cost_is_three_halves_of_omega_to_two_thirds():
    modes = gaussian(6, 8, 4)
    least = balanced(modes)
    np.testing.assert_allclose(least.weight, modes.weight, atol=1e-12)
    np.testing.assert_array_equal(np.sign(least.s), np.sign(modes.s))
    for k in range(4):
        one, found = kept(modes, [k]), kept(least, [k])
        assert cost(found) == pytest.approx(1.5 * modes.omega[k] ** (2 / 3), rel=1e-10)
        searched = minimize(lambda logs, one=one: cost(gauged(one, np.exp(logs[0]), np.exp(logs[1]))), [0.0, 0.0], tol=1e-12)
        assert searched.fun == pytest.approx(cost(found), rel=1e-10)


def test_balancing_twice_changes_nothing_and_a_mode_of_strength_zero_becomes_zero():
    modes = Modes(np.ones((3, 3)), [0.0, -2.0, 1.0], np.array([[1.0, 2], [3, 4], [0, 0]]))
    once = balanced(modes)
    twice = balanced(once)
    for one, other in ((once.xi_out, twice.xi_out), (once.s, twice.s), (once.xi_in, twice.xi_in)):
        np.testing.assert_allclose(one, other, atol=1e-15)
    for k in (0, 2):
        assert not once.xi_out[:, k].any()
        assert not once.s[k]
        assert not once.xi_in[k].any()


def test_truncation_is_the_nearest_weight_of_that_rank():
    modes = gaussian(9, 7, 6)
    values = np.linalg.svd(modes.weight, compute_uv=False)
    for p in range(1, 6):
        found = truncated(modes, p)
        assert found.count == p
        assert np.linalg.norm(modes.weight - found.weight, 2) == pytest.approx(values[p], rel=1e-10)
        assert np.linalg.norm(modes.weight - found.weight) ** 2 == pytest.approx(np.sum(values[p:] ** 2), rel=1e-10)
    for p in (0, 7):
        with pytest.raises(UsageError, match="expected 1 to 6 modes"):
            truncated(modes, p)


def test_orthonormal_modes_keep_the_weight_their_order_and_their_signs_where_they_have_one():
    modes = gaussian(6, 8, 4)
    found = orthonormal(modes)
    np.testing.assert_allclose(found.weight, modes.weight, atol=1e-12)
    np.testing.assert_allclose(found.s, np.linalg.svd(modes.weight, compute_uv=False)[:4], atol=1e-12)
    turned = Modes(found.xi_out, [-1.0, 5.0, 0.0, 2.0], found.xi_in)
    assert orthonormal(turned) is turned


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((6, 4), (3,), (4, 8)), r"got \(6, 4\), \(3,\) and \(4, 8\)"),
        (((6, 3), (3,), (4, 8)), "xi_in"),
        (((6, 3), (3, 1), (3, 8)), "xi_out"),
        (((6, 3), (3,), (3, 8, 2)), "modes"),
        (((6, 0), (0,), (0, 8)), "p at least 1"),
        (((0, 3), (3,), (3, 8)), "modes"),
    ],
)
def test_factors_that_do_not_fit_are_refused_with_their_shapes(shapes, said):
    with pytest.raises(UsageError, match=said):
        Modes(*map(np.ones, shapes))


def test_entries_that_are_not_finite_are_counted_and_named():
    with pytest.raises(UsageError, match=r"finite xi_in of shape \(3, 8\), got 2 entries"):
        Modes(np.ones((6, 3)), np.ones(3), np.where(np.arange(24).reshape(3, 8) < 2, np.nan, 1.0))


@pytest.mark.parametrize(("c", "d"), [(0.0, 1.0), (1.0, np.inf), (np.nan, 1.0), ([1.0, 0.0, 1.0, 1.0], 1.0), ([1.0, 2.0], 1.0)])
def test_gauges_that_lose_the_weight_are_refused(c, d):
    with pytest.raises(UsageError, match="gauge: expected"):
        gauged(gaussian(6, 8, 4), c, d)


def test_modes_hold_their_own_numbers_and_cannot_be_changed():
    s = np.ones(3, np.float32)
    modes = Modes(np.ones((6, 3)), s, np.ones((3, 8)))
    s[0] = 9
    assert modes.s[0] == 1
    assert modes.s.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        modes.s[0] = 2
