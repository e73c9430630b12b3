"""A network in modes that was read, as plain JSON data under a schema, and as a data frame."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.modes.reading.broken_power_law import BrokenPowerLaw
from modescope.modes.reading.latent import Overlap
from modescope.modes.reading.removal import Removal
from modescope.modes.reading.result import SCHEMA, Reading, ReadLayer
from modescope.modes.reading.states import Space
from modescope.plain_data import number, plain

if TYPE_CHECKING:
    from pandas import DataFrame


def document(result: Reading, /) -> dict[str, Any]:
    """The result under the schema `modescope.modes/1`: a list of one under `reading`."""
    return {
        "schema": SCHEMA,
        "version": str(result.meta.get("modescope", "")),
        "meta": plain(result.meta),
        "reading": [
            {
                "source": plain(result.source),
                "options": plain(result.options),
                "samples": result.samples,
                "loss": _number(result.loss),
                "accuracy": _number(result.accuracy),
                "layers": [_layer(layer) for layer in result.layers],
                "spaces": [_space(one) for one in result.spaces],
                "skipped": [{"name": name, "reason": reason} for name, reason in result.skipped],
                "cautions": list(result.cautions),
            }
        ],
    }


def frame(result: Reading, /) -> "DataFrame":
    """A row for every mode; see `Reading.to_pandas`."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
    rows = []
    for layer in result.layers:
        for mode in range(layer.modes.count):
            measured = {name: float(values[mode]) for name, values in layer.importance.items()}
            rows.append({"layer": layer.name, "mode": mode, "s": float(layer.modes.s[mode]), **measured})
    return DataFrame(rows)


def _number(value: float | None) -> float | None:
    return None if value is None else number(value)


def _layer(layer: ReadLayer) -> dict[str, Any]:
    p = layer.modes.count
    return {
        "name": layer.name,
        "shape": list(layer.modes.shape),
        "modes": p,
        "parameters": layer.cost.factored(p),
        "dense_parameters": layer.cost.dense,
        "rank": layer.rank,
        "effective_modes": number(layer.effective),
        "stable_rank": number(layer.stable_rank),
        "s": plain(layer.modes.s),
        "importance": {name: plain(values) for name, values in layer.importance.items()},
        "agreement": {name: plain(asdict(one)) for name, one in layer.agreement.items()},
        "power_laws": {name: _power_law(one) for name, one in layer.power_laws.items()},
        "cosines": {side: plain(asdict(one)) for side, one in layer.cosines.items()},
        "removal": None if layer.removal is None else _removal(layer.removal),
    }


def _power_law(one: BrokenPowerLaw) -> dict[str, Any]:
    null = one.null
    return {
        "verdict": one.verdict,
        "said": one.said,
        "status": one.status,
        "runs": one.runs,
        "fitted": int(one.values.size),
        "left_out": one.left_out,
        "at": one.at,
        "slopes": None if one.slopes is None else [plain(asdict(slope)) for slope in one.slopes],
        "difference": None if one.difference is None else plain(asdict(one.difference)),
        "line": plain(one.line),
        "exponential": plain(one.exponential),
        "bic": {name: number(value) for name, value in one.bic.items()},
        "p_line": _number(one.p_line),
        "resampled": one.resampled,
        "null": None
        if null is None
        else {
            "draws": null.draws,
            "init": null.init,
            "slopes": plain(null.slopes),
            "quantiles": plain(null.quantiles),
            "p": number(null.p),
        },
    }


def _removal(one: Removal) -> dict[str, Any]:
    curves: Mapping[str, Any] = {
        name: {
            "loss": plain(curve.loss),
            "accuracy": plain(curve.accuracy),
            "loss_spread": plain(curve.loss_spread),
            "accuracy_spread": plain(curve.accuracy_spread),
            "draws": curve.draws,
        }
        for name, curve in one.curves.items()
    }
    p = {name: number(value) for name, value in one.p.items()}
    return {"removed": plain(one.removed), "curves": curves, "p": p, "spare": one.spare}


def _space(one: Space) -> dict[str, Any]:
    return {
        "network": one.network,
        "place": one.place,
        "what": one.what,
        "depth": one.depth,
        "dimension": one.dimension,
        "rows": one.rows,
        "participation": number(one.participation),
        "overlap": _overlap(one.overlap),
        "uncentred": _overlap(one.uncentred),
    }


def _overlap(one: Overlap | str) -> dict[str, Any]:
    if isinstance(one, str):
        return {"status": one, "mean": None, "null": None, "low": None, "high": None, "q": None}
    return {
        "status": "ok",
        "mean": number(one.mean),
        "null": number(one.null),
        "low": number(one.low),
        "high": number(one.high),
        "q": one.q,
    }
