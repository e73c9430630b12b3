"""Gram, LAPACK, policy and Krylov against NumPy's float64 SVD, on spectra that were chosen."""

from collections.abc import Callable
from functools import partial

import ml_dtypes
import numpy as np
import pytest

import modescope.svd.policy as policy_module
from matrices_cases import as_matrix, planted
from modescope.matrix import Array
from modescope.spectrum import decompose
from modescope.svd import Factors
from modescope.svd.device import on
from modescope.svd.gram import gram
from modescope.svd.krylov import krylov
from modescope.svd.lapack import lapack
from modescope.svd.policy import exact

ENGINES: dict[str, Callable[..., Factors]] = {"gram": gram, "lapack": lapack, "exact": exact, "torch": on("cpu")}
SHAPES = [(1, 1), (1, 40), (40, 1), (37, 37), (90, 30), (30, 90), (2500, 16)]
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
}


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modescope.svd._tall.ROWS", 500)  # so that small matrices are read in several pieces


@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16], ids=str)
@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_agrees_with_lapack_in_float64(name: str, dtype: str, layout: str, shape: tuple[int, int]) -> None:
    a = LAYOUTS[layout](np.random.default_rng(1).standard_normal(shape).astype(dtype))
    d = a.astype(np.float64)
    reference = np.linalg.svd(d, compute_uv=False)
    found = ENGINES[name](a, vectors=True)
    assert found.u is not None
    assert found.vh is not None
    s = ENGINES[name](a).s
    assert s.dtype == np.float64
    assert np.all(np.diff(s) <= 0)
    above = reference > 1e-5 * reference[0]
    np.testing.assert_allclose(s[above], reference[above], rtol=1e-6)
    np.testing.assert_allclose(found.s[above], reference[above], rtol=1e-6)
    np.testing.assert_allclose((found.u * found.s) @ found.vh, d, atol=1e-9 * reference[0])


@pytest.mark.parametrize("shape", [(200, 200), (400, 120), (120, 400)])
def test_vectors_are_orthonormal_to_rounding_down_to_small_values(shape: tuple[int, int]) -> None:
    k = min(shape)
    for least in (1e-1, 1e-3, 1e-4, 1e-7, 0.0):
        s = np.geomspace(1, max(least, 1e-9), k)
        s[-1] = least
        a = planted(s, shape)
        found = exact(a, vectors=True)
        assert found.u is not None
        assert found.vh is not None
        np.testing.assert_allclose(found.u.T @ found.u, np.eye(k), atol=1e-12)
        np.testing.assert_allclose(found.vh @ found.vh.T, np.eye(k), atol=1e-12)
        np.testing.assert_allclose((found.u * found.s) @ found.vh, a, atol=1e-12)


def test_the_error_of_the_gram_route_obeys_its_law() -> None:
    s = np.geomspace(1, 1e-7, 120)
    for shape in ((300, 120), (120, 120)):
        error = np.abs(gram(planted(s, shape)).s / s - 1)
        assert np.all(error <= 1e-16 / s**2 + 1e-13)
        assert error[s > 1e-5].max() < 1e-6


def test_small_values_are_redone_by_lapack() -> None:
    for least, engine in ((1e-5, "float64 Gram"), (1e-6, "float64 SVD")):
        s = np.geomspace(1, least, 60)
        found = exact(planted(s, (150, 60)))
        assert found.engine == engine
        np.testing.assert_allclose(found.s, s, rtol=1e-6)
    np.testing.assert_allclose(found.s, s, atol=1e-14)


def test_values_inside_the_rounding_of_the_storage_are_not_redone() -> None:
    s = np.geomspace(1, 1e-7, 60)
    assert exact(planted(s, (150, 60)), rounding=1e-3).engine == "float64 Gram"


