import threading
from dataclasses import asdict

import numpy as np
import pytest

from modescope.laws import power_law, wishart
from modescope.measures import bulk, null
from spectrum_cases import g15, gaussian, planted, row_scales, spectrum, student


def counts(a, **options):
    found = null.analyze(spectrum(a), twins=19, gaussian=0, **options)
    return found.outliers_entries, found.outliers_signs, found.outliers_rows


def test_heavy_tailed_entries_are_told_by_permutation():
    a = student(400, 400, 3, 0)
    entries, signs, _ = counts(a)
    assert bulk.analyze(spectrum(a)).outliers_theory >= 3
    assert entries <= 1
    assert signs <= 1


def test_unequal_rows_are_told_by_signs_and_by_permutation_within_rows_alone():
    entries, signs, rows = counts(row_scales(300, 300, 0.3, 1))
    assert entries >= 15
    assert signs <= 1
    assert rows <= 1


def test_signal_survives_the_permutation_of_entries():
    entries, signs, _ = counts(planted(400, 400, g15(400, 400), 2))
    assert abs(entries - 15) <= 1
    assert 8 <= signs <= 15  # the strict count loses some of the weak ones next to giants


def test_the_mean_is_taken_out_of_the_twins_and_stays_an_outlier():
    assert counts(gaussian(400, 400, 3) + 0.2) == (1, 1, 1)


def test_noise_has_no_outliers_by_any_twin():
    assert counts(gaussian(200, 300, 4)) == (0, 0, 0)


def test_twins_are_not_drawn_unless_asked_for_or_needed():
    plain = null.analyze(spectrum(planted(200, 150, [100.0], 0)))
    assert (plain.outliers_entries, plain.outliers_signs, plain.outliers_rows, plain.status) == (None, None, None, "ok")
    found = spectrum(student(200, 150, 2.5, 0))
    needed = null.analyze(found)
    assert needed.outliers_entries == bulk.analyze(found).outliers
    assert needed.outliers_signs is None


def test_the_range_of_alpha_is_that_of_gaussian_noise_of_the_shape():
    found = null.analyze(spectrum(gaussian(90, 60, 0)), gaussian=40)
    random = np.random.default_rng(1)
    alphas = np.sort([power_law.fit(wishart.sample(90, 60, random)).alpha for _ in range(200)])
    # extremes of 40 draws: below the 20 % and above the 80 % quantile but for a chance of 1e-4 each
    assert found.alpha_low < alphas[40]
    assert found.alpha_high > alphas[160]
    assert found.alpha_low < found.alpha_high


def test_the_range_of_alpha_depends_on_shape_and_seed_alone():
    one = null.analyze(spectrum(gaussian(60, 90, 0)))
    same = null.analyze(spectrum(1e-3 * student(90, 60, 5, 1)))
    other = null.analyze(spectrum(gaussian(90, 60, 0)), seed=1)
    assert (one.alpha_low, one.alpha_high) == (same.alpha_low, same.alpha_high)
    assert one.alpha_low != other.alpha_low


@pytest.mark.parametrize(
    ("shape", "status"),
    [((18, 400), "no range of alpha: short side 18, 20 needed"), ((10, 400), "short side 10, 16 needed")],
)
def test_a_matrix_too_small_for_a_range_says_so(shape, status):
    found = null.analyze(spectrum(gaussian(*shape, 0)))
    assert found.alpha_low is found.alpha_high is None
    assert found.status.startswith(status)


def test_a_matrix_too_large_for_a_range_says_so(monkeypatch):
    monkeypatch.setattr(null, "LARGEST", 50)
    found = null.analyze(spectrum(gaussian(60, 60, 0)))
    assert (found.alpha_low, found.status) == (None, "no range of alpha: short side 60, drawn up to 50")


@pytest.mark.parametrize("a", [np.zeros((20, 20)), np.ones((20, 20)), gaussian(40, 5, 0) @ gaussian(5, 40, 1)])
def test_what_has_no_noise_has_no_twins(a):
    found = null.analyze(spectrum(a), twins=3)
    assert found.outliers_entries is found.outliers_signs is None
    assert found.status != "ok"


def test_the_same_seed_gives_the_same_numbers_from_any_thread_and_in_any_order():
    layers = {f"layer.{i}": student(60, 50, 3, i) for i in range(4)}

    def analyze(name, results):
        results[name] = asdict(null.analyze(spectrum(layers[name], name), twins=3, seed=7))

    forward, backward = {}, {}
    for name in layers:
        analyze(name, forward)
    null._gaussian_alphas.cache_clear()
    threads = [threading.Thread(target=analyze, args=(name, backward)) for name in reversed(layers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert forward == backward
