"""Curves in units of the axis: planted ones are found again, and their errors are the scatter of repeated fits."""

import numpy as np
import pytest

from modescope.descrambling.axis import InputAxis, index
from modescope.descrambling.families import (
    Family,
    Parameter,
    biexponential,
    chebyshev,
    exponential,
    polynomial,
    sinusoid,
    standard,
)
from modescope.errors import UsageError
from reading_cases import fit


def fitted(family: Family, vector: np.ndarray, axis: InputAxis) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in family.parameters(fit(family, vector), axis)}


@pytest.mark.parametrize("step", [0.5, -0.5])
@pytest.mark.parametrize("frequency", [0.02, 0.237, 0.61, 0.98])
def test_a_sinusoid_has_its_frequency_amplitude_and_phase(frequency: float, step: float) -> None:
    axis = InputAxis(64, 3.0, step, "time", "us")
    along = np.abs(step) * np.arange(64)
    found = fitted(sinusoid(), 0.2 + 1.5 * np.cos(2 * np.pi * frequency * along + 0.7), axis)
    assert found["frequency"].value == pytest.approx(frequency, rel=1e-6)
    assert found["frequency"].unit == "MHz"
    assert found["amplitude"].value == pytest.approx(1.5, rel=1e-5)
    assert found["phase at the first point"].value == pytest.approx(0.7, abs=1e-4)


def test_the_highest_frequency_is_a_sinusoid_too() -> None:
    found = fitted(sinusoid(), (-1.0) ** np.arange(40), index(40))
    assert found["frequency"].value == pytest.approx(0.5)
    assert found["frequency"].unit == "cycles per input"
    assert found["amplitude"].value == pytest.approx(1)


@pytest.mark.parametrize("constant", [0.5, 2.0, 25.0])
def test_a_decay_has_its_time_constant(constant: float) -> None:
    axis = InputAxis(50, 1.0, 0.2, "time", "ms")
    found = fitted(exponential(), 0.4 - 2 * np.exp(-(axis.values - 1) / constant), axis)
    assert found["time constant"].value == pytest.approx(constant, rel=1e-5)
    assert found["time constant"].unit == "ms"
    assert found["amplitude"].value == pytest.approx(-2, rel=1e-4)


def test_two_decays_are_told_apart() -> None:
    axis = InputAxis(64, 0.0, 12.7, "time", "ms")
    found = fitted(biexponential(), 0.6 * np.exp(-axis.values / 60) - 0.4 * np.exp(-axis.values / 350) + 0.05, axis)
    assert found["time constant of the slow decay"].value == pytest.approx(350, rel=1e-5)
    assert found["time constant of the fast decay"].value == pytest.approx(60, rel=1e-5)
    assert found["amplitude of the slow decay"].value == pytest.approx(-0.4, rel=1e-4)
    assert found["amplitude of the fast decay"].value == pytest.approx(0.6, rel=1e-4)


def test_one_decay_fitted_by_two_claims_no_errors() -> None:
    axis = InputAxis(64, 0.0, 1.0, "time", "ms")
    vector = np.exp(-axis.values / 9)
    found = fit(biexponential(), vector)
    assert found.r2 == pytest.approx(1, abs=1e-9)
    loose = [p.error is None or p.error > 1e-3 * abs(p.value) for p in biexponential().parameters(found, axis)]
    assert any(loose)


def test_a_decay_faster_than_the_axis_can_show_lies_at_the_end_of_the_range() -> None:
    """One point above a slow decay: its rate could be any, so that it is the fastest that is searched, and has no error."""
    vector = np.exp(-2 * np.linspace(0, 1, 64)) + 1e-3 * np.random.default_rng(0).standard_normal(64)
    vector[0] += 1
    found = fit(biexponential(), vector)
    assert found.edge
    assert all(parameter.error is None for parameter in biexponential().parameters(found, index(64)))
    inside = fit(biexponential(), np.exp(-2 * np.linspace(0, 1, 64)) - np.exp(-9 * np.linspace(0, 1, 64)))
    assert not inside.edge


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_a_chebyshev_polynomial_is_called_by_its_order(order: int) -> None:
    vector = 4 - 0.3 * np.cos(order * np.arccos(np.linspace(-1, 1, 41)))
    found = fitted(chebyshev(6), vector, index(41))
    assert found["order"].value == order
    assert found["coefficient"].value == pytest.approx(-0.3, rel=1e-12)


def test_a_polynomial_has_its_chebyshev_coefficients() -> None:
    coefficients = [0.5, -1.0, 0.25, 2.0]
    vector = np.polynomial.chebyshev.chebval(np.linspace(-1, 1, 30), coefficients)
    found = fitted(polynomial(3), vector, index(30))
    assert [found[f"coefficient of T_{j}"].value for j in (1, 2, 3)] == pytest.approx(coefficients[1:], rel=1e-12)


@pytest.mark.parametrize(
    ("family", "name", "curve"),
    [
        (sinusoid(), "frequency", lambda t: np.cos(2 * np.pi * 0.31 * t + 0.3)),
        (exponential(), "time constant", lambda t: np.exp(-t / 5)),
        (exponential(), "amplitude", lambda t: np.exp(-t / 5)),
        (biexponential(), "time constant of the fast decay", lambda t: 2 * np.exp(-t / 2) - np.exp(-t / 20)),
        (biexponential(), "time constant of the slow decay", lambda t: 2 * np.exp(-t / 2) - np.exp(-t / 20)),
        (polynomial(3), "coefficient of T_2", lambda t: t**3 / 1000),
    ],
)
def test_an_error_is_the_scatter_of_repeated_fits(family: Family, name: str, curve) -> None:
    """60 fits: their scatter is known to 9 %; 30 % also covers the noise in each stated error."""
    rng = np.random.default_rng(0)
    axis = InputAxis(40, 0.0, 0.75, "time", "us")
    clean = curve(axis.values)
    found = [fitted(family, clean + 0.01 * rng.standard_normal(40), axis)[name] for _ in range(60)]
    stated = np.median([parameter.error for parameter in found if parameter.error is not None])
    assert np.std([parameter.value for parameter in found]) == pytest.approx(stated, rel=0.3)


def test_a_family_says_how_many_parameters_it_has() -> None:
    """The constant, the columns and what is searched; the order of a single polynomial counts as one."""
    for family in standard():
        grid = family.grid(40)
        assert family.freedom == 1 + family.columns(grid[:1], 40).shape[2] + grid.shape[1]


@pytest.mark.parametrize("make", [chebyshev, polynomial])
def test_a_polynomial_without_a_degree_is_refused(make) -> None:
    with pytest.raises(UsageError, match="degree of 1 or more"):
        make(0)
