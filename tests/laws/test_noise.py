import numpy as np
import pytest

from modescope.laws import marchenko_pastur, noise, wishart
from spectrum_cases import g5, g15, gaussian, planted, visible

SHAPES = [(400, 400), (400, 398), (600, 1200), (64, 576)]


def eigenvalues(a):
    b = a if a.shape[0] >= a.shape[1] else a.T
    return np.linalg.eigvalsh(b.T @ b)[::-1].copy()


def fitted(a, level=0.01):
    return noise.fit(eigenvalues(a), max(a.shape), level=level)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_scale_of_noise_is_found_without_bias(shape):
    n, m = max(shape), min(shape)
    random = np.random.default_rng([n, m])
    found = [noise.fit(wishart.sample(n, m, random)[::-1], n, level=0.01).sigma for _ in range(20)]
    assert np.mean(found) == pytest.approx(1, abs=0.005 if m == 64 else 0.003)


@pytest.mark.parametrize("shape", SHAPES)
def test_strong_and_weak_spikes_are_counted_and_taken_out_of_the_scale(shape):
    found = [fitted(planted(*shape, g15(*shape), seed)) for seed in range(8)]
    assert np.mean([one.sigma for one in found]) == pytest.approx(1, abs=0.015 if shape[0] == 64 else 0.01)
    assert all(abs(one.outliers - 15) <= 1 for one in found)
    assert sum(one.outliers == 15 for one in found) >= (5 if shape[0] == 64 else 6)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("spikes", "count"), [(g5, 5), (g15, 15)])
def test_spikes_are_counted_exactly_in_nearly_all_draws(shape, spikes, count):
    found = [fitted(planted(*shape, spikes(*shape), seed)).outliers for seed in range(20)]
    assert sum(outliers == count for outliers in found) >= (16 if shape[0] == 64 else 18)
    assert all(abs(outliers - count) <= 1 for outliers in found)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [5, 15])
def test_spikes_twice_above_the_visible_strength_are_found_one_and_all(shape, count):
    strengths = np.linspace(2, 8, count) * visible(*shape)
    found = np.array([fitted(planted(*shape, strengths, seed), level=0.01 / 200).outliers for seed in range(200)])
    assert (found == count).mean() >= (0.97 if shape[0] == 64 else 0.99)
    assert (found <= count).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_two_hundred_noise_matrices_show_an_outlier_no_more_often_than_their_level(shape):
    n, m = max(shape), min(shape)
    random = np.random.default_rng([n, m, 1])
    false = sum(noise.fit(wishart.sample(n, m, random)[::-1], n, level=0.01 / 200).outliers > 0 for _ in range(200))
    assert false <= 1  # the family shows any with probability .01 to .02, more than one with 2e-4


@pytest.mark.parametrize("side", [(64, 64), (300, 300), (64, 576)])
def test_the_share_of_false_positives_is_the_level(side):
    n, m = max(side), min(side)
    random = np.random.default_rng([n, m, 2])
    share = np.mean([noise.fit(wishart.sample(n, m, random)[::-1], n, level=0.05).outliers > 0 for _ in range(1000)])
    assert 0.03 <= share <= 0.10


def test_a_square_and_a_nearly_square_matrix_agree():
    a = planted(400, 400, g15(400, 400), 5)
    square, nearly = fitted(a), fitted(a[:, :398])
    assert square.outliers == nearly.outliers == 15
    assert square.sigma == pytest.approx(nearly.sigma, rel=0.01)


@pytest.mark.parametrize("count", [60, 120])
def test_a_third_of_all_directions_may_be_signal(count):
    found = fitted(planted(400, 400, np.linspace(1.5, 3, count) * visible(400, 400), 0))
    assert abs(found.outliers - count) <= 1
    assert found.sigma == pytest.approx(1, abs=0.04)


def test_spikes_too_weak_to_be_seen_are_not_reported():
    found = [fitted(planted(600, 300, [0.7 * visible(600, 300)], seed)).outliers for seed in range(20)]
    assert sum(outliers == 0 for outliers in found) >= 18


@pytest.mark.parametrize("c", [1e-6, 1e6])
def test_the_fit_is_covariant_under_scaling(c):
    a = planted(200, 150, np.array([2.0, 4.0]) * visible(200, 150), 1)
    one, other = fitted(a), fitted(c * a)
    assert (one.outliers, one.n, one.m) == (other.outliers, other.n, other.m) == (2, 198, 148)
    assert other.sigma == pytest.approx(c * one.sigma, rel=1e-12)
    assert other.threshold == pytest.approx(c**2 * one.threshold, rel=1e-12)
    assert other.distance == pytest.approx(one.distance, rel=1e-10)


