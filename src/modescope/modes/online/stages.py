"""Stages of learning: where the error stands still, where it drops, and when each mode is learnt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from modescope.errors import UsageError
from modescope.svd import Values

FLAT = 0.5
STEEP = 1.0
LEAST = 1.5  # ratio of end to begin
FLOOR = 1e-11  # of the generalisation error, below which an integrator with default tolerances has no digit
POINTS = 5
HALF = 0.5


@dataclass(frozen=True)
class Stage:
    """A stretch of time of one kind.

    Attributes:
        kind: "plateau" or "drop".
        begin: Its first time.
        end: Its last time.
        error_begin: Generalisation error at its begin.
        error_end: The same at its end.
    """

    kind: Literal["plateau", "drop"]
    begin: float
    end: float
    error_begin: float
    error_end: float


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages of one learning curve.

    Attributes:
        stages: In order; stretches between a plateau and a drop are neither.
        slope: (n,) `d ln e / d ln t` at the times that could be used.
        times: (n,) those times.
        status: "ok", or a sentence that says what was left out, or why there are no stages.
    """

    stages: tuple[Stage, ...]
    slope: Values
    times: Values
    status: str = "ok"


def stages(
    times: Values, errors: Values, *, flat: float = FLAT, steep: float = STEEP, least: float = LEAST, floor: float = FLOOR
) -> Stages:
    """Plateaus and drops of a learning curve by its slope on logarithmic axes, `d ln e / d ln t`.

    Meant for the smooth curve of the theory: noise of a single run makes slopes of its own. What is a plateau depends on the
    thresholds, which are ours. The flat start, before anything is learnt, is a plateau by this definition, too, and begins at the
    first time.

    Args:
        times: (n,) ascending; 0 is left out, which has no logarithm.
        errors: (n,) generalisation errors.
        flat: A plateau has an absolute slope below this.
        steep: A drop has a slope of at most minus this.
        least: Least ratio of last to first time of a stage; the more narrow ones are left out.
        floor: The curve is followed as long as the error is above this.

    Raises:
        UsageError: Shapes that differ, times that are not ascending, thresholds that do not fit.
    """
    times, errors = np.asarray(times, np.float64), np.asarray(errors, np.float64)
    if times.ndim != 1 or times.shape != errors.shape or np.any(np.diff(times) <= 0) or (times.size and times[0] < 0):
        raise UsageError(f"stages: expected ascending times and as many errors, got shapes {times.shape} and {errors.shape}.")
    if not (0 < flat <= steep and least >= 1 and floor >= 0):
        raise UsageError("stages: expected 0 < flat <= steep, least of at least 1 and a floor that is not negative.")
    low = np.flatnonzero(~(errors > floor))  # what is not a number is no error either
    end = int(low[0]) if low.size else times.size
    status = "ok" if end == times.size else f"followed for {end} of {times.size} times, while the error is above {floor:g}"
    first = int(times.size > 0 and times[0] == 0)
    t, e = times[first:end], errors[first:end]
    if t.size < POINTS:
        return Stages((), np.empty(0), np.empty(0), f"expected at least {POINTS} times above 0 with an error above {floor:g}")
    slope = np.gradient(np.log(e), np.log(t))
    kinds = np.where(slope <= -steep, -1, np.where(np.abs(slope) < flat, 1, 0))
    cuts = np.flatnonzero(np.diff(kinds)) + 1
    found = []
    for own in np.split(np.arange(t.size), cuts):
        begin, last = own[0], own[-1]
        if kinds[begin] and t[last] >= least * t[begin]:
            kind: Literal["plateau", "drop"] = "plateau" if kinds[begin] > 0 else "drop"
            found.append(Stage(kind, float(t[begin]), float(t[last]), float(e[begin]), float(e[last])))
    return Stages(tuple(found), slope, t, status)


def specialisation(times: Values, correlations: Values, *, level: float = HALF) -> tuple[float | None, ...]:
    """When each mode is first correlated with its teacher's by more than a level, interpolated between the times.

    Args:
        times: (n,) ascending.
        correlations: (n, p) of the student's modes with the teacher's.
        level: The level; a half is our choice.

    Returns:
        A time for each mode; None where it was never reached, the first time where it was reached from the start.
    """
    times, correlations = np.asarray(times, np.float64), np.asarray(correlations, np.float64)
    if correlations.ndim != 2 or len(correlations) != times.size or not times.size:
        raise UsageError(f"specialisation: expected correlations (times, modes), got {correlations.shape} for {times.size} times.")
    found: list[float | None] = []
    for own in correlations.T:
        above = np.flatnonzero(own > level)
        if not above.size:
            found.append(None)
        elif (at := int(above[0])) == 0:
            found.append(float(times[0]))
        else:
            part = (level - own[at - 1]) / (own[at] - own[at - 1])
            found.append(float(times[at - 1] + part * (times[at] - times[at - 1])))
    return tuple(found)


def ordered(moments: Sequence[float | None], gains: Values) -> bool | None:
    """Whether modes were learnt in the order of their gains, the strongest first; a mode that was not counts as the last.

    Returns:
        None where fewer than two modes were learnt at different times, so that there is no order.
    """
    late = np.array([np.inf if one is None else one for one in moments])
    if np.unique(late).size < 2:
        return None
    late = late[np.argsort(-np.asarray(gains), kind="stable")]
    return bool(np.all(late[1:] >= late[:-1]))
