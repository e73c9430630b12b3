"""The matrices of a descrambled layer for other programs: a safetensors file, and a pandas frame of the view."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save as packed

from modescope.descrambling.result import SCHEMA, Descrambling
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.render import by_suffix, replace
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

SUFFIX = ".safetensors"


def arrays(result: Descrambling, /) -> dict[str, Values]:
    """Every matrix by its name in the file.

    Returns:
        "W", "P", "PW" and "VtPW", for a layer whose inputs were turned "WPt" and "WPtV" instead of these two; spectra "a" of
        the operator, "b" of the hidden data and "s" of the weight.
    """
    view, modes = ("PW", "VtPW") if result.side == "left" else ("WPt", "WPtV")
    found = {"W": result.weight, "P": result.p, view: result.view, modes: result.modes}
    found |= {"a": result.a, "b": result.b, "s": result.s}
    return {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in found.items()}


def save(result: Descrambling, path: str | Path, /) -> None:
    """Write the result in the form that the suffix of the file names; see `Descrambling.save`."""
    path = Path(path)
    if path.suffix != SUFFIX:
        known = sorted([SUFFIX, *by_suffix()])
        if path.suffix not in known:
            raise UsageError(f"{path}: expected a file that ends in {', '.join(known)}, got {path.suffix or 'no suffix'!r}.")
        result.report().save(path)
        return
    said = {"schema": SCHEMA, "layer": result.layer, "side": result.side, "criterion": result.criterion}
    write(path, arrays(result), said | {"difference": result.difference})


def frame(result: Descrambling, /) -> "DataFrame":
    """The view as a frame, one row per hidden dimension in its new order; see `Descrambling.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is missing; pip install 'modescope[pandas]'.") from error
    rows = result.view if result.side == "left" else result.view.T
    along = result.axis if result.side == "left" else None
    columns = pandas.RangeIndex(rows.shape[1], name="input" if result.side == "left" else "output")
    if along is not None:
        columns = pandas.Index(along.values, name=along.label)
    return pandas.DataFrame(rows, index=pandas.RangeIndex(rows.shape[0], name="hidden"), columns=columns)


def write(path: Path, tensors: Mapping[str, Array], said: dict[str, str], /) -> None:
    """Write a safetensors file; one that was there is replaced only when the new one is complete.

    Raises:
        UsageError: The format has no room for a dtype, or the file cannot be written.
    """
    try:
        data = packed({name: np.ascontiguousarray(array) for name, array in tensors.items()}, metadata=said)
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        kinds = ", ".join(sorted({str(array.dtype) for array in tensors.values()}))
        raise UsageError(f"{path}: expected dtypes that safetensors can hold, got {kinds}.") from error
    replace(path, data)
