"""Block statistics of a pair of layers that a graph can be asked for, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from modescope.spectral_graph.bias_nodes import BiasRead, bias_read
from modescope.spectral_graph.dead_channels import DeadChannels, column_norms, dead_channels, row_norms
from modescope.spectral_graph.internal_dimensions import InternalDimensions, internal_dimensions
from modescope.spectral_graph.near_kernels import NearKernels, between
from modescope.spectral_graph.pairs import Modes, Pair
from modescope.spectral_graph.wiring import Link
from modescope.svd import Values


@dataclass(frozen=True, eq=False)
class Met:
    """A pair of layers while it is in memory.

    Attributes:
        link: How they are joined.
        writer: Modes of the one, with `u`.
        reader: Modes of the other, with `vh`.
        pair: Both in the channels they share.
        weights: Overlaps between nodes.
        single: Overlaps between single modes.
        draws: Of a simulated null.
        seed: Of these draws.
    """

    link: Link
    writer: Modes
    reader: Modes
    pair: Pair
    weights: Values
    single: Values
    draws: int
    seed: int


def _near_kernels(met: Met) -> NearKernels:
    return between(met.pair, met.writer, met.reader, single=met.single)


def _dead_channels(met: Met) -> DeadChannels:
    rows = met.link.rows
    shared = None if rows is None else rows[rows >= 0]
    return dead_channels(row_norms(met.writer), column_norms(met.reader, met.link, met.writer.layer.out), shared=shared)


def _internal_dimensions(met: Met) -> InternalDimensions:
    return internal_dimensions(met.pair, met.weights, draws=met.draws, seed=met.seed)


def _bias(met: Met) -> BiasRead:
    return bias_read(met.link, met.writer.layer, met.reader)


STRUCTURES: Mapping[str, Callable[[Met], Any]] = MappingProxyType(
    {"near_kernels": _near_kernels, "dead_channels": _dead_channels, "internal_dimensions": _internal_dimensions, "bias": _bias}
)
