"""A compression as one JSON document under its published schema, and as a data frame."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.matrix import Skip
from modescope.modes.compression.result import SCHEMA, CompressedLayer, Compression
from modescope.plain_data import number, plain
from modescope.version import __version__

if TYPE_CHECKING:
    from pandas import DataFrame


def document(result: Compression, /) -> dict[str, Any]:
    """Plain JSON data; see `Compression.to_dict`."""
    totals = asdict(result.totals) | {"share": number(result.totals.share)}
    return {
        "schema": SCHEMA,
        "version": __version__,
        "source": plain(result.source),
        "options": plain(result.options),
        "meta": plain(result.meta),
        "layers": [_layer(one) for one in result.layers],
        "totals": totals,
        "others": [_skip(one) for one in result.others],
        "left_out": [_skip(one) for one in result.left_out],
        "output": None if result.output is None else str(result.output),
        "verified": result.verified,
    }


def frame(result: Compression, /) -> "DataFrame":
    """A row for every weight; see `Compression.to_pandas`."""
    try:
        import pandas
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is missing; pip install 'modescope[pandas]'.") from error
    return pandas.DataFrame([_layer(one) for one in result.layers], columns=list(CompressedLayer.__dataclass_fields__))


def _layer(one: CompressedLayer) -> dict[str, Any]:
    found: dict[str, Any] = plain(one)
    return found | {"bias": one.bias or None}


def _skip(skip: Skip) -> dict[str, Any]:
    return {"name": skip.name, "shape": list(skip.shape), "reason": skip.reason}
