"""Claim: training writes smooth, decay-like modes into the first layer of a relaxometry network, and few of them.

    python examples/relaxometry.py                  # three seeds, half a minute on one core

A network reads two time constants off a noisy biexponential decay that it is given twice (`relaxation.py`). Claimed, in every
seed, beside the same network before its training: the error on fresh noise is below 0.6 of the targets' standard deviation; the
two largest singular values of W_1 are more than 1.5 times as large as any before, and at least three exceed 0.866, the edge of
its initial weights; a biexponential curve explains more than half of the variance of either leading right singular vector (on
its first copy of the decay), of none of five before the training more than 0.4; the two halves of either vector, which see the
same decay, agree by a cosine above 0.8. No descrambling moves a singular value, and streamed moments give the second moment of
the hidden data.

Not claimed: that these modes are the signal model; they are smooth. Of either leading mode a polynomial of degree 4, which has
five parameters too, explains more in all three seeds, and the two fitted time constants are those of no signal: they come out
close to each other with opposite amplitudes, or at the end of the search. Nor that a descrambled weight is as smooth as it can
be: it is made so for white inputs; for the data, of which one direction carries nine tenths, their signals are, and the weight
itself comes out rougher than that. What descrambling gains in roughness is not compared between kinds of data either, as most
of it is that one direction.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import relaxation
from adam_mlp import Network, signals
from numpy.typing import NDArray

from modescope import moments
from modescope.descrambling import axis, families, fits
from modescope.descrambling.closed_form import objective, smoothest
from modescope.descrambling.operators import fourier_second
from modescope.descrambling.wiretaps import left
from modescope.moments import Moments

Array = NDArray[np.float64]

MODES, EDGE = 5, (np.sqrt(128) + np.sqrt(32)) / np.sqrt(3 * 128)
FAMILIES = (families.biexponential(), families.polynomial(4))


@dataclass(frozen=True)
class Layer:
    """The first layer of one network: singular values, R^2 of the families (family, mode), cosine between halves of a mode."""

    seed: int
    stage: str
    error: float
    spread: float
    s: Array
    r2: Array
    fits: tuple[fits.Fit, ...]
    halves: Array


@dataclass(frozen=True)
class View:
    """The same layer, descrambled by some data: roughness of hidden signals and of the weight itself along its neurons."""

    data: str
    gain: float
    top: float
    weight: float
    s: Array


def networks(seeds: Iterable[int]) -> list[Layer]:
    """Every seed, before and after its training."""
    found = []
    for seed in seeds:
        for stage, network in zip(("initial", "trained"), relaxation.trained(seed), strict=True):
            found.append(look(network, seed=seed, stage=stage))
    return found


def look(network: Network, *, seed: int, stage: str) -> Layer:
    """Decompose the first layer and read its leading modes as curves of time."""
    inputs, targets = relaxation.samples(10**6 + seed)  # fresh noise
    error = float(np.sqrt(np.mean((signals(network, inputs)[-1] - targets) ** 2)) / targets.std())
    _, s, vh = np.linalg.svd(network.weights[0].astype(np.float64))
    first, second = vh[:MODES, : relaxation.TIMES], vh[:MODES, relaxation.TIMES :]
    time = axis.uniform(relaxation.times(), quantity="time", unit="ms")
    readings = fits.read_modes(first, axis=time, families=FAMILIES)
    r2 = np.array([[reading.fits[place].r2 or 0.0 for reading in readings] for place in range(len(FAMILIES))])
    halves = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    spread = float(targets.std() * relaxation.SLOWEST)
    return Layer(seed, stage, error, spread, s, r2, tuple(reading.fits[0] for reading in readings), halves)


def views(network: Network, seed: int) -> list[View]:
    """Descramble the first layer by white inputs, by its training data and by fresh ones."""
    weight, bias = network.weights[0].astype(np.float64), network.biases[0].astype(np.float64)
    ring, n = fourier_second(weight.shape[0]), weight.shape[1]
    found = []
    for name, inputs in (
        ("white", Moments(1, np.zeros(n), np.eye(n))),
        ("training", streamed(relaxation.samples(seed)[0])),
        ("fresh", streamed(relaxation.samples(10**6 + seed)[0])),
    ):
        second = left(weight, inputs, None if name == "white" else bias)
        rotation = smoothest(second, ring, weight=weight)
        own = weight @ weight.T
        native = np.eye(len(weight))
        found.append(
            View(
                data=name,
                gain=objective(native, second, ring) / rotation.optimal,
                top=float(rotation.b[0] / rotation.b.sum()),
                weight=objective(rotation.p, own, ring) / objective(native, own, ring),
                s=np.linalg.svd(rotation.p @ weight, compute_uv=False),
            )
        )
    return found


def streamed(inputs: NDArray[np.float32], rows: int = 1000) -> Moments:
    """Moments of the inputs, a thousand samples at a time."""
    return moments.streamed(inputs[start : start + rows] for start in range(0, len(inputs), rows))


def table(found: Iterable[Layer], described: Iterable[View]) -> str:
    """One line a mode of every network, then one for every kind of data."""
    lines = ["seed network  error/sd  mode      s  R^2 biexponential (random)  polynomial  halves  time constants, ms"]
    for one in found:
        for i, fit in enumerate(one.fits):
            start = f"{one.seed:4d} {one.stage:8s} {one.error:8.2f}" if i == 0 else " " * 22
            shares = f"{one.r2[0, i]:17.2f} ({fit.null.high:6.2f}) {one.r2[1, i]:11.2f} {one.halves[i]:7.2f}"
            constants = ", ".join(f"{p.value:.0f}" for p in fit.parameters if p.unit)
            lines.append(f"{start} {i + 1:5d} {one.s[i]:6.2f} {shares}  {constants}")
    lines += ["", "data      roughness/least  top share of B  roughness of W, descrambled/raw"]
    lines += [f"{view.data:9s} {view.gain:15.1f} {view.top:15.3f} {view.weight:32.2f}" for view in described]
    return "\n".join(lines)


def main() -> None:
    """Train, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[657, 0, 1], help="seeds (default: 657 0 1)")
    seeds = parser.parse_args().seeds
    print(table(networks(seeds), views(relaxation.trained(seeds[0])[1], seeds[0])))


if __name__ == "__main__":
    main()
