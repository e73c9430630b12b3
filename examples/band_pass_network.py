"""Claim: rid of its hidden basis, the last layer of a band-pass network is a band-pass; the criterion makes only the line.

    python examples/band_pass_network.py --page band.html       # three seeds, two seconds on one core

A network 128-128-128, ReLU and tanh, without biases, learns to return the frequencies 10 to 25 Hz of white noise that is sampled
at 128 Hz for a second: a small version of the network of Sule, Spencer & Czaja (2025), doi:10.1016/j.acha.2025.101793. Its second
layer is shown as `W_2 P^T`, with P of the largest sum on the diagonal of `P W_2^T`. Claimed, in every seed, beside the network
before its training: the error is below a tenth of the variance; more than 0.95 of the squared norm of W_2 lies at output
frequencies of the band, below 0.35 before; it has 32 large singular values, the sine and cosine of 16 frequencies, and the next is
below a quarter of the least of these, while before none stands out; `W_2 P^T` is symmetric and positive, which holds before the
training as well; and of the power of its 2-D transform more than 0.98 lies where both frequencies are equal, less than 0.05 for
W_2 as it is.

Not claimed: that the line of equal frequencies comes from training: the untrained `W_2 P^T` has more than 0.7 of its power there,
as any symmetric matrix with a strong diagonal has. Nor that descrambling finds the band: the singular values and the share of the
band are those of W_2, and no rotation of the hidden space changes them. Nor that the rotated layer works in the network: P does
not commute with the ReLU.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from adam_mlp import RELU, TANH, Batch, Network, Single, initial, signals, train
from numpy.typing import NDArray

from modescope.blocks import Axis, Curve, Heatmap, Note, Numbers, Section, Series
from modescope.descrambling import axis, fourier
from modescope.descrambling.diagonal import max_diag_sum
from modescope.pictures import numbers
from modescope.reports import Report

Array = NDArray[np.float64]

SIZE, LOW, HIGH = 128, 10, 25  # points in a second; Hz
SAMPLES, BATCH, EPOCHS, RATE = 10_000, 100, 20, 1e-3
WAVES = 2 * (HIGH - LOW + 1)


@dataclass(frozen=True, eq=False)
class Stage:
    """The second layer of one network, as it is and with the largest sum on the diagonal, and what both show."""

    seed: int
    name: str
    error: float
    band: float
    s: Array
    weight: Array
    view: Array

    @property
    def fall(self) -> float:
        """The first singular value that the band does not need, over the last that it does."""
        return float(self.s[WAVES] / self.s[WAVES - 1])


def filtered(inputs: Single) -> Single:
    """What lies in the band."""
    spectrum = np.fft.rfft(inputs, axis=1)
    spectrum[:, :LOW] = spectrum[:, HIGH + 1 :] = 0
    return np.fft.irfft(spectrum, SIZE, axis=1).astype(np.float32)


def _batches(seed: int) -> Iterator[Batch]:
    rng = np.random.default_rng([seed, 1])
    inputs = rng.standard_normal((SAMPLES, SIZE), dtype=np.float32)
    targets = filtered(inputs)
    for _ in range(EPOCHS):
        for rows in rng.permutation(SAMPLES).reshape(-1, BATCH):
            yield inputs[rows], targets[rows], RATE


def look(seed: int, name: str, network: Network) -> Stage:
    """Descramble the second layer, and measure the error on fresh noise."""
    inputs = np.random.default_rng([seed, 2]).standard_normal((2000, SIZE), dtype=np.float32)
    targets = filtered(inputs)
    error = float(((signals(network, inputs)[-1] - targets) ** 2).mean() / targets.var())
    weight = network.weights[1].astype(np.float64)
    view = weight @ max_diag_sum(weight.T).p.T
    band = fourier.band_share(weight.T, lowest=LOW, highest=HIGH)
    return Stage(seed, name, error, band, np.linalg.svd(weight, compute_uv=False), weight, view)


def stages(seeds: Iterable[int]) -> list[Stage]:
    """Every seed, before and after its training."""
    found = []
    for seed in seeds:
        before = initial((SIZE, SIZE, SIZE), (RELU, TANH), seed=seed, bias=False)
        found += [look(seed, "initial", before), look(seed, "trained", train(before, _batches(seed)))]
    return found


def equal(weight: Array) -> float:
    """Share of the power of the 2-D transform in cells whose frequencies are equal up to their sign."""
    power = np.abs(np.fft.fft2(weight)) ** 2
    at = np.arange(len(weight))
    lines = np.zeros(power.shape, dtype=bool)
    lines[at, at] = lines[at, -at] = True
    return float(power[lines].sum() / power.sum())


def table(found: Iterable[Stage]) -> str:
    """One line a network."""
    lines = [f"seed network  error  in the band  s_1    s_{WAVES}   s_{WAVES + 1}  equal frequencies: W_2 -> W_2 P^T"]
    for one in found:
        values = f"{one.s[0]:5.2f} {one.s[WAVES - 1]:6.2f} {one.s[WAVES]:6.2f}"
        shares = f"{equal(one.weight):26.3f} -> {equal(one.view):.3f}"
        lines.append(f"{one.seed:4d} {one.name:8s} {one.error:5.2f} {one.band:12.3f} {values} {shares}")
    return "\n".join(lines)


def cells(matrix: Array) -> tuple[Numbers, ...]:
    """Numbers of a heat map; what no eye can tell from 0 is 0, so that a page stays small."""
    return tuple(map(numbers, np.where(np.abs(matrix) > 0.01 * np.abs(matrix).max(), matrix, 0.0)))


def page(found: Iterable[Stage]) -> Report:
    """The second layer before and after descrambling, beside its control, as pictures."""
    initial, trained = list(found)[:2]
    time = axis.uniform(np.arange(SIZE) / SIZE, quantity="time", unit="s")
    frequency = axis.frequencies(time)
    maps = []
    for stage in (trained, initial):
        for name, matrix in (("W_2", stage.weight), ("W_2 Pᵀ", stage.view)):
            hidden, cycles, whole = Axis("hidden"), Axis("cycles per hidden axis"), (-0.5, SIZE - 0.5)
            title, magnitude = f"{name}, {stage.name}", cells(np.abs(fourier.transform(matrix)))
            half = (-SIZE / 2 - 0.5, SIZE / 2 - 0.5)
            maps.append(Heatmap(title, hidden, time.drawn, cells(matrix), whole, time.extent, value="weight", centred=True))
            maps.append(
                Heatmap(f"2-D spectrum of {title}", cycles, frequency.drawn, magnitude, half, frequency.extent, value="magnitude")
            )
    at = np.arange(SIZE)
    values = Curve(
        "Singular values of the second layer",
        Axis("mode"),
        Axis("singular value", log=True),
        (Series("trained", numbers(at), numbers(trained.s)), Series("initial", numbers(at), numbers(initial.s), "null")),
        caption=f"{WAVES} large ones: sine and cosine of {WAVES // 2} frequencies.",
    )
    shares = f"{trained.band:.3f} of the squared norm in the band, {initial.band:.3f} before the training"
    said = (
        Note(f"Passing {LOW} to {HIGH} Hz, seed {trained.seed}: {shares}."),
        Note(
            "Symmetry, a strong diagonal and with it the line of equal frequencies are made by the criterion for any weight, as "
            "the untrained network shows. What was learnt is where on that line the power lies.",
            "caution",
        ),
    )
    document = {"stages": [{"network": one.name, "band": one.band, "equal": equal(one.view)} for one in (initial, trained)]}
    blocks = (*said, values, Section("Before and after", tuple(maps), layout="grid"))
    return Report(blocks, document, "stages", title="A band-pass network")


def main() -> None:
    """Train, look, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--page", type=Path, help="write the pictures to this .html file")
    options = parser.parse_args()
    found = stages(range(options.seeds))
    print(table(found))
    if options.page:
        page(found).save(options.page)


if __name__ == "__main__":
    main()
