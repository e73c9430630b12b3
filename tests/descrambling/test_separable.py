"""Variable projection: the same minimum as plain least squares over all parameters, for one vector or many."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from modescope.descrambling.families import biexponential, exponential, polynomial, sinusoid
from modescope.descrambling.separable import orthonormal, projected, solved
from reading_cases import fit
from tolerance import tol


def residual(kind: str, parameters: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """All parameters at once, as a textbook writes them."""
    i, u = np.arange(vector.size), np.linspace(0, 1, vector.size)
    match kind:
        case "sinusoid":
            k, c, s, f = parameters
            curve = k + c * np.cos(2 * np.pi * f * i) + s * np.sin(2 * np.pi * f * i)
        case "exponential":
            k, c, r = parameters
            curve = k + c * np.exp(-r * u)
        case _:
            k, c, d, r, q = parameters
            curve = k + c * np.exp(-r * u) + d * np.exp(-q * u)
    return vector - curve


@pytest.mark.parametrize(
    ("kind", "family", "truth"),
    [
        ("sinusoid", sinusoid(), [0.3, 1.0, -0.4, 0.137]),
        ("exponential", exponential(), [0.3, 1.0, 4.0]),
        ("biexponential", biexponential(), [0.1, 0.7, -0.9, 2.0, 11.0]),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_minimum_is_that_over_all_parameters_at_once(kind: str, family, truth: list[float], noise: float) -> None:
    rng = np.random.default_rng(4)
    n = 60
    vector = -residual(kind, np.array(truth), np.zeros(n)) + noise * rng.standard_normal(n)
    twin = least_squares(lambda x: residual(kind, x, vector), truth, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    found = fit(family, vector)
    total = float(((vector - vector.mean()) ** 2).sum())
    assert found.r2 == pytest.approx(1 - 2 * twin.cost / total, abs=1e-9)
    assert found.curve == pytest.approx(vector - twin.fun, abs=1e-4 if noise else 1e-8)
    assert not found.edge


@pytest.mark.parametrize("family", [sinusoid(), exponential(), biexponential()])
def test_many_vectors_are_fitted_as_each_alone(family) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((7, 40))
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    theta, r2 = projected(family.columns, family.grid(40), vectors, searched=True, starts=family.starts)
    for row, at, reached in zip(vectors, theta, r2, strict=True):
        alone = projected(family.columns, family.grid(40), row[None], searched=True, starts=family.starts)
        assert alone[1][0] == pytest.approx(reached, abs=1e-10)
        assert alone[0][0] == pytest.approx(at, rel=1e-4)


def test_the_search_never_ends_below_its_grid() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((50, 32))
    vectors -= vectors.mean(1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for family in (sinusoid(), exponential(), biexponential()):
        _, coarse = projected(family.columns, family.grid(32), vectors, searched=False)
        _, fine = projected(family.columns, family.grid(32), vectors, searched=True, starts=1)
        _, wide = projected(family.columns, family.grid(32), vectors, searched=True, starts=4)
        assert (fine >= coarse).all()
        assert (wide >= fine).all()


def share(family, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
    basis = orthonormal(family.columns(theta, unit.size))
    return (np.einsum("gnc,n->gc", basis, unit) ** 2).sum(1)


@pytest.mark.parametrize(("family", "per"), [(sinusoid(), 2000), (exponential(), 2000), (biexponential(), 60)])
def test_no_point_of_a_fine_grid_is_better_than_what_is_found(family, per: int) -> None:
    """Curves that the family cannot follow, where full Gauss-Newton steps jump back and forth across the minimum."""
    rng = np.random.default_rng(5)
    u = np.linspace(0, 1, 64)
    grid = family.grid(64)
    lines = [np.linspace(low, high, per) for low, high in zip(grid.min(0), grid.max(0), strict=True)]
    fine = np.stack([line.ravel() for line in np.meshgrid(*lines)], axis=1)
    vectors = [u * np.exp(-rate * u) for rate in (1.3, 3.0, 5.0, 7.0)]
    vectors += [np.sin(9 * u), (u > 0.3) * 1.0, *rng.standard_normal((4, 64)).cumsum(1), *rng.standard_normal((4, 64))]
    for vector in vectors:
        unit = vector - vector.mean()
        unit /= np.linalg.norm(unit)
        best = max(share(family, fine[start : start + 500], unit).max() for start in range(0, fine.shape[0], 500))
        assert fit(family, vector).r2 > best - 1e-5


def best_of(family, n: int, per: int, units: np.ndarray) -> np.ndarray:
    """Shares of variance at the best of many points, one parameter."""
    grid = family.grid(n)
    basis = orthonormal(family.columns(np.linspace(grid.min(), grid.max(), per)[:, None], n))
    return (np.tensordot(basis, units, axes=(1, 1)) ** 2).sum(1).max(0)


def units_of(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def test_of_two_frequencies_that_fit_nearly_alike_the_better_one_is_found() -> None:
    """Of 150 random directions some have two such peaks; the grid shows the wrong one first."""
    family = sinusoid()
    units = units_of(np.random.default_rng(5).standard_normal((150, 24)))
    _, r2 = projected(family.columns, family.grid(24), units, searched=True, starts=family.starts)
    assert (r2 > best_of(family, 24, 2000, units) - 1e-3).all()


def test_a_search_does_not_end_on_one_side_of_its_minimum() -> None:
    """One decay on curves `u exp(-k u)`, of which it leaves two thirds: a full step lands as far on the other side."""
    family = exponential()
    u = np.linspace(0, 1, 64)
    units = units_of(u * np.exp(-np.linspace(1, 8, 36)[:, None] * u))
    reached = np.array([fit(family, unit).r2 for unit in units])
    assert (reached > best_of(family, 64, 1000, units) - 1e-6).all()


def test_a_covariance_is_that_of_linear_regression() -> None:
    """Nothing is searched: the noise has n - 4 degrees of freedom, and the design is a polynomial's."""
    rng = np.random.default_rng(6)
    vector = rng.standard_normal(9)
    design = np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, 9), 3)
    rest = vector - design @ np.linalg.lstsq(design, vector, rcond=None)[0]
    assert fit(polynomial(3), vector).covariance == pytest.approx(rest @ rest / 5 * np.linalg.inv(design.T @ design), rel=1e-10)


def test_columns_become_orthonormal_and_dependent_ones_vanish() -> None:
    rng = np.random.default_rng(2)
    columns = rng.standard_normal((5, 30, 3))
    columns[1, :, 2] = 2 * columns[1, :, 0] - 3  # dependent once the constant is there
    columns[2, :, 0] = 1
    columns[3, :, 1] *= 1e-14  # rounding beside the others
    basis = orthonormal(columns)
    for number, missing in enumerate([None, 2, 0, 1, None]):
        expected = np.eye(3)
        if missing is not None:
            expected[missing, missing] = 0
        assert basis[number].T @ basis[number] == pytest.approx(expected, abs=tol("float64", (30, 3), 1.0))
    assert np.abs(basis.sum(1)).max() < tol("float64", (30, 3), 10.0)


def test_errors_are_left_out_where_parameters_cannot_be_told_apart() -> None:
    def twins(theta: np.ndarray, n: int) -> np.ndarray:
        ramp = np.linspace(0, 1, n) * np.ones((theta.shape[0], 1))
        return np.stack([ramp, 2 * ramp], axis=2)

    found = solved(twins, np.zeros((1, 0)), np.random.default_rng(0).standard_normal(20), np.zeros(0), searched=False)
    assert found.covariance is None
    assert 0 <= found.r2 <= 1
