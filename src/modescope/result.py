"""The result of a scan: one row per matrix, a reason for everything else, and its forms as document, report and data frame."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from modescope.matrix import Skip
from modescope.reports import Report
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.scan/1"

# What the table shows: heading, measure and field. The document and the data frame hold every number.
COLUMNS = (
    ("norm", "norms", "spectral"),
    ("stable rank", "rank", "stable"),
    ("rank", "rank", "numerical"),
    ("signal modes", "bulk", "outliers"),
    ("MP fit", "bulk", "fit_ratio"),
    ("alpha", "tail", "alpha"),
    ("±", "tail", "alpha_stderr"),
)


@dataclass(frozen=True, eq=False)
class Row:
    """One matrix and what was measured.

    Attributes:
        name: Name of the tensor.
        view: How the tensor became a matrix; (name, view) is unique in a scan.
        kind: Layer kind.
        shape: (out, in).
        dtype: As stored.
        status: "ok", or why there are no numbers.
        note: A sentence about how the matrix was seen or computed, or empty.
        aliases: Other names of the same storage.
        parts: Names of the tensors it was read from where they are several.
        measures: Result of each measure by name; all numbers None where `status` is not "ok".
        s: (k,) singular values, descending, float64; empty where there are none.
        u: (out, j) output directions of the first j modes, or None.
        vh: (j, in) input directions of the first j modes, or None.
        twin: Singular values of a null twin, descending, or None.
        twin_kind: What its entries are, or empty.
        engine: How the values were computed.
        floor: Values below `floor * s[0]` are rounding of the algorithm.
        digest: SHA-256 of the numbers that were read.
    """

    name: str
    view: str
    kind: str
    shape: tuple[int, int]
    dtype: str
    status: str
    note: str
    aliases: tuple[str, ...]
    parts: tuple[str, ...]
    measures: Mapping[str, Any]
    s: Values
    u: Values | None = None
    vh: Values | None = None
    twin: Values | None = None
    twin_kind: str = ""
    engine: str = ""
    floor: float = 0.0
    digest: str = ""

    def number(self, measure: str, name: str) -> Any:
        """One number of one measure, `row.number("tail", "alpha")`; None where it means nothing.

        Raises:
            KeyError: No such measure.
            AttributeError: No such field.
        """
        return getattr(self.measures[measure], name)

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        """The row as plain JSON data; `values` adds all singular values."""
        plain = {
            "name": self.name,
            "view": self.view,
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "status": self.status,
            "note": self.note or None,
            "aliases": list(self.aliases),
            "parts": list(self.parts),
            "engine": self.engine or None,
            "floor": self.floor,
            "sha256": self.digest or None,
            "twin": self.twin_kind or None,
            "measures": {name: _jsonable(asdict(result)) for name, result in self.measures.items()},
        }
        return plain | {"values": [float(value) for value in self.s]} if values else plain


@dataclass(frozen=True, eq=False)
class Scan:
    """Every matrix of a checkpoint, measured, and everything that was not, with its reason.

    Attributes:
        rows: In the order of the checkpoint.
        skipped: Tensors that are no weight matrices or were not selected.
        source: path, format, sha256, number of tensors and of parameters.
        options: Everything the numbers depend on besides the data.
        meta: Versions of what computed them.
        complete: False where the scan was interrupted.
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skip, ...]
    source: Mapping[str, Any]
    options: Mapping[str, Any]
    meta: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Row:
        """The row of a tensor by its name or an alias; where it has several views, `name` is "tensor view".

        Raises:
            KeyError: No row, or several, of that name.
        """
        found = [row for row in self.rows if name in (row.name, f"{row.name} {row.view}", *row.aliases)]
        if len(found) != 1:
            views = ", ".join(repr(f"{row.name} {row.view}") for row in found)
            raise KeyError(f"{name}: expected one row, got {len(found)}{': ' + views if found else ''}")
        return found[0]

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows without numbers."""
        return tuple(row for row in self.rows if row.status != "ok")

    def summary(self) -> dict[str, Any]:
        """Counts, and mean and median of the table's numbers over the rows where they mean something.

        A number that is None in a row is left out and counted out: "rows" says how many were averaged.
        """
        numbers = {}
        for _, measure, name in COLUMNS:
            found = [float(v) for row in self.rows if measure in row.measures and (v := row.number(measure, name)) is not None]
            numbers[f"{measure}.{name}"] = {
                "rows": len(found),
                "mean": fmean(found) if found else None,
                "median": median(found) if found else None,
            }
        valid = len(self.rows) - len(self.failed)
        return {"valid": valid, "failed": len(self.failed), "skipped": len(self.skipped), "numbers": numbers}

    def to_dict(self, *, values: bool = False) -> dict[str, Any]:
        """The scan as plain JSON data under the schema `modescope.scan/1`.

        Args:
            values: Add all singular values of every matrix.
        """
        return {
            "schema": SCHEMA,
            "version": self.meta.get("modescope", ""),
            "source": dict(self.source),
            "options": dict(self.options),
            "complete": self.complete,
            "summary": self.summary(),
            "matrices": [row.to_dict(values=values) for row in self.rows],
            "skipped": [{"name": skip.name, "shape": list(skip.shape), "reason": skip.reason} for skip in self.skipped],
        }

    def to_pandas(self, *, names: str = "modescope") -> "DataFrame":
        """One row per matrix, one column per number.

        Args:
            names: "modescope" for columns like `tail.alpha`, in the units of the reference; "weightwatcher" for that tool's column
                names and scalings, one row per layer, where the kernel positions of a convolution scanned with `view="slices"`
                are pooled as there.

        Raises:
            UsageError: Other names, or pandas is missing.
        """
        from modescope.frames import frame

        return frame(self, names)

    def report(self, *, values: bool = False) -> Report:
        """The scan for people beside its document: an overview, notes on what was left out, and a section for every matrix."""
        from modescope.reporting import network

        return network(self, values=values)

    def save(self, path: str | Path) -> None:
        """Write a run folder, `manifest.json` and `arrays.safetensors`, that `load_run` opens without the checkpoint.

        Raises:
            UsageError: The folder holds another run.
        """
        from modescope.runs import save

        save(self, Path(path))

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def _jsonable(value: Any) -> Any:
    """Plain JSON data: tuples become lists, numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
