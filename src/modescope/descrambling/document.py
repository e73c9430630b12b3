"""A descrambled layer as plain JSON data: criterion, readings, controls and cautions under a published schema.

The matrices themselves are too many numbers for a document: `Descrambling.save` writes them as safetensors, and `arrays` names
that file.
"""

from typing import Any

import numpy as np

from modescope import plain_data
from modescope.descrambling.closed_form import Rotation
from modescope.descrambling.operators import Smoothness
from modescope.descrambling.result import SCHEMA, Descrambling
from modescope.plain_data import number

LONG = 16  # numbers of a list from which its range is told instead
OBJECTIVE = ("identity", "optimal", "reached", "maximal", "random_mean", "random_std", "score", "z_identity", "bound")


def document(result: Descrambling, /, *, arrays: str | None = None) -> dict[str, Any]:
    """The result under the schema `modescope.descramble/1`.

    Args:
        result: What was found.
        arrays: Name of the file that its matrices were saved in.

    Returns:
        Plain data; a number that is not finite, or means nothing here, is null.
    """
    operator, data = result.ties
    outputs, inputs = result.weight.shape
    return {
        "schema": SCHEMA,
        "version": str(result.meta.get("modescope", "")),
        "source": plain(result.source),
        "options": plain(result.options),
        "layer": result.layer,
        "side": result.side,
        "criterion": result.criterion,
        "difference": result.difference or None,
        "centred": result.centred,
        "outputs": outputs,
        "inputs": inputs,
        "samples": result.samples,
        "rank": result.rank,
        "ties": {"operator": plain(operator), "data": plain(data)},
        "objective": {name: plain(result.objective.get(name)) for name in OBJECTIVE},
        "axis": None if result.axis is None else plain(result.axis),
        "spectra": {name: [number(value) for value in getattr(result, name).tolist()] for name in ("a", "b", "s")},
        "readings": [{"name": name, "found": plain(found)} for name, found in result.readings.items()],
        "controls": [{"name": name, "found": plain(found)} for name, found in result.controls.items()],
        "cautions": list(result.cautions),
        "arrays": arrays,
    }


def plain(value: Any, /) -> Any:
    """Plain JSON data of what a result is made of; of a long list its range, of a matrix its shape, of a rotation nothing."""
    return plain_data.plain(value, array=_array, omitted=(Rotation, Smoothness))


def _array(values: Any) -> Any:
    if values.ndim > 1:
        return {"shape": list(values.shape)}
    if values.size <= LONG:
        return [plain(item) for item in values.tolist()]
    least, median, most = (float(value) for value in np.quantile(values, (0, 0.5, 1)))
    return {"size": int(values.size), "least": number(least), "median": number(median), "most": number(most)}
