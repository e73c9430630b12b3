import gc
import threading
import weakref
from itertools import islice

import numpy as np
import pytest

from modescope import twins
from modescope.laws import noise
from modescope.outliers import live
from modescope.spectrum import decompose
from spectrum_cases import gaussian, matrix, planted, row_scales, spectrum, student, visible


def draws(kind, a, count=4, seed=0):
    return [np.array(twin) for twin in islice(kind(a.copy(), np.random.default_rng(seed)), count)]


@pytest.mark.parametrize("shape", [(7, 5), (30, 40), (1, 9), (64, 3)])
def test_permuted_twins_have_the_same_entries_in_other_places(shape):
    a = gaussian(*shape, 0).astype(np.float32)
    found = draws(twins.permuted, a)
    for twin in found:
        assert np.array_equal(np.sort(twin.ravel()), np.sort(a.ravel()))
        assert not np.array_equal(twin, a)
    assert len({twin.tobytes() for twin in found}) == 4


def test_flipped_twins_keep_every_modulus():
    a = gaussian(30, 40, 0).astype(np.float32)
    for twin in draws(twins.flipped, a):
        assert np.array_equal(np.abs(twin), np.abs(a))
        assert 0.4 < (twin == a).mean() < 0.6


def test_twins_permuted_in_rows_keep_every_row():
    a = gaussian(30, 40, 0).astype(np.float32)
    for twin in draws(twins.permuted_in_rows, a):
        assert np.array_equal(np.sort(twin, axis=1), np.sort(a, axis=1))
        assert not np.array_equal(twin, a)


@pytest.mark.parametrize("shape", [(50, 50), (30, 100)])
@pytest.mark.parametrize("heavy", [True, False])
def test_riffled_twins_are_as_good_as_independent_ones(shape, heavy):
    a = (student(*shape, 2.5, 0) if heavy else gaussian(*shape, 0)).astype(np.float32)
    tops = np.array(
        [[np.linalg.norm(twin.astype(np.float64), 2) for twin in draws(twins.permuted, a, 4, seed)] for seed in range(250)]
    )
    correlation = np.corrcoef(tops.T)[np.triu_indices(4, 1)]
    assert np.abs(correlation).max() < 4.0 / np.sqrt(250)
    random = np.random.default_rng(9)
    uniform = np.array([np.linalg.norm(random.permutation(a.ravel()).reshape(shape), 2) for _ in range(500)])
    error = np.hypot(tops[:, 1:].std() / np.sqrt(750), uniform.std() / np.sqrt(500))
    assert abs(tops[:, 1:].mean() - uniform.mean()) < 4 * error
    assert tops[:, 1:].std() == pytest.approx(uniform.std(), rel=0.2)


@pytest.mark.parametrize("shape", [(40, 40), (200, 30), (30, 200), (3, 9), (300, 300)])
@pytest.mark.parametrize("heavy", [True, False])
def test_the_largest_eigenvalue_is_found(shape, heavy):
    a = (student(*shape, 2.5, 0) if heavy else gaussian(*shape, 0)).astype(np.float32)
    exact = np.linalg.norm(a.astype(np.float64), 2) ** 2
    assert twins._largest(a, np.random.default_rng(0)) == pytest.approx(exact, rel=3e-4)


def test_the_largest_eigenvalue_of_a_matrix_of_rank_one_and_of_a_flat_one_is_found():
    for a in (np.outer(np.arange(1, 30), np.ones(20)), np.eye(30)):
        exact = np.linalg.norm(a, 2) ** 2
        assert twins._largest(a.astype(np.float32), np.random.default_rng(0)) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("shape", [(120, 100), (300, 280)])
def test_largest_values_are_those_of_the_full_definition(shape):
    found = spectrum(student(*shape, 3, 0))
    part = live(found)
    quick = np.log(twins.largest(found, part, twins.permuted, draws=15, seed=0, level=0.01))
    random = np.random.default_rng(1)
    centred = student(*shape, 3, 0) - part.mean
    slow = []
    for _ in range(40):
        values = np.linalg.svd(random.permutation(centred.ravel()).reshape(shape), compute_uv=False) ** 2
        slow.append(np.log(values[0] / noise.fit(values, shape[0], level=0.01).sigma ** 2))
    assert np.mean(quick) == pytest.approx(np.mean(slow), abs=4 * np.std(slow) / np.sqrt(15))
    assert 0.5 < np.std(quick) / np.std(slow) < 2


