"""What a comparison found: layer by layer the numbers side by side, every change, and modes followed through all checkpoints."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from modescope.comparison.difference import Difference
from modescope.comparison.intruders import Intruders
from modescope.comparison.matching import Match, Matching
from modescope.comparison.pairing import Unpaired
from modescope.comparison.strands import Crossing, Strand
from modescope.comparison.subspaces import Angles, Inside
from modescope.errors import UsageError
from modescope.reports import Report
from modescope.result import Row

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.compare/1"


@dataclass(frozen=True, eq=False)
class Change:
    """One matrix between two checkpoints.

    Attributes:
        start: Number of the earlier checkpoint, counted from 0.
        stop: Number of the later one.
        status: "ok", "identical", or why there are no numbers.
        difference: The difference of the weights, or None.
        angles: Between the first 1, 2, 4, ... modes.
        intruders: Modes of the later checkpoint that resemble none of the earlier one, or None.
        inside: How much of the change lies among the modes of the earlier checkpoint, or None.
        matching: Modes of both against each other, or None.
        note: Why the modes were not compared, or empty.
    """

    start: int
    stop: int
    status: str
    difference: Difference | None = None
    angles: tuple[Angles, ...] = ()
    intruders: Intruders | None = None
    inside: Inside | None = None
    matching: Matching | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data: numbers of nine digits, overlaps and angles of six."""
        found = self.matching
        return {
            "from": self.start,
            "to": self.stop,
            "status": self.status,
            "note": self.note or None,
            "difference": None if self.difference is None else _difference(self.difference),
            "angles": [_short(asdict(angles)) for angles in self.angles],
            "intruders": None if self.intruders is None else {**_short(asdict(self.intruders)), "status": self.intruders.status},
            "inside": None if self.inside is None else _short(asdict(self.inside)),
            "threshold": None if found is None else _short(found.threshold),
            "matches": [] if found is None else [_match(match) for match in found.matches],
            "lost": [] if found is None else [asdict(lone) for lone in found.lost],
            "born": [] if found is None else [asdict(lone) for lone in found.born],
        }


