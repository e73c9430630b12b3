"""Claim: a linear denoiser learns its modes strongest first, and descrambling shows them in that order, whatever it started from.

    python examples/linear_denoiser.py              # five seeds, five seconds on one core

Two linear layers 16-16-16 learn x from x + noise by full-batch gradient descent; neighbours of x correlate by 0.9, and the
noise has variance 0.5. What they must learn is known, the Wiener filter; which hidden neuron does what is not, as any rotation
of the hidden space computes the same. Claimed, in every seed: the product of the layers is the Wiener filter to 1e-10; the rows
of `V^T P W_1` are the Karhunen-Loeve modes of x, strongest first (|cos| > 0.999), and the squared singular values lam / (lam +
v) to 1e-3; in the basis that the network has, the hidden signals are more than three times as rough; and of two modes, one
stronger than the other by a half, the stronger one is learnt first. On whitened inputs and from a balanced start, the strengths
of the modes follow the closed form of Saxe, McClelland & Ganguli (2014), arXiv:1312.6120, to 1e-10 at every snapshot.

Not claimed: anything on networks with activations, where a rotation changes the function and a descrambled weight is a view;
that the order of a descrambled picture is the order of learning elsewhere (here both follow the same strengths, as the matrices
of this task commute); or that modes of nearly one strength are learnt in order, which hangs on the start.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.diagnostics import scale
from modescope.descrambling.operators import forward_difference
from modescope.descrambling.wiretaps import left
from modescope.moments import Moments

Array = NDArray[np.float64]

SIZE, NEIGHBOUR, NOISE, START, RATE, STEPS, EVERY = 16, 0.9, 0.5, 1e-3, 0.05, 60_000, 20
STRENGTHS, SMALL, STEP, TIME = np.arange(5.0, 0.0, -1.0), 1e-3, 1e-4, 1.0


@dataclass(frozen=True)
class Denoiser:
    """One trained network beside what theory says; arrays are by mode, strongest first."""

    seed: int
    product: float
    gain: float
    power: Array
    cosine: Array
    law: Array
    learnt: Array


@dataclass(frozen=True)
class Development:
    """Strengths of the modes (times, modes) on whitened inputs, as integrated and as the closed form has them."""

    time: Array
    found: Array
    law: Array


def signals() -> tuple[Array, Array, Array]:
    """Covariance of the clean signals, its eigenvalues from the largest down, and its modes as columns."""
    clean: Array = toeplitz(NEIGHBOUR ** np.arange(SIZE))
    power, modes = np.linalg.eigh(clean)
    return clean, power[::-1], modes[:, ::-1]


def train(seed: int) -> tuple[Array, Array, Array]:
    """Both layers after the training, and the step at which every mode of the product passed half of its final strength."""
    clean, power, modes = signals()
    noisy = clean + NOISE * np.eye(SIZE)
    rng = np.random.default_rng(seed)
    first, second = START * rng.standard_normal((2, SIZE, SIZE))
    learnt = np.full(SIZE, np.inf)
    for step in range(STEPS):
        error = clean - second @ (first @ noisy)
        first, second = first + RATE * (second.T @ error), second + RATE * (error @ first.T)
        if step % EVERY == 0:
            strength = np.einsum("ji,ji->i", modes, second @ (first @ modes))
            learnt[np.isinf(learnt) & (strength > 0.5 * power / (power + NOISE))] = step
    return first, second, learnt


def look(seed: int) -> Denoiser:
    """Train one denoiser and descramble its first layer."""
    clean, power, modes = signals()
    first, second, learnt = train(seed)
    noisy = clean + NOISE * np.eye(SIZE)
    wiener = clean @ np.linalg.inv(noisy)
    hidden = left(first, Moments(1, np.zeros(SIZE), noisy))
    rotation = smoothest(hidden, forward_difference(SIZE), weight=first)
    rows = rotation.smoothness.modes.T @ rotation.p @ first
    cosine = np.abs(np.einsum("ij,ji->i", rows, modes)) / np.linalg.norm(rows, axis=1)
    product = float(np.linalg.norm(second @ first - wiener) / np.linalg.norm(wiener))
    law = np.linalg.svd(first, compute_uv=False) ** 2 / (power / (power + NOISE))
    return Denoiser(seed, product, scale(rotation).gain_identity or 0.0, power, cosine, law, learnt)


def development(snapshots: int = 10, seed: int = 0) -> Development:
    """Integrate the learning on whitened inputs from a balanced start, and look at it through the descrambler."""
    n = STRENGTHS.size
    rng = np.random.default_rng(seed)
    left_modes, right_modes, gauge = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(3))
    target = (left_modes * STRENGTHS) @ right_modes.T
    layers = np.stack([np.sqrt(SMALL) * gauge @ right_modes.T, np.sqrt(SMALL) * left_modes @ gauge.T])

    def slope(at: Array) -> Array:
        error = target - at[1] @ at[0]
        return np.stack([at[1].T @ error, error @ at[0].T])

    white, smooth = Moments(1, np.zeros(n), np.eye(n)), forward_difference(n)
    steps, times, found = round(TIME / STEP), [], []
    for step in range(1, steps + 1):
        k1 = slope(layers)
        k2 = slope(layers + STEP / 2 * k1)
        k3 = slope(layers + STEP / 2 * k2)
        k4 = slope(layers + STEP * k3)
        layers = layers + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        if step % (steps // snapshots) == 0:
            rotation = smoothest(left(layers[0], white), smooth, weight=layers[0])
            rows = smooth.modes.T @ rotation.p @ layers[0]
            times.append(step * STEP)
            found.append((rows**2).sum(axis=1))
    time = np.array(times)[:, None]
    growth = np.exp(2 * STRENGTHS * time)
    return Development(time[:, 0], np.array(found), STRENGTHS * growth / (growth - 1 + STRENGTHS / SMALL))


def table(found: Iterable[Denoiser], course: Development) -> str:
    """One line a mode of every network, then one a snapshot."""
    lines = ["seed  product off  roughness/least  mode  strength  learnt at  |cos|     s^2/law"]
    for one in found:
        for i in range(SIZE):
            start = f"{one.seed:4d} {one.product:12.0e} {one.gain:16.1f}" if i == 0 else " " * 34
            lines.append(f"{start} {i:5d} {one.power[i]:9.3f} {one.learnt[i]:10.0f}  {one.cosine[i]:.6f} {one.law[i]:9.6f}")
    lines += ["", "time  strengths of the modes on whitened inputs (largest error against the closed form)"]
    for time, strengths, law in zip(course.time, course.found, course.law, strict=True):
        lines.append(f"{time:4.1f}  {' '.join(f'{s:8.5f}' for s in strengths)}  ({np.abs(strengths - law).max():.0e})")
    return "\n".join(lines)


def main() -> None:
    """Train, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    print(table([look(seed) for seed in range(parser.parse_args().seeds)], development()))


if __name__ == "__main__":
    main()
