"""How modes begin: the variance that each rule promises, and the spectral one as the law of a dense draw that is never made."""

import math

import numpy as np
import pytest
from scipy.stats import ks_2samp

from modescope.modes.factors import svd
from modescope.modes.initialisation import gaussian_values, iid, published, spectral

RULES = pytest.mark.parametrize("rule", [published, iid, spectral])


def variance(rule, outputs, inputs, p, draws, **options):
    """N Var W over draws, by the energy, which needs no weight."""
    rng = np.random.default_rng(0)
    energies = [rule(outputs, inputs, p, rng, **options).energy for _ in range(draws)]
    return inputs * np.mean(energies) / (outputs * inputs)


@pytest.mark.parametrize(("inputs", "p"), [(784, 6), (3000, 8)])
def test_the_published_rule_has_unit_variance_at_the_logarithm_of_the_width(inputs, p):
    assert p == int(math.log(inputs))
    assert variance(published, 60, inputs, p, 300) == pytest.approx(p / math.log(inputs), rel=0.1)


def test_the_published_rule_exceeds_the_variance_of_he_at_many_modes():
    assert variance(published, 100, 64, 30, 300) == pytest.approx(30 / math.log(64), rel=0.1)


@pytest.mark.parametrize("p", [1, 8, 60])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_the_general_rule_has_the_gain_for_any_number_of_modes(p, gain):
    # One mode alone is a product of three: its energy varies by s^2 ~ chi^2_1, so 300 draws are good to 8 % and 3000 to 3 %.
    draws = 3000 if p == 1 else 300
    assert variance(iid, 40, 50, p, draws, gain=gain) == pytest.approx(gain, rel=0.1)


@pytest.mark.parametrize("p", [1, 8, 40, 45, 100])
def test_the_spectral_rule_has_the_gain_for_any_number_of_modes(p):
    assert variance(spectral, 40, 50, p, 60, gain=2.0) == pytest.approx(2.0, rel=0.03)  # ||W||_F^2 ~ chi^2_2000 / 1000


@pytest.mark.parametrize(("outputs", "inputs", "p"), [(12, 30, 5), (30, 12, 12), (5, 5, 1), (1, 4, 1)])
def test_spectral_modes_are_orthonormal_up_to_their_balanced_scales(outputs, inputs, p):
    modes = spectral(outputs, inputs, p, np.random.default_rng(0))
    third = modes.s
    assert (np.diff(third) <= 0).all()
    assert (third > 0).all()
    np.testing.assert_allclose(modes.xi_out.T @ modes.xi_out, np.diag(third**2), atol=1e-10)
    np.testing.assert_allclose(modes.xi_in @ modes.xi_in.T, np.diag(third**2), atol=1e-10)
    np.testing.assert_allclose(svd(modes)[1], third**3, atol=1e-10)


def test_spectral_modes_have_the_norm_of_the_dense_draw_they_are_cut_from():
    for p in (1, 5, 12):
        values, norm = gaussian_values(30, 12, p, np.random.default_rng(4))
        modes = spectral(30, 12, p, np.random.default_rng(4), gain=2.0)
        assert math.sqrt(modes.energy) == pytest.approx(math.sqrt(2.0 / 12) * norm, rel=1e-10)
        np.testing.assert_allclose(svd(modes)[1] / svd(modes)[1][0], values / values[0], rtol=1e-9)
    everything, norm = gaussian_values(30, 12, 12, np.random.default_rng(4))
    assert np.linalg.norm(everything) == pytest.approx(norm, rel=1e-10)


@pytest.mark.parametrize(("outputs", "inputs"), [(6, 9), (9, 6), (5, 5), (1, 3)])
def test_the_values_drawn_without_a_matrix_have_the_law_of_those_of_a_matrix(outputs, inputs):
    # 2500 draws each. Means and covariances within 5 standard errors of their difference; the two laws of every value by a
    # Kolmogorov-Smirnov test at 1e-4, so that a right law fails one run of the four in about 500 seeds.
    rng, count = np.random.default_rng(1), 2500
    short = min(outputs, inputs)
    drawn = np.array([gaussian_values(outputs, inputs, short, rng)[0] for _ in range(count)])
    dense = np.linalg.svd(rng.standard_normal((count, outputs, inputs)), compute_uv=False)
    products = [(one - drawn.mean(0))[:, :, None] * (one - drawn.mean(0))[:, None, :] for one in (drawn, dense)]
    for ours, theirs in ((drawn, dense), products):
        error = np.sqrt((ours.var(0) + theirs.var(0)) / count)
        assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * error).all()
    assert all(ks_2samp(drawn[:, k], dense[:, k]).pvalue > 1e-4 for k in range(short))


def test_the_directions_of_spectral_modes_are_uniform():
    # E[u u^T] = I / n for the first of them, on both sides; 800 draws are good to sqrt(2 / n^2 / 800).
    rng = np.random.default_rng(2)
    found = [spectral(4, 5, 2, rng) for _ in range(800)]
    for size, units in (
        (4, np.array([one.xi_out[:, 0] / one.s[0] for one in found])),
        (5, np.array([one.xi_in[0] / one.s[0] for one in found])),
    ):
        np.testing.assert_allclose(units.T @ units / 800, np.eye(size) / size, atol=5 * math.sqrt(2 / size**2 / 800))
        np.testing.assert_allclose(units.mean(0), 0, atol=5 / math.sqrt(800 * size))


@RULES
@pytest.mark.parametrize(("outputs", "inputs", "p"), [(1, 1, 1), (1, 1, 4), (1, 9, 2), (7, 1, 3), (3, 4, 11)])
def test_every_rule_draws_any_shape_and_the_same_for_the_same_generator(rule, outputs, inputs, p):
    first, second = (rule(outputs, inputs, p, np.random.default_rng(3)) for _ in range(2))
    assert (first.shape, first.count) == ((outputs, inputs), p)
    np.testing.assert_array_equal(first.weight, second.weight)
    assert first.weight.any()


def test_the_weight_of_iid_modes_is_heavy_tailed():
    # A term is a product of three Gaussians with kurtosis 27; the mean of p of them has excess 24 / p up to shared factors.
    rng = np.random.default_rng(0)
    entries = np.array([iid(1, 1, 4, rng).weight[0, 0] for _ in range(4000)])
    assert np.mean(entries**4) / np.mean(entries**2) ** 2 > 4
