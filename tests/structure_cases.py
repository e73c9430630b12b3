"""Layers and pairs made from weights, for tests of blocks, chains, paths and dead channels; and a small network that is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from modescope.matrix import Blocks, Matrix
from modescope.spectral_graph.dead_channels import column_norms, row_norms
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import overlaps, pair
from modescope.spectral_graph.pairs import Modes, Pair
from modescope.spectral_graph.result import Column, Connection, Edges, SpectralGraph
from modescope.spectral_graph.wiring import Gains, Layer, Link, Norm, Wiring

Values = NDArray[np.float64]


def frame(n: int, k: int, rng: np.random.Generator) -> Values:
    """(n, k) orthonormal columns, Haar distributed."""
    q, r = np.linalg.qr(rng.standard_normal((n, k)))
    signed: Values = q * np.sign(np.diag(r))
    return signed


def layer(name: str, weight: Values, *, bias: Values | None = None, after: tuple[Norm, ...] = ()) -> Layer:
    """A layer from a weight (out, in) or (out, in, *k)."""
    matrix = weight.reshape(weight.shape[0], -1)
    view = "dense" if weight.ndim == 2 else "unfolding"
    return Layer(
        name=name,
        matrix=Matrix(name, view, matrix.shape, "float64", lambda: matrix, kind="dense"),
        channels=weight.shape[1],
        taps=int(np.prod(weight.shape[2:], dtype=int)),
        bias=None if bias is None else lambda: bias,
        after=after,
    )


def blocks(name: str, weight: Values) -> Layer:
    """A layer in several groups, from (groups, out, in)."""
    count, out, inn = weight.shape
    matrix = Matrix(name, "grouped", (count * out, count * inn), "float64", lambda: Blocks(weight), kind="grouped_convolution")
    return Layer(name, matrix, channels=count * inn, groups=count)


def batch_norm(name: str, scale: Values, shift: Values) -> Norm:
    return Norm(name, scale.size, lambda: Gains(scale, shift))


def joined(writer: Values, reader: Values, rows: NDArray[np.int64] | None = None) -> tuple[Pair, Modes, Modes]:
    """The pair of two weights, and their modes."""
    left, right = modes(layer("writer", writer)), modes(layer("reader", reader))
    return pair(Link("writer", "reader", rows=rows), left, right), left, right


def line_of(weights: Sequence[Values]) -> tuple[list[str], list[tuple[Pair, Values]]]:
    """Names and gaps of weights that follow each other."""
    names = [f"fc{index}" for index in range(len(weights))]
    found = [modes(layer(name, weight)) for name, weight in zip(names, weights, strict=True)]
    pairs = [pair(Link(a, b), one, other) for a, b, one, other in zip(names[:-1], names[1:], found[:-1], found[1:], strict=True)]
    return names, [(one, overlaps(one)) for one in pairs]


def graph(sizes: Sequence[int], edges: Sequence[tuple[int, int, int, int, float]], *, insignificant: int = 0) -> SpectralGraph:
    """A graph of single modes with edges (writer layer, writer, reader layer, reader, weight); the last are not significant."""
    columns = tuple(
        Column(
            f"l{i}", "dense", (k, k), "float64", i, k, 1, 1, np.arange(k, 0.0, -1), tuple((m, m + 1) for m in range(k)), np.zeros(k)
        )
        for i, k in enumerate(sizes)
    )
    joins = sorted({(edge[0], edge[2]) for edge in edges})
    ordered = list(edges)
    connections = tuple(
        Connection(f"l{a}", f"l{b}", "next", 1, sizes[a], 1, (), sizes[a] * sizes[b], 0, np.ones(sizes[b]), 0.0, 0.0)
        for a, b in joins
    )
    count = len(ordered)
    return SpectralGraph(
        columns=columns,
        connections=connections,
        edges=Edges(
            connection=np.array([joins.index((edge[0], edge[2])) for edge in ordered], dtype=np.int64),
            writer=np.array([edge[1] for edge in ordered], dtype=np.int64),
            reader=np.array([edge[3] for edge in ordered], dtype=np.int64),
            weight=np.array([edge[4] for edge in ordered], dtype=np.float64),
            log_p=np.full(count, -30.0),
            significant=np.arange(count) < count - insignificant,
            exact=np.ones(count, dtype=np.bool_),
            unstable=np.zeros(count, dtype=np.bool_),
            silent=np.zeros(count, dtype=np.bool_),
            log_p_family=np.full(count, np.nan),
        ),
        gaps=(),
        chains=(),
        source={},
        options={},
    )


@dataclass(frozen=True, eq=False)
class Network:
    """A trained multilayer perceptron: images to logits, with the images it has not seen."""

    weights: tuple[Values, ...]
    biases: tuple[Values, ...]
    images: Values
    labels: NDArray[np.int64]

    def state(self) -> dict[str, Values]:
        arrays = zip(self.weights, self.biases, strict=True)
        return {f"{i}.{leaf}": array for i, two in enumerate(arrays) for leaf, array in zip(("weight", "bias"), two, strict=True)}


def logits(state: dict[str, Values], images: Values) -> Values:
    """Outputs of a perceptron with ReLU between its layers `0.weight`, `0.bias`, `1.weight`, ..."""
    count = len(state) // 2
    for index in range(count):
        images = images @ state[f"{index}.weight"].T + state[f"{index}.bias"]
        if index < count - 1:
            images = np.maximum(images, 0.0)
    return images


@cache
def digits_network(
    decay: float = 1e-2, epochs: int = 60, seed: int = 0, widths: tuple[int, ...] = (64, 128, 128, 128, 10)
) -> Network:
    """Train on scikit-learn's digits: SGD with momentum .9, batches of 64, decay on all parameters, rate .05, then a tenth."""
    data, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(data))
    x, y = (data / 16)[order], target[order]
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((b, a)) * np.sqrt(2 / a) for a, b in pairwise(widths)]
    parameters = [*weights, *(np.zeros(width) for width in widths[1:])]
    count, seen = len(weights), 1437
    speed = [np.zeros_like(array) for array in parameters]
    for epoch in range(epochs):
        rate = 0.05 if epoch < 0.8 * epochs else 0.005
        shuffled = rng.permutation(seen)
        for start in range(0, seen - 63, 64):
            batch = shuffled[start : start + 64]
            inputs = [x[batch]]
            for index in range(count):
                out = inputs[-1] @ parameters[index].T + parameters[count + index]
                inputs.append(np.maximum(out, 0.0) if index < count - 1 else out)
            odds = np.exp(inputs[-1] - inputs[-1].max(axis=1, keepdims=True))
            slope = odds / odds.sum(axis=1, keepdims=True)
            slope[np.arange(64), y[batch]] -= 1
            slope /= 64
            for index in reversed(range(count)):
                gradients = {index: slope.T @ inputs[index], count + index: slope.sum(axis=0)}
                if index:
                    slope = (slope @ parameters[index]) * (inputs[index] > 0)
                for at, gradient in gradients.items():
                    speed[at] = 0.9 * speed[at] + gradient + decay * parameters[at]
                    parameters[at] = parameters[at] - rate * speed[at]
    return Network(tuple(parameters[:count]), tuple(parameters[count:]), x[seen:], y[seen:])


def perceptron(state: dict[str, Values], *, how: str = "traced") -> Wiring:
    """The wiring of `logits`."""
    count = len(state) // 2
    layers = tuple(layer(f"{i}.weight", state[f"{i}.weight"], bias=state[f"{i}.bias"]) for i in range(count))
    links = tuple(Link(one.name, other.name, through=("relu",)) for one, other in pairwise(layers))
    return Wiring(layers, links, how=how)


def relinked(wiring: Wiring, **changes: object) -> Wiring:
    """The wiring with a change in its first link."""
    return replace(wiring, links=(replace(wiring.links[0], **changes), *wiring.links[1:]))


def sides(wiring: Wiring) -> dict[str, tuple[Values, dict[str, Values]]]:
    """Norms of the rows of every writer and of the columns of its readers."""
    found = {one.name: modes(one) for one in wiring.layers}
    return {
        link.source: (
            row_norms(found[link.source]),
            {link.target: column_norms(found[link.target], link, wiring[link.source].out)},
        )
        for link in wiring.links
    }