def test_a_failing_driver_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> Factors:
        raise np.linalg.LinAlgError("no convergence")

    a = np.random.default_rng(0).standard_normal((30, 20))
    monkeypatch.setattr(policy_module, "gram", fails)
    found = exact(a)
    assert "did not converge" in found.engine
    np.testing.assert_allclose(found.s, np.linalg.svd(a, compute_uv=False), rtol=1e-12)
    monkeypatch.setattr(np.linalg, "svd", fails)
    found = lapack(a, vectors=True)
    assert "gesvd" in found.engine
    assert found.u is not None
    np.testing.assert_allclose((found.u * found.s) @ found.vh, a, atol=1e-13)


@pytest.mark.parametrize("c", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("name", ENGINES)
def test_values_scale_over_the_whole_range_of_float64(name: str, c: float) -> None:
    a = np.random.default_rng(0).standard_normal((50, 30))
    np.testing.assert_allclose(ENGINES[name](a * c).s / c, np.linalg.svd(a, compute_uv=False), rtol=1e-11)


@pytest.mark.parametrize("shape", [(400, 300), (300, 400), (300, 300)])
def test_krylov_finds_the_top_modes(shape: tuple[int, int]) -> None:
    s = np.concatenate([[10.0, 9.0, 5.0, 3.0], np.linspace(1, 0.1, 296)])
    a = planted(s, shape)
    found = krylov(a, 4, vectors=True)
    assert not found.complete
    np.testing.assert_allclose(found.s, s[:4], rtol=1e-12)
    assert found.u is not None
    assert found.vh is not None
    np.testing.assert_allclose(found.u.T @ a @ found.vh.T, np.diag(s[:4]), atol=1e-11)
    assert np.array_equal(krylov(a, 4).s, found.s)


def test_krylov_vectors_are_modes_also_where_noise_leaves_no_gap() -> None:
    a = np.random.default_rng(2).standard_normal((400, 400))
    found = krylov(a, 10, vectors=True)
    assert found.u is not None
    assert found.vh is not None
    np.testing.assert_allclose(a.T @ found.u, found.vh.T * found.s, atol=1e-10 * found.s[0])


def test_results_do_not_depend_on_what_a_thread_computed_before() -> None:
    a = np.random.default_rng(0).standard_normal((70, 50)).astype(np.float32)
    first = exact(a).s
    exact(np.random.default_rng(1).standard_normal((900, 300)))
    assert np.array_equal(exact(a).s, first)


def test_zero_matrices_have_zero_values_and_orthonormal_vectors() -> None:
    for engine in (gram, lapack, exact):
        assert np.all(engine(np.zeros((20, 30))).s == 0)
    found = exact(np.zeros((20, 30)), vectors=True)
    assert found.u is not None
    np.testing.assert_allclose(found.u.T @ found.u, np.eye(20), atol=1e-14)


@pytest.mark.parametrize("name", ENGINES)
def test_engines_never_write_to_their_input(name: str) -> None:
    a = np.random.default_rng(0).standard_normal((30, 40)) * 1e-200
    before = a.copy()
    a.flags.writeable = False
    partial(ENGINES[name], a)(vectors=True)
    assert np.array_equal(a, before)


@pytest.mark.parametrize("shape", [(300, 300), (900, 300), (300, 900)], ids=str)
def test_both_sides_of_the_gram_route_are_orthonormal_to_1e_12(shape: tuple[int, int]) -> None:
    found = gram(planted(np.logspace(0, -3.5, 300), shape, seed=3), vectors=True)
    assert found.u is not None
    assert found.vh is not None
    np.testing.assert_allclose(found.u.T @ found.u, np.eye(300), atol=1e-12)
    np.testing.assert_allclose(found.vh @ found.vh.T, np.eye(300), atol=1e-12)


def test_equal_values_are_never_passed_over() -> None:
    """A Krylov space sees one direction of each space of equal values; where there are more, all modes are computed instead."""
    block = np.random.default_rng(0).standard_normal((30, 30))
    w = np.kron(np.eye(10), block)
    with pytest.raises(np.linalg.LinAlgError, match="passed over"):
        krylov(w, 10)
    found = decompose(as_matrix(w), k=10, vectors=True)
    np.testing.assert_allclose(found.s, np.linalg.svd(w, compute_uv=False)[:10], rtol=1e-6)
    assert "passed over" in found.engine
