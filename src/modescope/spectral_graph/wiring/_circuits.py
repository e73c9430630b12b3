"""QK and OV circuits of attention heads as products that are never formed: Elhage et al. (2021), through thin QR factors."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from modescope.errors import MatrixError
from modescope.matrix import Array, Matrix, Product
from modescope.spectral_graph.wiring import Gains, Layer, Norm


def query_side(query: Layer, key: Layer, head: int, norm: Norm | None) -> Layer:
    """`W_K^T W_Q` of a head as a reader of what its queries read: `vh` holds the query side.

    The score is `x_q^T (W_Q^T W_K) x_k`, so both sides read. Norms act on the columns of a reader, so each side is a layer of its
    own whose columns are that side. The other side meets the same norm: it stands in `after` by its transpose, gains first, then
    the subtraction of the mean.
    """
    return _side(query, key, f"head {head} QK query side", norm)


def key_side(key: Layer, query: Layer, head: int, norm: Norm | None) -> Layer:
    """`W_Q^T W_K` of a head as a reader of what its keys read: `vh` holds the key side."""
    return _side(key, query, f"head {head} QK key side", norm)


def output_value(output: Layer, value: Layer, head: int, norm: Norm | None) -> Layer:
    """`W_O W_V` of a head: `u` is written, `vh` is read."""
    return _circuit(value, f"head {head} OV", output.matrix, value.matrix, norm, turn=False)


def _side(reader: Layer, other: Layer, view: str, norm: Norm | None) -> Layer:
    layer = _circuit(reader, view, other.matrix, reader.matrix, norm, turn=True)
    return layer if norm is None else replace(layer, after=_transposed(norm))


def _circuit(named: Layer, view: str, left: Matrix, right: Matrix, norm: Norm | None, *, turn: bool) -> Layer:
    out = left.shape[1] if turn else left.shape[0]
    matrix = Matrix(
        named.matrix.tensor,
        view,
        (out, right.shape[1]),
        named.matrix.stored,
        partial(_product, left, right, turn),
        kind=named.matrix.kind,
        parts=(right.tensor, left.tensor),
    )
    before = () if norm is None else (norm,)
    return Layer(f"{named.matrix.tensor} {view}", matrix, right.shape[1], before=before)


def formed(matrix: Matrix) -> Array:
    """The entries of a matrix that is an array.

    Raises:
        MatrixError: It stands for one that is not formed.
    """
    array = matrix.read()
    if not isinstance(array, np.ndarray):
        raise MatrixError(f"{matrix}: expected a matrix that is formed, got {type(array).__name__.lower()}.")
    return array


def _product(left: Matrix, right: Matrix, turn: bool) -> Product:
    factor = formed(left)
    return Product(factor.T if turn else factor, formed(right))


def _transposed(norm: Norm) -> tuple[Norm, ...]:
    """What a norm does to a reader's columns, as norms that do it to rows: `(diag(g) C)^T = C diag(g)`."""
    gains = Norm(norm.name, norm.size, partial(_scale_only, norm.read), at=norm.at)
    if not norm.centred:
        return (gains,)
    return gains, Norm(norm.name, norm.size, partial(_ones, norm.size), centred=True)


def _scale_only(read: Callable[[], Gains]) -> Gains:
    gains = read()
    return Gains(gains.scale, np.zeros_like(gains.scale), gains.small)


def _ones(size: int) -> Gains:
    return Gains(np.ones(size), np.zeros(size))
