"""Simulated traces of double electron-electron resonance (DEER), and the network that reads distances between spins off them.

A pair of spins at distance r gives the trace K(t, r), the average of cos((1 - 3 x^2) w t) over x from 0 to 1 with
w = 2 pi 52.04 / r^3 in rad/us, r in nm. A sample has a distribution of distances p, a modulation depth, a background and noise; it
is measured at 256 times from 0 to 2 us and stretched to [0, 1]. The target are 256 values of p, over distances that the times can
resolve. The network has layers 256-80-256 without biases, tanh and softplus: the shape of that of Worswick et al. (2018),
doi:10.1126/sciadv.aat5218, which Amey et al. (2021), doi:10.1073/pnas.2016917118, descrambled. It is a stand-in: their weights and
their exact training data are not used.
"""

from collections.abc import Iterator

import numpy as np
from adam_mlp import SOFTPLUS, TANH, Batch, Network, Single, initial, train
from numpy.typing import NDArray
from scipy.special import fresnel

Array = NDArray[np.float64]

POINTS, LAST, DIPOLAR = 256, 2.0, 52.04
NEAR, FAR = (4 * DIPOLAR * LAST / (POINTS - 1)) ** (1 / 3), (2 * DIPOLAR * LAST) ** (1 / 3)
PEAKS, NARROW, WIDE, WIDTH_OF_SIGMA = 4, 0.025, 0.5, 2 * np.sqrt(2 * np.log(2))
DEPTH, BACKGROUND, DIMENSION, NOISE = (0.01, 1.0), (0.0, 0.5), (2.0, 3.5), 0.05
HIDDEN, BATCH, POOL, FRESH, EVERY, STEPS, RATES = 80, 1000, 100, 10, 100, 5000, (2e-3, 1e-5)


def times() -> Array:
    """(256,) times in us."""
    return np.linspace(0.0, LAST, POINTS)


def distances() -> Array:
    """(256,) distances in nm: from four time steps per dipolar period to half a period inside the trace."""
    return np.linspace(NEAR, FAR, POINTS)


def kernel(t: Array, r: Array) -> Array:
    """(times, distances) trace of one distance, 1 at t = 0, in Fresnel integrals."""
    phase = 2 * np.pi * DIPOLAR * np.abs(t)[:, None] / r**3
    z = np.sqrt(6 * phase / np.pi)
    sine, cosine = fresnel(z)
    found: Array = np.ones_like(phase)
    return np.divide(cosine * np.cos(phase) + sine * np.sin(phase), z, out=found, where=z > 0)


def distributions(count: int, rng: np.random.Generator) -> Array:
    """(count, 256) one to four Gaussian peaks each, biased to short distances and narrow peaks; rows sum to 1."""
    shape = (count, PEAKS, 1)
    centre = NEAR + (FAR - NEAR) * np.abs(rng.random(shape) + rng.random(shape) - 1)
    least = NARROW * centre
    sigma = (least + (WIDE * (FAR - NEAR) - least) * np.abs(rng.random(shape) + rng.random(shape) - 1)) / WIDTH_OF_SIGMA
    there = np.arange(PEAKS)[:, None] < rng.integers(1, PEAKS + 1, (count, 1, 1))
    height = (there * rng.random(shape) / sigma).astype(np.float32)
    slope = (1 / sigma).astype(np.float32)
    found: Array = (height * np.exp(-(((distances().astype(np.float32) - centre.astype(np.float32)) * slope) ** 2) / 2)).sum(axis=1)
    found = found.astype(np.float64)
    return found / found.sum(axis=1, keepdims=True)


def traces(p: Array, depth: Array, rate: Array, dimension: Array) -> Array:
    """(N, 256) traces without noise, 1 at t = 0, of modulation depth, background rate in 1/us and dimension, (N, 1) each."""
    form = p.astype(np.float32) @ kernel(times(), distances()).astype(np.float32).T
    found: Array = ((1 - depth) + depth * form) * np.exp(-((rate * times()) ** (dimension / 3)))
    return found


def samples(count: int, rng: np.random.Generator) -> tuple[Single, Single]:
    """Noisy traces (count, 256) stretched to [0, 1], and targets (count, 256), of mean 1."""
    p = distributions(count, rng)
    depth, rate, dimension = (rng.uniform(*ends, (count, 1)) for ends in (DEPTH, BACKGROUND, DIMENSION))
    noise = rng.random((count, 1)) * NOISE * depth * rng.standard_normal((count, POINTS), dtype=np.float32)
    noisy = traces(p, depth, rate, dimension) + noise
    low, high = noisy.min(axis=1, keepdims=True), noisy.max(axis=1, keepdims=True)
    return ((noisy - low) / (high - low)).astype(np.float32), (POINTS * p).astype(np.float32)


def trained(seed: int, *, steps: int = STEPS, batch: int = BATCH, hidden: int = HIDDEN) -> tuple[Network, Network]:
    """The network before and after its training."""
    before = initial((POINTS, hidden, POINTS), (TANH, SOFTPLUS), seed=seed, bias=False)
    return before, train(before, _batches(seed, steps, batch))


def _batches(seed: int, steps: int, batch: int) -> Iterator[Batch]:
    """A pool of batches, of which a tenth is replaced by fresh ones every hundred steps; the rate falls as half a cosine."""
    rng = np.random.default_rng([seed, 1])
    pool = [samples(batch, rng) for _ in range(min(POOL, steps))]
    for step in range(steps):
        if step and step % EVERY == 0:
            for place in rng.choice(len(pool), min(FRESH, len(pool)), replace=False):
                pool[place] = samples(batch, rng)
        inputs, targets = pool[rng.integers(len(pool))]
        yield inputs, targets, RATES[1] + (RATES[0] - RATES[1]) * (1 + np.cos(np.pi * step / steps)) / 2
