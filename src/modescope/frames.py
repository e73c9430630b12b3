"""A scan as a pandas data frame, under our column names or WeightWatcher's."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.result import Row, Scan
from modescope.weightwatcher import HALVED
from modescope.weightwatcher import row as weightwatcher_row

if TYPE_CHECKING:
    from pandas import DataFrame


POSITION = "position "  # how the views of a convolution's kernel positions begin


def frame(scan: Scan, names: str) -> "DataFrame":
    """See `Scan.to_pandas`."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
    if names == "modescope":
        return DataFrame([_ours(row) for row in scan.rows])
    if names == "weightwatcher":
        return DataFrame(_theirs(scan))
    raise UsageError(f"to_pandas: expected names 'modescope' or 'weightwatcher', got {names!r}.")


def _ours(row: Row) -> dict[str, Any]:
    head = {"name": row.name, "view": row.view, "kind": row.kind, "out": row.shape[0], "in": row.shape[1], "dtype": row.dtype}
    numbers = {f"{name}.{key}": value for name, result in row.measures.items() for key, value in asdict(result).items()}
    return head | {"status": row.status, "note": row.note} | numbers


def _theirs(scan: Scan) -> list[dict[str, Any]]:
    """One row per layer, in that tool's scalings: kernel positions are pooled and, as there, their eigenvalues halved."""
    layers: dict[str, list[Row]] = {}
    for row in scan.rows:
        if row.status == "ok":
            pooled = row.view.startswith(POSITION)
            layers.setdefault(row.name if pooled else f"{row.name} {row.view}", []).append(row)
    return [
        weightwatcher_row(
            [row.s for row in rows], rows[0].shape, rows[0].name, scale=HALVED if rows[0].view.startswith(POSITION) else 1.0
        )
        for rows in layers.values()
    ]
