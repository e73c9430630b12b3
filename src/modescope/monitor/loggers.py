"""Scalars of an observation for the loggers people already have: TensorBoard writers, Weights & Biases runs and their like."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from modescope.errors import UsageError
from modescope.result import Scan

# Few enough for a wall of charts; the store keeps every number.
NUMBERS = (("norms", "spectral"), ("rank", "stable"), ("bulk", "outliers"), ("tail", "alpha"))


def check(loggers: Iterable[Any], /) -> tuple[Any, ...]:
    """The loggers, each of which takes scalars in a way that `write` knows.

    Raises:
        UsageError: One takes none.
    """
    found = tuple(loggers)
    for logger in found:
        if not any(callable(getattr(logger, name, None)) for name in ("add_scalar", "log")):
            raise UsageError(
                f"loggers: expected objects with add_scalar(tag, value, step) or log(dict, step=...), "
                f"got {type(logger).__name__}. A TensorBoard SummaryWriter or a W&B run will do."
            )
    return found


def write(logger: Any, scan: Scan, step: int, /) -> None:
    """Hand the scalars of an observation to one logger.

    Args:
        logger: With `add_scalar(tag, value, step)`, which gets one call a scalar, or `log(dict, step=)`, which gets one call.
        scan: What was observed.
        step: When.
    """
    found = dict(scalars(scan))
    if callable(getattr(logger, "add_scalar", None)):
        for tag, value in found.items():
            logger.add_scalar(tag, value, step)
    elif found:
        logger.log(found, step=step)


def scalars(scan: Scan, /) -> Iterator[tuple[str, float]]:
    """`modescope/<layer>/<measure.field>` and its value, for every number that means something."""
    views = Counter(row.name for row in scan.rows)
    for row in scan.rows:
        layer = f"{row.name} {row.view}" if views[row.name] > 1 else row.name
        for measure, field in NUMBERS:
            value = row.number(measure, field) if measure in row.measures else None
            if value is not None and math.isfinite(value):
                yield f"modescope/{layer}/{measure}.{field}", value
