"""Lines of a store: a scan as lines of one wide table, and the same scan back."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from modescope.matrix import Skip
from modescope.measures import measures
from modescope.quantity import quantities
from modescope.result import Row, Scan
from modescope.runs import rebuilt
from modescope.svd import Values

FIXED = {
    "append": "VARCHAR",  # which append wrote the line; of two for one run and step, the greater is the newer
    "place": "INTEGER",  # of the matrix in its scan, from 1; 0 is the head, the one line that says what the scan was
    "run": "VARCHAR",
    "step": "BIGINT",
    "time": "TIMESTAMP",  # in UTC
    "source": "VARCHAR",
    "format": "VARCHAR",
    "sha256": "VARCHAR",
    "options": "VARCHAR",
    "name": "VARCHAR",
    "view": "VARCHAR",
    "kind": "VARCHAR",
    "out": "BIGINT",
    "in": "BIGINT",
    "dtype": "VARCHAR",
    "status": "VARCHAR",
    "note": "VARCHAR",
    "values": "DOUBLE[]",
    "twin": "DOUBLE[]",
    "vectors": "BLOB",  # u and vh as a safetensors file
    "row": "VARCHAR",  # Row.to_dict as JSON
    "head": "VARCHAR",  # everything of the scan but its rows, as JSON
    "matrices": "BIGINT",  # of the head only, as are those that follow
    "failed": "BIGINT",
    "signal": "BIGINT",
    "complete": "BOOLEAN",
}
LARGE = ("values", "twin", "vectors", "row", "head")
HEAD = ("append", "place", "matrices", "failed", "signal", "complete")


@dataclass(frozen=True)
class Lines:
    """Columns by name: their types in SQL, and their values, one per line."""

    types: Mapping[str, str]
    columns: Mapping[str, list[Any]]


def numbers(rows: Sequence[Row] = ()) -> tuple[tuple[str, str], ...]:
    """Measure and field of every number that is one value, of the measures there are and of those in the rows."""
    classes = {name: measure.Result for name, measure in measures().items()}
    for row in rows:
        classes |= {name: type(result) for name, result in row.measures.items()}
    return tuple((measure, name) for measure, cls in classes.items() for name in quantities(cls) if _is_one(cls, name))


def lines_of(scan: Scan, append: str, run: str, step: int | None, time: Any) -> Lines:
    """The head of a scan and one line per matrix."""
    head = {
        "source": dict(scan.source),
        "options": dict(scan.options),
        "meta": dict(scan.meta),
        "complete": scan.complete,
        "skipped": [[skip.name, list(skip.shape), skip.reason] for skip in scan.skipped],
    }
    common = {
        "append": append,
        "run": run,
        "step": step,
        "time": time,
        "source": _text(scan.source.get("path")),
        "format": _text(scan.source.get("format")),
        "sha256": scan.source.get("sha256"),
        "options": json.dumps(dict(scan.options), allow_nan=False),
    }
    first = {
        "place": 0,
        "head": json.dumps(head, allow_nan=False),
        "matrices": len(scan.rows),
        "failed": len(scan.failed),
        "signal": signal(scan),
        "complete": scan.complete,
    }
    columns = numbers(scan.rows)
    found = [common | line for line in (first, *(_line(place, row, columns) for place, row in enumerate(scan.rows, start=1)))]
    types = FIXED | {f"{measure}.{name}": "DOUBLE" for measure, name in columns}
    return Lines(types, {name: [line.get(name) for line in found] for name in types})


def scan_of(head: str, found: Sequence[tuple[str, list[float], list[float] | None, bytes | None]]) -> Scan:
    """The scan that was appended, from its head and, in order, row, values, twin and vectors of its lines.

    Raises:
        ValueError: They are damaged, as are a KeyError and a TypeError.
    """
    told = json.loads(head)
    return Scan(
        rows=tuple(rebuilt(json.loads(row), _arrays(values, twin, vectors)) for row, values, twin, vectors in found),
        skipped=tuple(Skip(name, tuple(shape), reason) for name, shape, reason in told["skipped"]),
        source=told["source"],
        options=told["options"],
        meta=told["meta"],
        complete=told["complete"],
    )


def signal(scan: Scan) -> int | None:
    """Signal modes of all matrices together; None where no matrix has a count."""
    counts = [bulk.outliers for row in scan.rows if (bulk := row.measures.get("bulk")) is not None and bulk.outliers is not None]
    return sum(counts) if counts else None


def _line(place: int, row: Row, columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "place": place,
        "name": _text(row.name),
        "view": _text(row.view),
        "kind": row.kind,
        "out": row.shape[0],
        "in": row.shape[1],
        "dtype": row.dtype,
        "status": _text(row.status),
        "note": _text(row.note),
        "values": np.asarray(row.s, np.float64).tolist(),
        "twin": None if row.twin is None else np.asarray(row.twin, np.float64).tolist(),
        "vectors": _packed(row),
        "row": json.dumps(row.to_dict(), allow_nan=False),
    } | {f"{measure}.{name}": _number(getattr(row.measures.get(measure), name, None)) for measure, name in columns}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _text(value: str | None) -> str | None:
    """Text that SQL can hold: half a character, as names of files may have, becomes a visible escape; the JSON keeps it."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _is_one(cls: type, name: str) -> bool:
    hint = get_type_hints(cls)[name]
    return not any(get_origin(part) is tuple for part in (hint, *get_args(hint)))


def _packed(row: Row) -> bytes | None:
    from safetensors.numpy import save

    kept = {name: np.ascontiguousarray(a) for name in ("u", "vh") if (a := getattr(row, name)) is not None}
    return save(kept) if kept else None


def _arrays(values: list[float], twin: list[float] | None, vectors: bytes | None) -> dict[str, Values]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(vectors) if vectors else {}
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return {"s": np.array(values, np.float64)} | found | ({} if twin is None else {"twin": np.array(twin, np.float64)})
