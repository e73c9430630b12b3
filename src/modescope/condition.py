"""A condition on a scan, as a gate for scripts: `tail.alpha > 6` holds where the number of any row fulfils it."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from modescope.errors import UsageError
from modescope.measures import measures
from modescope.quantity import quantities
from modescope.result import Row, Scan

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
SHAPE = re.compile(r"\s*(\w+)\.(\w+)\s*(<=|>=|==|!=|<|>)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Condition:
    """One comparison of a measured number."""

    measure: str
    name: str
    compare: str
    limit: float

    def __str__(self) -> str:
        return f"{self.measure}.{self.name} {self.compare} {self.limit:g}"


def parse(text: str) -> Condition:
    """Read a condition.

    Args:
        text: "measure.number OP value" with OP one of < <= > >= == !=.

    Raises:
        UsageError: Another form, or a number that no measure has; the message lists what there is.
    """
    match = SHAPE.fullmatch(text)
    if match is None:
        raise UsageError(f"condition {text!r}: expected a form like 'tail.alpha > 6'.")
    measure, name, compare, limit = match.groups()
    known = measures()
    if measure not in known:
        raise UsageError(f"condition {text!r}: no measure {measure!r}; expected one of {', '.join(known)}.")
    names = quantities(known[measure].Result)
    if name not in names:
        raise UsageError(f"condition {text!r}: {measure} has no number {name!r}; expected one of {', '.join(names)}.")
    return Condition(measure, name, compare, float(limit))


def rows_that_fulfil(condition: Condition, scan: Scan) -> tuple[Row, ...]:
    """Rows whose number exists and fulfils the condition; a number that means nothing fulfils none."""
    found = []
    for row in scan.rows:
        value = row.number(condition.measure, condition.name)
        if isinstance(value, int | float) and COMPARE[condition.compare](value, condition.limit):
            found.append(row)
    return tuple(found)
