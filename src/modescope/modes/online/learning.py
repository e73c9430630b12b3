"""Online learning of modes as one result: theory, stochastic gradient descent beside it, stages, and when modes are learnt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modescope import measuring
from modescope.errors import Interrupted, UsageError
from modescope.modes.online.equations import integrate
from modescope.modes.online.sgd import Deviation, deviation, patterns, simulate
from modescope.modes.online.stages import Stages, ordered, specialisation, stages
from modescope.modes.online.theory import ModeTheory, Trajectory
from modescope.reports import Report
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.online/1"
LEVELS = (0.5, 0.99)  # of the correlation of a mode with its teacher's: it is found, and it is learnt
FIRST = 0.1  # samples over inputs, the first time after 0
POINTS = 80
SAMPLES = 5e8  # numbers drawn, about a quarter of an hour


@dataclass(frozen=True, eq=False)
class OnlineLearning:
    """How a student learns the modes of its teacher.

    Attributes:
        theory: Overlaps at the start, gains, learning rate.
        inputs: d of the runs.
        expected: The theory at the times of the runs.
        runs: Stochastic gradient descent, with an axis of runs in front.
        deviation: How far runs are from the theory; None without a run.
        stages: Plateaus and drops of the theory's error.
        learnt: For each of the levels 0.5 and 0.99 the time at which the correlation of each mode in the theory exceeds it.
        ordered: For each level whether modes reach it in the order of their gains; None where fewer than two times differ.
        options: Everything the numbers depend on besides.
        meta: Versions of what computed it.
    """

    theory: ModeTheory
    inputs: int
    expected: Trajectory
    runs: Trajectory | None
    deviation: Deviation | None
    stages: Stages
    learnt: Mapping[float, tuple[float | None, ...]]
    ordered: Mapping[float, bool | None]
    options: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.online/1`."""
        from modescope.modes.online.page import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """A row for every time: errors and correlations of the theory, and of each run.

        Raises:
            UsageError: pandas is missing.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
        columns: dict[str, Values] = {"time": self.expected.times, "error": self.expected.error}
        columns |= {f"correlation_{k}": one for k, one in enumerate(self.expected.correlations.T)}
        if self.runs is not None:
            for run, (errors, correlations) in enumerate(zip(self.runs.error, self.runs.correlations, strict=True)):
                columns[f"run_{run}_error"] = errors
                columns |= {f"run_{run}_correlation_{k}": one for k, one in enumerate(correlations.T)}
        return DataFrame(columns)

    def report(self) -> Report:
        """Learning curves, correlations of the modes and stages, as a page."""
        from modescope.modes.online.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write a report by its suffix (`.html`, `.json`, ...).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def learn(
    theory: ModeTheory,
    *,
    inputs: int,
    until: float = 1000.0,
    runs: int = 3,
    seed: int = 0,
    points: int = POINTS,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> OnlineLearning:
    """Integrate the theory, run stochastic gradient descent beside it, and find stages.

    Args:
        theory: Overlaps at the start, gains, learning rate.
        inputs: d of the runs.
        until: The last time, in samples over inputs; each run sees `until * inputs` samples.
        runs: Number of runs, 0 for the theory alone.
        seed: Derives the inputs of the runs.
        points: Times after 0, spaced evenly on a logarithmic axis from 0.1 (or a sample) on, and rounded to whole samples.
        progress: Called with what is done, how much, and of how much.

    Raises:
        UsageError: Options that do not fit, or runs beyond 5e8 numbers drawn.
        Interrupted: While the runs went; `partial` is the result up to the time that all of them have reached.
    """
    first = max(FIRST, 1 / max(inputs, 1))
    if not first < until < np.inf:
        raise UsageError(f"learn: expected a last time above {first:g} (samples over inputs) and finite, got {until}.")
    if points < 2 or runs < 0:
        raise UsageError(f"learn: expected at least 2 points and no negative number of runs, got {points} and {runs}.")
    if inputs < 1 or runs * until * inputs**2 > SAMPLES:
        raise UsageError(
            f"learn: expected inputs of at least 1 with runs * until * inputs^2 of at most {SAMPLES:g} numbers drawn, got "
            f"{runs * until * inputs**2:.3g}. Take fewer inputs or runs, or a shorter time."
        )
    if runs:
        patterns(theory, inputs)  # refused before the theory is integrated, not after
    times = np.unique(np.rint(np.concatenate([[0.0], np.geomspace(first, until, points)]) * inputs)) / inputs
    expected = integrate(theory, times, progress=progress)
    options = {"inputs": inputs, "until": until, "runs": runs, "seed": seed, "points": points}
    options |= {"hidden": theory.hidden, "modes": theory.modes, "eta": theory.eta}
    if not runs:
        return _found(theory, inputs, expected, None, options)
    try:
        done = simulate(theory, inputs, expected.times, runs=runs, seed=seed, progress=progress)
    except Interrupted as stop:
        raise Interrupted(_found(theory, inputs, expected, stop.partial, options)) from None
    return _found(theory, inputs, expected, done, options)


def _found(
    theory: ModeTheory, inputs: int, expected: Trajectory, runs: Trajectory | None, options: Mapping[str, Any]
) -> OnlineLearning:
    """The result; runs that were interrupted are compared with the theory as far as they came."""
    learnt = {level: specialisation(expected.times, expected.correlations, level=level) for level in LEVELS}
    came = runs if runs is not None and runs.times.size else None
    return OnlineLearning(
        theory,
        inputs,
        expected,
        came,
        None if came is None else deviation(came, expected.until(came.times.size)),
        stages(expected.times, expected.error),
        learnt,
        {level: ordered(times, theory.strengths) for level, times in learnt.items()},
        options,
        measuring.versions(),
    )
