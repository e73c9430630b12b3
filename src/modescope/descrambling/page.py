"""A descrambled layer as blocks: cautions, the criterion beside its controls, the weights before and after, and every reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from modescope.blocks import Axis, Block, Curve, Mark, Note, Section, Series, Table
from modescope.descrambling.control_blocks import control
from modescope.descrambling.controlled import NAMES
from modescope.descrambling.document import document
from modescope.descrambling.maps import heatmap, places
from modescope.descrambling.reading_blocks import along, reading
from modescope.descrambling.readings import LEAST
from modescope.descrambling.result import Descrambling
from modescope.pictures import drawn, number, numbers, thinned
from modescope.reports import Report

ROWS = 128  # of the table of ties
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
    "bias": True,
    "side": "left",
    "criterion": "smoothness",
    "difference": "forward",
    "centred": False,
    "axis": None,
    "untrained": None,
    "readings": list(LEAST),
    "controls": list(NAMES),
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
            *control(result),
            _weights(result),
            *_spectra(result),
            *(block for name, found in result.readings.items() for block in reading(result, name, found)),
            *_ties(result),
        ),
        document(result),
        "readings",
        title=f"{_name(result)}, descrambled",
        code=f'{code}\nresult.report().save("descrambled.html")\n',
    )


def _name(result: Descrambling) -> str:
    path, array = result.source.get("path"), result.source.get("format") == "array"
    return result.layer if array else f"{result.layer} of {'a live model' if path is None else Path(str(path)).name}"


def _code(result: Descrambling) -> str:
    """Lines of Python that make the same result; what was an object in memory has a name and a comment."""
    path, said = result.source.get("path"), []
    comments = [] if path is not None else ["# model: the module or the array that was given"]
    if result.source.get("format") != "array":
        said.append(f"layer={result.layer!r}")
    if result.samples:
        comments.append("# inputs: the data that were given, one sample per row")
        said.append("inputs=inputs")
    for name, usual in DEFAULTS.items():
        value = result.options.get(name, usual)
        if value == usual:
            continue
        if name == "untrained" or value == "own":
            comments.append(f"# {name}: what was given")
            said.append(f"{name}={name}")
        else:
            said.append(f"{name}={value!r}")
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


def _weights(result: Descrambling) -> Section:
    """The matrices before and after, in one layout."""
    x, left = along(result), result.side == "left"
    placed = "place in the new order" if result.criterion == "permutation" else "hidden dimension, descrambled"
    shown = [
        ("As stored: W", result.weight, "hidden neuron", ""),
        ("Descrambled: P W" if left else "Descrambled: W Pᵀ", result.view, placed, ""),
    ]
    if result.difference:
        title = "In the modes of the operator: Vᵀ P W" if left else "In the modes of the operator: W Pᵀ V"
        said = "The same weights, by components of the hidden data, the strongest first: no convention enters but signs and ties."
        if result.criterion == "permutation":
            said = "The same weights, the smoothest combination of neighbours first."
        shown.append((title, result.modes, "mode of the operator, the smoothest first", said))
    maps = []
    for title, matrix, hidden, caption in shown:
        own, count = Axis(hidden), matrix.shape[0 if left else 1]
        axes = (x.drawn, own, x.extent, places(count)) if left else (own, x.drawn, places(count), x.extent)
        maps.append(heatmap(title, matrix, *axes, value="weight", centred=True, caption=caption))
    return Section("The weights before and after", tuple(maps), layout="grid")


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


def _ties(result: Descrambling) -> Iterator[Table]:
    rows = [
        (of, f"{start} to {stop - 1}", stop - start)
        for of, groups in zip(("the operator", "the hidden data"), result.ties, strict=True)
        for start, stop in groups[:ROWS]
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
