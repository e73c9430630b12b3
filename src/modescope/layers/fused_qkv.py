"""Fused query, key and value projections, split into their parts where the architecture's layout is known."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from modescope.layers._layouts import Heads, Layout, Order, Rows, fused_layout, is_fused, is_in_out
from modescope.layers._names import LINEAR, layer_class, named_freely
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read, turned
from modescope.matrix import Array, Matrix, Tensor

_PARTS = ("query", "key", "value")


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 for a declared linear layer of such a name, 2 for the name alone."""
    if len(tensor.shape) != 2 or not is_fused(tensor):
        return 0
    declared = layer_class(tensor) in LINEAR or layer_class(tensor) == "Conv1D"
    if not (declared or named_freely(tensor)) or not is_weight(tensor, tensors):
        return 0
    return 3 if declared else 2


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """Query, key and value; the whole matrix with a note where the layout is not known."""
    whole, read = _whole(tensor, tensors)
    layout = fused_layout(tensor, *whole.shape)
    if layout is None:
        yield whole
        return
    for part in _PARTS:
        yield _part(whole, read, layout, part)


def _heads(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    whole, read = _whole(tensor, tensors)
    layout = fused_layout(tensor, *whole.shape)
    if layout is None or not layout.by_head:
        for matrix in views(tensor, tensors):
            yield replace(matrix, note=matrix.note or "number of heads not declared")
        return
    for part in _PARTS:
        for head in range(layout.heads.query if part == "query" else layout.heads.shared):
            yield _part(whole, read, layout, part, head)


requested = {"heads": _heads}


def _whole(tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[Matrix, Read]:
    """The projection before it is split, (out, in), and its entries."""
    first, second = tensor.shape
    note = "layout not known: query, key and value not split"
    if is_in_out(tensor, tensors):
        read: Read = partial(turned, tensor.read)
        return Matrix(tensor.name, "transposed", (second, first), tensor.stored, read, note=note), read
    return Matrix(tensor.name, "dense", (first, second), tensor.stored, tensor.read, note=note), tensor.read


def _part(whole: Matrix, read: Read, layout: Layout, part: str, head: int | None = None) -> Matrix:
    chosen = _chosen(layout.order, whole.shape[0], layout.heads, part, head)
    view = part if head is None else f"{part} head {head}"
    taken = partial(_rows, read, layout.order, whole.shape[0], layout.heads, part, head)
    return replace(whole, view=view, shape=(chosen.size, whole.shape[1]), read=taken, note="")


def _rows(read: Read, order: Order, n_rows: int, heads: Heads, part: str, head: int | None) -> Array:
    chosen = _chosen(order, n_rows, heads, part, head)
    if np.array_equal(chosen, np.arange(chosen[0], chosen[0] + chosen.size)):
        return read()[chosen[0] : chosen[0] + chosen.size]  # a slice copies nothing
    return read()[chosen]


def _chosen(order: Order, n_rows: int, heads: Heads, part: str, head: int | None) -> Rows:
    parts = order(n_rows, heads)
    if parts is None:  # the layout was checked against the shape before any view was made
        raise ValueError(f"{n_rows} rows do not hold {heads}")
    rows: Rows = getattr(parts, part)
    return (rows if head is None else rows[head]).reshape(-1)
