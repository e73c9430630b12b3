"""Online learning of modes as a page and as plain JSON data: learning curves, correlations, stages, and what they may mean."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from modescope.blocks import Axis, Block, Curve, Mark, Note, Series, Table
from modescope.modes.online.learning import LEVELS, SCHEMA, OnlineLearning
from modescope.modes.online.stages import FLAT, LEAST, STEEP
from modescope.pictures import number, numbers
from modescope.plain_data import number as told
from modescope.plain_data import plain
from modescope.reports import Report
from modescope.svd import Values

TIME = Axis("samples / inputs", log=True)
MEANS = (
    "The theory holds for infinitely many inputs and for frozen gains that student and teacher share; runs scatter around it on "
    "the order of 1 / sqrt(inputs). It is not the training of all factors."
)
EARLY = "Which mode comes first depends on its overlap with the teacher's at the start, besides its gain."


def report(result: OnlineLearning, /) -> Report:
    """Learning curves, correlations of the modes and stages."""
    return Report(tuple(_blocks(result)), document(result), "times", "Online learning of modes")


def document(result: OnlineLearning, /) -> dict[str, Any]:
    """The result under the schema `modescope.online/1`; a number that means nothing here is null."""
    theory, expected, runs, apart = result.theory, result.expected, result.runs, result.deviation
    return {
        "schema": SCHEMA,
        "version": str(result.meta.get("modescope", "")),
        "source": {"start": plain(theory)},
        "options": plain(result.options),
        "meta": plain(result.meta),
        "status": expected.status,
        "runs_status": None if runs is None else runs.status,
        "modes": [
            {
                "index": k,
                "gain": told(float(theory.strengths[k])),
                "correlation": told(float(expected.correlations[-1, k])),
                "learnt": {f"{level:g}": _maybe(moments[k]) for level, moments in result.learnt.items()},
            }
            for k in range(theory.modes)
        ],
        "ordered_by_gain": {f"{level:g}": said for level, said in result.ordered.items()},
        "stages": [plain(one) for one in result.stages.stages],
        "stages_status": result.stages.status,
        "times": [
            {
                "time": told(float(expected.times[n])),
                "error": told(float(expected.error[n])),
                "correlations": plain(expected.correlations[n]),
                "runs": [told(float(one)) for one in runs.error[:, n]] if runs is not None and n < runs.times.size else [],
            }
            for n in range(expected.times.size)
        ],
        "deviation": None if apart is None else plain(apart),
    }


def _blocks(result: OnlineLearning) -> Iterator[Block]:
    theory, expected, runs = result.theory, result.expected, result.runs
    counted = f"{theory.hidden} hidden units, {theory.modes} modes, eta {theory.eta:g}"
    yield Note(f"{counted}. {MEANS}", source="Li & Huang (2023); Saad & Solla (1995)")
    for status in (expected.status, "ok" if runs is None else runs.status):
        if status != "ok":
            yield Note(status, "caution")
    yield _errors(result)
    yield _correlations(result)
    yield _modes(result)
    yield _stages(result)
    if result.deviation is not None:
        apart = result.deviation
        yield Table(
            "Runs beside the theory",
            ("run", "largest difference of Q", "of M", "relative, of the error"),
            tuple(
                (run, *(number(float(of[run])) for of in (apart.fields, apart.taught, apart.error)))
                for run in range(apart.error.size)
            ),
            about=(
                "",
                "Covariances of hidden fields, over all times.",
                "Likewise with the teacher's.",
                "Of the generalisation error.",
            ),
        )


def _errors(result: OnlineLearning) -> Curve:
    expected, runs = result.expected, result.runs
    series = [Series("theory", *_after(expected.times, expected.error), role="law")]
    if runs is not None:
        times, mean = _after(runs.times, runs.error.mean(axis=0))
        low, high = (_after(runs.times, of(runs.error, axis=0))[1] for of in (np.min, np.max))
        name = "one run" if len(runs.error) == 1 else f"mean of {len(runs.error)} runs"
        series.append(Series(f"{name}, {result.inputs} inputs", times, mean, low=low, high=high))
    marks = tuple(
        Mark(number(one.begin) or one.begin, f"{one.kind} {count}")
        for count, one in enumerate(result.stages.stages)
        if one.begin > 0
    )
    return Curve(
        "Generalisation error",
        TIME,
        Axis("generalisation error", log=True),
        tuple(series),
        marks,
        caption="Band: from the least to the largest of the runs. Marks: where stages of the theory begin.",
    )


def _correlations(result: OnlineLearning) -> Curve:
    expected, runs, gains = result.expected, result.runs, result.theory.strengths
    series = []
    for k in np.argsort(-gains, kind="stable").tolist():
        name = f"mode {k}, gain {gains[k]:.3g}"
        series.append(Series(name, *_after(expected.times, expected.correlations[:, k]), role="law"))
        if runs is not None:
            own = runs.correlations[:, :, k]
            low, high = (_after(runs.times, of(own, axis=0))[1] for of in (np.min, np.max))
            series.append(Series(f"{name}, runs", *_after(runs.times, own.mean(axis=0)), drawn="points", low=low, high=high))
    return Curve(
        "Correlation of each mode with its teacher's",
        TIME,
        Axis("correlation"),
        tuple(series),
        tuple(Mark(level, f"{level:g}", "y") for level in LEVELS),
        caption=f"Lines: theory. Points: mean of the runs. {EARLY}",
    )


def _modes(result: OnlineLearning) -> Table:
    theory, last = result.theory, result.expected.correlations[-1]
    rows = tuple(
        (
            k,
            number(float(theory.strengths[k])),
            number(float(result.expected.correlations[0, k])),
            *(None if (moment := result.learnt[level][k]) is None else number(moment) for level in LEVELS),
            number(float(last[k])),
        )
        for k in np.argsort(-theory.strengths, kind="stable").tolist()
    )
    return Table(
        "Modes, the strongest first",
        ("mode", "gain", "correlation at the start", *(f"time above {level:g}" for level in LEVELS), "correlation at the end"),
        rows,
        about=(
            "",
            "Norm of its column of B.",
            "With the teacher's pattern.",
            *(f"First time at which its correlation exceeds {level:g}; empty: never." for level in LEVELS),
            "In the theory.",
        ),
    )


def _stages(result: OnlineLearning) -> Table | Note:
    if not result.stages.stages:
        return Note(f"No stage was found ({result.stages.status}).")
    return Table(
        "Stages of the theory",
        ("stage", "kind", "from", "to", "error at its begin", "error at its end"),
        tuple(
            (count, one.kind, *(number(value) for value in (one.begin, one.end, one.error_begin, one.error_end)))
            for count, one in enumerate(result.stages.stages)
        ),
        about=(
            "",
            f"By the slope on logarithmic axes: a plateau below {FLAT:g}, a drop at least {STEEP:g} downwards; longer than a "
            f"factor of {LEAST:g} in time. These thresholds are ours.",
            "",
            "",
            "",
            "",
        ),
    )


def _after(times: Values, values: Values) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Points at times above 0, which has no logarithm."""
    later = times > 0
    return numbers(times[later]), numbers(values[later])


def _maybe(value: float | None) -> float | None:
    return None if value is None else told(value)
