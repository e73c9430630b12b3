"""Trainings as plain JSON data, the part `training` of the schema `modescope.modes/1`, and as a data frame."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.modes.training.result import Fit
from modescope.plain_data import plain

if TYPE_CHECKING:
    from pandas import DataFrame

    from modescope.modes.training.trials import Trials

SCHEMA = "modescope.modes/1"


def document(trials: "Trials", /) -> dict[str, Any]:
    """The result under the schema; see `Trials.to_dict`. Layers and totals are those of the first training."""
    first = trials.fits[0]
    parameters = first.dense_parameters if first.kept is None else first.kept.parameters
    return {
        "schema": SCHEMA,
        "version": str(first.meta.get("modescope", "")),
        "source": plain(first.source),
        "options": plain(first.settings),
        "meta": plain(first.meta),
        "layers": [plain(asdict(one)) | {"factored": one.modes is not None, "error": None} for one in first.layers],
        "totals": {
            "parameters": parameters,
            "dense_parameters": first.dense_parameters,
            "share": plain(parameters / max(first.dense_parameters, 1)),
        },
        "training": {
            "runs": [_run(one) for one in trials.fits],
            "accuracy": plain(trials.accuracy),
            "dense": [_run(one) for one in trials.dense],
            "dense_accuracy": plain(trials.dense_accuracy),
            "gap": plain(trials.gap),
        },
    }


def frame(trials: "Trials", /) -> "DataFrame":
    """A row for every epoch of every training; see `Trials.to_pandas`."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
    rows = []
    for network, fits in (("modes", trials.fits), ("dense", trials.dense)):
        for one in fits:
            for epoch in one.epochs:
                row = {"network": network, "seed": one.settings["seed"]} | asdict(epoch)
                counts, row["changes"] = row.pop("modes"), "; ".join(epoch.changes)
                rows.append(row | {f"modes {name}": p for name, p in counts.items()})
    return DataFrame(rows)


def _run(fit: Fit) -> dict[str, Any]:
    kept = fit.kept
    return {
        "settings": plain(fit.settings),
        "data": plain(fit.source),
        "stopped": fit.stopped,
        "best_epoch": fit.best_epoch,
        "resumed": fit.resumed,
        "accuracy": plain(fit.accuracy),
        "test_loss": None if kept is None else plain(kept.test_loss),
        "parameters": None if kept is None else kept.parameters,
        "modes": {} if kept is None else plain(kept.modes),
        "seconds": plain(fit.seconds),
        "notes": list(fit.notes),
        "epochs": [plain(asdict(one)) for one in fit.epochs],
    }
