import numpy as np
import pytest

from modescope.measures import norms
from modescope.spectrum import decompose
from spectrum_cases import gaussian, matrix, planted, spectrum, spectrum_of_values, visible, with_values


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25), (1, 9), (9, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_are_those_of_linear_algebra(shape, dtype):
    a = gaussian(*shape, 0).astype(dtype)
    found = norms.analyze(spectrum(a))
    exact = a.astype(np.float64)
    assert found.spectral == pytest.approx(np.linalg.norm(exact, 2), rel=1e-12)
    assert found.frobenius == pytest.approx(np.linalg.norm(exact), rel=1e-12)
    assert found.nuclear == pytest.approx(np.linalg.norm(exact, "nuc"), rel=1e-10)
    assert found.status == "ok"


@pytest.mark.parametrize("c", [-1e6, 1e-6, 1e-200, 1e200])
def test_norms_scale_with_the_matrix(c):
    one, other = norms.analyze(spectrum(gaussian(30, 20, 1))), norms.analyze(spectrum(c * gaussian(30, 20, 1)))
    for name in ("spectral", "frobenius", "nuclear"):
        assert getattr(other, name) == pytest.approx(abs(c) * getattr(one, name), rel=1e-12)


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 20])
def test_schatten_norms_follow_their_formula_where_it_does_not_overflow(p):
    s = np.array([3.0, 2.0, 1.0, 1.0, 0.0])
    assert norms.schatten(s, p) == pytest.approx(sum(x**p for x in s) ** (1 / p), rel=1e-14)
    assert norms.schatten(s * 1e200, p) == pytest.approx(1e200 * norms.schatten(s, p), rel=1e-14)


def test_schatten_norms_approach_the_spectral_norm():
    assert norms.schatten(np.array([3.0, 2.0, 1.0]), 1e5) == pytest.approx(3.0, rel=1e-12)


def test_a_schatten_norm_of_no_order_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        norms.schatten(np.array([1.0]), 0)


def test_the_norms_of_a_zero_matrix_are_zero_and_it_says_so():
    assert norms.analyze(spectrum(np.zeros((4, 5)))) == norms.Result(0.0, 0.0, 0.0, "zero matrix")


def test_a_partial_spectrum_gives_the_frobenius_norm_by_the_entries_and_no_nuclear_norm():
    a = planted(300, 200, [5 * visible(300, 200)], 0) + 0.1
    found = norms.analyze(decompose(matrix(a), k=2))
    assert found.spectral == pytest.approx(np.linalg.norm(a, 2), rel=1e-9)
    assert found.frobenius == pytest.approx(np.linalg.norm(a), rel=1e-12)
    assert found.nuclear is None
    assert "only the 2 largest of 200" in found.status


def test_square_noise_has_its_nuclear_norm_at_eight_over_three_pi():
    found = norms.analyze(spectrum(gaussian(400, 400, 2)))
    assert found.nuclear / (20 * found.frobenius) == pytest.approx(8 / (3 * np.pi), abs=0.002)


def test_norms_of_an_operator_that_is_never_formed_come_from_its_values():
    s = np.array([2.0, 1.0])
    found = norms.analyze(spectrum_of_values(s, (10, 8)))
    assert (found.spectral, found.nuclear) == (2.0, 3.0)
    assert found.frobenius == pytest.approx(np.linalg.norm(with_values(s, 10, 8)), rel=1e-12)


def test_a_norm_beyond_the_largest_number_is_null_and_says_so():
    found = norms.analyze(spectrum_of_values(np.array([1.7e308, 1.7e308]), (2, 2)))
    assert found == norms.Result(1.7e308, None, None, norms.BEYOND)
    one = norms.analyze(spectrum_of_values(np.array([1e308, 9e307]), (2, 2)))
    assert (one.frobenius, one.nuclear) == (pytest.approx(np.hypot(1.0, 0.9) * 1e308), None)
    assert one.status == norms.BEYOND
