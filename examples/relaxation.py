"""Noisy biexponential decays of magnetic resonance relaxometry, and the network that reads both time constants off them.

`s(t) = 0.6 exp(-t / T21) + 0.4 exp(-t / T22)` at 64 times from 0 to 800 ms, with T21 and T22 on a grid of 20 x 20 values from 50 to
500 ms, 40 draws of noise each, of standard deviation 1 / 30. A sample is the noisy decay twice over, 128 numbers; its target are
both time constants over 500 ms. After the network of Rozowski et al. (2022), doi:10.1002/mrc.5289, whose grid is finer: layers
128-32-256-256-32-2 with ReLU and biases, Adam at a rate of 1e-3, batches of 50, 20 epochs.
"""

from collections.abc import Iterator

import numpy as np
from adam_mlp import IDENTITY, RELU, Batch, Network, Single, initial, train
from numpy.typing import NDArray

TIMES, LAST = 64, 800.0
CONSTANTS, SLOWEST, DRAWS, NOISE = np.linspace(50.0, 500.0, 20), 500.0, 40, 1 / 30
WIDTHS, BATCH, EPOCHS, RATE = (128, 32, 256, 256, 32, 2), 50, 20, 1e-3


def times() -> NDArray[np.float64]:
    """(64,) times in ms."""
    return np.linspace(0.0, LAST, TIMES)


def decays(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 64) signals without noise for N pairs of time constants in ms."""
    found: NDArray[np.float64] = 0.6 * np.exp(-times() / first[:, None]) + 0.4 * np.exp(-times() / second[:, None])
    return found


def samples(seed: int) -> tuple[Single, Single]:
    """Inputs (16000, 128) and targets (16000, 2)."""
    first, second = (np.repeat(grid.ravel(), DRAWS) for grid in np.meshgrid(CONSTANTS, CONSTANTS, indexing="ij"))
    clean = decays(first, second)
    noisy = clean + NOISE * np.random.default_rng(seed).standard_normal(clean.shape)
    return np.tile(noisy, 2).astype(np.float32), (np.column_stack([first, second]) / SLOWEST).astype(np.float32)


def trained(seed: int) -> tuple[Network, Network]:
    """The network before and after its training."""
    before = initial(WIDTHS, (RELU,) * 4 + (IDENTITY,), seed=seed, bias=True)
    return before, train(before, _batches(seed))


def _batches(seed: int) -> Iterator[Batch]:
    inputs, targets = samples(seed)
    rng = np.random.default_rng([seed, 1])
    for _ in range(EPOCHS):
        for rows in rng.permutation(len(inputs)).reshape(-1, BATCH):
            yield inputs[rows], targets[rows], RATE
