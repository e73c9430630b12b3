"""A profiled network as plain JSON data: modes with their images, classes with their modes, separation, truncation, under a schema.

Arrays of all modes are too many numbers for a document: `NetworkProfile.save` writes them as safetensors.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from modescope.errors import UsageError
from modescope.measures import bulk
from modescope.plain_data import number, plain
from modescope.profiles.exemplars import End
from modescope.profiles.features import Feature
from modescope.profiles.hif import to_hif
from modescope.profiles.hypergraph import Vertex
from modescope.profiles.operator_norms import OperatorNorm
from modescope.profiles.result import SCHEMA, NetworkProfile, ProfiledLayer
from modescope.profiles.separation import Measured, Separation
from modescope.profiles.truncation import Truncation, Truncations
from modescope.profiles.validation import Validation
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

Verdicts = tuple[bool | None, ...]
OPERATOR = ("grid", "unfolding", "norm", "lower", "upper", "four_way", "zero_padded", "holds", "statement")
BULK = ("sigma", "edge_upper", "threshold", "outliers", "p", "fit_ratio", "status")


def document(result: NetworkProfile, /, *, modes: int | None = None, unread: int | None = None) -> dict[str, Any]:
    """The result under the schema `modescope.profile/1`.

    Args:
        result: What was found.
        modes: Modes of each layer that are told, at most; by default all that are followed.
        unread: Images that could not be read, by name, at most; by default all.

    Returns:
        Plain data; a number that is not finite, or means nothing here, is null.
    """
    return {
        "schema": SCHEMA,
        "version": str(result.meta.get("modescope", "")),
        "source": plain(result.source),
        "options": plain(result.options),
        "meta": plain(result.meta),
        "images": result.images,
        "accuracy": _number(result.accuracy),
        "layers": [_layer(result, layer, modes) for layer in result.layers],
        "classes": _classes(result),
        "separation": [_separation(layer.site, how, one) for layer in result.layers for how, one in layer.separation.items()],
        "truncation": _truncations(result.truncation),
        "skipped": [{"name": name, "reason": reason} for name, reason in result.skipped],
        "unread": [{"name": name, "reason": reason} for name, reason in result.unread[:unread]],
        "cautions": list(result.cautions),
    }


def frame(result: NetworkProfile, /) -> "DataFrame":
    """A row for every mode that is followed; see `NetworkProfile.to_pandas`."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
    names = result.source.get("classes", ())
    rows = []
    for layer in result.layers:
        for mode in _modes(result, layer, None):
            ends = mode.pop("exemplars")
            row = {"layer": layer.site} | mode
            for end, shots in ends.items():
                first = shots[0] if shots else {"image": None, "signal": None}
                row |= {f"{end}_image": first["image"], f"{end}_signal": first["signal"]}
            if layer.membership is not None and layer.statistics is not None:
                column = layer.membership.profile[:, int(np.searchsorted(layer.statistics.modes, mode["index"]))]
                row |= {"highest_class": names[int(column.argmax())], "lowest_class": names[int(column.argmin())]}
            rows.append(row)
    return DataFrame(rows)


def interchanged(result: NetworkProfile, /) -> dict[str, Any]:
    """The hypergraph of classes in the Hypergraph Interchange Format; see `NetworkProfile.to_hif`."""
    if result.hypergraph is None:
        raise UsageError("to_hif: expected labels, which make the classes that are edges; pass labels= to profile.")
    said = {
        "schema": SCHEMA,
        "version": str(result.meta.get("modescope", "")),
        "source": plain(result.source),
        "options": plain(result.options),
        "images": result.images,
    }
    return to_hif(result.hypergraph, said)


def energies(layer: ProfiledLayer, /) -> Values:
    """(r,) share of each mode in the sum of squared singular values; 0 of a zero matrix."""
    s = layer.basis.s
    scaled = s / s[0] if s.size and s[0] > 0 else np.zeros_like(s)
    found: Values = scaled**2 / max(float((scaled**2).sum()), 1.0)
    return found


def verdicts(layer: ProfiledLayer, /) -> Verdicts:
    """For each mode whether noise does not explain it, by `measures.bulk`; None where that has no verdict.

    Modes of a folded batch norm are those of another matrix than the one that was tested.
    """
    found: list[bool | None] = [None] * layer.basis.s.size
    if layer.basis.norm:
        return tuple(found)
    for one in layer.validation:
        if one.bulk is None or one.bulk.outliers is None:
            continue
        own = np.flatnonzero(layer.basis.group == (one.group or 0))
        for place, mode in enumerate(own.tolist()):
            found[mode] = place < one.bulk.outliers
    return tuple(found)


def used(result: NetworkProfile, layer: ProfiledLayer, /) -> Values:
    """(r,) share of the images for which a mode is among those that matter."""
    profile = result.whole.layers.get(layer.site)
    if profile is None or not result.whole.inputs:
        return np.zeros(layer.basis.s.size)
    found: Values = profile.count / result.whole.inputs
    return found


def _number(value: float | None) -> float | None:
    return None if value is None else number(value)


