import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from modescope.laws import marchenko_pastur, spiked
from spectrum_cases import planted, visible, with_values


@given(n=integers(2, 5000), m=integers(2, 5000), times=floats(1.01, 1e3), sigma=floats(1e-3, 1e3))
def test_strength_inverts_what_is_observed(n, m, times, sigma):
    theta = times * visible(n, m, sigma)
    assert spiked.strength(spiked.observed(theta, n, m, sigma), n, m, sigma) == pytest.approx(theta, rel=1e-6)
    assert spiked.observed(theta, n, m, sigma) >= theta


@given(n=integers(2, 5000), m=integers(2, 5000), sigma=floats(1e-3, 1e3))
def test_a_direction_leaves_the_noise_at_its_edge_and_with_nothing_known_of_it(n, m, sigma):
    theta = spiked.threshold(n, m, sigma)
    assert theta == pytest.approx(visible(n, m, sigma), rel=1e-12)
    assert spiked.observed(theta, n, m, sigma) ** 2 == pytest.approx(marchenko_pastur.edges(n, m, sigma).upper, rel=1e-9)
    assert spiked.observed(theta / 2, n, m, sigma) == spiked.observed(theta, n, m, sigma)
    assert spiked.cosine(theta / 2, n, m, sigma) == 0
    assert spiked.shrunk(0.0, n, m, sigma) == 0


def test_a_very_strong_direction_is_seen_as_it_is():
    assert spiked.observed(1e6, 300, 200, 1.0) == pytest.approx(1e6, rel=1e-6)
    assert spiked.cosine(1e6, 300, 200, 1.0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("times", [2.0, 4.0])
def test_planted_directions_are_seen_at_the_predicted_value_and_angle(times):
    out, in_, sigma = 1200, 600, 0.7
    theta = times * visible(out, in_, sigma)
    seen = []
    for seed in range(6):
        random = np.random.default_rng(seed)
        true_u, true_vh = (x / np.linalg.norm(x) for x in (random.standard_normal(out), random.standard_normal(in_)))
        a = sigma * random.standard_normal((out, in_)) + theta * np.outer(true_u, true_vh)
        vh = np.linalg.eigh(a.T @ a)[1][:, -1]
        s = np.linalg.norm(a @ vh)
        seen.append((s, float(spiked.strength(s, out, in_, sigma)), (a @ vh / s @ true_u) ** 2, (vh @ true_vh) ** 2))
    s, strength, output, input_ = np.mean(seen, axis=0)
    assert s == pytest.approx(float(spiked.observed(theta, out, in_, sigma)), rel=0.015)
    assert strength == pytest.approx(theta, rel=0.03)
    assert output == pytest.approx(float(spiked.cosine(theta, out, in_, sigma)) ** 2, abs=0.04)
    assert input_ == pytest.approx(float(spiked.cosine(theta, in_, out, sigma)) ** 2, abs=0.04)


@pytest.mark.parametrize(("m", "over_median"), [(1000, 2.858362), (500, 2.171185), (100, 1.608772)])
def test_the_hard_threshold_by_the_median_has_the_published_coefficients(m, over_median):
    assert spiked.hard_threshold_by_median(1000, m, 1.0) == pytest.approx(over_median, abs=1e-5)


def test_the_hard_threshold_of_a_square_matrix_is_four_over_root_three():
    assert spiked.hard_threshold(900, 900, 0.1) == pytest.approx(4 / np.sqrt(3) * 0.1 * 30, rel=1e-14)


@given(n=integers(2, 500), m=integers(2, 500), times=floats(1.01, 100))
def test_the_shrunk_value_is_the_strength_times_both_cosines(n, m, times):
    s = spiked.observed(times * visible(n, m, 2.0), n, m, 2.0)
    theta = spiked.strength(s, n, m, 2.0)
    expected = theta * spiked.cosine(theta, n, m, 2.0) * spiked.cosine(theta, m, n, 2.0)
    assert spiked.shrunk(s, n, m, 2.0) == pytest.approx(float(expected), rel=1e-6)


def test_shrinking_beats_the_hard_threshold_which_beats_keeping_all_outliers():
    out, in_ = 400, 300
    strengths = np.linspace(1.1, 3.0, 20) * visible(out, in_)
    signal = with_values(strengths, out, in_, [3, 2])
    u, s, vh = np.linalg.svd(planted(out, in_, strengths, 3), full_matrices=False)

    def loss(values):
        return np.linalg.norm((u * values) @ vh - signal)

    cut = spiked.hard_threshold(out, in_, 1.0)
    edge = np.sqrt(marchenko_pastur.edges(out, in_, 1.0).upper)
    shrunk = loss(spiked.shrunk(s, out, in_, 1.0))
    assert shrunk < loss(np.where(s > cut, s, 0)) < loss(np.where(s > edge, s, 0))
    by_rank = min(loss(np.where(np.arange(s.size) < rank, s, 0)) for rank in range(21))
    assert loss(np.where(s > cut, s, 0)) <= 1.02 * by_rank
