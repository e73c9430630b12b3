"""Small networks as wirings: layers made of arrays, joined by hand."""

from functools import partial
from typing import Any

import numpy as np

from modescope.matrix import Blocks, Matrix
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import pair
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.wiring import Layer, Link, Wiring


def _held(array: Any) -> Any:
    return array


def layer(name: str, kernel: Any, *, groups: int = 1, stored: str = "float64", **more: Any) -> Layer:
    """A layer from (out, in / groups, *k), or from a matrix (out, in)."""
    kernel = np.asarray(kernel)
    out, channels, taps = kernel.shape[0], kernel.shape[1] * groups, int(np.prod(kernel.shape[2:], dtype=int))
    operand: Any = kernel.reshape(out, -1)
    if groups > 1:
        operand = Blocks(kernel.reshape(groups, out // groups, -1))
    matrix = Matrix(name, "unfolding", (out, channels * taps), stored, partial(_held, operand), kind="dense")
    return Layer(name, matrix, channels=channels, taps=taps, groups=groups, **more)


def chain(*kernels: Any, **more: Any) -> Wiring:
    """Layers "0", "1", ... each of which reads the one before it."""
    layers = tuple(layer(str(index), kernel, **more) for index, kernel in enumerate(kernels))
    return Wiring(layers, tuple(Link(str(i), str(i + 1)) for i in range(len(kernels) - 1)), how="stated")


def joined(writer: Layer, reader: Layer, **more: Any) -> Pair:
    """The pair of two layers."""
    return pair(Link(writer.name, reader.name, **more), modes(writer), modes(reader))


def haar(generator: np.random.Generator, n: int, k: int | None = None) -> Any:
    """The first k columns of a Haar distributed orthogonal matrix."""
    q, r = np.linalg.qr(generator.standard_normal((n, n if k is None else k)))
    return q * np.sign(np.diag(r))