def test_an_extrapolated_value_is_passed_as_often_as_its_level_says():
    """Of lognormal values, whose logarithms have a lighter tail than the law assumed, at most as often; of Gumbel ones about so."""
    random = np.random.default_rng(0)
    for level in (0.05, 0.01):
        light, exact = (
            np.mean([values[-1] > twins.extrapolated(list(values[:-1]), level) for values in np.exp(0.1 * draws)])
            for draws in (random.standard_normal((4000, 20)), random.gumbel(size=(4000, 20)))
        )
        assert light <= level
        assert 0.2 * level < exact < 1.5 * level


def test_any_level_has_a_value_and_a_larger_one_a_lower():
    values = [1.0, 1.1, 1.2, 1.3]
    found = [twins.extrapolated(values, level) for level in (1e-12, 1e-3, 0.1, 0.25, 0.5, 0.75, 0.999)]
    assert not np.isnan(found).any()
    assert found == sorted(found, reverse=True)
    assert found[0] == np.inf  # four values say nothing of one in 1e12
    assert np.isfinite(found[1:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("width", [24, 64])
def test_networks_of_heavy_tailed_noise_keep_to_the_level_of_the_network(width):
    from modescope.measures import bulk

    networks, layers, seen = 20, 32, 0
    for network in range(networks):
        noises = (student(width, width, 3, layers * network + layer) for layer in range(layers))
        seen += any(bulk.analyze(spectrum(a), level=0.01, tests=layers).outliers for a in noises)
    assert seen <= 4  # of 20, where 5 % show any, more than 4 have a chance of .003


def test_gaussian_noise_needs_no_calibration_and_heavy_or_sparse_noise_does():
    random = np.random.default_rng(0)
    sparse = gaussian(200, 200, 1) * (random.random((200, 200)) < 0.05)
    huge = gaussian(200, 200, 2)
    huge[0, 0] = 15.0
    few_signs = np.sign(sparse)  # no entry is large, but the many zeros move the edge
    noises = (gaussian(200, 200, 0), student(200, 200, 3, 0), sparse, huge, few_signs)
    assert [twins.needs_calibration(live(spectrum(a))) for a in noises] == [False, True, True, True, True]
    assert live(spectrum(few_signs)).extreme < twins.EXTREME * visible(200, 200, live(spectrum(few_signs)).std)


@pytest.mark.parametrize("kind", [twins.permuted, twins.flipped])
def test_noise_whose_edge_holds_is_not_raised_by_much(kind):
    found = spectrum(gaussian(200, 200, 0))
    assert 1.0 <= twins.inflation(found, live(found), kind, draws=19, seed=0, level=0.01) < 1.05


def test_signs_raise_the_edge_of_unequal_rows_and_permutation_does_not():
    found = spectrum(row_scales(200, 200, 0.4, 0))
    factors = [twins.inflation(found, live(found), kind, draws=5, seed=0, level=0.01) for kind in (twins.permuted, twins.flipped)]
    assert factors[0] < 1.1
    assert factors[1] > 1.3


def test_twins_are_drawn_once_for_a_spectrum_even_by_two_threads(monkeypatch):
    found = spectrum(student(60, 50, 3, 0))
    part, calls, true = live(found), [], twins.largest
    monkeypatch.setattr(twins, "largest", lambda *args, **kwargs: calls.append(1) or true(*args, **kwargs))
    results = []

    def ask(seed):
        results.append(twins.inflation(found, part, twins.permuted, draws=5, seed=seed, level=0.01))

    threads = [threading.Thread(target=ask, args=(0,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(calls), len(set(results))) == (1, 1)
    ask(1)
    assert len(calls) == 2


def test_a_spectrum_is_not_kept_alive_by_its_twins():
    found = spectrum(student(60, 50, 3, 0))
    twins.inflation(found, live(found), twins.permuted, draws=2, seed=0, level=0.01)
    reference = weakref.ref(found)
    del found
    gc.collect()
    assert reference() is None


def test_names_and_seed_make_the_twins_and_the_weights_stay_as_they_were():
    a = student(60, 50, 3, 0)
    before = a.tobytes()

    def values(name, seed):
        found = decompose(matrix(a, name))
        return twins.largest(found, live(found), twins.permuted, draws=3, seed=seed, level=0.01)

    assert values("a", 0) == values("a", 0)
    assert values("a", 0) != values("b", 0)
    assert values("a", 0) != values("a", 1)
    assert a.tobytes() == before


@pytest.mark.parametrize("c", [1e-20, 1e20, 1e-140, 1e140])
def test_values_of_twins_ignore_the_scale(c):
    a = student(60, 50, 3, 0)
    one, other = spectrum(a), spectrum(c * a)
    found = [twins.largest(x, live(x), twins.permuted, draws=3, seed=0, level=0.01) for x in (one, other)]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400, 400), (64, 576), (600, 300)])
def test_independent_entries_of_any_law_show_outliers_no_more_often_than_their_twins_allow(shape):
    from modescope.measures import bulk

    def sparse(seed):
        random = np.random.default_rng(seed)
        return random.standard_normal(shape) * (random.random(shape) < 0.1)

    laws = [
        sparse,
        lambda seed: student(*shape, 5, seed),
        lambda seed: student(*shape, 4, seed),
        lambda seed: student(*shape, 2.5, seed),
    ]
    for law in laws:
        shares = [bulk.analyze(spectrum(law(seed))).outliers > 0 for seed in range(60)]
        assert np.mean(shares) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


def test_planted_signal_is_not_hidden_by_its_own_energy():
    found = spectrum(planted(200, 200, [300.0, 200.0, 100.0], 0))
    assert twins.inflation(found, live(found), twins.permuted, draws=19, seed=0, level=0.01) < 1.1


def test_a_twin_for_a_picture_is_gaussian_for_light_tails_and_permuted_for_heavy_ones():
    random = np.random.default_rng(5)
    light, heavy = random.standard_normal((80, 120)), random.standard_t(2.5, (80, 120))
    kinds = []
    for a in (light, heavy):
        found = spectrum(a)
        part = live(found)
        drawn = twins.twin(found, part, seed=0)
        assert (np.diff(drawn.s) <= 0).all()
        assert drawn.s.size == part.m
        # the energy of a twin is that of the entries less their mean, for Gaussian ones but for sampling
        assert np.sum(drawn.s**2) == pytest.approx(a.size * a.std() ** 2, rel=6 * np.sqrt(2 / a.size))
        kinds.append(drawn.kind)
    assert kinds == ["Gaussian, same variance", "centred entries, shuffled"]


def test_a_permuted_twin_for_a_picture_is_the_first_of_those_that_set_the_threshold(monkeypatch):
    a = np.random.default_rng(5).standard_t(2.5, (60, 90))
    found = spectrum(a)
    part = live(found)
    alone = twins.twin(spectrum(a), part, seed=3).s
    twins.inflation(found, part, twins.permuted, draws=2, seed=3, level=0.01)
    monkeypatch.setattr(twins, "permuted", None)  # drawing it again would fail
    assert twins.twin(found, part, seed=3).s == pytest.approx(alone, rel=1e-12)


def test_a_gaussian_twin_has_the_spectrum_of_a_permuted_one_where_entries_are_light_tailed():
    a = np.random.default_rng(6).uniform(-1, 1, (300, 500))
    found = spectrum(a)
    part = live(found)
    gaussian = twins.twin(found, part, seed=0).s
    shuffled = np.linalg.svd(np.random.default_rng(1).permuted(a.ravel()).reshape(a.shape) - a.mean(), compute_uv=False)
    # eigenvalues of noise are rigid: the k-th of 300 moves by about 1 / 300 of the width between draws, and more at the edges
    assert np.abs(gaussian - shuffled).max() < 0.03 * shuffled[0]
