"""Claim: training makes the first layer of a DEER network low-pass and its output modes smooth, and descrambling concentrates both.

    python examples/deernet.py                      # two seeds, two minutes on one core

A network 256-80-256 reads distances between spins off simulated traces (`deer.py`), and is descrambled by 4000 fresh ones
beside itself before its training. Claimed, in either seed: its error is below 0.4 of the targets' variance; more than 0.75 of
the squared norm of W_1 lies at input frequencies up to bin 33, below 0.35 before; the 160 strongest cells of the 2-D transform
of P W_1 hold more than 1.5 times the power that they hold for W_1, and more than 3 times that of the untrained P W_1; the
leading eight output modes of W_2 P_2^T have a roughness below 0.2 each, before more than 1 (random: 2); and none of this hangs
on the basis of the hidden space.

Not claimed, because this stand-in does not show it or the control shows it too: a band-pass or a notch at zero frequency (the
gain reads as a low-pass, and an offset passes above the mean gain); Chebyshev polynomials as output modes (they are smooth, but
the best of T_1 to T_4 explains a small part of each); a rescaling of frequency (sorting the gains predicts two thirds of the
ridge, trained or not); a special native order (|z| < 3); that a large gain in smoothness comes from training (the untrained
network gains hundreds, as all traces are alike: one component carries nine tenths); or that hidden components beyond the first
few of 80 are known, which two halves of the traces tell.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import deer
import numpy as np
from adam_mlp import Network, Single, signals
from numpy.typing import NDArray

from modescope import moments
from modescope.descrambling import axis, controls, diagnostics, families, filters, fits, fourier
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.operators import forward_difference
from modescope.descrambling.wiretaps import joint, left

Array = NDArray[np.float64]

EDGE, MODES, TRACES = 33, 8, 4000


@dataclass(frozen=True)
class Stage:
    """What one network shows: shares of squared norms, arrays by mode; a notch is power at bin 0 over that at bins 1 to 10."""

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
    time = axis.uniform(deer.times(), quantity="time", unit="us")
    read = filters.read_filter(weight, axis=time, untrained=control)
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
    modes = output_modes(second @ joined.p.T)
    read = fits.read_modes(modes[:5], families=(families.chebyshev(),))
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
        ridge=diagnostics.predicted_ridge(first, traces.second, rotation).agreement,
        notch=float(passed[0] / passed[1:11].mean()),
        scrambled=controls.scrambled(first, left(first, traces), smooth),
        stable=controls.split_half(inputs @ network.weights[0].T),
        chebyshev=np.array([reading.fits[0].r2 or 0.0 for reading in read]),
    )


def output_modes(weight: Array) -> Array:
    """(k, n) left singular vectors in rows, of a weight (n, k) without the mean of its columns."""
    return np.asarray(np.linalg.svd(weight - weight.mean(axis=0), full_matrices=False)[0].T)


def results(seeds: Iterable[int]) -> list[Result]:
    """Train and look."""
    return [look(seed, *deer.trained(seed)) for seed in seeds]


def table(found: Iterable[Result]) -> str:
    """Two lines a seed, then what was read of it."""
    lines = ["seed network  error  band  2-D: raw -> P W  rows 1-10  roughness 1-8 gain, centred  z(I)  top  ridge  notch  T_j R^2"]
    for one in found:
        for s in (one.initial, one.trained):
            start = f"{one.seed:4d} {s.name:8s} {s.error:5.2f} {s.band:5.2f} {s.raw:8.2f} -> {s.descrambled:.2f}"
            middle = f"{s.rows.min():6.2f}-{s.rows.max():.2f} {s.roughness.min():8.3f}-{s.roughness.max():.2f}"
            end = f"{s.gain:7.0f} {s.gain_centred:8.0f} {s.z:5.1f} {s.top:4.2f} {s.ridge:6.2f} {s.notch:6.2f}"
            lines.append(f"{start} {middle} {end}  {' '.join(f'{r:.2f}' for r in s.chebyshev)}")
        stable = ", ".join(f"{k}: {c:.3f}" for k, c in zip(one.trained.stable.sizes, one.trained.stable.low, strict=True))
        offset = f"{one.offset.status}; before training {one.offset.untrained:.2g}"
        lines += [f"     filter: {one.filter.status}", f"     offset: {offset}"]
        lines += [f"     halves agree on the leading components by a cosine of {stable}"]
    return "\n".join(lines)


def main() -> None:
    """Train, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="number of seeds (default: 2)")
    print(table(results(range(parser.parse_args().seeds))))


if __name__ == "__main__":
    main()