@dataclass(frozen=True, eq=False)
class Layer:
    """One matrix in every checkpoint.

    Attributes:
        names: Its name in each checkpoint; they differ by a prefix at most.
        view: How the tensor became a matrix.
        rows: What was measured in each checkpoint.
        change: From the first checkpoint to the last.
        steps: From each checkpoint to the next; `(change,)` where there are two.
        strands: Modes followed through all checkpoints; none where a step has no matching.
        crossings: Strands that change places.
    """

    names: tuple[str, ...]
    view: str
    rows: tuple[Row, ...]
    change: Change
    steps: tuple[Change, ...]
    strands: tuple[Strand, ...] = ()
    crossings: tuple[Crossing, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the first checkpoint."""
        return self.names[0]

    @property
    def label(self) -> str:
        """Name, and the view where the tensor has several."""
        return self.name if self.view in ("dense", "unfolding", self.rows[0].kind) else f"{self.name} {self.view}"

    @property
    def status(self) -> str:
        """Either "ok", or the first thing that went wrong."""
        for number, row in enumerate(self.rows):
            if row.status != "ok":
                return f"checkpoint {number}: {row.status}"
        return next((step.status for step in (self.change, *self.steps) if step.status not in ("ok", "identical")), "ok")

    @property
    def births(self) -> int:
        """Strands that begin after the first checkpoint, from nowhere."""
        return sum(strand.begin == "birth" for strand in self.strands)

    @property
    def deaths(self) -> int:
        """Strands that end before the last checkpoint."""
        return sum(strand.end == "death" for strand in self.strands)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; the change from the first checkpoint to the last is told in the layer itself.

        Steps between more than two checkpoints are told in short: their matches are the strands, and their measures those of a
        comparison of two.
        """
        whole = self.change.to_dict()
        return {
            "name": self.name,
            "view": self.view,
            "kind": self.rows[0].kind,
            "shape": list(self.rows[0].shape),
            "names": list(self.names),
            "dtypes": [row.dtype for row in self.rows],
            "measures": [_measures(row.measures) for row in self.rows],
            **whole,
            "status": self.status if self.status != "ok" else whole["status"],
            "steps": [_in_short(step.to_dict()) for step in self.steps] if len(self.steps) > 1 else [],
            "strands": [
                {**_short(asdict(strand)), "begin": strand.begin or None, "end": strand.end or None} for strand in self.strands
            ],
            "crossings": [{"step": crossing.step, "strands": list(crossing.strands)} for crossing in self.crossings],
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Checkpoints side by side.

    Attributes:
        checkpoints: path, format, sha256, number of tensors and of parameters of each.
        layers: Matrices that all of them have, in the order of the first.
        unpaired: Matrices that some lack, with the reason.
        options: Everything the numbers depend on besides the data.
        renamed: Per checkpoint after the first, the prefixes taken off names to pair them: of the first, and its own.
        meta: Versions of what computed them.
        complete: False where the comparison was interrupted.
    """

    checkpoints: tuple[Mapping[str, Any], ...]
    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    options: Mapping[str, Any]
    renamed: tuple[tuple[str, str], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> Layer:
        """A layer by its name in any checkpoint; where a tensor has several views, by "name view".

        Raises:
            KeyError: No layer, or several, of that name.
        """
        found = [layer for layer in self.layers if name in (*layer.names, *(f"{known} {layer.view}" for known in layer.names))]
        if len(found) != 1:
            views = ", ".join(repr(layer.label) for layer in found)
            raise KeyError(f"{name}: expected one layer, got {len(found)}{': ' + views if found else ''}")
        return found[0]

    @property
    def failed(self) -> tuple[Layer, ...]:
        """Layers without all their numbers."""
        return tuple(layer for layer in self.layers if layer.status != "ok")

    def summary(self) -> dict[str, int]:
        """Counts over all layers."""
        whole = [layer.change for layer in self.layers]
        return {
            "layers": len(self.layers),
            "failed": len(self.failed),
            "unpaired": len(self.unpaired),
            "identical": sum(change.status == "identical" for change in whole),
            "outliers": sum(change.difference.outliers or 0 for change in whole if change.difference is not None),
            "intruders": sum(len(change.intruders.found) for change in whole if change.intruders is not None),
            "births": sum(layer.births for layer in self.layers),
            "deaths": sum(layer.deaths for layer in self.layers),
            "crossings": sum(len(layer.crossings) for layer in self.layers),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.compare/1`."""
        return {
            "schema": SCHEMA,
            "version": self.meta.get("modescope", ""),
            "checkpoints": [dict(checkpoint) for checkpoint in self.checkpoints],
            "options": dict(self.options),
            "complete": self.complete,
            "summary": self.summary(),
            "renamed": [list(prefixes) for prefixes in self.renamed],
            "layers": [layer.to_dict() for layer in self.layers],
            "unpaired": [
                {
                    "name": item.name,
                    "view": item.view,
                    "shapes": [None if shape is None else list(shape) for shape in item.shapes],
                    "reason": item.reason,
                }
                for item in self.unpaired
            ],
        }

    def to_pandas(self) -> "DataFrame":
        """One row per layer and change, first the steps and, where there are several, the change from the first to the last.

        Raises:
            UsageError: pandas is missing.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UsageError("to_pandas: expected pandas, which is not installed. pip install 'modescope[pandas]'.") from error
        return DataFrame(
            [
                _line(layer, change)
                for layer in self.layers
                for change in (*layer.steps, *([layer.change] if len(layer.steps) > 1 else []))
            ]
        )

    def report(self) -> Report:
        """The comparison as a page: an overview of all layers, and a folded section for each."""
        from modescope.comparison.page import report

        return report(self)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def _line(layer: Layer, change: Change) -> dict[str, Any]:
    """Numbers of one change as columns, those of measures under `difference.`, `before.` and `after.`."""
    d, found = change.difference, change.matching
    line: dict[str, Any] = {
        "name": layer.name,
        "view": layer.view,
        "from": change.start,
        "to": change.stop,
        "status": change.status,
        "relative_spectral": d and d.relative_spectral,
        "relative_frobenius": d and d.relative_frobenius,
        "rank": d and d.rank,
        "rounding": d and d.rounding,
        "outliers": d and d.outliers,
        "intruders": None if change.intruders is None else len(change.intruders.found),
        "matches": None if found is None else len(found.matches),
        "lost": None if found is None else len(found.lost),
        "born": None if found is None else len(found.born),
    }
    parts = {"difference": {} if d is None else d.measures}
    parts |= {word: layer.rows[at].measures for word, at in (("before", change.start), ("after", change.stop))}
    for word, measures in parts.items():
        for name, numbers in _measures(measures).items():
            line |= {f"{word}.{name}.{key}": value for key, value in numbers.items()}
    return line


def _difference(difference: Difference) -> dict[str, Any]:
    norms = difference.measures["norms"]
    return {
        "spectral": _number(norms.spectral),
        "frobenius": _number(norms.frobenius),
        "relative_spectral": _number(difference.relative_spectral),
        "relative_frobenius": _number(difference.relative_frobenius),
        "rank": difference.rank,
        "rounding": _number(difference.rounding),
        "rounding_sigma": _number(difference.rounding_sigma),
        "outliers": difference.outliers,
        "outliers_by": difference.outliers_by,
        "measures": _measures(difference.measures),
    }


def _in_short(step: dict[str, Any]) -> dict[str, Any]:
    difference = step["difference"]
    if difference is not None:
        difference = {key: value for key, value in difference.items() if key != "measures"}
    return {key: value for key, value in step.items() if key not in ("matches", "threshold")} | {"difference": difference}


def _match(match: Match) -> dict[str, Any]:
    plain = asdict(match)
    del plain["p"]  # that of the best of all pairs tried says more
    if not match.cosines:  # two single modes
        del plain["cosines"], plain["cut"]
    said: dict[str, Any] = _short({"from": plain.pop("before"), "to": plain.pop("after"), **plain})
    return said


def _measures(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Single numbers and sentences of every measure; lists of numbers are left to a scan."""
    plain = {name: asdict(result).items() for name, result in results.items()}
    return {name: {key: _number(value) for key, value in items if not isinstance(value, tuple)} for name, items in plain.items()}


def _short(value: Any) -> Any:
    """Plain JSON data with numbers of six digits; what is not finite is null."""
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_short(item) for item in value]
    return _number(value, digits=6)


def _number(value: Any, *, digits: int = 9) -> Any:
    """A number with as many digits as are known of it, or more; null where it is not finite. Anything else stays as it is."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
