"""Shuffle: whole kernels change places inside both weights, which are then decomposed again; credits everything but the entries.

Taps are not shuffled: that would destroy the smoothness of the kernels and find significance in it. Row and column norms,
positivity and all directions are credited.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from modescope.errors import UsageError
from modescope.matrix import Array, Blocks, Operand, Product
from modescope.seeds import generator
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.nulls import Tested
from modescope.spectral_graph.nulls._simulated import simulated
from modescope.spectral_graph.overlaps import aggregated, products
from modescope.spectral_graph.overlaps import pair as join
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.wiring import Layer, Link
from modescope.svd import Values

Redraw = Callable[[np.random.Generator], Values]

SIMULATED = True


def test(
    pair: Pair,
    weights: Values,
    /,
    *,
    most: float,
    draws: int,
    seed: int,
    redraw: Redraw | None = None,  # noqa: PT028 - a null, not a test
) -> Tested:
    """Test overlaps against those of the same two layers with their weights shuffled, mode by mode.

    Args:
        pair: The two layers.
        weights: (reader nodes, writer nodes) overlaps.
        most: Largest p-value of interest.
        draws: R, each of which decomposes both layers; p is at least `1 / (R + 1)`.
        seed: Of the draws.
        redraw: Gives the overlaps of the pair, of the same nodes, after `shuffled` weights of both layers were decomposed; the
            weights are not part of a pair, so that it is made by `redrawing`.

    Returns:
        Edges with `p = (1 + number of draws as large) / (1 + R)` of at most `most`.

    Raises:
        UsageError: There is no `redraw`, or it gives overlaps of other nodes.
    """
    if redraw is None:
        raise UsageError("shuffle: expected the weights of both layers, got their modes alone. Pass redraw, or take another null.")
    return simulated(pair, weights, _drawings(redraw, weights, draws, seed), most, "shuffled networks")


def redrawing(link: Link, writer: Layer, reader: Layer, pair: Pair) -> Redraw:
    """What `test` asks for, from the layers of a pair; both weights are read once and held.

    Modes are matched by rank: the n-th node of a drawn layer is the range of modes of the n-th node observed.

    Args:
        link: How the two layers are joined.
        writer: As it was decomposed.
        reader: As it was decomposed.
        pair: Whose overlaps are tested.
    """
    held = [_held(writer), _held(reader)]

    def redraw(random: np.random.Generator) -> Values:
        written, read = (_drawn(layer, random) for layer in held)
        drawn = join(link, modes(written, read=False), modes(read, written=False))
        return aggregated(products(drawn), pair.reader_nodes, pair.writer_nodes)

    return redraw


def _drawings(redraw: Redraw, weights: Values, draws: int, seed: int) -> Iterator[Values]:
    random = generator(seed, "weight shuffle")
    for _ in range(draws):
        drawn = redraw(random)
        if drawn.shape != weights.shape:
            raise UsageError(f"shuffle: expected overlaps of {weights.shape} nodes from redraw, got {drawn.shape}.")
        yield drawn


def _held(layer: Layer) -> Layer:
    operand = layer.matrix.read()
    return replace(layer, matrix=replace(layer.matrix, read=lambda: operand))


def _drawn(layer: Layer, random: np.random.Generator) -> Layer:
    """The layer with shuffled weights: block by block, and factor by factor where it is a product."""
    operand = layer.matrix.read()
    found: Operand
    if isinstance(operand, Blocks):
        count, out, wide = operand.blocks.shape
        kernels = operand.blocks.reshape(count, out, wide // layer.taps, layer.taps)
        found = Blocks(np.stack([shuffled(block, random) for block in kernels]).reshape(operand.blocks.shape))
    elif isinstance(operand, Product):
        left, right = (shuffled(factor[:, :, None], random)[:, :, 0] for factor in (operand.left, operand.right))
        found = Product(left, right, operand.scale)
    elif isinstance(operand, np.ndarray):
        found = shuffled(operand.reshape(layer.out, layer.channels, layer.taps), random).reshape(operand.shape)
    else:
        raise UsageError(f"shuffle: expected the weights of {layer.name} as a matrix, blocks or a product. Take another null.")
    return replace(layer, matrix=replace(layer.matrix, read=lambda: found))


def shuffled(weight: Array, random: np.random.Generator) -> Array:
    """The kernels of a weight in random places, each as it was.

    Args:
        weight: (out, channels, taps); one tap per kernel for a dense layer, whose entries are shuffled.
        random: Where the order comes from.

    Returns:
        A copy of the same shape.
    """
    out, channels, taps = weight.shape
    return random.permutation(weight.reshape(out * channels, taps)).reshape(weight.shape)
