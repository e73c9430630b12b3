"""The curves that input modes are compared with: sinusoids, decays and polynomials, each with a constant."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from modescope.descrambling.axis import InputAxis, frequencies
from modescope.descrambling.separable import Columns, Solution
from modescope.errors import UsageError

Values = NDArray[np.float64]

OVERSAMPLED = 4  # trial frequencies per bin: a vector's peak is never further than an eighth of a bin
SLOWEST = 0.1  # rate, in one over the axis: what is slower is a straight line
RATES = 24  # trial rates from there to one per two points; two that are closer than a trial step are one


@dataclass(frozen=True)
class Parameter:
    """One number of a fit.

    Attributes:
        name: What it is.
        value: In `unit`.
        unit: Of the axis or its frequencies, or empty.
        error: Standard error as if what the curve leaves were independent noise; None where that means nothing.
    """

    name: str
    value: float
    unit: str = ""
    error: float | None = None


@dataclass(frozen=True, eq=False)
class Family:
    """A kind of curve.

    Attributes:
        name: As it is shown.
        columns: From (g, k) parameters and n to the (g, n, c) columns beside the constant.
        grid: From n to the (g, k) parameters to try.
        freedom: Number of parameters, the constant included.
        searched: Parameters are searched between the points of the grid.
        starts: Points of the grid to search from.
        parameters: What a solution says in units of the axis.
        directed: The curve has a beginning, which is where the axis is lowest.
    """

    name: str
    columns: Columns
    grid: Callable[[int], Values]
    freedom: int
    searched: bool
    starts: int
    parameters: Callable[[Solution, InputAxis], tuple[Parameter, ...]]
    directed: bool = False


def sinusoid() -> Family:
    """One frequency between half a cycle over the axis and the Nyquist frequency, any phase."""
    return Family("sinusoid", _waves, _wave_grid, 4, True, 2, _wave_parameters)


def exponential() -> Family:
    """One decay to a constant, with a time constant between two steps and ten times the axis.

    It runs towards higher values of the axis, and its amplitude is that where the axis is lowest.
    """
    return Family("exponential decay", _decays, _rate_grid, 3, True, 2, _decay_parameters, directed=True)


def biexponential() -> Family:
    """Two decays to a constant, of either sign; direction and amplitudes as for one.

    References:
        Rozowski et al. (2022), doi:10.1002/mrc.5289, for networks whose input modes are read like this.
    """
    return Family("biexponential decay", _decays, _rate_pairs, 5, True, 3, _decay_parameters, directed=True)


def chebyshev(highest: int = 4) -> Family:
    """A multiple of one Chebyshev polynomial T_1 .. T_highest; T_0 is the constant.

    Raises:
        UsageError: `highest` is below 1.
    """
    _degree("chebyshev", highest)

    def grid(n: int) -> Values:
        return np.arange(1.0, min(highest, n - 1) + 1)[:, None]

    def columns(theta: Values, n: int) -> Values:
        return np.cos(theta[:, :1] * _angles(n))[:, :, None]

    def parameters(found: Solution, _axis: InputAxis) -> tuple[Parameter, ...]:
        return (Parameter("order", round(float(found.theta[0]))), Parameter("coefficient", float(found.coefficients[1])))

    return Family(f"one Chebyshev polynomial up to T_{highest}", columns, grid, 3, False, 1, parameters)


def polynomial(degree: int = 4) -> Family:
    """The span of Chebyshev polynomials T_0 .. T_degree, which is that of all polynomials of this degree.

    Raises:
        UsageError: `degree` is below 1.
    """
    _degree("polynomial", degree)

    def grid(_size: int) -> Values:
        return np.zeros((1, 0))

    def columns(theta: Values, n: int) -> Values:
        order = np.arange(1, degree + 1)
        return np.broadcast_to(np.cos(_angles(n)[:, None] * order), (theta.shape[0], n, degree))

    def parameters(found: Solution, _axis: InputAxis) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(f"coefficient of T_{j}", float(found.coefficients[j]), "", _error(found, j)) for j in range(1, degree + 1)
        )

    return Family(f"span of T_0 to T_{degree}", columns, grid, degree + 1, False, 1, parameters)


def standard() -> tuple[Family, ...]:
    """The families that modes are compared with where none are named."""
    return (sinusoid(), exponential(), biexponential(), chebyshev(), polynomial())


def _degree(what: str, degree: int) -> None:
    if degree < 1:
        raise UsageError(f"{what}: expected a degree of 1 or more, as the constant always belongs to a fit, got {degree}.")


def _angles(n: int) -> Values:
    """(n,) angles whose cosines run evenly from -1 to 1."""
    angles: Values = np.arccos(np.linspace(-1.0, 1.0, n))
    return angles


def _waves(theta: Values, n: int) -> Values:
    phase = 2 * np.pi * theta[:, :1] * np.arange(n)
    return np.stack([np.cos(phase), np.sin(phase)], axis=2)


def _wave_grid(n: int) -> Values:
    """Cycles per point."""
    return np.linspace(0.5 / n, 0.5, OVERSAMPLED * n // 2)[:, None]


def _wave_parameters(found: Solution, axis: InputAxis) -> tuple[Parameter, ...]:
    error = _error(found, 3)
    cosine, sine = float(found.coefficients[1]), float(found.coefficients[2])
    scale = 1 / abs(axis.step)
    return (
        Parameter("frequency", float(found.theta[0]) * scale, frequencies(axis).unit, None if error is None else error * scale),
        Parameter("amplitude", math.hypot(cosine, sine)),
        Parameter("phase at the first point", math.atan2(-sine, cosine), "rad"),
    )


def _decays(theta: Values, n: int) -> Values:
    """Columns exp(-rate u), u from 0 to 1 over the axis."""
    return np.exp(-np.exp(_logarithms(theta, n))[:, None, :] * np.linspace(0.0, 1.0, n)[:, None])


def _logarithms(theta: Values, n: int) -> Values:
    """Logarithms of the rates: theta holds that of the slowest and its distances to the others, so that these stay apart."""
    rates = theta.copy()
    rates[:, 1:] = np.minimum(theta[:, 1:] + theta[:, :1], _rates(n)[-1])
    return rates


def _rates(n: int) -> Values:
    return np.linspace(math.log(SLOWEST), math.log(max((n - 1) / 2, 2.0)), RATES)


def _rate_grid(n: int) -> Values:
    return _rates(n)[:, None]


def _rate_pairs(n: int) -> Values:
    pairs = np.array(list(combinations(_rates(n), 2)))
    pairs[:, 1] -= pairs[:, 0]
    return pairs


def _decay_parameters(found: Solution, axis: InputAxis) -> tuple[Parameter, ...]:
    rates = _logarithms(found.theta[None], axis.size)[0]
    names = ("",) if rates.size == 1 else (" of the slow decay", " of the fast decay")
    first = found.coefficients.size
    parameters: list[Parameter] = []
    for i, name in enumerate(names):
        constant = axis.span / math.exp(float(rates[i]))
        places = [first] if i == 0 else [first, first + i]  # of the logarithm of this rate
        relative = None if found.edge else _error(found, *places)
        error = None if relative is None else relative * constant
        parameters.append(Parameter(f"{axis.quantity} constant{name}", constant, axis.unit, error))
        size = None if found.edge else _error(found, 1 + i)
        parameters.append(Parameter(f"amplitude{name}", float(found.coefficients[1 + i]), "", size))
    return tuple(parameters)


def _error(found: Solution, *places: int) -> float | None:
    """Standard error of the sum of some parameters."""
    return None if found.covariance is None else math.sqrt(max(float(found.covariance[np.ix_(places, places)].sum()), 0.0))
