"""The bias of a layer as one more node: how much of it lies in the layer's own modes, and which later modes read it.

A bias writes one direction, `b / |b|`, whatever the input. Under the null that direction is Haar distributed, as the directions of
modes are, so that the same laws hold for it.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from modescope.errors import MatrixError
from modescope.laws.haar_overlap import log_beta_tail
from modescope.spectral_graph.chains import exact_tail
from modescope.spectral_graph.overlaps import overlaps, pair
from modescope.spectral_graph.pairs import Modes
from modescope.spectral_graph.wiring import Layer, Link
from modescope.svd import Values

LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class BiasNode:
    """The bias of one layer among its own nodes.

    Attributes:
        layer: Name of the layer.
        norm: Euclidean norm of the bias.
        shares: (nodes,) share of its square in each node of the layer, summing to at most 1.
        log_p: (nodes,) natural logarithms of the probabilities that a random direction has as large a share.
    """

    layer: str
    norm: float
    shares: Values
    log_p: Values


@dataclass(frozen=True, eq=False)
class BiasEdges:
    """Edges from the bias of a layer to the nodes that read the layer.

    Attributes:
        source: Name of the layer whose bias it is.
        target: Name of the reader.
        weights: (reader nodes,) overlaps, as between modes.
        log_p: (reader nodes,) natural logarithms of the exact p-values, the reader held fixed.
    """

    source: str
    target: str
    weights: Values
    log_p: Values


@dataclass(frozen=True)
class BiasRead:
    """Whether anything in a reader attends to the bias of its writer.

    Attributes:
        nodes: Nodes of the reader that were tested.
        significant: Those whose p-value is at most `level / nodes`.
        mode: First mode of the node of the smallest p-value; None where there is nothing to test.
        modes: Modes of this node.
        weight: Overlap of the bias with it.
        p: Of this edge by itself.
        log_p: Its natural logarithm.
        level: Of the decision, within this pair of layers.
        status: "ok", or why there is nothing to test.
    """

    nodes: int
    significant: int
    mode: int | None
    modes: int | None
    weight: float | None
    p: float | None
    log_p: float | None
    level: float = LEVEL
    status: str = "ok"


def bias_node(modes: Modes, /) -> BiasNode | None:
    """Where in a layer its own bias lies.

    The share in a node of k modes is Beta(k/2, (N - k)/2) under the null, N the outputs of the layer.

    Args:
        modes: With `u`; the bias is read from its layer, in whatever gauge that is.

    Returns:
        `BiasNode`, or None where the layer has no bias or one of zeros.

    Raises:
        MatrixError: The bias has another length than the layer has outputs, or entries that are not finite.
        ValueError: `u` was not kept.
    """
    if modes.u is None:
        raise ValueError(f"bias_node: expected u of {modes.layer.name}, got modes without it.")
    found = _direction(modes.layer)
    if found is None:
        return None
    direction, norm = found
    single = (modes.u.T @ direction) ** 2
    sizes = np.array([stop - start for start, stop in modes.nodes], dtype=np.float64)
    shares = np.add.reduceat(single, [start for start, _ in modes.nodes]) if sizes.size else np.empty(0)
    log_p = np.zeros(sizes.size)
    for size in np.unique(sizes[sizes < direction.size]):
        same = sizes == size
        log_p[same] = log_beta_tail(size / 2, (direction.size - size) / 2, np.clip(1 - shares[same], 0.0, 1.0))
    return BiasNode(modes.layer.name, norm, shares, log_p)


def bias_edges(link: Link, layer: Layer, reader: Modes, /) -> BiasEdges | None:
    """How much of a bias each node of a later layer reads: the edges of a mode `b / |b|`, by the same formula and the same law.

    Args:
        link: From the layer to the reader.
        layer: Whose bias it is.
        reader: With `vh`.

    Returns:
        `BiasEdges`, or None where the layer has no bias or one of zeros.

    Raises:
        MatrixError: As for `bias_node`.
        ValueError: `vh` was not kept.
    """
    written = as_mode(layer)
    if written is None:
        return None
    joined = pair(link, written, reader)
    weights = overlaps(joined)[:, 0]
    readers = np.arange(weights.size)
    return BiasEdges(link.source, link.target, weights, exact_tail(joined, readers, np.zeros_like(readers), weights))


def bias_read(link: Link, layer: Layer, reader: Modes, /, *, level: float = LEVEL) -> BiasRead:
    """The edges from a bias to a later layer in short: how many are no accident, and the clearest of them.

    Args:
        link: From the layer to the reader.
        layer: Whose bias it is.
        reader: With `vh`.
        level: Family-wise error rate over the nodes of this reader.

    Returns:
        `BiasRead`; its status says where there is no bias, or one that cannot be read.
    """
    try:
        found = bias_edges(link, layer, reader)
    except MatrixError as error:  # the edges between modes are there all the same
        return _unread(str(error), level)
    if found is None:
        return _unread("no bias", level)
    count = found.log_p.size
    if count == 0:
        return _unread("no node reads", level)
    best = int(found.log_p.argmin())
    start, stop = reader.nodes[best]
    return BiasRead(
        nodes=count,
        significant=int((found.log_p <= math.log(level / count)).sum()),
        mode=start,
        modes=stop - start,
        weight=float(found.weights[best]),
        p=math.exp(min(float(found.log_p[best]), 0.0)),
        log_p=float(found.log_p[best]),
        level=level,
    )


def _unread(status: str, level: float) -> BiasRead:
    return BiasRead(0, 0, None, None, None, None, None, level, status)


def as_mode(layer: Layer, /) -> Modes | None:
    """The bias as the only mode that a layer writes, for everything that takes modes; its value is the norm of the bias."""
    found = _direction(layer)
    if found is None:
        return None
    direction, norm = found
    whole = replace(layer, groups=1)  # a bias is not confined to one group of channels
    return Modes(whole, np.array([norm]), direction[:, None], None, ((0, 1),), np.zeros(1), 1)


def _direction(layer: Layer) -> tuple[Values, float] | None:
    bias = None if layer.bias is None else np.asarray(layer.bias(), dtype=np.float64)
    if bias is None:
        return None
    if bias.shape != (layer.out,):
        raise MatrixError(f"{layer.name}: expected a bias of shape ({layer.out},), read {bias.shape}.")
    bad = np.count_nonzero(~np.isfinite(bias))
    if bad:
        raise MatrixError(f"{layer.name}: {bad} of {bias.size} entries of the bias are not finite.")
    largest = float(np.abs(bias).max(initial=0.0))
    if largest == 0:
        return None
    unit = bias / largest  # so that no square leaves the range of numbers
    norm = float(np.linalg.norm(unit))
    return unit / norm, norm * largest
