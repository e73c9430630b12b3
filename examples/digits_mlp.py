"""Train small fully connected networks on scikit-learn's handwritten digits, in NumPy; what the other examples look at.

Recipe: pixels / 16, one fixed permutation, 1437 images to train and 360 to test. ReLU, softmax cross-entropy, weights from
N(0, 2 / in), biases 0. Gradient descent with momentum 0.9 in batches of 64, 150 epochs, the rate of 0.05 a tenth after four
fifths of them; weight decay is added to the gradient of every parameter. With batch norm it stands before each ReLU. Same seed,
same weights.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Array = NDArray[np.float64]
State = dict[str, Array]
RATE, MOMENTUM, BATCH, EPOCHS, EPS = 0.05, 0.9, 64, 150, 1e-5


def data() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Images (n, 64) and labels, to train and to test."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order] / 16.0, labels[order]
    return images[:1437], labels[:1437], images[1437:], labels[1437:]


def initial(widths: tuple[int, ...], rng: np.random.Generator, *, batch_norm: bool) -> State:
    """A network before its training, as a state dict in the order of the layers, named as torch's Sequential names them."""
    state: State = {}
    place = 0
    for last, (n_in, n_out) in enumerate(pairwise(widths), start=3 - len(widths)):
        state[f"{place}.weight"] = rng.normal(size=(n_out, n_in)) * np.sqrt(2 / n_in)
        state[f"{place}.bias"] = np.zeros(n_out)
        if batch_norm and last < 1:
            state |= {f"{place + 1}.weight": np.ones(n_out), f"{place + 1}.bias": np.zeros(n_out)}
            state |= {f"{place + 1}.running_mean": np.zeros(n_out), f"{place + 1}.running_var": np.ones(n_out)}
        place += 3 if batch_norm else 2
    return state


def layers(state: Mapping[str, Array]) -> list[str]:
    """Places of the linear layers ("0", "2", ...), from the input side."""
    return [name.removesuffix(".weight") for name, value in state.items() if value.ndim == 2]


def norm_after(place: str, state: Mapping[str, Array]) -> str | None:
    """Place of the batch norm that follows a linear layer, if there is one."""
    following = str(int(place) + 1)
    return following if f"{following}.running_var" in state else None


def outputs(state: Mapping[str, Array], images: Array) -> Array:
    """Logits in evaluation mode."""
    x = images
    for place in (places := layers(state)):
        x = x @ state[f"{place}.weight"].T + state[f"{place}.bias"]
        if norm := norm_after(place, state):
            x = (x - state[f"{norm}.running_mean"]) / np.sqrt(state[f"{norm}.running_var"] + EPS)
            x = x * state[f"{norm}.weight"] + state[f"{norm}.bias"]
        if place != places[-1]:
            x = np.maximum(x, 0.0)
    return x


def accuracy(state: Mapping[str, Array]) -> float:
    """Share of the test images classified right."""
    _, _, images, labels = data()
    return float((outputs(state, images).argmax(axis=1) == labels).mean())


def train(
    widths: tuple[int, ...], *, seed: int, decay: float, batch_norm: bool = False, epochs: int = EPOCHS
) -> tuple[State, State]:
    """A network before and after its training."""
    images, labels, _, _ = data()
    rng = np.random.default_rng(seed)
    before = initial(widths, rng, batch_norm=batch_norm)
    state = {name: value.copy() for name, value in before.items()}
    speed = {name: np.zeros_like(value) for name, value in state.items() if "running" not in name}
    for epoch in range(epochs):
        rate = RATE * (0.1 if epoch >= 0.8 * epochs else 1.0)
        for batch in rng.permutation(len(images))[: len(images) // BATCH * BATCH].reshape(-1, BATCH):
            for name, gradient in _gradients(state, images[batch], labels[batch]).items():
                speed[name] *= MOMENTUM
                speed[name] += gradient + decay * state[name]
                state[name] -= rate * speed[name]
    return before, state


def _gradients(state: State, images: Array, labels: NDArray[np.int64]) -> State:
    """Gradients of the mean loss of a batch; the running statistics of batch norms move on the way."""
    places = layers(state)
    x, inputs, means = images, [], []
    for place in places:
        inputs.append(x)
        x = x @ state[f"{place}.weight"].T + state[f"{place}.bias"]
        if norm := norm_after(place, state):
            mean, var = x.mean(axis=0), x.var(axis=0)
            state[f"{norm}.running_mean"] = 0.9 * state[f"{norm}.running_mean"] + 0.1 * mean
            state[f"{norm}.running_var"] = 0.9 * state[f"{norm}.running_var"] + 0.1 * var
            spread = np.sqrt(var + EPS)
            hat = (x - mean) / spread
            means.append((hat, spread))
            x = hat * state[f"{norm}.weight"] + state[f"{norm}.bias"]
        if place != places[-1]:
            x = np.maximum(x, 0.0)
    share = np.exp(x - x.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(len(labels)), labels] -= 1.0
    slope, found = share / len(labels), {}
    for place, before in zip(reversed(places), reversed(inputs), strict=True):
        if norm := norm_after(place, state):
            hat, spread = means.pop()
            found[f"{norm}.weight"], found[f"{norm}.bias"] = (slope * hat).sum(axis=0), slope.sum(axis=0)
            slope = slope * state[f"{norm}.weight"]
            slope = (slope - slope.mean(axis=0) - hat * (slope * hat).mean(axis=0)) / spread
        found[f"{place}.weight"], found[f"{place}.bias"] = slope.T @ before, slope.sum(axis=0)
        slope = (slope @ state[f"{place}.weight"]) * (before > 0)
    return found
