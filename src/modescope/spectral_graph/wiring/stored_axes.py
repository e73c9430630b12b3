"""Stored axes: where the channels of a layer lie in the tensors of its checkpoint, for whoever takes them out or moves them."""

from collections.abc import Mapping

import numpy as np

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.spectral_graph.wiring import Layer, Rows

PLAIN = ("dense", "unfolding", "transposed", "embedding")
"""Views that are the whole of a tensor, with its outputs along one axis and its inputs along another."""


def shape_of(layer: Layer, state: Mapping[str, Array], purpose: str, /) -> tuple[int, ...]:
    """Shape of the tensor of a layer as it is stored.

    Raises:
        UsageError: The state has no such tensor; the message ends in the purpose ("pruned", "reordered").
    """
    name = layer.matrix.tensor
    if name not in state:
        raise UsageError(f"{layer.name}: no tensor {name} in the checkpoint that is to be {purpose}.")
    return tuple(state[name].shape)


def axes(layer: Layer, dimensions: int, /) -> tuple[int, int]:
    """Axis of the outputs and axis of the inputs of a plain view in a tensor of so many dimensions.

    The transposed view of an embedding reads along the width: the table is stored as it acts.
    """
    kind, view = layer.matrix.kind, layer.matrix.view
    if kind == "embedding":
        ahead, behind = dimensions - 2, dimensions - 1
        return (behind, ahead) if view == "embedding" else (ahead, behind)
    if "stored channels last" in layer.matrix.note:
        return dimensions - 1, dimensions - 2
    return (1, 0) if kind == "transposed_convolution" or view == "transposed" else (0, 1)


def places(layer: Layer, channels: Rows, shape: tuple[int, ...], /) -> Rows:
    """Places of input channels along the input axis of the tensor: a dense layer behind a flatten may count positions as taps."""
    if len(shape) > 2 or layer.taps == 1:
        return channels
    found: Rows = (channels[:, None] * layer.taps + np.arange(layer.taps)).ravel()
    return found


def beside(tensor: str, leaf: str, /) -> str:
    """Name of another parameter of the module that owns a tensor."""
    module = tensor.rpartition(".")[0]
    return f"{module}.{leaf}" if module else leaf
