"""Claim: training makes the first layer of a DEER network low-pass and its output modes smooth, and descrambling concentrates both.

    python examples/deernet.py --page deernet.html  # three seeds, a minute and a half on one core

A network 256-80-256 reads distances between spins off simulated traces (`deer.py`), and is descrambled by 4000 fresh ones beside
itself before its training. Claimed, in every seed: its error is below 0.4 of the targets' variance; more than 0.75 of the squared
norm of W_1 lies at input frequencies up to bin 33, below 0.35 before; the 160 strongest cells of the 2-D transform of P W_1 hold
more than 1.5 times the power that they hold for W_1, and more than 3 times that of the untrained P W_1; the leading eight output
modes of W_2 P_2^T have a roughness below 0.2 each, before more than 1 (random: 2); and none of this hangs on the basis of the
hidden space.

Not claimed, because this stand-in does not show it or the control shows it too: a band-pass or a notch at zero frequency (the gain
reads as a low-pass, and an offset passes above the mean gain); Chebyshev polynomials as output modes (they are smooth, but the
best of T_1 to T_4 explains a small part of each, and T_0 to T_12 together still leave most of some); a rescaling of frequency
(sorting the gains predicts two thirds of the ridge, trained or not); a special native order (|z| < 3); that a large gain in
smoothness comes from training (the untrained network gains hundreds, as all traces are alike: one component carries nine tenths);
or that hidden components beyond the first few of 80 are known, which two halves of the traces tell. The page shows these readings
all the same, beside the control, over time in us, frequency in MHz and distance in nm.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import deer
import numpy as np
from adam_mlp import Network, Single, signals
from numpy.typing import NDArray

import modescope as ms
from modescope import moments
from modescope.blocks import Axis, Block, Curve, Heatmap, Note, Numbers, Section, Series, Table
from modescope.descrambling import axis, controls, diagnostics, families, filters, fits, fourier
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.operators import forward_difference
from modescope.descrambling.wiretaps import joint, left
from modescope.pictures import numbers
from modescope.reports import Report

Array = NDArray[np.float64]

EDGE, MODES, TRACES, SHOWN = 33, 8, 4000, 5
CURVES = (families.chebyshev(), families.polynomial(4), families.polynomial(12))
TIME = axis.uniform(deer.times(), quantity="time", unit="us")
DISTANCE = axis.uniform(deer.distances(), quantity="distance", unit="nm")


@dataclass(frozen=True)
class Stage:
    """What one network shows: shares of squared norms, arrays by mode; a notch is power at bin 0 over that at bins 1 to 10.

    `chebyshev` is R^2 (mode, curve) of the best of T_1 to T_4, of T_0 to T_4 together, and of T_0 to T_12 together.
    """

    name: str
    error: float
    band: float
    raw: float
    descrambled: float
    rows: Array
    roughness: Array
    gain: float
    gain_centred: float
    z: float
    top: float
    ridge: float
    notch: float
    scrambled: controls.Scrambled
    stable: controls.Stability
    chebyshev: Array
    view: Array
    second: Array
    outputs: tuple[fits.ModeReading, ...]
    reads: fourier.Ridge
    predicted: diagnostics.Ridge


@dataclass(frozen=True)
class Result:
    """One seed, before and after its training, and readings of the trained first layer beside the untrained one."""

    seed: int
    initial: Stage
    trained: Stage
    filter: filters.FilterReading
    offset: filters.BaselineReading


def look(seed: int, before: Network, after: Network) -> Result:
    """Descramble a network and its control by the same fresh traces."""
    inputs, targets = deer.samples(TRACES, np.random.default_rng([seed, 2]))
    initial, trained = stage("initial", before, inputs, targets), stage("trained", after, inputs, targets)
    weight, control = (one.weights[0] for one in (after, before))
    read = filters.read_filter(weight, axis=TIME, untrained=control)
    return Result(seed, initial, trained, read, filters.read_baseline(weight, degree=0, untrained=control))


def stage(name: str, network: Network, inputs: Single, targets: Single) -> Stage:
    """Everything that is said of one network."""
    _, hidden, outputs = signals(network, inputs)
    first, second = (weight.astype(np.float64) for weight in network.weights)
    traces, smooth = moments.of(inputs), forward_difference(len(first))
    rotation, centred = (smoothest(left(first, traces, centred=flag), smooth, weight=first) for flag in (False, True))
    view = rotation.p @ first
    scale, passed = diagnostics.scale(rotation), filters.gain(first).value ** 2
    joined = smoothest(joint(moments.of(hidden), second), smooth, weight=second.T)
    turned = second @ joined.p.T
    modes = output_modes(turned)
    read = fits.read_modes(modes[:SHOWN], axis=DISTANCE, families=CURVES)
    predicted = diagnostics.predicted_ridge(first, traces.second, rotation)
    return Stage(
        name=name,
        error=float(((outputs - targets) ** 2).mean() / targets.var()),
        band=fourier.band_share(first, highest=EDGE),
        raw=fourier.top_share(first),
        descrambled=fourier.top_share(view),
        rows=np.array([fourier.band_share(row[None], highest=EDGE) for row in (smooth.modes.T @ view)[:10]]),
        roughness=(np.diff(modes[:MODES], axis=1) ** 2).sum(axis=1),
        gain=scale.gain_identity or 0.0,
        gain_centred=diagnostics.scale(centred).gain_identity or 0.0,
        z=scale.z_identity or 0.0,
        top=float(rotation.b[0] / rotation.b.sum()),
        ridge=predicted.agreement,
        notch=float(passed[0] / passed[1:11].mean()),
        scrambled=controls.scrambled(first, left(first, traces), smooth),
        stable=controls.split_half(inputs @ network.weights[0].T),
        chebyshev=np.array([[fit.r2 or 0.0 for fit in reading.fits] for reading in read]),
        view=view,
        second=turned,
        outputs=read,
        reads=fourier.ridge(smooth.modes.T @ view, smooth.modes),
        predicted=predicted,
    )


def output_modes(weight: Array) -> Array:
    """(k, n) left singular vectors in rows, of a weight (n, k) without the mean of its columns."""
    return np.asarray(np.linalg.svd(weight - weight.mean(axis=0), full_matrices=False)[0].T)


def table(found: Iterable[Result]) -> str:
    """Two lines a seed, then what was read of it."""
    lines = ["seed network  error  band  2-D: raw -> P W  rows 1-10  roughness 1-8 gain, centred  z(I)  top  ridge  notch  T_j R^2"]
    for one in found:
        for s in (one.initial, one.trained):
            start = f"{one.seed:4d} {s.name:8s} {s.error:5.2f} {s.band:5.2f} {s.raw:8.2f} -> {s.descrambled:.2f}"
            middle = f"{s.rows.min():6.2f}-{s.rows.max():.2f} {s.roughness.min():8.3f}-{s.roughness.max():.2f}"
            end = f"{s.gain:7.0f} {s.gain_centred:8.0f} {s.z:5.1f} {s.top:4.2f} {s.ridge:6.2f} {s.notch:6.2f}"
            lines.append(f"{start} {middle} {end}  {' '.join(f'{r:.2f}' for r in s.chebyshev[:, 0])}")
        stable = ", ".join(f"{k}: {c:.3f}" for k, c in zip(one.trained.stable.sizes, one.trained.stable.low, strict=True))
        offset = f"{one.offset.status}; before training {one.offset.untrained:.2g}"
        lines += [f"     filter: {one.filter.status}", f"     offset: {offset}"]
        lines += [f"     halves agree on the leading components by a cosine of {stable}"]
        for name, place in (("T_0 to T_4", 1), ("T_0 to T_12", 2)):
            shares = (" ".join(f"{r:.2f}" for r in s.chebyshev[:, place]) for s in (one.initial, one.trained))
            lines += [f"     {name} together explain of output modes 1 to {SHOWN}: {' -> '.join(shares)}"]
    return "\n".join(lines)


def page(found: Result, network: Network) -> Report:
    """One seed as pictures: its first layer over time and frequency, its output modes over distance, each beside its control."""
    inputs = deer.samples(TRACES, np.random.default_rng([found.seed, 2]))[0]
    first = ms.descramble(network.weights[0], inputs=inputs, axis=TIME)
    said = (
        Note(f"Layers 256-80-256 on simulated DEER traces, seed {found.seed}, beside the same network before its training."),
        Note("A stand-in: neither the weights nor the data of the publication. What is not claimed is a picture only.", "caution"),
        claims(found),
        ridges(found.trained, found.initial),
        Section("Output side: the second layer over distance", tuple(second_layer(found)), layout="grid"),
    )
    report = first.report()
    blocks = (*said, Section("Input side: the first layer over time", report.blocks))
    return Report(blocks, report.document, report.items, title="A DEER network, descrambled", code=report.code)


def claims(one: Result) -> Table:
    """Numbers of both networks, and what the script says of them."""
    before, after = one.initial, one.trained

    def least(stage: Stage) -> float:
        return float(stage.chebyshev[:, 2].min())

    rows = (
        ("error over the variance of the targets", before.error, after.error, "claimed: below 0.4"),
        (f"share of W_1 up to bin {EDGE}", before.band, after.band, "claimed: above 0.75, below 0.35 before"),
        ("strongest cells of the 2-D spectrum of W_1", before.raw, after.raw, ""),
        ("the same of P W_1", before.descrambled, after.descrambled, "claimed: 1.5 times the line above, 3 times untrained"),
        ("largest roughness of the leading output modes", before.roughness.max(), after.roughness.max(), "claimed: below 0.2"),
        ("power at bin 0 over bins 1 to 10", before.notch, after.notch, "no notch in this stand-in"),
        (
            "best single T_1 to T_4 in an output mode, largest R²",
            *(s.chebyshev[:, 0].max() for s in (before, after)),
            "not Chebyshev",
        ),
        (f"T_0 to T_12 in the leading {SHOWN}, least R²", least(before), least(after), "smooth, and no more"),
        ("agreement of the ridge with sorted gains", before.ridge, after.ridge, "no rescaling of frequency: the control has it"),
        ("random over least roughness", before.gain, after.gain, "not compared: the data are alike"),
    )
    cells = tuple((name, *numbers([x, y]), text) for name, x, y, text in rows)
    return Table("What was found", ("number", "before", "after", "what is said of it"), cells)


def ridges(after: Stage, before: Stage) -> Curve:
    """Input frequency of every mode, beside what sorting says."""
    step = axis.frequencies(TIME).step

    def measured(name: str, stage: Stage) -> Series:
        return Series(name, numbers(stage.reads.row), numbers(stage.reads.frequency * step), "data" if stage is after else "null")

    at = np.arange(after.predicted.harmonic.size)
    law = Series("sorted gains, trained", numbers(at), numbers(after.predicted.harmonic * step), "law")
    return Curve(
        "Input frequency of each mode",
        Axis("mode of the operator, the smoothest first"),
        Axis(axis.frequencies(TIME).label),
        (measured("trained", after), measured("before training", before), law),
        caption="Modes come in the order of their power. A curve here is that order, in the control as well.",
    )


def second_layer(one: Result) -> Iterable[Block]:
    """Pictures of `W_2 P_2^T`, its Gram matrices, and its output modes with the Chebyshev polynomial that fits each best."""
    hidden, side = Axis("hidden dimension, descrambled"), (-0.5, deer.HIDDEN - 0.5)
    for name, stage in (("trained", one.trained), ("before training", one.initial)):
        weight = stage.second - stage.second.mean(axis=0)
        yield Heatmap(f"W_2 P_2ᵀ, {name}", hidden, DISTANCE.drawn, cells(weight[::2]), side, DISTANCE.extent, centred=True)
    weight = one.trained.second
    rows = cells((weight @ weight.T)[::2, ::2])
    yield Heatmap("W_2 W_2ᵀ, trained", DISTANCE.drawn, DISTANCE.drawn, rows, DISTANCE.extent, DISTANCE.extent, centred=True)
    yield Heatmap("P_2 W_2ᵀ W_2 P_2ᵀ, trained", hidden, hidden, cells(weight.T @ weight), side, side, centred=True)
    for place, (mode, control) in enumerate(zip(one.trained.outputs, one.initial.outputs, strict=True), 1):
        at, single, span = DISTANCE.values, mode.fits[0], mode.fits[2]
        series = (
            Series("before training", numbers(at), numbers(control.values), "null"),
            Series("trained", numbers(at), numbers(mode.values)),
            Series(f"T_{single.parameters[0].value:.0f}, fitted", numbers(at), numbers(single.curve), "fit"),
        )
        shares = f"R² of the best single T_1 to T_4: {single.r2 or 0:.2f}; of T_0 to T_12 together: {span.r2 or 0:.2f}."
        yield Curve(f"Output mode {place}", DISTANCE.drawn, Axis("weight"), series, caption=shares)


def cells(matrix: Array) -> tuple[Numbers, ...]:
    """Numbers of a heat map; what no eye can tell from 0 is 0, so that a page stays small."""
    return tuple(map(numbers, np.where(np.abs(matrix) > 0.01 * np.abs(matrix).max(), matrix, 0.0)))


def main() -> None:
    """Train, look, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--page", type=Path, help="write pictures of the first seed to this .html file")
    options = parser.parse_args()
    networks = {seed: deer.trained(seed) for seed in range(options.seeds)}
    found = [look(seed, *pair) for seed, pair in networks.items()]
    print(table(found))
    if options.page:
        page(found[0], networks[0][1]).save(options.page)


if __name__ == "__main__":
    main()
