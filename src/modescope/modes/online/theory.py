"""Online learning of modes by a teacher: what is learnt, the order parameters that say all of it, and their course in time.

Student and teacher are soft committee machines, `y = (1/K) sum_i erf(lambda_i / sqrt 2)` with `lambda = B xi x / sqrt d`, on white
Gaussian inputs x of dimension d. They share the gains `B = xi_out diag(s)` (K, p); only the p input patterns xi of the student
learn, from one fresh sample a step. Time is samples over d. As d grows, the p x p overlaps of the patterns follow ordinary
differential equations (`online_equations`), and all else follows from them.

References:
    Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011; Saad & Solla (1995), doi:10.1103/PhysRevE.52.4225.
"""

import math
from dataclasses import dataclass

import numpy as np

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.modes.online.integrals import error
from modescope.svd import Values

ROUNDING = 1e-9  # of the largest eigenvalue, below which a negative one is rounding


@dataclass(frozen=True, eq=False)
class ModeTheory:
    """A student at the start of its training, and its teacher, by their overlaps.

    Attributes:
        xi_out: (K, p) output patterns, of both.
        s: (p,) strengths, of both.
        student: (p, p) `xi xi^T / d` of the student's input patterns.
        overlap: (p, p) `xi xi*^T / d`, a row for each pattern of the student.
        teacher: (p, p) `xi* xi*^T / d` of the teacher's.
        eta: Learning rate: `xi` moves by `-eta / sqrt(d) B^T delta x^T` at each sample.
    """

    xi_out: Values
    s: Values
    student: Values
    overlap: Values
    teacher: Values
    eta: float

    def __post_init__(self) -> None:
        names = ("xi_out", "s", "student", "overlap", "teacher")
        arrays = {name: np.array(getattr(self, name), np.float64) for name in names}
        p = arrays["s"].size
        hidden = arrays["xi_out"].shape[0] if arrays["xi_out"].ndim else 0
        wanted = {"xi_out": (hidden, p), "s": (p,), "student": (p, p), "overlap": (p, p), "teacher": (p, p)}
        for name, array in arrays.items():
            if not (p and hidden) or array.shape != wanted[name]:
                raise UsageError(
                    f"theory: expected {name} of shape {wanted[name]} for {p} modes in s (at least 1) and {hidden} hidden units in "
                    f"xi_out (at least 1), got {array.shape}."
                )
            if bad := array.size - int(np.isfinite(array).sum()):
                raise UsageError(f"theory: expected finite {name}, got {bad} of {array.size} entries that are not.")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if p > hidden:
            raise UsageError(f"theory: expected at most as many modes as hidden units, {hidden}, got {p}: the others add no rank.")
        if not 0 < self.eta < math.inf:
            raise UsageError(f"theory: expected a learning rate eta positive and finite, got {self.eta}.")
        values = np.linalg.eigvalsh(self.patterns)
        for name in ("student", "teacher"):
            if not np.allclose(arrays[name], arrays[name].T, rtol=0, atol=ROUNDING * float(abs(values).max())):
                raise UsageError(f"theory: expected a symmetric {name}, the overlaps of patterns with each other.")
        if values[0] < -ROUNDING * abs(values).max():
            raise UsageError(
                f"theory: expected overlaps of real patterns, got {values[0]:.3g} as least eigenvalue of [[student, overlap], "
                "[overlap^T, teacher]]. Is overlap (student, teacher), and are all three divided by d?"
            )

    @property
    def hidden(self) -> int:
        """K, the number of hidden units."""
        return len(self.xi_out)

    @property
    def modes(self) -> int:
        """p, the number of modes."""
        return self.s.size

    @property
    def gains(self) -> Values:
        """(K, p) B, through which patterns reach the hidden units."""
        formed: Values = self.xi_out * self.s
        return formed

    @property
    def strengths(self) -> Values:
        """(p,) `||B_k||`, the gain of each mode."""
        found: Values = np.linalg.norm(self.gains, axis=0)
        return found

    @property
    def patterns(self) -> Values:
        """(2p, 2p) overlaps of the patterns, first the student's and then the teacher's."""
        return np.block([[self.student, self.overlap], [self.overlap.T, self.teacher]])

    @property
    def signs(self) -> Values:
        """(2K,) weight of each field in the output of the student less that of the teacher."""
        return np.repeat([1 / self.hidden, -1 / self.hidden], self.hidden)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Order parameters at some times: of the theory, or with an axis of runs in front, of simulations.

    Attributes:
        theory: Where it starts.
        times: (n,) samples over d, ascending.
        student: (..., n, p, p) R, overlaps of the student's patterns.
        overlap: (..., n, p, p) T, overlaps of the student's patterns with the teacher's.
        gains: (..., n, K, p) B of the student, which is that of the teacher unless it learns as well.
        status: "ok", or a sentence that says where the course ends and why.
    """

    theory: ModeTheory
    times: Values
    student: Values
    overlap: Values
    gains: Values
    status: str = "ok"

    @property
    def fields(self) -> Values:
        """(..., n, K, K) Q, covariance of the student's hidden fields."""
        found: Values = self.gains @ self.student @ np.swapaxes(self.gains, -1, -2)
        return found

    @property
    def taught(self) -> Values:
        """(..., n, K, K) M, covariance of the student's hidden fields with the teacher's."""
        found: Values = self.gains @ self.overlap @ self.theory.gains.T
        return found

    @property
    def error(self) -> Values:
        """(..., n) generalisation error."""
        theory = self.theory
        own = theory.gains @ theory.teacher @ theory.gains.T
        return error(covariance(self.fields, self.taught, np.broadcast_to(own, self.fields.shape)), theory.signs)

    @property
    def correlations(self) -> Values:
        """(..., n, p) of each pattern of the student with its teacher's, -1 to 1; 0 where either is zero and has no direction."""
        own, theirs = np.diagonal(self.student, axis1=-2, axis2=-1), np.diagonal(self.theory.teacher)
        scale = np.sqrt(np.maximum(own, 0) * theirs)
        between = np.diagonal(self.overlap, axis1=-2, axis2=-1)
        found: Values = np.clip(np.divide(between, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1)
        return found

    def until(self, count: int) -> "Trajectory":
        """The first times only."""
        return Trajectory(
            self.theory, self.times[:count], self.student[..., :count, :, :], self.overlap[..., :count, :, :],
            self.gains[..., :count, :, :], self.status,
        )  # fmt: skip


def of_factors(xi_out: Array, s: Array, xi_student: Array, xi_teacher: Array, eta: float) -> ModeTheory:
    """The theory of a student and a teacher that share xi_out and s.

    Args:
        xi_out: (K, p) output patterns.
        s: (p,) strengths.
        xi_student: (p, d) input patterns of the student, at its start.
        xi_teacher: (p, d) input patterns of the teacher.
        eta: Learning rate.

    Raises:
        UsageError: Shapes that do not fit, entries that are not finite, more modes than hidden units or inputs, a learning rate
            that is not positive.
    """
    student, teacher = np.asarray(xi_student, np.float64), np.asarray(xi_teacher, np.float64)
    if student.ndim != 2 or student.shape != teacher.shape or not student.size:
        raise UsageError(f"theory: expected xi_student and xi_teacher, both (p, d), got {student.shape} and {teacher.shape}.")
    p, inputs = student.shape
    if p > inputs:
        raise UsageError(f"theory: expected at most as many modes as inputs, {inputs}, got {p}: the others add no rank.")
    return ModeTheory(
        np.asarray(xi_out),
        np.asarray(s),
        student @ student.T / inputs,
        student @ teacher.T / inputs,
        teacher @ teacher.T / inputs,
        eta,
    )


def drawn(inputs: int, hidden: int, p: int, eta: float, rng: np.random.Generator) -> ModeTheory:
    """A student and a teacher whose factors are normal with standard deviation `(ln d)^(-1/6)`, as published.

    Args:
        inputs: d, at least 2.
        hidden: K, the number of hidden units.
        p: The number of modes, at most `hidden` and `inputs`.
        eta: Learning rate.
        rng: Draws, in this order: output patterns, strengths, patterns of the teacher, patterns of the student.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, and their public code, which has d = 30, K = 8, p = 3, eta = 5.
    """
    if inputs < 2 or not 1 <= p <= min(hidden, inputs):
        raise UsageError(
            f"theory: expected at least 2 inputs, and 1 to min(hidden, inputs) modes, got {inputs} inputs, {hidden} hidden units "
            f"and {p} modes."
        )
    scale = math.log(inputs) ** (-1 / 6)
    sizes = ((hidden, p), (p,), (p, inputs), (p, inputs))
    xi_out, s, teacher, student = (scale * rng.standard_normal(size) for size in sizes)
    return of_factors(xi_out, s, student, teacher, eta)


def covariance(fields: Values, taught: Values, teacher: Values) -> Values:
    """(..., 2K, 2K) covariance of all fields, those of the student first."""
    return np.block([[fields, taught], [np.swapaxes(taught, -1, -2), teacher]])
