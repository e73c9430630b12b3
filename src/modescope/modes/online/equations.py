"""The differential equations of online learning in the space of modes, of hidden fields, and with gains that learn slowly.

With C the covariance of all fields, `V = slopes(C)` and `D = noise(C)` of `online_integrals`, and G and G* the covariances of the
fields with the mode fields `xi x / sqrt d` of the student and of the teacher, the overlaps follow

    dT/dt = -eta B^T V G*,      dR/dt = -eta (B^T V G + transpose) + eta^2 B^T D B.

A form turns a theory into equations; all forms describe the same learning.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modescope.errors import UsageError
from modescope.modes.online.integrals import noise, slopes
from modescope.modes.online.theory import ModeTheory, Trajectory, covariance
from modescope.svd import Values

METHODS = ("LSODA", "BDF", "Radau", "RK45", "RK23", "DOP853")
PARTS = 1000  # of the time, in which progress is told


@dataclass(frozen=True)
class Equations:
    """A system of differential equations.

    Attributes:
        start: (n,) state at time 0.
        derivative: (n,) state to its derivative.
        read: (n,) state to R (p, p), T (p, p) and B (K, p).
    """

    start: Values
    derivative: Callable[[Values], Values]
    read: Callable[[Values], tuple[Values, Values, Values]]


Form = Callable[[ModeTheory], Equations]


def in_modes(theory: ModeTheory, /) -> Equations:
    """p(p + 1)/2 + p^2 equations for the overlaps R and T of the patterns: the smallest form."""
    p, gains = theory.modes, theory.gains

    def read(state: Values) -> tuple[Values, Values, Values]:
        return *_unpacked(state, p), gains

    def derivative(state: Values) -> Values:
        own, across, _ = _moved(theory, *read(state))
        return _packed(own, across)

    return Equations(_packed(theory.student, theory.overlap), derivative, read)


def in_fields(theory: ModeTheory, /) -> Equations:
    """K(K + 1)/2 + K^2 equations for the covariances Q and M of the hidden fields, as published.

    The overlaps of the patterns are read off through the pseudo-inverse of B.

    Raises:
        UsageError: The columns of B are linearly dependent, so that fields do not tell the patterns; use `in_modes`.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011; Saad & Solla (1995), doi:10.1103/PhysRevE.52.4225.
    """
    gains, hidden, eta = theory.gains, theory.hidden, theory.eta
    if (rank := int(np.linalg.matrix_rank(gains))) < theory.modes:
        raise UsageError(f"in_fields: expected gains of rank {theory.modes}, got rank {rank}. Use the form in_modes.")
    inverse = np.linalg.pinv(gains)
    spread = gains @ gains.T
    teacher = gains @ theory.teacher @ gains.T

    def derivative(state: Values) -> Values:
        own, across = _unpacked(state, hidden)
        whole = covariance(own, across, teacher)
        pull = spread @ slopes(whole, theory.signs, hidden) @ whole
        kick = spread @ noise(whole, theory.signs, hidden) @ spread
        return _packed(-eta * (pull[:, :hidden] + pull[:, :hidden].T) + eta**2 * kick, -eta * pull[:, hidden:])

    def read(state: Values) -> tuple[Values, Values, Values]:
        own, across = _unpacked(state, hidden)
        return inverse @ own @ inverse.T, inverse @ across @ inverse.T, gains

    start = _packed(gains @ theory.student @ gains.T, gains @ theory.overlap @ gains.T)
    return Equations(start, derivative, read)


def in_factors(theory: ModeTheory, /, *, slow: float) -> Equations:
    """The student's output patterns and strengths learn as well, at the rate `slow / d` a sample; the teacher's stay.

    At that rate their change in a time of order 1 is of order 1, and free of noise: they follow the mean gradient,
    `d xi_out = -slow E[delta h^T] diag(s) dt` and `ds_k = -slow (xi_out^T E[delta h^T])_kk dt`, with h the student's mode
    fields. At a rate that does not fall with d the theory does not hold. The derivation is ours.

    Args:
        theory: Where it starts.
        slow: Learning rate of the factors, in units of 1 / d; 0 is `in_modes`.
    """
    p, hidden = theory.modes, theory.hidden
    if not 0 <= slow < np.inf:
        raise UsageError(f"in_factors: expected slow, a learning rate in units of 1 / d, not negative and finite, got {slow}.")
    inner = p * (p + 1) // 2 + p * p

    def factors(state: Values) -> tuple[Values, Values]:
        return state[inner : inner + hidden * p].reshape(hidden, p), state[inner + hidden * p :]

    def read(state: Values) -> tuple[Values, Values, Values]:
        xi_out, s = factors(state)
        return *_unpacked(state[:inner], p), xi_out * s

    def derivative(state: Values) -> Values:
        xi_out, s = factors(state)
        own, across, signal = _moved(theory, *read(state))
        moved = (-slow * signal * s, -slow * (xi_out * signal).sum(axis=0))
        return np.concatenate([_packed(own, across), moved[0].ravel(), moved[1]])

    start = np.concatenate([_packed(theory.student, theory.overlap), theory.xi_out.ravel(), theory.s])
    return Equations(start, derivative, read)


def integrate(
    theory: ModeTheory,
    times: Values,
    *,
    form: Form = in_modes,
    method: str = "LSODA",
    rtol: float = 1e-8,
    atol: float = 1e-12,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Trajectory:
    """The course of the order parameters for infinitely many inputs.

    A right-hand side takes of the order of K^4 arcsines whatever the form; some hundred to a thousand are needed.

    Args:
        theory: Where it starts.
        times: (n,) samples over d, ascending, not negative.
        form: Which equations: `in_modes`, `in_fields`, or `partial(in_factors, slow=...)`.
        method: Integrator of `scipy.integrate.solve_ivp`. The default changes between stiff and non-stiff steps.
        rtol: Relative tolerance.
        atol: Absolute tolerance. Errors well below the tolerances are rounding.
        progress: Called with what is done, thousandths of the time, and 1000.

    Returns:
        A trajectory; where the integrator gives up it ends early and its status says so.

    Raises:
        UsageError: Times that are not ascending, an unknown method, a form that does not fit.
    """
    from scipy.integrate import solve_ivp

    times = checked(times)
    if method not in METHODS:
        raise UsageError(f"integrate: expected one of the methods {', '.join(METHODS)}, got {method!r}.")
    equations, last = form(theory), float(times[-1])
    seen = 0

    def derivative(time: float, state: Values) -> Values:
        nonlocal seen
        if progress is not None and (part := min(int(PARTS * time / last) if last else PARTS, PARTS)) > seen:
            seen = part
            progress("theory", part, PARTS)
        return equations.derivative(state)

    states, status = equations.start[:, None], "ok"
    if last > 0:
        found = solve_ivp(derivative, (0.0, last), equations.start, method, times, rtol=rtol, atol=atol)
        states = np.reshape(found.y, (equations.start.size, -1))
        if not found.success:
            status = f"the integrator gave up after {states.shape[1]} of {times.size} times: {found.message}"
    if progress is not None:
        progress("theory", PARTS, PARTS)
    own, across, gains = (np.array(part) for part in zip(*map(equations.read, states.T), strict=True)) if states.size else (
        np.empty((0, *theory.student.shape)), np.empty((0, *theory.student.shape)), np.empty((0, *theory.gains.shape))
    )  # fmt: skip
    return Trajectory(theory, times[: len(own)], own, across, gains, status)


def checked(times: Values) -> Values:
    """Times as float64.

    Raises:
        UsageError: They are not ascending, negative, not finite or none.
    """
    found = np.array(times, np.float64)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or found[0] < 0 or np.any(np.diff(found) <= 0):
        raise UsageError("times: expected one or more times (samples over inputs), ascending, finite and not negative.")
    return found


def _moved(theory: ModeTheory, own: Values, across: Values, gains: Values) -> tuple[Values, Values, Values]:
    """dR/dt, dT/dt, and E[delta h^T] (K, p)."""
    hidden, p, eta = theory.hidden, theory.modes, theory.eta
    read, taught = np.hstack([gains @ own, gains @ across]), np.hstack([theory.gains @ across.T, theory.gains @ theory.teacher])
    with_modes = np.vstack([read, taught])
    whole = with_modes @ np.block([[gains.T, np.zeros((p, hidden))], [np.zeros((p, hidden)), theory.gains.T]])
    signal = slopes(whole, theory.signs, hidden) @ with_modes
    pull = gains.T @ signal
    kick = gains.T @ noise(whole, theory.signs, hidden) @ gains
    return -eta * (pull[:, :p] + pull[:, :p].T) + eta**2 * kick, -eta * pull[:, p:], signal[:, :p]


def _packed(own: Values, across: Values) -> Values:
    """A symmetric matrix by its upper triangle, so that it stays one, and a matrix."""
    return np.concatenate([own[np.triu_indices(len(own))], across.ravel()])


def _unpacked(state: Values, size: int) -> tuple[Values, Values]:
    rows, columns = np.triu_indices(size)
    own = np.empty((size, size))
    own[rows, columns] = own[columns, rows] = state[: rows.size]
    return own, state[rows.size :].reshape(size, size)