def test_outliers_are_exactly_the_values_above_the_threshold():
    values = eigenvalues(planted(300, 200, np.linspace(1.2, 3, 12) * visible(300, 200), 2))
    found = noise.fit(values, 300, level=0.05)
    assert found.outliers == (values > found.threshold).sum()
    assert found.threshold == noise.edge(300 - found.outliers, 200 - found.outliers, found.sigma, level=0.05)


def test_the_first_test_and_its_probability_agree():
    for seed in range(40):
        values = eigenvalues(planted(80, 60, [1.3 * visible(80, 60)], seed))
        p = noise.exceedance(float(values[0]), 80, 60, 1.0)
        assert (p < 0.05) == (noise.count(values, 80, 1.0, level=0.05) > 0)


def test_a_raised_edge_counts_fewer():
    values = eigenvalues(planted(300, 200, np.linspace(1.2, 3, 12) * visible(300, 200), 2))
    counts = [noise.count(values, 300, 1.0, level=0.01, inflation=factor) for factor in (1.0, 1.5, 2.0, 100.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == fitted(planted(300, 200, np.linspace(1.2, 3, 12) * visible(300, 200), 2)).outliers
    assert counts[-1] == 0


def test_a_spectrum_of_spikes_alone_says_that_there_is_no_bulk():
    values = np.geomspace(1e20, 1, 40)
    found = noise.fit(values, 40, level=0.01)
    assert found.m == noise.LEAST
    assert found.outliers > 40 - found.m  # more than were taken out: no noise to speak of


@pytest.mark.slow
def test_the_edge_of_known_noise_is_exceeded_as_often_as_its_level_says():
    for n, m in [(64, 64), (576, 64), (600, 300)]:
        random = np.random.default_rng([n, m, 3])
        tops = np.array([wishart.sample(n, m, random)[-1] for _ in range(4000)])
        assert 0.037 <= (tops > noise.edge(n, m, 1.0, level=0.05)).mean() <= 0.056
        assert 0.003 <= (tops > noise.edge(n, m, 1.0, level=0.01)).mean() <= 0.014


def test_gaussian_matrices_and_drawn_spectra_give_one_answer_in_law():
    dense = np.mean([fitted(gaussian(120, 100, seed)).sigma for seed in range(60)])
    random = np.random.default_rng(8)
    drawn = np.mean([noise.fit(wishart.sample(120, 100, random)[::-1], 120, level=0.01).sigma for _ in range(60)])
    assert dense == pytest.approx(drawn, abs=4 * 0.008 / np.sqrt(60))


@pytest.mark.parametrize(("n", "m"), [(16, 16), (40, 16), (32, 32)])
def test_small_noise_passes_the_edge_as_often_as_its_level_says(n, m):
    """Without the scatter of sigma the share at .01 would be 1.7 to 2.7 times the level, and 2.8 to 6 times at .001.

    The bounds are the formula's own error, .7 to 1.3, and four standard deviations of 20000 draws: .28 at .01, .9 at .001.
    """
    random = np.random.default_rng([n, m, 4])
    spectra = np.concatenate([np.linalg.eigvalsh(_grams(random, 4000, n, m)) for _ in range(5)])
    tops = np.array([values[-1] / marchenko_pastur.scale(values, n) ** 2 for values in spectra])
    for level in (0.01, 0.001):
        scatter = 4 * np.sqrt(level / len(tops))
        assert 0.7 * level - scatter < (tops > noise.edge(n, m, 1.0, level=level)).mean() < 1.3 * level + scatter


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "draws"), [(16, 16, 20000), (40, 24, 12000), (64, 64, 6000)])
def test_the_level_holds_where_sigma_is_estimated_from_the_same_values(n, m, draws):
    """A factor of 2 at .01 and of 2.5 at .001 would be seen: with 20000 draws these are 14 and 7 standard deviations."""
    random = np.random.default_rng([n, m])
    spectra = np.linalg.eigvalsh(_grams(random, draws, n, m))[:, ::-1]
    p = np.array([noise.exceedance(x[0], n, m, marchenko_pastur.scale(x[::-1], n)) for x in spectra])
    for level in (0.01, 0.001):
        scatter = 3 * np.sqrt(level / draws)
        assert 0.6 * level - scatter <= (p <= level).mean() <= 1.4 * level + scatter


def _grams(random, draws, n, m):
    a = random.standard_normal((draws, n, m))
    return a.transpose(0, 2, 1) @ a


@pytest.mark.parametrize("shape", [(16, 16), (64, 24), (400, 300)])
def test_a_value_on_the_edge_of_a_level_has_that_p(shape):
    for level in (0.3, 0.01, 1e-4, 1e-9):
        assert noise.exceedance(noise.edge(*shape, 2.0, level=level), *shape, 2.0) == pytest.approx(level, rel=1e-6)
