"""Layers, normalisations and chains of them for tests of gauges, folded depthwise layers and bias nodes."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from modescope.matrix import Array, Blocks, Matrix, Operand, Product
from modescope.spectral_graph.wiring import Gains, Layer, Link, Norm, Wiring


def _same(x: Any) -> Any:
    return x


def constant(x: Any) -> Callable[[], Any]:
    """A thunk that may travel to another process."""
    return partial(_same, x)


def dense(name: str, w: Operand, *, taps: int = 1, groups: int = 1, bias: Array | None = None, **norms: tuple[Norm, ...]) -> Layer:
    """A layer that holds an operand."""
    match w:
        case Product():
            shape = (w.left.shape[0], w.right.shape[1])
        case Blocks():
            shape = (w.blocks.shape[0] * w.blocks.shape[1], w.blocks.shape[0] * w.blocks.shape[2])
        case _:
            shape = w.shape
    matrix = Matrix(name, "test", shape, "float64", constant(w))
    return Layer(name, matrix, shape[1] // taps, taps, groups, bias=None if bias is None else constant(bias), **norms)


def gains(name: str, scale: Array, shift: Array | None = None, *, at: Array | None = None, centred: bool = False) -> Norm:
    """A normalisation of known gains."""
    found = Gains(scale, np.zeros(scale.size) if shift is None else shift)
    return Norm(name, scale.size, constant(found), centred=centred, at=at)


def layer_norm(name: str, scale: Array, *, at: Array | None = None) -> Norm:
    return gains(name, scale, at=at, centred=True)


def batch_norm(name: str, gamma: Array, beta: Array, mean: Array, var: Array, eps: float = 1e-5) -> Norm:
    """A batch norm in evaluation, by the formula of its gains."""
    scale = gamma / np.sqrt(var + eps)
    return Norm(name, scale.size, constant(Gains(scale, beta - mean * scale, tuple(np.flatnonzero(var < eps).tolist()))))


def chain(
    rng: np.random.Generator,
    *widths: int,
    norms: bool = False,
    dead: tuple[int, int] | None = None,
    weights: Sequence[Array] | None = None,
    through: tuple[str, ...] | None = None,
) -> Wiring:
    """Dense layers "0.weight", "1.weight", ... with biases, one after the other.

    Args:
        rng: Of the weights.
        widths: One more than there are layers.
        norms: A batch norm behind every layer but the last.
        dead: A layer and the row of it that is zero.
        weights: Instead of drawn ones.
        through: What lies in between; by default the batch norm and a ReLU.
    """
    layers = []
    for i, (inn, out) in enumerate(pairwise(widths)):
        w = rng.standard_normal((out, inn)) * np.exp(rng.standard_normal((out, 1))) if weights is None else weights[i]
        if dead is not None and dead[0] == i:
            w[dead[1]] = 0.0
        gamma, beta, mean, log_var = rng.standard_normal((4, out))
        after = (batch_norm(f"{i}.bn", gamma, beta, mean, np.exp(log_var)),) if norms and i < len(widths) - 2 else ()
        layers.append(dense(f"{i}.weight", w, bias=rng.standard_normal(out), after=after))
    if through is None:
        through = ("batch_norm", "relu") if norms else ("relu",)
    links = tuple(Link(a.name, b.name, through=through) for a, b in pairwise(layers))
    return Wiring(tuple(layers), links, how="traced")
