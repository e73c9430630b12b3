"""Claim: weights that learnt nothing gain from descrambling too, data alone choose the order, and only an order is a network.

    python examples/nothing_learnt.py               # twenty seeds, two seconds on one core

Three controls. *Noise*: Gaussian weights on white inputs, by the second derivative on a ring. Claimed, in every seed: descrambling
gains a factor between 2.9 and 3.7 over a random basis for weights (64, 128) and one between 7.3 and 9.5 for (64, 64); if the same
weights see inputs whose neighbours correlate by 0.9, more than twice that. *Convolution*: one band-pass of 64 points on white and
on coloured stationary inputs. Claimed: output frequencies read input frequencies in the order of squared gain times power of the
inputs, 0 the strongest and h the two at places 2 h - 1 and 2 h of a list that names every frequency but 0 and 32 twice, to 1e-9;
the data alone change which. *Order*: seven to twelve neurons with ReLU. Claimed, in every seed: the smoothest order is found and
proven; it is never smoother than the smoothest rotation, and no heuristic (sorting by the first principal component, SciPy's FAQ
and 2-opt) finds a smoother one; the reordered network gives the same outputs to 1e-12, and the rotated one does not (to 1e-3).

Not claimed: that a gain above these factors comes from training: inputs alone raise it, so that the control of a network is the
same network untrained, on the same data.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import circulant, toeplitz
from scipy.optimize import quadratic_assignment

from modescope import moments
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.diagnostics import scale
from modescope.descrambling.fourier import sorted_gains
from modescope.descrambling.operators import forward_difference, fourier_second
from modescope.descrambling.permutations import smoothest_order
from modescope.descrambling.wiretaps import left, right
from modescope.moments import Moments

Array = NDArray[np.float64]

SIZE, WIDE, NEIGHBOUR, CENTRE, WIDTH, CORNER = 64, 128, 0.9, 12.3, 72.0, 4.0
NEURONS, INPUTS, SAMPLES = range(7, 13), 5, 400


@dataclass(frozen=True)
class Noise:
    """Factors by which descrambling is smoother than a random basis, for weights that learnt nothing."""

    seed: int
    wide: float
    square: float
    correlated: float


@dataclass(frozen=True)
class Filter:
    """What every output frequency of a convolution reads (share of its power, by input frequency), and what sorting says."""

    inputs: str
    reads: Array
    sorted: tuple[int, ...]


@dataclass(frozen=True)
class Order:
    """Roughness of a few neurons: smoothest rotation and order, heuristics, as they are; and what outputs change by."""

    seed: int
    neurons: int
    rotation: float
    exact: float
    proven: bool
    heuristics: tuple[float, float, float]
    native: float
    reordered: float
    rotated: float


def noise(seed: int) -> Noise:
    """Descramble Gaussian weights."""
    rng, ring = np.random.default_rng(seed), fourier_second(SIZE)

    def gain(weight: Array, second: Array) -> float:
        return scale(smoothest(left(weight, Moments(1, np.zeros(len(second)), second)), ring)).gain_random or 0.0

    wide, square = rng.standard_normal((SIZE, WIDE)), rng.standard_normal((SIZE, SIZE))
    correlated = toeplitz(NEIGHBOUR ** np.arange(WIDE))
    return Noise(seed, gain(wide, np.eye(WIDE)), gain(square, np.eye(SIZE)), gain(wide, correlated))


def convolution(inputs: str, power: Array) -> Filter:
    """Descramble a band-pass on stationary inputs of some power spectrum."""
    k = np.abs(np.fft.fftfreq(SIZE, 1 / SIZE))
    gain = np.exp(-((k - CENTRE) ** 2) / WIDTH)
    weight, covariance = circulant(np.fft.ifft(gain).real), circulant(np.fft.ifft(power).real)
    ring = fourier_second(SIZE)
    rotation = smoothest(left(weight, Moments(1, np.zeros(SIZE), covariance)), ring, weight=weight)
    share = np.abs(np.fft.rfft(ring.modes.T @ rotation.p, axis=1)) ** 2
    share[:, 1:-1] *= 2  # both signs of a frequency
    reads = np.zeros((SIZE // 2 + 1, SIZE // 2 + 1))
    np.add.at(reads, (np.arange(SIZE) + 1) // 2, share)
    order = sorted_gains(gain, rows=SIZE, power=power).astype(int).tolist()
    return Filter(inputs, reads / reads.sum(axis=1, keepdims=True), tuple(order))


def filters() -> list[Filter]:
    """On white inputs, and on inputs of which the slow frequencies are the strongest."""
    k = np.abs(np.fft.fftfreq(SIZE, 1 / SIZE))
    return [convolution("white", np.ones(SIZE)), convolution("coloured", 1 / (1 + (k / CORNER) ** 2))]


def expected(found: Filter, harmonic: int) -> dict[int, float]:
    """Shares that sorting alone gives to the input frequencies of an output frequency."""
    places = [place for place in (2 * harmonic - 1, 2 * harmonic) if 0 <= place < SIZE]
    shares: dict[int, float] = {}
    for place in places:
        shares[found.sorted[place]] = shares.get(found.sorted[place], 0.0) + 1 / len(places)
    return shares


def order(seed: int, neurons: int) -> Order:
    """Order the neurons of a layer with ReLU, and run the network behind it."""
    rng = np.random.default_rng([seed, neurons])
    weight, readout = rng.standard_normal((neurons, INPUTS)), rng.standard_normal((3, neurons))
    bias, inputs = rng.standard_normal(neurons), rng.standard_normal((SAMPLES, INPUTS))

    def hidden(p: Array) -> Array:
        return np.maximum(inputs @ (p @ weight).T + p @ bias, 0)

    smooth, second = forward_difference(neurons), right(moments.of(hidden(np.eye(neurons))))
    best, rotation = smoothest_order(second, smooth), smoothest(second, smooth)
    a = smooth.matrix().T @ smooth.matrix()
    ways = [np.argsort(rotation.u[:, 0])]
    for name, start in (("faq", {"P0": "randomized"}), ("2opt", {})):  # FAQ's own start is blind: differences take the mean away
        ways.append(quadratic_assignment(a, second, method=name, options=start | {"rng": rng}).col_ind)
    outputs = hidden(np.eye(neurons)) @ readout.T
    off = [np.abs(hidden(p) @ (readout @ p.T).T - outputs).max() / np.abs(outputs).max() for p in (best.p, rotation.p)]
    heuristics = tuple(float((a * second[np.ix_(way, way)]).sum()) for way in ways)
    return Order(seed, neurons, rotation.optimal, best.value, best.exact, heuristics, best.identity, *map(float, off))


def orders(seeds: Iterable[int]) -> list[Order]:
    """Every seed, of every number of neurons."""
    return [order(seed, neurons) for seed in seeds for neurons in NEURONS]


def table(gains: Iterable[Noise], layers: Iterable[Filter], orders: Iterable[Order]) -> str:
    """One line a seed, one a kind of inputs, one an order."""
    lines = ["seed  gain of noise: 64 x 128  64 x 64  64 x 128, correlated inputs"]
    lines += [f"{one.seed:4d} {one.wide:24.2f} {one.square:8.2f} {one.correlated:28.1f}" for one in gains]
    lines += ["", "inputs    input <- output frequencies 0, 1, 2, ..."]
    for layer in layers:
        pairs = ["+".join(f"{f}" for f in np.flatnonzero(row > 0.1)) for row in layer.reads[:8]]
        lines.append(f"{layer.inputs:9s} {', '.join(pairs)}")
    lines += ["", "seed  neurons  over the smoothest order: rotation  sorted    FAQ  2-opt  native  outputs off: order  rotation"]
    for o in orders:
        values = " ".join(f"{value / o.exact:6.2f}" for value in (*o.heuristics, o.native))
        lines.append(f"{o.seed:4d} {o.neurons:8d} {o.rotation / o.exact:35.2f}  {values} {o.reordered:19.0e} {o.rotated:9.2f}")
    return "\n".join(lines)


def main() -> None:
    """Draw, descramble, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds of the noise; a fifth as many orders (default: 20)")
    seeds = parser.parse_args().seeds
    print(table([noise(seed) for seed in range(seeds)], filters(), orders(range(-(-seeds // 5)))))


if __name__ == "__main__":
    main()
