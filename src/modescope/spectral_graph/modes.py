"""Modes of a layer as nodes: single ones, and groups of equal values whose subspace alone means something."""

from itertools import pairwise

import ml_dtypes
import numpy as np

from modescope.spectral_graph.pairs import Indices, Modes, Nodes
from modescope.spectral_graph.wiring import Layer
from modescope.spectrum import Spectrum, decompose
from modescope.svd import Engine, Values
from modescope.svd.policy import exact

UNSTABLE = 0.1  # change of the square root of an overlap from which an edge is called unstable


def modes(layer: Layer, /, *, written: bool = True, read: bool = True, engine: Engine = exact) -> Modes:
    """Decompose a layer, all modes of it.

    Args:
        layer: Its matrix is read here and let go on return.
        written: Keep the output directions.
        read: Keep the input directions.
        engine: As for `decompose`.

    Raises:
        MatrixError: As `decompose` raises it.
    """
    spectrum = decompose(layer.matrix, vectors=True, engine=engine)
    u, vh = spectrum.u, spectrum.vh
    assert u is not None
    assert vh is not None
    eps = rounding(layer.matrix.stored)
    s, rank = spectrum.s, told_from_zero(spectrum, eps=eps)
    groups = nodes(spectrum, rank)
    block = None
    if layer.groups > 1:
        block = _blocks(u, layer.groups)
        order, groups = _by_block(groups, block)
        s, u, vh, block = s[order], u[:, order], vh[order], block[order]
    return Modes(
        layer=layer,
        s=s,
        u=np.ascontiguousarray(u) if written else None,
        vh=np.ascontiguousarray(vh) if read else None,
        nodes=groups,
        blur=blur(s, groups, eps=eps, closed=s.size >= max(layer.matrix.shape)),
        rank=rank,
        block=block,
    )


def told_from_zero(spectrum: Spectrum, *, eps: float = 0.0) -> int:
    """How many values exceed the rounding.

    Args:
        spectrum: Of a matrix that may have been multiplied by gains since it was read.
        eps: Relative rounding of the weights as they were stored.
    """
    top = spectrum.s[0] if spectrum.s.size else 0.0
    return int(np.count_nonzero(spectrum.s > max(spectrum.tolerance, eps * top)))


def nodes(spectrum: Spectrum, rank: int) -> Nodes:
    """Ranges of modes that are one node each: groups of equal values, and all from `rank` on, zero to rounding, as one."""
    found = [(start, min(stop, rank)) for start, stop in spectrum.groups if start < rank]
    return (*found, *([(rank, int(spectrum.s.size))] if rank < spectrum.s.size else []))


def rounding(stored: str) -> float:
    """Relative spacing of the numbers of a stored dtype; that of float32 where they are integers (int8 with scales)."""
    try:
        return float(ml_dtypes.finfo(getattr(ml_dtypes, stored, None) or np.dtype(stored)).eps)
    except (TypeError, ValueError):
        return float(np.finfo(np.float32).eps)


def blur(s: Values, groups: Nodes, *, eps: float, closed: bool) -> Values:
    """Bound on the angle by which rounding may have turned each node: `eps * s[0]` over the gap to its neighbours.

    Args:
        s: (k,) singular values, descending.
        groups: Ranges of modes that are one node each.
        eps: Relative rounding of the stored weights.
        closed: There are no further directions of value zero: the matrix is square and of full size.

    Returns:
        (nodes,) angles in radians, not above pi / 2; infinite is not given, as no angle is larger.

    References:
        Wedin (1972), doi:10.1007/BF01932678; Davis & Kahan (1970), doi:10.1137/0707001.
    """
    if not s.size or s[0] <= 0:
        return np.full(len(groups), np.pi / 2)
    tops = np.array([s[start] for start, _ in groups])
    lows = np.array([s[stop - 1] for _, stop in groups])
    gaps = lows[:-1] - tops[1:]
    below = np.append(gaps, np.inf if closed else lows[-1])
    above = np.insert(gaps, 0, np.inf)
    gap = np.minimum(above, below)
    with np.errstate(divide="ignore"):
        angles: Values = np.minimum(eps * s[0] / gap, np.pi / 2)
    return angles


def _blocks(u: Values, groups: int) -> Indices:
    """Block in which each column of `u` lives."""
    found: Indices = np.abs(u).reshape(groups, -1, u.shape[1]).max(axis=1).argmax(axis=0).astype(np.int64)
    return found


def _by_block(groups: Nodes, block: Indices) -> tuple[Indices, Nodes]:
    """Order of the modes in which every node lies in one block: equal values of different blocks have bases of their own."""
    order: list[int] = []
    found: list[tuple[int, int]] = []
    for start, stop in groups:
        inside = start + np.argsort(block[start:stop], kind="stable")
        cuts = [0, *(np.flatnonzero(np.diff(block[inside])) + 1).tolist(), stop - start]
        found += [(start + a, start + b) for a, b in pairwise(cuts)]
        order += inside.tolist()
    return np.array(order, dtype=np.int64), tuple(found)