def _layer(result: NetworkProfile, layer: ProfiledLayer, most: int | None) -> dict[str, Any]:
    basis, made = layer.basis, layer.features
    return {
        "name": layer.site,
        "layer": basis.layer,
        "kind": basis.kind,
        "shape": list(basis.shape),
        "kernel": list(basis.kernel),
        "groups": basis.groups,
        "output": list(layer.output),
        "batch_norm": basis.norm or None,
        "rank": int(basis.s.size),
        "followed": int(layer.kept.modes.size),
        "rule": layer.kept.rule,
        "amount": _number(layer.kept.amount),
        "note": layer.kept.note,
        "ties": [list(tie) for tie in basis.ties],
        "modes": list(_modes(result, layer, most)),
        "features": [] if isinstance(made, str) else [_feature(one) for one in made],
        "no_features": made if isinstance(made, str) else None,
        "operator": None if layer.operator is None else _operator(layer.operator),
        "validation": [_validation(one) for one in layer.validation],
    }


def _modes(result: NetworkProfile, layer: ProfiledLayer, most: int | None) -> Iterator[dict[str, Any]]:
    share, outlier, usage = energies(layer), verdicts(layer), used(result, layer)
    profile = result.whole.layers.get(layer.site)
    for mode in layer.kept.modes[:most].tolist():
        yield {
            "index": mode,
            "singular_value": number(float(layer.basis.s[mode])),
            "share": number(float(share[mode])),
            "outlier": outlier[mode],
            "used": number(float(usage[mode])),
            "weight": None if profile is None else number(float(profile.weight[mode])),
            "sign": 0 if profile is None else int(profile.sign[mode]),
            "exemplars": {name: _shots(end, mode) for name, end in layer.extremes.ends.items()},
        }


def _shots(end: End, mode: int) -> list[dict[str, Any]]:
    return [
        {"image": image, "signal": number(score)}
        for image, score in zip(end.indices[mode].tolist(), end.scores[mode].tolist(), strict=True)
    ]


def _feature(one: Feature) -> dict[str, Any]:
    return {
        "mode": one.mode,
        "sign": one.sign,
        "variant": one.variant,
        "score": number(one.score),
        "before": number(one.before),
        "share": _number(one.share),
        "objective": one.objective,
        "transforms": one.transforms,
        "steps": one.steps,
        "seed": one.seed,
        "status": one.status,
    }


def _operator(one: OperatorNorm) -> dict[str, Any]:
    return {name: plain(getattr(one, name)) for name in OPERATOR}


def _validation(one: Validation) -> dict[str, Any]:
    return {
        "group": one.group,
        "trained": None if one.trained is None else plain(asdict(one.trained)),
        "start": None if one.start is None else plain(asdict(one.start)),
        "start_from": one.start_from,
        "permuted": None if one.permuted is None else {name: plain(asdict(each)) for name, each in one.permuted.items()},
        "gaussian": None if one.gaussian is None else {name: plain(asdict(each)) for name, each in one.gaussian.items()},
        "draws": one.draws,
        "p": _number(one.p),
        "bulk": None if one.bulk is None else _bulk(one.bulk),
        "status": one.status,
    }


def _bulk(one: bulk.Result) -> dict[str, Any]:
    return {name: plain(getattr(one, name)) for name in BULK}


def _classes(result: NetworkProfile) -> list[dict[str, Any]]:
    """Every class with the modes of its edge at every layer; an edge of the whole network is told by layers, too."""
    graph = result.hypergraph
    if graph is None:
        return []
    order = [layer.site for layer in result.layers]
    found: dict[int, dict[str, Any]] = {}
    for i, edge in enumerate(graph.edges):
        one = found.setdefault(edge.number, {"label": edge.label, "count": edge.images, "layers": {name: [] for name in order}})
        inside = graph.edge == i
        rows = zip(graph.vertex[inside].tolist(), graph.weight[inside].tolist(), graph.stability[inside].tolist(), strict=True)
        for place, weight, stability in rows:
            vertex: Vertex = graph.vertices[place]
            one["layers"][vertex.layer].append(
                {"index": vertex.index, "sign": vertex.sign, "weight": number(weight), "stability": number(stability)}
            )
    return [
        {
            "label": one["label"],
            "count": one["count"],
            "layers": [{"name": name, "modes": held} for name, held in one["layers"].items()],
        }
        for _, one in sorted(found.items())
    ]


def _separation(site: str, standardise: str, one: Separation) -> dict[str, Any]:
    return {
        "layer": site,
        "standardise": standardise,
        "eta": _measured(one.eta),
        "jaccard": _measured(one.jaccard),
        "note": one.note,
    }


def _measured(one: Measured) -> dict[str, Any]:
    low, high = one.interval or (None, None)
    return {
        "value": _number(one.value),
        "low": _number(low),
        "high": _number(high),
        "expected": _number(one.expected),
        "null": None if one.null is None else {item.name: plain(getattr(one.null, item.name)) for item in fields(one.null)},
    }


def _truncations(found: Truncations | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"against": None, "images": 0, "accuracy": None, "points": [], "left_out": [], "status": found}
    return {
        "against": found.against,
        "images": found.images,
        "accuracy": _number(found.hits / found.images if found.images and found.status == "ok" else None),
        "points": [_point(one) for one in found.points],
        "left_out": [{"name": name, "reason": reason} for name, reason in found.left_out],
        "status": found.status,
    }


def _point(one: Truncation) -> dict[str, Any]:
    return {
        "layers": list(one.layers),
        "which": one.which,
        "share": _number(one.share),
        "kept": list(one.kept),
        "ranks": list(one.ranks),
        "accuracy": number(one.accuracy),
        "low": number(one.low),
        "high": number(one.high),
        "draws": len(one.hits),
    }
