"""A descrambled layer as blocks: cautions, the criterion beside its controls, the weights before and after, and every reading."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Heatmap, Mark, Note, Numbers, Section, Series, Table
from modescope.descrambling.axis import InputAxis, frequencies, index
from modescope.descrambling.controls import Control, Scrambled
from modescope.descrambling.diagnostics import Ridge as Predicted
from modescope.descrambling.document import document
from modescope.descrambling.filters import BaselineReading, FilterReading
from modescope.descrambling.fits import ModeReading
from modescope.descrambling.fourier import Concentration, Ridge, mirrored, transform
from modescope.descrambling.result import Descrambling
from modescope.pictures import drawn, number, numbers, thinned
from modescope.reports import Report
from modescope.svd import Values

SIDE = 128  # cells of a heat map on either side
FAINT = 1e-3  # of the largest value, below which a cell is drawn as 0
POINTS = 256  # of a mode in its curve
MEANING = {
    "identity": "The criterion for the neurons in the order and basis that the network has.",
    "reached": "What the view that is shown here reaches.",
    "optimal": "The least value over all rotations.",
    "bound": "What no order of the neurons can go below.",
    "maximal": "The largest value over all rotations, or the most that a diagonal criterion can come to.",
    "random_mean": "Mean over random rotations, or over random orders.",
    "random_std": "Standard deviation over random rotations.",
    "score": "1 where nothing better exists, 0 at the mean of random ones.",
    "z_identity": "How far the native order lies from random rotations, in their standard deviations: far below 0, it is smooth.",
}
WORDS = {
    "smoothness": "the smoothest rotation, in closed form",
    "permutation": "the smoothest order of the neurons",
    "diagonal_sum": "the rotation of the largest sum on the diagonal",
    "diagonal_normsq": "a rotation of a large sum of squares on the diagonal",
}
DEFAULTS: dict[str, Any] = {  # of `descramble`: what code need not say
    "side": "left",
    "criterion": "smoothness",
    "difference": "forward",
    "centred": False,
    "axis": None,
    "readings": ["fourier", "modes", "filter", "baseline"],
    "controls": ["untrained", "isotropic", "shuffled", "scrambled"],
    "draws": 199,
    "seed": 0,
}
_PAPER = "Amey et al. (2021), doi:10.1073/pnas.2016917118"
_CLOSED = "Sule, Spencer & Czaja (2025), doi:10.1016/j.acha.2025.101793"


def report(result: Descrambling, /) -> Report:
    """The page of a descrambled layer, `Descrambling.report`."""
    code = _code(result)
    return Report(
        (
            *_notes(result),
            *_objective(result),
            *_controls(result),
            _weights(result),
            *_spectra(result),
            *_fourier(result),
            *(block for name, found in result.readings.items() for block in _reading(result, name, found)),
            *_ties(result),
        ),
        document(result),
        "readings",
        title=f"{result.layer} of {Path(str(result.source.get('path') or 'a live model')).name}, descrambled",
        code=f'{code}\nresult.report().save("descrambled.html")\n',
    )


def _code(result: Descrambling) -> str:
    """Lines of Python that make the same result; what was an object in memory has a name and a comment."""
    path, said = result.source.get("path"), []
    comments = [] if path is not None else ["# model: the module or the array that was given"]
    if result.source.get("format") != "array":
        said.append(f"layer={result.layer!r}")
    if result.samples:
        comments.append("# inputs: the data that were given, one sample per row")
        said.append("inputs=inputs")
    if result.options.get("difference") == "own":
        comments.append("# operator: the smoothness operator that was given")
    for name, usual in DEFAULTS.items():
        value = result.options.get(name, usual)
        if value != usual:
            said.append("difference=operator" if (name, value) == ("difference", "own") else f"{name}={value!r}")
    source = "model" if path is None else repr(str(path))
    return "\n".join(["import modescope as ms", "", *comments, f"result = ms.descramble({', '.join([source, *said])})"])


def _notes(result: Descrambling) -> Iterator[Note]:
    outputs, inputs = result.weight.shape
    turned = "outputs" if result.side == "left" else "inputs"
    smooth = f", smooth by the {result.difference}" if result.difference else ""
    data = f", {result.samples:,} samples{', centred' if result.centred else ''}" if result.samples else ""
    yield Note(
        f"{outputs} outputs × {inputs} inputs. Turned: its {turned}. Shown: {WORDS[result.criterion]}{smooth}{data}.",
        source=_PAPER if result.criterion != "smoothness" else f"{_PAPER}; {_CLOSED}",
    )
    yield from (Note(text, "caution") for text in result.cautions)


def _objective(result: Descrambling) -> Iterator[Block]:
    told = {name: result.objective[name] for name in MEANING if result.objective.get(name) is not None}
    least, native = told.get("optimal"), told.get("identity")
    if least is not None and native is not None:
        z = told.get("z_identity")
        place = (
            "" if z is None else f", {abs(z):.3g} standard deviations {'below' if z < 0 else 'above'} the mean of random rotations"
        )
        factor = f", {native / least:.3g} times the least value" if least > 0 else ""
        yield Note(
            f"The network's own basis reaches {native:.4g}{factor}{place}. The view reaches {told.get('reached', least):.4g}."
        )
    yield Table(
        "The criterion",
        ("number", "value", "meaning"),
        tuple((name.replace("_", " "), number(float(value or 0.0)), MEANING[name]) for name, value in told.items()),
    )


def _controls(result: Descrambling) -> Iterator[Block]:
    """The same numbers for what is not the trained network with its data, the network first."""
    others = {name: found for name, found in result.controls.items() if isinstance(found, Control)}
    if others:
        own = result.objective
        rows: list[tuple[Cell, ...]] = [_control("this network", own["identity"], own["optimal"], own["random_mean"], "")]
        rows += [
            _control(name, found.scale.identity, found.scale.optimal, found.scale.random_mean, found.status)
            for name, found in others.items()
        ]
        yield Table(
            "Beside controls",
            ("of", "native order", "least", "mean of random", "random over least", "what it is"),
            tuple(rows),
            about=(
                "What was descrambled by the same criterion.",
                "The criterion without descrambling.",
                "Its least value over all rotations.",
                "Its mean over random rotations.",
                "What descrambling gains over a random basis. Controls gain as well: only a difference speaks of the network.",
                "What the control leaves out.",
            ),
        )
    else:
        yield Note("No controls were computed: smoothness alone is reached for any weights.", "caution")
    for name, found in result.controls.items():
        if isinstance(found, Scrambled):
            said = "the result does not depend on the basis" if found.status == "ok" else found.status
            yield Note(
                f"After a random rotation of the hidden space the view differs by {found.view:.2g} of its largest entry, and the "
                f"least value by {found.objective:.2g} of itself: {said}.",
                "plain" if found.status == "ok" else "caution",
            )
        elif not isinstance(found, Control):
            yield from _other(name, found)


def _control(name: str, native: float | None, least: float | None, mean: float | None, status: str) -> tuple[Cell, ...]:
    gain = mean / least if mean is not None and least else None
    return (name, *(None if value is None else number(value) for value in (native, least, mean, gain)), status)


def _weights(result: Descrambling) -> Section:
    """The matrices before and after, in one layout."""
    along, left = _along(result), result.side == "left"
    placed = "place in the new order" if result.criterion == "permutation" else "hidden dimension, descrambled"
    shown = [
        ("As stored: W", result.weight, "hidden neuron", ""),
        ("Descrambled: P W" if left else "Descrambled: W Pᵀ", result.view, placed, ""),
    ]
    if result.difference:
        title = "In the modes of the operator: Vᵀ P W" if left else "In the modes of the operator: W Pᵀ V"
        said = "The same weights, by components of the hidden data, the strongest first: no convention enters but signs and ties."
        shown.append((title, result.modes, "mode of the operator, the smoothest first", said))
    maps = []
    for title, matrix, hidden, caption in shown:
        x, y = (along.drawn, Axis(hidden)) if left else (Axis(hidden), Axis("output"))
        maps.append(_heatmap(title, matrix, x, y, along.extent if left else (-0.5, matrix.shape[1] - 0.5), caption))
    return Section("The weights before and after", tuple(maps), layout="grid")


def _along(result: Descrambling) -> InputAxis:
    found = result.axis
    return found if isinstance(found, InputAxis) else index(result.weight.shape[1])


def _heatmap(title: str, matrix: Values, x: Axis, y: Axis, x_range: tuple[float, float], caption: str) -> Heatmap:
    cells = binned(matrix)
    several = "Each cell is the largest of several." if cells.shape != matrix.shape else ""
    return Heatmap(
        title,
        x,
        y,
        _cells(cells),
        x_range,
        (-0.5, matrix.shape[0] - 0.5),
        value="weight",
        centred=True,
        caption=" ".join(part for part in (caption, several) if part),
    )


def _cells(matrix: Values) -> tuple[Numbers, ...]:
    """Numbers of a heat map; what no eye can tell from 0 is 0, so that a page stays small."""
    faint = FAINT * float(np.abs(matrix).max(initial=0.0))
    return tuple(numbers(np.where(np.abs(row) >= faint, row, 0.0)) for row in matrix)


def binned(matrix: Values, /) -> Values:
    """At most `SIDE` cells a side; of several entries the one of largest modulus, so that noise does not fade where it is dense."""
    for axis in (0, 1):
        size = matrix.shape[axis]
        if size > SIDE:
            starts = np.linspace(0, size, SIDE, endpoint=False).astype(np.int64)
            high, low = (reduce.reduceat(matrix, starts, axis=axis) for reduce in (np.maximum, np.minimum))
            matrix = np.where(high >= -low, high, low)
    return matrix


def _spectra(result: Descrambling) -> Iterator[Curve]:
    series = []
    for name, values in (
        ("singular values of W", result.s),
        ("root of the power of the hidden data", np.sqrt(np.maximum(result.b, 0))),
    ):
        there = drawn(values)
        if there.size:
            at = thinned(there.size)
            series.append(Series(name, numbers(at), numbers(there[at] / there[0]), "data" if name.startswith("s") else "law"))
    if series:
        yield Curve(
            "Spectra",
            Axis("mode"),
            Axis("relative to the largest", log=True),
            tuple(series),
            (Mark(result.rank - 1, f"rank {result.rank}"),) if 0 < result.rank < result.p.shape[0] else (),
            caption="No rotation changes either. Components beyond the rank of the hidden data are arbitrary.",
        )


def _fourier(result: Descrambling) -> Iterator[Section]:
    """The 2-D spectrum before and after; of the turned outputs, whose input axis means something."""
    if result.side != "left" or not result.difference or min(result.weight.shape) < 2:
        return
    along = frequencies(_along(result))
    rows = result.weight.shape[0]
    maps: list[Block] = []
    for title, matrix in (("2-D spectrum of W", result.weight), ("2-D spectrum of P W", result.view)):
        maps.append(
            Heatmap(
                title,
                along.drawn,
                Axis("cycles per hidden axis"),
                _cells(binned(mirrored(np.abs(transform(matrix))))),
                along.extent,
                (-(rows // 2) - 0.5, rows - rows // 2 - 0.5),
                value="magnitude",
                caption="Magnitude, summed with its mirror image. Sorting, and not the network, says how high power lies.",
            )
        )
    yield Section("Two-dimensional spectrum", tuple(maps), layout="grid")


def _reading(result: Descrambling, name: str, found: Any) -> Iterator[Block]:
    match found:
        case str():
            yield Note(f"No reading of {name}: {found}", "caution")
        case Concentration():
            yield from _concentration(found)
        case Ridge() | Predicted():
            yield from _ridge(result, [found])
        case FilterReading():
            yield from _filter(found)
        case BaselineReading():
            yield from _baseline(found)
        case ModeReading():
            yield from _mode(result, found)
        case tuple() | list() if found and all(isinstance(item, ModeReading) for item in found):
            blocks = tuple(block for item in found for block in _mode(result, item))
            yield Section("Leading input modes", (_fits(tuple(found)), *blocks), layout="grid")
        case tuple() | list():
            ridges = [item for item in found if isinstance(item, Ridge | Predicted)]
            for item in found:
                if not isinstance(item, Ridge | Predicted):
                    yield from _reading(result, name, item)
            if ridges:
                yield from _ridge(result, ridges)
        case _:
            yield from _other(name, found)


def _concentration(found: Concentration) -> Iterator[Block]:
    yield Note(f"Concentration: {found.status}.")
    rows: list[tuple[Cell, ...]] = [
        ("as stored", number(found.raw)),
        ("descrambled", number(found.descrambled)),
        ("random rotations, median", number(float(np.median(found.null)))),
        ("random rotations, largest", number(float(found.null.max()))),
    ]
    if found.untrained is not None:
        rows.append(("untrained, descrambled", number(found.untrained)))
    rows.append(("p", number(found.p)))
    yield Table(
        f"Share of the power in the {found.cells} strongest cells of the 2-D spectrum",
        ("of", "share"),
        tuple(rows),
        about=("What was transformed.", "Share; p: probability that a random rotation concentrates as much."),
    )


def _ridge(result: Descrambling, found: Sequence[Ridge | Predicted]) -> Iterator[Curve]:
    """The input frequency of every mode, and where the sorted gains of plane waves put it."""
    along, series = frequencies(_along(result)), []
    for one in found:
        if isinstance(one, Predicted):
            at = thinned(one.harmonic.size)
            series.append(Series("predicted by sorted gains", numbers(at), numbers(one.harmonic[at] * along.step), "law"))
            continue
        at = thinned(one.row.size)
        middle, spread = one.frequency[at] * along.step, one.spread[at] * along.step
        low, high = numbers(np.maximum(middle - spread, 0)), numbers(middle + spread)
        series.append(Series("mean frequency", numbers(one.row[at]), numbers(middle), low=low, high=high))
    yield Curve(
        "Input frequency of each mode",
        Axis("mode of the operator, the smoothest first"),
        Axis(along.label),
        tuple(series),
        caption="The ridge of the 2-D spectrum. Rows are sorted by the power of what comes through, so that its shape is a sorted "
        "gain and no rescaling of frequencies. Band: one standard deviation.",
    )


def _filter(found: FilterReading) -> Iterator[Block]:
    yield Note(f"Filter: {found.status}.")
    gain = found.gain
    series = [Series("gain", numbers(gain.frequency), numbers(gain.value))]
    if found.kind != "none" and found.templates:
        best = found.templates[0]
        series.append(Series(f"{best.kind}, fitted", numbers(gain.frequency), numbers(best.curve), "fit"))
    yield Curve(
        "Gain over input frequency",
        Axis(f"frequency ({gain.unit})"),
        Axis("gain"),
        tuple(series),
        caption="Root of the summed power of all rows: no rotation of the outputs changes it, so that descrambling cannot make it.",
    )
    yield Table(
        "Kinds of filter",
        ("kind", "score", "from", "to", "random, 95 %", "p", "untrained"),
        tuple(
            (
                one.kind,
                number(one.score),
                number(one.edges[0]),
                number(one.edges[1]),
                number(float(np.quantile(one.null, 0.95))),
                number(one.p),
                None if one.untrained is None else number(one.untrained),
            )
            for one in found.templates
        ),
        about=(
            "Template, the best first.",
            "Share of the gain's variation that it explains.",
            f"Edge, in {gain.unit}.",
            f"Edge, in {gain.unit}.",
            "What one random weight in twenty exceeds.",
            "Probability that a random weight is matched as well.",
            "Score of untrained weights.",
        ),
    )


def _baseline(found: BaselineReading) -> Iterator[Block]:
    yield Note(f"Baseline: {found.status}.")
    at = np.arange(found.passed.size)
    yield Curve(
        "Slow polynomials that pass",
        Axis("degree"),
        Axis("squared gain over the mean of all directions"),
        (Series("passed", numbers(at), numbers(found.passed), drawn="points"),),
        (Mark(1.0, "random weight", "y"),),
        caption="Near 0 a baseline of this degree is removed.",
    )


def _fits(found: tuple[ModeReading, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for mode in found:
        for place, fit in enumerate(mode.fits):
            rows.append(
                (
                    mode.mode,
                    fit.family,
                    None if fit.r2 is None else number(fit.r2),
                    number(fit.null.high),
                    None if fit.p is None else number(fit.p),
                    "yes" if place == mode.best else "",
                    "; ".join(f"{one.name} {one.value:.4g} {one.unit}".strip() for one in fit.parameters),
                )
            )
    return Table(
        "Fits to the leading input modes",
        ("mode", "curve", "R²", "random, 95 %", "p", "best", "parameters"),
        tuple(rows),
        about=(
            "Counted from 0, the strongest.",
            "Family of curves.",
            "Share of the mode's variance that it explains.",
            "What one random mode in twenty exceeds with the same search.",
            "Probability that a random mode is fitted as well.",
            "The best of those that random modes do not reach.",
            "In units of the axis.",
        ),
    )


def _mode(result: Descrambling, found: ModeReading) -> Iterator[Block]:
    x, at = _along(result), thinned(found.values.size, POINTS)
    series = [Series("mode", numbers(x.values[at]), numbers(found.values[at]))]
    if found.best is not None:
        fit = found.fits[found.best]
        series.append(Series(fit.family, numbers(x.values[at]), numbers(fit.curve[at]), "fit"))
    yield Curve(f"Input mode {found.mode}", x.drawn, Axis("weight"), tuple(series), caption=f"{_upper(found.status)}.")


def _ties(result: Descrambling) -> Iterator[Table]:
    rows = [
        (of, f"{start} to {stop - 1}", stop - start)
        for of, groups in zip(("the operator", "the hidden data"), result.ties, strict=True)
        for start, stop in groups[:SIDE]
    ]
    if rows:
        yield Table(
            "Ties",
            ("of", "modes", "how many"),
            tuple(rows),
            about=(
                "Whose eigenvalues are equal.",
                "Counted from 0. Inside a group the basis is a convention.",
                "Modes in the group.",
            ),
        )


def _other(name: str, found: Any) -> Iterator[Block]:
    """A reading or control that has no picture of its own: its numbers and its sentence."""
    shown: list[tuple[Cell, ...]] = []
    for key, value in vars(found).items() if hasattr(found, "__dict__") else ():
        if isinstance(value, bool | str):
            shown.append((key.replace("_", " "), str(value)))
        elif isinstance(value, int | float) and math.isfinite(value):
            shown.append((key.replace("_", " "), number(float(value))))
    if shown:
        yield Table(_upper(name.replace("_", " ")), ("number", "value"), tuple(shown))


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".")
