"""Train small fully connected networks by Adam on the mean squared error, in NumPy; what two of the examples look at.

Weights, and biases where there are any, start uniform within 1 / sqrt(in), as torch's linear layers do. Everything is float32, so
that an example takes a minute; the last digits differ between processors.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Single = NDArray[np.float32]
Batch = tuple[Single, Single, float]

DECAYS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class Activation:
    """A function of one number, and its slope written in terms of its value."""

    value: Callable[[Single], Single]
    slope: Callable[[Single], Single]


IDENTITY = Activation(lambda x: x, np.ones_like)
RELU = Activation(lambda x: np.maximum(x, 0), lambda y: (y > 0).astype(y.dtype))
TANH = Activation(np.tanh, lambda y: 1 - y * y)
SOFTPLUS = Activation(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda y: -np.expm1(-y))


@dataclass(frozen=True, eq=False)
class Network:
    """Weights (out, in) and biases, an empty one where a layer has none, with the activation behind each layer."""

    weights: list[Single]
    biases: list[Single]
    activations: tuple[Activation, ...]

    @property
    def parameters(self) -> list[Single]:
        """All arrays; what is written into them is written into the network."""
        return [*self.weights, *(bias for bias in self.biases if bias.size)]


def initial(widths: Sequence[int], activations: Sequence[Activation], *, seed: int, bias: bool) -> Network:
    """A network before its training."""
    rng = np.random.default_rng(seed)
    weights, biases = [], []
    for n_in, n_out in pairwise(widths):
        edge = n_in**-0.5
        weights.append(rng.uniform(-edge, edge, (n_out, n_in)).astype(np.float32))
        biases.append(rng.uniform(-edge, edge, n_out if bias else 0).astype(np.float32))
    return Network(weights, biases, tuple(activations))


def signals(network: Network, inputs: Single) -> list[Single]:
    """The inputs (N, n) and what stands behind every layer."""
    found = [inputs]
    for weight, bias, activation in zip(network.weights, network.biases, network.activations, strict=True):
        x = found[-1] @ weight.T
        found.append(activation.value(x + bias if bias.size else x))
    return found


def gradients(network: Network, inputs: Single, targets: Single) -> list[Single]:
    """Slopes of the mean squared error over samples and outputs, in the order of the parameters."""
    found = signals(network, inputs)
    slope = (found[-1] - targets) * np.float32(2 / targets.size)
    weights: list[Single] = []
    biases: list[Single] = []
    for at in reversed(range(len(network.weights))):
        slope = slope * network.activations[at].slope(found[at + 1])
        weights.insert(0, slope.T @ found[at])
        if network.biases[at].size:
            biases.insert(0, slope.sum(axis=0))
        if at:
            slope = slope @ network.weights[at]
    return [*weights, *biases]


def train(network: Network, batches: Iterable[Batch]) -> Network:
    """The network after one step for every batch of inputs, targets and rate; the one that is passed stays as it is."""
    trained = Network([w.copy() for w in network.weights], [b.copy() for b in network.biases], network.activations)
    first, second = ([np.zeros_like(array) for array in trained.parameters] for _ in range(2))
    for step, (inputs, targets, rate) in enumerate(batches, 1):
        shrink = [1 - decay**step for decay in DECAYS]
        pairs = zip(trained.parameters, gradients(trained, inputs, targets), first, second, strict=True)
        for array, gradient, mean, square in pairs:
            mean += (1 - DECAYS[0]) * (gradient - mean)
            square += (1 - DECAYS[1]) * (gradient * gradient - square)
            array -= np.float32(rate / shrink[0]) * mean / (np.sqrt(square * np.float32(1 / shrink[1])) + np.float32(EPS))
    return trained
