"""Online learning as it is done, sample by sample: the simulation beside the theory, and how far both are apart.

Only overlaps matter on white Gaussian inputs: rotating all patterns together changes no distribution. So patterns in d dimensions
are made from the overlaps of the theory, the same for every d.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from modescope.errors import Interrupted, UsageError
from modescope.modes.online.equations import checked
from modescope.modes.online.theory import ROUNDING, ModeTheory, Trajectory
from modescope.seeds import generator
from modescope.svd import Values

BATCH = 1 << 21  # entries of the inputs that are drawn at once, 16 MB
SLOPE = np.sqrt(2 / np.pi)  # of the unit at 0

Point = tuple[Values, Values, Values]
"""R (runs, p, p), T (runs, p, p) and B (runs, K, p) at one time."""


@dataclass(frozen=True, eq=False)
class Deviation:
    """How far runs are from the theory, the largest over all times.

    Attributes:
        fields: (runs,) largest entry of the difference in Q.
        taught: (runs,) the same in M.
        error: (runs,) largest relative difference of the generalisation error; large where the error itself has become small.
    """

    fields: Values
    taught: Values
    error: Values


def simulate(
    theory: ModeTheory,
    inputs: int,
    times: Values,
    *,
    runs: int = 3,
    seed: int = 0,
    slow: float = 0.0,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Trajectory:
    """Stochastic gradient descent with batches of one fresh sample, several runs side by side.

    A run draws from its own stream, so that it is the same whatever runs there are besides it. Memory: 16 MB of inputs, or those of
    one step of all runs if these are more, and `runs p d` numbers.

    Args:
        theory: Overlaps at the start.
        inputs: d, at least the rank of all patterns, at most 2p.
        times: (n,) samples over d, ascending; they are rounded to whole samples.
        runs: Number of runs.
        seed: Derives the inputs of every run.
        slow: Learning rate of output patterns and strengths in units of 1 / d; 0 keeps them.
        progress: Called with what is done, steps, and of how many.

    Returns:
        A trajectory with an axis of runs in front; its times are those that were used, whole multiples of 1 / d.

    Raises:
        UsageError: Too few inputs, no run, times that are not ascending or nearer than a sample.
        Interrupted: By the keyboard; `partial` has the times that were reached.
    """
    student, teacher = patterns(theory, inputs)
    steps = np.rint(checked(times) * inputs).astype(np.int64)
    if np.any(np.diff(steps) <= 0):
        raise UsageError(f"simulate: expected times at least one sample (1/{inputs}) apart.")
    if runs < 1:
        raise UsageError(f"simulate: expected at least 1 run, got {runs}.")
    if not 0 <= slow < np.inf:
        raise UsageError(f"simulate: expected slow, a learning rate in units of 1 / d, not negative and finite, got {slow}.")
    found: list[Point] = []
    try:
        for point in _course(theory, np.repeat(student[None], runs, axis=0), teacher, steps, seed, slow, progress):
            found.append(point)  # one by one: what was found stays when the next is interrupted
    except KeyboardInterrupt:
        raise Interrupted(_gathered(theory, steps, inputs, found, runs)) from None
    return _gathered(theory, steps, inputs, found, runs)


def patterns(theory: ModeTheory, inputs: int) -> tuple[Values, Values]:
    """Patterns (p, d) of a student and a teacher that have the overlaps of the theory.

    They lie in the first 2p directions of the inputs, which are as good as any: the inputs are white.

    Raises:
        UsageError: More independent patterns than inputs.
    """
    values, vectors = np.linalg.eigh(theory.patterns)
    size = min(values.size, max(inputs, 0))
    if values.size > size and values[-size - 1] > ROUNDING * values[-1]:
        rank = int((values > ROUNDING * values[-1]).sum())
        raise UsageError(f"simulate: expected at least {rank} inputs, as many as there are independent patterns, got {inputs}.")
    both = np.zeros((values.size, inputs))
    both[:, :size] = (vectors * np.sqrt(inputs * np.maximum(values, 0)))[:, values.size - size :]
    return both[: theory.modes], both[theory.modes :]


def deviation(runs: Trajectory, theory: Trajectory) -> Deviation:
    """How far runs are from the theory.

    In a run of d inputs order parameters scatter on the order of `1 / sqrt(d)` around the theory.

    Raises:
        UsageError: Both are not at the same times; integrate at the times of the runs.
    """
    if runs.times.shape != theory.times.shape or not np.allclose(runs.times, theory.times, rtol=1e-12, atol=1e-12):
        raise UsageError("deviation: expected both at the same times; integrate at the times of the runs, `runs.times`.")

    def largest(values: Values) -> Values:
        found: Values = np.abs(values).reshape(len(values), -1).max(axis=1)
        return found

    exact = theory.error
    relative = np.divide(runs.error - exact, exact, out=np.zeros_like(runs.error), where=exact > 0)
    return Deviation(largest(runs.fields - theory.fields), largest(runs.taught - theory.taught), largest(relative))


def _course(
    theory: ModeTheory,
    xi: Values,
    teacher: Values,
    steps: NDArray[np.int64],
    seed: int,
    slow: float,
    progress: Callable[[str, int, int | None], None] | None,
) -> Iterator[Point]:
    """Order parameters of all runs after each of the steps; `xi` (runs, p, d) is changed."""
    runs, _, inputs = xi.shape
    streams = [generator(seed, "online", str(run)) for run in range(runs)]
    xi_out, s = (np.repeat(one[None], runs, axis=0) for one in (theory.xi_out, theory.s))
    gains, root, last = xi_out * s[:, None], np.sqrt(inputs), int(steps[-1])
    wanted = set(steps.tolist())
    size = max(1, BATCH // (runs * inputs))
    for start in range(0, last + 1, size):
        if progress is not None:
            progress("samples", start, last)
        count = min(size, last - start)
        drawn = np.stack([stream.standard_normal((count, inputs)) for stream in streams], axis=1)
        targets = erf(drawn @ teacher.T @ theory.gains.T / (root * np.sqrt(2))).mean(axis=2)
        for step, (x, target) in enumerate(zip(drawn, targets, strict=True), start):
            if step in wanted:
                yield _point(xi, teacher, gains)
            h = (xi @ x[:, :, None])[:, :, 0] / root
            fields = (gains @ h[:, :, None])[:, :, 0]
            wrong = (erf(fields / np.sqrt(2)).mean(axis=1) - target) / theory.hidden
            delta = wrong[:, None] * (SLOPE * np.exp(-(fields**2) / 2))
            xi -= (theory.eta / root) * (delta[:, None, :] @ gains)[:, 0, :, None] * x[:, None, :]
            if slow:
                signal = delta[:, :, None] * h[:, None, :]
                xi_out, s = xi_out - slow / inputs * signal * s[:, None], s - slow / inputs * (xi_out * signal).sum(axis=1)
                gains = xi_out * s[:, None]
    yield _point(xi, teacher, gains)
    if progress is not None:
        progress("samples", last, last)


def _point(xi: Values, teacher: Values, gains: Values) -> Point:
    inputs = xi.shape[2]
    return xi @ np.swapaxes(xi, 1, 2) / inputs, xi @ teacher.T / inputs, gains.copy()


def _gathered(theory: ModeTheory, steps: NDArray[np.int64], inputs: int, found: list[Point], runs: int) -> Trajectory:
    sizes = ((theory.modes, theory.modes), (theory.modes, theory.modes), (theory.hidden, theory.modes))
    own, across, gains = (
        np.stack([point[part] for point in found], axis=1) if found else np.empty((runs, 0, *size))
        for part, size in enumerate(sizes)
    )
    status = "ok" if len(found) == steps.size else f"interrupted after {len(found)} of {steps.size} times"
    return Trajectory(theory, steps[: len(found)] / inputs, own, across, gains, status)
