from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest

from matrices_cases import as_matrix
from modescope.laws import fixed_aspect, power_law
from modescope.matrix import Convolution, Matrix, Product
from modescope.measures.tail import Result, analyze
from modescope.quantity import quantities
from modescope.spectrum import Spectrum, decompose
from tail_cases import matrix, noise_values, of_matrix, of_values, pareto, with_values

NOISE = "noise: alpha has no meaning"


def gaussian(rows, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def heavy(n=300, seed=0):
    """A matrix whose eigenvalues are Pareto."""
    return with_values(np.sort(np.sqrt(pareto(n, 2.5, seed)))[::-1], (n, n), seed)


def test_numbers_are_those_of_the_fit_to_the_eigenvalues():
    values = pareto(400, 2.5, 1)
    found, fitted = analyze(of_values(values)), power_law.fit(values)
    assert found.n_tail == fitted.n_tail
    assert found.xmin == pytest.approx(fitted.xmin, rel=1e-13)
    assert found.alpha == pytest.approx(fitted.alpha, rel=1e-12)
    assert found.alpha_stderr == pytest.approx(fitted.alpha_stderr, rel=1e-12)
    assert found.ks == pytest.approx(fitted.ks, abs=1e-13)
    assert found.status == "ok"


def test_one_sided_distance_is_that_of_the_law():
    values = noise_values(300, 150, 2)
    assert analyze(of_values(values), two_sided=False).ks == pytest.approx(power_law.fit(values, two_sided=False).ks, abs=1e-13)
    values = pareto(200, 2.5, 2)
    assert analyze(of_values(values), two_sided=False).ks < analyze(of_values(values)).ks


@pytest.mark.parametrize("factor", [1e-6, 1e6, 1e-150])
def test_scaling_the_matrix_scales_xmin_alone(factor):
    w = heavy(200)
    plain, scaled = analyze(of_matrix(w), alternatives=True), analyze(of_matrix(factor * w), alternatives=True)
    assert scaled.xmin == pytest.approx(factor**2 * plain.xmin, rel=1e-12)
    for name, number in asdict(plain).items():
        if name != "xmin" and isinstance(number, float | int):
            assert getattr(scaled, name) == pytest.approx(number, rel=1e-7, abs=1e-9), name
    assert scaled.alpha == pytest.approx(plain.alpha, rel=1e-10)


def test_values_lost_in_the_storage_are_left_out():
    s = np.concatenate([np.sort(np.sqrt(pareto(120, 2.5, 3)))[::-1], np.zeros(80)])
    w = with_values(s, (200, 200), 3).astype(np.float32)
    spectrum = of_matrix(w)
    assert np.count_nonzero(spectrum.s > 0) == 200  # the other 80 are rounding
    assert analyze(spectrum).xmin >= 0.99
    assert analyze(spectrum).n_tail <= 120


def test_noise_is_called_noise_in_nearly_every_draw():
    shapes = [(300, 300), (64, 576), (150, 400), (200, 100)]
    called = sum(analyze(of_matrix(gaussian(*shapes[seed % 4], seed))).status == NOISE for seed in range(40))
    # a false outlier in 1 of 100, a distance above its .99 quantile in 1 of 100: 5 or more of 40 has probability .001
    assert called >= 36


def test_noise_keeps_its_numbers():
    found = analyze(of_matrix(gaussian(200, 200)))
    assert found.status == NOISE
    assert found.alpha > 1
    assert None not in (found.alpha_stderr, found.xmin, found.ks, found.n_tail)


def test_noise_with_dead_rows_and_columns_is_noise():
    w = gaussian(300, 300, 5)
    w[:60] = 0.0
    w[:, 200:] = 0.0
    assert analyze(of_matrix(w)).status == NOISE


def test_one_planted_spike_is_enough_not_to_be_noise():
    w = gaussian(200, 200, 6)
    w += 60.0 * np.outer(np.ones(200), np.ones(200)) / 200
    assert analyze(of_matrix(w)).status != NOISE


def test_spectrum_without_outliers_that_is_not_marchenko_pastur_is_not_noise():
    w = with_values(np.linspace(2.0, 1.0, 150), (150, 150), 8)
    assert analyze(of_matrix(w)).status != NOISE


def test_weights_whose_squares_underflow_have_the_same_exponent():
    spectrum = of_values(pareto(100, 2.5, 9))
    tiny = Spectrum(spectrum.matrix, 1e-170 * spectrum.s)
    assert analyze(tiny).alpha == pytest.approx(analyze(spectrum).alpha, rel=1e-12)


def test_weaker_level_for_a_larger_family_forgives_a_borderline_outlier():
    # at 400 x 400 the .05 edge lies .23 widths above the .06 edge: some draw has its largest value between .5 and .5 / 1000
    spectra = [of_matrix(gaussian(60, 60, seed)) for seed in range(30)]
    strict = sum(analyze(one, level=0.5).status == NOISE for one in spectra)
    family = sum(analyze(one, level=0.5, tests=1000).status == NOISE for one in spectra)
    assert strict < family


def test_heavy_tailed_spectrum_is_not_noise():
    assert analyze(of_matrix(heavy())).status == "ok"


@pytest.mark.parametrize(
    ("spectrum", "status"),
    [
        (of_matrix(np.zeros((30, 40))), "zero matrix"),
        (of_matrix(gaussian(1, 50)), "rank 1 by shape: one eigenvalue has no tail"),
        (of_matrix(gaussian(5, 9)), "5 nonzero eigenvalues, 20 needed"),
        (of_matrix((gaussian(40, 7) @ gaussian(7, 60)).astype(np.float32)), "7 nonzero eigenvalues, 20 needed"),
        (of_matrix(np.eye(50)), "the spectrum is flat"),
        (of_matrix(np.linalg.qr(gaussian(80, 80))[0]), "the spectrum is flat"),
        (of_matrix(np.linalg.qr(gaussian(80, 80))[0].astype(np.float32)), "the spectrum is flat"),
        (of_matrix(np.linalg.qr(gaussian(80, 80))[0].astype(np.float16)), "the spectrum is flat"),
        (of_matrix(np.ones((40, 40), np.float32)), "1 nonzero eigenvalues, 20 needed"),
        (of_values(np.full(60, 3.0)), "the spectrum is flat"),
        (
            replace(of_values(pareto(60, 2.0, 0)), complete=False),
            "only the 60 largest values were computed; where the tail begins needs all of them",
        ),
    ],
)
def test_no_fit_has_a_sentence_and_null_numbers(spectrum, status):
    found = analyze(spectrum, bootstrap=5, goodness=5, alternatives=True, farms=3)
    assert found.status == status
    assert all(getattr(found, name) is None for name in quantities(Result))


def test_few_eigenvalues_or_a_short_tail_are_exploratory():
    assert analyze(of_values(pareto(49, 2.0, 1))).status == "exploratory: 49 eigenvalues, 50 needed for a verdict"
    assert analyze(of_values(pareto(50, 2.0, 1))).status == "ok"
    body = np.linspace(1.0, 1.4, 200)
    found = analyze(of_values(np.concatenate([body, 5.0 * 1.5 ** np.arange(6)])))
    assert found.n_tail < 10
    assert found.status == f"exploratory: {found.n_tail} tail values, 10 needed for a verdict"


def test_no_verdict_is_passed_on_few_values():
    found = analyze(of_values(1.0 + np.random.default_rng(0).exponential(0.5, 45)), goodness=20, alternatives=True)
    assert found.status.startswith("exploratory")


def test_bad_fit_is_rejected():
    values = np.linspace(1.0, 2.0, 400)  # uniform: no power law has so sharp an end
    found = analyze(of_values(values), goodness=60)
    assert found.goodness_p <= 0.1
    assert found.status == f"power law rejected: goodness of fit p = {found.goodness_p:.2g}"
    assert found.alpha is not None


def test_better_alternative_is_named():
    found = analyze(of_values(np.linspace(1.0, 2.0, 400)), alternatives=True)
    losers = [name for name in ("exponential", "lognormal", "truncated") if getattr(found, f"ratio_{name}_p") < 0.1]
    assert losers
    assert found.status.startswith("power law rejected: a")
    assert "fits better" in found.status


def test_power_law_is_not_rejected_by_its_alternatives():
    found = analyze(of_values(pareto(800, 2.5, 3)), alternatives=True, goodness=40)
    assert found.status == "ok"
    assert found.ratio_exponential > 0
    assert found.ratio_truncated <= 1e-9


def test_requested_numbers_are_null_by_default():
    found = analyze(of_matrix(heavy(100)))
    given = {name for name in quantities(Result) if getattr(found, name) is not None}
    assert given == {"alpha", "alpha_stderr", "xmin", "ks", "n_tail"}


def test_first_fields_are_those_of_the_published_schema():
    assert list(quantities(Result))[:5] == ["alpha", "alpha_stderr", "xmin", "ks", "n_tail"]


def test_requested_numbers_do_not_change_the_others():
    spectrum = of_matrix(heavy(120))
    plain, full = analyze(spectrum), analyze(spectrum, bootstrap=20, goodness=10, alternatives=True, farms=3)
    assert all(getattr(plain, name) == getattr(full, name) for name in list(quantities(Result))[:5])
    assert all(getattr(full, name) is not None for name in quantities(Result))
    assert full.alpha_low <= full.alpha_high


def test_randomness_depends_on_seed_and_name_alone():
    w = heavy(100)
    run = partial(analyze, bootstrap=20, goodness=20)
    assert run(of_matrix(w)) == run(of_matrix(w))
    assert run(of_matrix(w)).alpha_low != run(of_matrix(w), seed=1).alpha_low
    assert run(of_matrix(w)).alpha_low != run(of_matrix(w, "other.weight")).alpha_low


def test_farms_is_the_exponent_of_the_windows():
    w = gaussian(60, 90, 7)
    expected = fixed_aspect.upper_half_exponent(fixed_aspect.eigenvalues(w, 4))
    assert analyze(of_matrix(w), farms=4).alpha_farms == pytest.approx(expected, rel=1e-12)


def test_farms_of_an_operand_never_formed_is_null():
    w = heavy(60)
    operand = Matrix("lora", "product", (60, 60), "float64", partial(Product, w, np.eye(60)))
    spectrum = Spectrum(operand, np.linalg.svd(w, compute_uv=False))
    assert analyze(spectrum, farms=4).alpha_farms is None
    assert analyze(spectrum).alpha is not None


def test_farms_of_a_narrow_matrix_is_null():
    spectrum = Spectrum(matrix(gaussian(3, 40)), np.sqrt(np.sort(pareto(25, 2.0, 0))[::-1]))
    assert analyze(spectrum, farms=4).alpha_farms is None


def test_the_values_of_an_operator_are_no_sample_with_a_tail() -> None:
    kernel = np.random.default_rng(0).standard_normal((8, 4, 3, 3))
    operator = as_matrix(Convolution(kernel, (8, 8), (1, 1), (1, 1)), shape=(512, 256))
    result = analyze(decompose(operator))
    assert result.alpha is None
    assert "equal pairs" in result.status


def test_a_tail_that_begins_beyond_the_largest_square_keeps_its_exponent_and_says_so() -> None:
    w = heavy(60)
    plain, huge = analyze(of_matrix(w)), analyze(of_matrix(w * 2.0**530))
    assert huge.alpha == pytest.approx(plain.alpha, rel=1e-12)
    assert huge.n_tail == plain.n_tail
    assert (huge.xmin, huge.status) == (None, "xmin exceeds the largest floating-point number")
