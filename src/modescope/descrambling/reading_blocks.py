"""What was read off a descrambled layer, as blocks: every reading beside its null."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Mark, Note, Section, Series, Table
from modescope.descrambling.axis import InputAxis, frequencies, index
from modescope.descrambling.diagnostics import Ridge as Predicted
from modescope.descrambling.filters import BaselineReading, FilterReading
from modescope.descrambling.fits import ModeReading
from modescope.descrambling.fourier import Concentration, Ridge, mirrored, transform
from modescope.descrambling.maps import heatmap, places
from modescope.descrambling.readings import Gram, Pairing
from modescope.descrambling.result import Descrambling
from modescope.descrambling.spectrograms import Spectrogram, cosines
from modescope.pictures import number, numbers, thinned

POINTS = 256  # of a mode in its curve
WEAK = 1e-3  # of the power of the strongest mode, below which a mode is no part of a picture
COARSE = 64  # cells a side of pictures that are looked at as a whole


def along(result: Descrambling, /) -> InputAxis:
    """The axis of what is not turned: of the inputs on the left side, of the outputs on the others."""
    if isinstance(result.axis, InputAxis):
        return result.axis
    left = result.side == "left"
    return replace(index(result.weight.shape[1 if left else 0]), quantity="input" if left else "output")


def reading(result: Descrambling, name: str, found: Any, /) -> Iterator[Block]:
    """The blocks of one reading; a sentence in its place is a caution."""
    match found:
        case str():
            yield Note(f"No reading of {name}: {found}.", "caution")
        case FilterReading():
            yield from _filter(found)
        case BaselineReading():
            yield from _baseline(found)
        case Spectrogram():
            yield _spectrogram(result, found)
        case Gram():
            yield _gram(result, found)
        case Pairing():
            yield _pairing(found)
        case tuple() if all(isinstance(item, ModeReading) for item in found):
            blocks = tuple(block for item in found for block in _mode(result, item))
            what = "input" if result.side == "left" else "output"
            yield Section(f"Leading {what} modes", (_fits(found), *blocks), layout="grid")
        case tuple():
            yield from _fourier(result, name, found)
        case _:
            raise TypeError(f"reading {name}: expected one of those that can be drawn, got {type(found).__name__}.")


def _fourier(result: Descrambling, name: str, found: Sequence[Any]) -> Iterator[Block]:
    """The 2-D spectrum before and after, with the ridge over it, and what of it is more than the criterion."""
    found_ridge = next((item for item in found if isinstance(item, Ridge)), None)
    predicted = next((item for item in found if isinstance(item, Predicted)), None)
    yield _spectra(result, found_ridge, predicted)
    for item in found:
        if isinstance(item, Concentration):
            yield from _concentration(item)
        elif isinstance(item, str):
            yield Note(f"A part of the reading {name} is missing: {item}.", "caution")
    if found_ridge is not None:
        yield _ridge(result, found_ridge, predicted)


def _frequencies(result: Descrambling) -> InputAxis:
    found = frequencies(along(result))
    return found if result.side == "left" else replace(found, unit=found.unit.replace("per input", "per output"))


def _spectra(result: Descrambling, found: Ridge | None, predicted: Predicted | None) -> Section:
    x = _frequencies(result)
    left = result.side == "left"
    before, after = (result.weight, result.view) if left else (result.weight.T, result.view.T)
    rows = before.shape[0]
    drawn: list[Block] = []
    for title, matrix in (("W" if left else "Wᵀ", before), ("P W" if left else "P Wᵀ", after)):
        over = _over(found, predicted, x.step) if matrix is after and found is not None else ()
        said = "Magnitude, summed with its mirror image."
        if over:
            said += " Points: mean frequency of each mode, on the right; where sorted gains put it, on the left."
            said += " Sorting, and not the network, says how high on the vertical axis power lies."
        drawn.append(
            heatmap(
                f"2-D spectrum of {title}",
                mirrored(np.abs(transform(matrix)))[::-1],
                x.drawn,
                Axis("cycles per hidden axis"),
                x.extent,
                (rows - rows // 2 - 0.5, -(rows // 2) - 0.5),
                value="magnitude",
                caption=said,
                series=over,
            )
        )
    return Section("Two-dimensional spectrum", tuple(drawn), layout="grid")


def _over(found: Ridge, predicted: Predicted | None, step: float) -> tuple[Series, ...]:
    """The ridge as it was found on the right half of the spectrum, and as sorting predicts it on the left one: they mirror."""
    strong = np.flatnonzero(found.power > WEAK * found.power.max(initial=0.0))
    at = strong[thinned(strong.size)]
    series = [Series("found, each mode", numbers(found.frequency[at] * step), numbers(found.output[at]), drawn="points")]
    if predicted is not None:
        at = at[found.row[at] < predicted.harmonic.size]
        left = -predicted.harmonic[found.row[at]] * step
        series.append(Series("predicted by sorted gains", numbers(left), numbers(found.output[at]), "law", drawn="points"))
    return tuple(series)


def _ridge(result: Descrambling, found: Ridge, predicted: Predicted | None) -> Curve:
    """The frequency of every mode, and where the sorted gains of plane waves put it."""
    x = _frequencies(result)
    at = thinned(found.row.size)
    middle, spread = found.frequency[at] * x.step, found.spread[at] * x.step
    low, high = numbers(np.maximum(middle - spread, 0)), numbers(middle + spread)
    series = [Series("mean frequency", numbers(found.row[at]), numbers(middle), low=low, high=high)]
    if predicted is not None:
        at = thinned(predicted.harmonic.size)
        series.append(Series("predicted by sorted gains", numbers(at), numbers(predicted.harmonic[at] * x.step), "law"))
    what = "Input" if result.side == "left" else "Output"
    caption = "The ridge of the 2-D spectrum. Band: one standard deviation."
    if result.criterion == "smoothness":
        caption += (
            " Rows are sorted by the power of the hidden data, so that its shape is a sorted gain and no rescaling of frequencies."
        )
    return Curve(
        f"{what} frequency of each mode",
        Axis("mode of the operator, the smoothest first"),
        Axis(x.label),
        tuple(series),
        caption=caption,
    )


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
        ("kind", "score", f"from ({gain.unit})", f"to ({gain.unit})", "random, 95 %", "p", "untrained"),
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
            "Lower edge.",
            "Upper edge.",
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
        "Fits to the leading modes",
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
    what = "Input" if result.side == "left" else "Output"
    x, at = along(result), thinned(found.values.size, POINTS)
    series = [Series("mode", numbers(x.values[at]), numbers(found.values[at]))]
    if found.best is not None:
        fit = found.fits[found.best]
        series.append(Series(fit.family, numbers(x.values[at]), numbers(fit.curve[at]), "fit"))
    yield Curve(f"{what} mode {found.mode}", x.drawn, Axis("weight"), tuple(series), caption=f"{_upper(found.status)}.")


def _spectrogram(result: Descrambling, found: Spectrogram) -> Section:
    """Power of each leading mode over position and frequency, low frequencies below."""
    x = along(result)
    df = float(found.frequency[1] - found.frequency[0])
    hop = float(found.position[1] - found.position[0]) if found.position.size > 1 else x.step * found.window
    x_range = (float(found.position[0]) - hop / 2, float(found.position[-1]) + hop / 2)
    y_range = (float(found.frequency[-1]) + df / 2, -df / 2)
    middle = found.ridge
    maps = tuple(
        heatmap(
            f"Spectrogram of mode {place}",
            power[::-1],
            x.drawn,
            Axis(f"frequency ({found.unit})"),
            x_range,
            y_range,
            value="power",
            series=(Series("mean frequency", numbers(found.position), numbers(middle[place]), "fit"),),
            caption=f"Hann windows of {found.window} points. A chirp is a slanted ridge." if place == 0 else "",
            side=COARSE,
        )
        for place, power in enumerate(found.power)
    )
    return Section("Spectrograms of the leading modes", maps, layout="grid")


def _gram(result: Descrambling, found: Gram) -> Section:
    """Cosines between outputs, between inputs, and between the dimensions of the new basis."""
    outputs, inputs = result.weight.shape
    left, x = result.side == "left", along(result)
    new = Axis("hidden dimension, descrambled")
    sides = {
        "Outputs: W Wᵀ": (found.outputs, Axis("output") if left else x.drawn, places(outputs) if left else x.extent),
        "Inputs: Wᵀ W": (found.inputs, x.drawn if left else Axis("input"), x.extent if left else places(inputs)),
        "Turned: P W (P W)ᵀ" if left else "Turned: (W Pᵀ)ᵀ W Pᵀ": (found.turned, new, places(found.turned.shape[0])),
    }
    maps = tuple(
        heatmap(title, cosines(gram), axis, axis, ends, ends, value="cosine", centred=True, side=COARSE)
        for title, (gram, axis, ends) in sides.items()
    )
    return Section("Gram matrices", (Note(f"{_upper(found.status)}."), *maps), layout="grid")


def _pairing(found: Pairing) -> Section:
    """Which component of the hidden data lies on which mode."""
    ends = places(found.reached.shape[0])
    x, y = Axis("component of the hidden data, the strongest first"), Axis("mode of the operator, the smoothest first")
    told = (("In the network's own basis", found.identity, ""), ("As shown", found.reached, f"{_upper(found.status)}."))
    maps = tuple(
        heatmap(title, pairing, x, y, ends, ends, value="share of the component", caption=said, side=COARSE)
        for title, pairing, said in told
    )
    return Section("Components of the data on modes of the operator", maps, layout="grid")


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
