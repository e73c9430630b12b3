"""The spectral graph: overlaps of a pair against the matrix products they need, and a network against the plain definition."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise

import numpy as np
from _measure import Ratio, Size, compare
from _processor import spent

from modescope.matrix import Array
from modescope.spectral_graph import graph
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Nodes, Pair

WIDTHS = {
    Size.SMOKE: (4, 8, 8),
    Size.DEFAULT: (64, 64, 128, 128, 256, 256, 512),
    Size.LARGE: (64, 64, 128, 128, 256, 256, 512, 512),
}


def rows(size: Size, /) -> Iterator[Ratio]:
    """Dense pairs, convolutions and a flattened map; then all layers of a VGG-style network, decomposed, joined and tested."""
    small = size is Size.SMOKE
    shapes = ((32, 1), (16, 9), (16, 4)) if small else ((2048, 1), (512, 9), (512, 49))
    for (width, taps), what in zip(shapes, ("dense to dense", "3x3 to 3x3", "3x3 to dense, flattened"), strict=True):
        joined = _pair(width, taps)
        yield compare(
            f"overlaps, {what}, {width} channels",
            "matrix products alone",
            spent(partial(overlaps, joined)),
            spent(partial(_products, _by_tap(joined), joined.writer)),
            limit=1.5,
            rounds=1 if small else 3,
            if_missed="squares, and kernels put in order of their positions, where the products are small",
        )
    net = _vgg(WIDTHS[size])
    yield compare(
        f"graph of a VGG-style network, {len(net) // 2} layers",
        "definition by NumPy's SVD, float64",
        spent(partial(graph, net, workers=1)),
        spent(partial(_by_definition, [weight for name, weight in net.items() if name.endswith("weight")])),
        limit=1.0,
        rounds=1 if small else 2,
        remark="processor time; ours has tested every edge as well",
    )


def _pair(width: int, taps: int) -> Pair:
    random = np.random.default_rng(0)
    writer = np.linalg.qr(random.standard_normal((width, width)))[0]
    reader = random.standard_normal((width, width, taps)) / np.sqrt(width * taps)
    single: Nodes = tuple((i, i + 1) for i in range(width))
    return Pair(writer, reader, width, single, single)


def _by_tap(joined: Pair) -> Array:
    """All kernels as one matrix (readers and positions, channels): what is to be multiplied."""
    n, p, z = joined.reader.shape
    return np.ascontiguousarray(joined.reader.transpose(0, 2, 1)).reshape(n * z, p)


def _products(kernels: Array, writer: Array) -> None:
    """In pieces, so that they need not wait for fresh memory."""
    step = 8192
    out = np.empty((step, writer.shape[1]))
    for start in range(0, kernels.shape[0], step):
        piece = kernels[start : start + step]
        np.matmul(piece, writer, out=out[: piece.shape[0]])


def _vgg(widths: tuple[int, ...]) -> Mapping[str, Array]:
    """3x3 convolutions of these widths on RGB, then a dense layer on what global pooling leaves; Gaussian weights."""
    random = np.random.default_rng(0)
    net: dict[str, Array] = {}
    shapes = [(out, inn, 3, 3) for inn, out in pairwise((3, *widths))]
    for i, shape in enumerate([*shapes, (10, widths[-1])]):
        net[f"{i}.weight"] = (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        net[f"{i}.bias"] = np.zeros(shape[0], np.float32)
    return net


def _by_definition(weights: list[Array]) -> list[Array]:
    """Overlaps of all gaps from dense SVDs: squared norms of the filters that join two modes (Meller & Berkouk 2023)."""
    factors = [np.linalg.svd(w.reshape(w.shape[0], -1).astype(np.float64), full_matrices=False) for w in weights]
    found = []
    for (u, _, _), (_, _, vh) in pairwise(factors):
        kernels = vh.reshape(vh.shape[0], u.shape[0], -1)
        found.append((np.einsum("nct,cm->ntm", kernels, u, optimize=True) ** 2).sum(axis=1))
    return found
