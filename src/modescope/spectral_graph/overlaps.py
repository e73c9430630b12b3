"""Overlaps: how much of what each mode of one layer writes is read by each mode of the next (Meller & Berkouk 2023)."""

import numpy as np

from modescope.spectral_graph.pairs import Indices, Modes, Nodes, Pair
from modescope.spectral_graph.wiring import Link
from modescope.svd import Values

CHUNK = 4 << 20  # numbers in the work array of one product


def pair(link: Link, writer: Modes, reader: Modes, /) -> Pair:
    """Bring the modes of two linked layers into the channels they share.

    Args:
        link: Which output channel of the writer each input channel of the reader meets.
        writer: With `u`.
        reader: With `vh`.

    Raises:
        ValueError: Vectors that are needed were not kept.
    """
    if writer.u is None or reader.vh is None:
        raise ValueError(f"pair: expected u of {link.source} and vh of {link.target}, got modes without them.")
    channels, taps, out = reader.layer.channels, reader.layer.taps, writer.layer.out
    v = reader.vh.reshape(-1, channels, taps)
    groups = writer.layer.groups
    per_block = out // groups
    if link.rows is None:
        shared, u, b = np.arange(out), writer.u, v
    else:
        shared, meeting = met(link.rows)
        u = writer.u if shared.size == out else writer.u[shared]
        b = _gathered(v, meeting)
    return Pair(
        writer=u,
        reader=b,
        dimension=per_block,
        writer_nodes=writer.nodes,
        reader_nodes=reader.nodes,
        writer_block=writer.block,
        channel_block=None if groups == 1 else shared // per_block,
    )


def met(rows: Indices) -> tuple[Indices, Indices]:
    """Output channels of the writer that are read at all, ascending, and the input channels that meet each.

    The k-th input channel that meets an output channel is taken for its k-th position, in a flatten of either order.

    Args:
        rows: (channels,) output channel of the writer that each input channel meets, -1 for none.

    Returns:
        (p,) output channels, and (p, z) input channels, padded by -1 where some output channels are met less often.
    """
    inputs = np.flatnonzero(rows >= 0)
    shared, place, counts = np.unique(rows[inputs], return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    first = np.concatenate(([0], np.cumsum(counts)[:-1])) if counts.size else counts
    meeting = np.full((shared.size, int(counts.max(initial=0))), -1, dtype=np.int64)
    at = np.arange(inputs.size) - np.repeat(first, counts)
    meeting[place[order], at] = inputs[order]
    return shared.astype(np.int64), meeting


def overlaps(pair: Pair, /) -> Values:
    """Overlaps between nodes: a[n, m] = sum over taps of (sum over channels of B_n[c, tap] u_m[c])^2.

    Between groups of modes it is the sum over both groups, `||P_I P_J||_F^2` for one tap.

    Returns:
        (reader nodes, writer nodes); between single modes in [0, 1] up to rounding.

    References:
        Meller & Berkouk (2023), arXiv:2302.08183.
    """
    return aggregated(products(pair), pair.reader_nodes, pair.writer_nodes)


def products(pair: Pair, /) -> Values:
    """(n, m) overlaps between single modes, some readers at a time, so that what stands between is a few megabytes at most."""
    n, p, z = pair.reader.shape
    m = pair.writer.shape[1]
    if z == 1:
        found: Values = pair.reader[:, :, 0] @ pair.writer
        return np.multiply(found, found, out=found)
    found = np.empty((n, m))
    step = max(1, CHUNK // max(1, z * max(p, m)))
    for start in range(0, n, step):
        block = np.ascontiguousarray(pair.reader[start : start + step].transpose(0, 2, 1)).reshape(-1, p)
        c = (block @ pair.writer).reshape(-1, z, m)
        np.einsum("nzm,nzm->nm", c, c, out=found[start : start + step])
    return found


def aggregated(weights: Values, readers: Nodes, writers: Nodes) -> Values:
    """Sums over the modes of each node."""
    for axis, nodes in ((0, readers), (1, writers)):
        if weights.shape[axis] and len(nodes) < weights.shape[axis]:
            weights = np.add.reduceat(weights, [start for start, _ in nodes], axis=axis)
    return weights


def effective(pair: Pair, /) -> Values:
    """Effective number of taps of each reader node: (sum gamma)^2 / sum gamma^2, with gamma the eigenvalues of B B^T.

    Between 1, where the kernel is separable, and the number of taps; the number of modes times taps for a group of modes.
    """
    n, p, z = pair.reader.shape
    if z == 1 and len(pair.reader_nodes) == n:
        return np.ones(n)
    found = np.empty(len(pair.reader_nodes))
    for index, (start, stop) in enumerate(pair.reader_nodes):
        b = pair.reader[start:stop].transpose(0, 2, 1).reshape(-1, p)
        gram = b @ b.T if b.shape[0] <= p else b.T @ b
        square = float((gram * gram).sum())
        found[index] = float(np.trace(gram)) ** 2 / square if square > 0 else 0.0
    return found


def _gathered(v: Values, meeting: Indices) -> Values:
    """(n, p, z * taps) from (n, channels, taps): the inputs of each shared channel side by side, or zeros."""
    n, _, taps = v.shape
    p, z = meeting.shape
    flat = meeting.ravel()
    if (flat >= 0).all() and np.array_equal(flat, np.arange(flat[0], flat[0] + flat.size) if flat.size else flat):
        chosen = v[:, flat[0] : flat[0] + flat.size] if flat.size else v[:, :0]
    else:
        chosen = v[:, flat]
        chosen[:, flat < 0] = 0.0
    return chosen.reshape(n, p, z * taps)
