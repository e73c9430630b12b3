"""How a convolution becomes a matrix on its two sides: the conventions of the graph, as ways to rewrite a wiring.

- "svr": the layer is unfolded as out x (channels, taps) on both sides; its input directions are kernels. The wiring as it is.
- "cosvr": as (out, taps) x channels on both sides; its output directions are kernels. This is "svr" of the network run backwards:
  every weight transposed, every link turned round.
- "channel": out x (channels, taps) where a layer writes and (out, taps) x channels where it reads, so that both ends live in the
  space of channels. A layer of several taps becomes two, with a spectrum each: one that reads and one that writes.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from modescope.matrix import Array, Blocks, Matrix, Operand, Product
from modescope.spectral_graph.wiring import Gap, Layer, Link, Rows, Wiring

READS, WRITES = " (reads)", " (writes)"


def svr(wiring: Wiring, /) -> Wiring:
    """The wiring as it is."""
    return wiring


def channel(wiring: Wiring, /) -> Wiring:
    """Every layer of several taps as one that reads, unfolded as (out, taps) x channels, and one that writes."""
    split = {layer.name for layer in wiring.layers if layer.taps > 1}
    sources = {link.source for link in wiring.links}
    targets = {link.target for link in wiring.links}
    layers: list[Layer] = []
    for layer in wiring.layers:
        if layer.name not in split:
            layers.append(layer)
            continue
        if layer.name in targets:
            layers.append(_reading(layer))
        if layer.name in sources or layer.name not in targets:
            layers.append(replace(layer, name=f"{layer.name}{WRITES}"))
    links = tuple(
        replace(
            link,
            source=f"{link.source}{WRITES}" if link.source in split else link.source,
            target=f"{link.target}{READS}" if link.target in split else link.target,
        )
        for link in wiring.links
    )
    return replace(wiring, layers=tuple(layers), links=links)


def reversed_(wiring: Wiring, /) -> Wiring:
    """The network run backwards: weights transposed tap by tap, links turned round. A gap where an output meets several inputs."""
    by_name = {layer.name: layer for layer in wiring.layers}
    links: list[Link] = []
    gaps = list(wiring.gaps)
    for link in wiring.links:
        rows = _inverse(link.rows, by_name[link.source].out)
        if isinstance(rows, str):
            gaps.append(Gap(link.source, link.target, rows))
        else:
            links.append(replace(link, source=link.target, target=link.source, rows=rows))
    return replace(
        wiring, layers=tuple(_transposed(layer) for layer in reversed(wiring.layers)), links=tuple(links), gaps=tuple(gaps)
    )


CONVENTIONS: dict[str, Callable[[Wiring], Wiring]] = {"svr": svr, "cosvr": reversed_, "channel": channel}


def original(name: str) -> str:
    """Name of a layer before it was split into one that reads and one that writes."""
    return name.removesuffix(READS).removesuffix(WRITES)


def _reading(layer: Layer) -> Layer:
    out, columns = layer.matrix.shape
    shape = (out * layer.taps, columns // layer.taps)
    read = partial(_by_position, layer.matrix.read, layer.taps)
    matrix = replace(layer.matrix, view=f"{layer.matrix.view}, positions as outputs", shape=shape, read=read)
    return replace(layer, name=f"{layer.name}{READS}", matrix=matrix, taps=1, bias=None)


def _transposed(layer: Layer) -> Layer:
    shape = (layer.channels, layer.out * layer.taps)
    read = partial(_turned, layer.matrix.read, layer.taps)
    matrix: Matrix = replace(layer.matrix, view=f"{layer.matrix.view}, transposed", shape=shape, read=read)
    return replace(layer, matrix=matrix, channels=layer.out, bias=None)


def _inverse(rows: Rows | None, out: int) -> Rows | str | None:
    if rows is None:
        return None
    inputs = np.flatnonzero(rows >= 0)
    if np.unique(rows[inputs]).size < inputs.size:
        return (
            "an output channel meets several input channels (a flatten): in the convention cosvr both sides have positions; use svr"
        )
    found = np.full(out, -1, dtype=np.int64)
    found[rows[inputs]] = inputs
    return found


def _by_position(read: Callable[[], Operand], taps: int, /) -> Array | Blocks:
    """(out, channels * taps) as (out * taps, channels)."""
    operand = read()
    if isinstance(operand, Blocks):
        g, o, _ = operand.blocks.shape
        return Blocks(operand.blocks.reshape(g, o, -1, taps).transpose(0, 1, 3, 2).reshape(g, o * taps, -1))
    assert isinstance(operand, np.ndarray)
    return operand.reshape(operand.shape[0], -1, taps).transpose(0, 2, 1).reshape(operand.shape[0] * taps, -1)


def _turned(read: Callable[[], Operand], taps: int, /) -> Array | Blocks | Product:
    """(out, channels * taps) as (channels, out * taps)."""
    operand = read()
    if isinstance(operand, Product):
        return Product(operand.right.T, operand.left.T, operand.scale)
    if isinstance(operand, Blocks):
        g, o, _ = operand.blocks.shape
        return Blocks(operand.blocks.reshape(g, o, -1, taps).transpose(0, 2, 1, 3).reshape(g, -1, o * taps))
    assert isinstance(operand, np.ndarray)
    out = operand.shape[0]
    return operand.reshape(out, -1, taps).transpose(1, 0, 2).reshape(-1, out * taps)
