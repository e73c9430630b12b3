"""A network whose layers are stored as modes has the graph of the same network stored as weights."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

import modescope as ms
from modescope.matrix import Array
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear


def stored() -> tuple[Mapping[str, Array], Mapping[str, Array]]:
    """One network of two convolutions and a linear layer, in modes and as weights."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        ModeConv2d(3, 16, 3, 8, dtype=torch.float64),
        ModeConv2d(16, 24, 3, 12, dtype=torch.float64),
        ModeLinear(24, 20, 10, dtype=torch.float64),
    )
    for layer in layers:
        nn.init.normal_(layer.bias)
    factors = {name: one.numpy() for name, one in layers.state_dict().items()}
    whole = {}
    for name, layer in layers.named_children():
        whole |= {f"{name}.weight": layer.weight.detach().numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    return factors, whole


def strongest(graph: ms.SpectralGraph, counts: tuple[int, ...]) -> dict[tuple[int, int, int], float]:
    """Weights of the edges between modes that the factors have, by their ends."""
    edges = graph.edges
    ends = zip(edges.connection.tolist(), edges.writer.tolist(), edges.reader.tolist(), strict=True)
    return {
        (at, i, j): float(weight)
        for (at, i, j), weight in zip(ends, edges.weight, strict=True)
        if i < counts[at] and j < counts[at + 1]
    }


def test_a_network_in_modes_has_the_channels_biases_and_edges_of_its_weights() -> None:
    factors, whole = (ms.graph(one, keep=0.999) for one in stored())
    counts = tuple(column.s.size for column in factors.columns)
    assert counts == (8, 12, 10)
    for ours, theirs in zip(factors.columns, whole.columns, strict=True):
        assert (ours.shape, ours.channels, ours.taps, ours.groups) == (theirs.shape, theirs.channels, theirs.taps, theirs.groups)
        assert ours.bias is not None
        assert theirs.bias is not None
        np.testing.assert_allclose(ours.bias, theirs.bias[: ours.s.size], rtol=1e-8)
        np.testing.assert_allclose(ours.s, theirs.s[: ours.s.size], rtol=1e-10)
    ours, theirs = strongest(factors, counts), strongest(whole, counts)
    assert len(ours) == 8 * 12 + 12 * 10
    assert ours == pytest.approx(theirs, abs=1e-8)
