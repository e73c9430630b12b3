"""The reference of measures, made from the code: every number with its formula, unit, range and source, every option."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modescope.blocks import Note, Table
from modescope.errors import UsageError
from modescope.measures import measures, options
from modescope.quantity import quantities
from modescope.reports import Report
from modescope.version import __version__

SCHEMA = "modescope.measures/1"


def reference(names: Sequence[str] = ()) -> Report:
    """Describe measures.

    Args:
        names: Which; by default all.

    Raises:
        UsageError: No such measure.
    """
    known = measures()
    for name in names:
        if name not in known:
            raise UsageError(f"measure {name!r}: expected one of {', '.join(known)}.")
    blocks: list[Table | Note] = []
    described: list[dict[str, Any]] = []
    for name in names or known:
        measure = known[name]
        first = (measure.__doc__ or "").partition("\n")[0]
        numbers = quantities(measure.Result)
        defaults = options(measure)
        rows = tuple((f"{name}.{key}", q.meaning, q.formula, q.unit, q.range, q.void, q.source) for key, q in numbers.items())
        blocks.append(
            Table(f"{name}: {first}", ("number", "meaning", "formula", "unit", "range", "means nothing when", "source"), rows)
        )
        if defaults:
            blocks.append(Note("Options: " + ", ".join(f"{name}.{key}={value!r}" for key, value in defaults.items())))
        described.append(
            {"name": name, "summary": first, "options": defaults, "numbers": [{"name": k, **asdict(q)} for k, q in numbers.items()]}
        )
    return Report(tuple(blocks), {"schema": SCHEMA, "version": __version__, "measures": described}, "measures")
