"""Dead channels: what one layer barely writes and the next barely reads, counted against two sets drawn blindly.

Weight decay shrinks a channel that does nothing on both of its sides: the row of the layer that writes it, with the gain of its
batch norm, and the column of every layer that reads it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

from modescope.spectral_graph.pairs import Modes
from modescope.spectral_graph.wiring import Link, Rows
from modescope.svd import Values

TINY = 1e-2  # norm relative to the largest below which a row or a column counts as tiny


@dataclass(frozen=True)
class DeadChannels:
    """Channels that are tiny on both sides of a gap.

    Attributes:
        channels: Number of channels shared.
        rows: How many the writer barely writes.
        columns: How many the reader barely reads.
        joint: Those that are both.
        expected: Mean number of joint ones if the two sets were independent, `rows columns / channels`.
        p: Hypergeometric probability of as many.
        status: "ok", or why there are none.
    """

    channels: int
    rows: int
    columns: int
    joint: tuple[int, ...]
    expected: float
    p: float
    status: str = "ok"


def row_norms(writer: Modes, /) -> Values:
    """(out,) norm of what a layer writes into every channel, `||W[c, :]||`, in the gauge of its modes.

    Raises:
        ValueError: The output directions were not kept.
    """
    if writer.u is None:
        raise ValueError(f"{writer.layer.name}: expected output directions, got modes without them.")
    found: Values = np.sqrt(((writer.u * writer.s) ** 2).sum(axis=1))
    return found


def column_norms(reader: Modes, link: Link, out: int, /) -> Values:
    """(out,) norm of what a layer reads from every output channel of a writer, over all taps and positions that meet it.

    Args:
        reader: Its modes.
        link: Which channel of the writer each of its input channels meets.
        out: Output channels of the writer.

    Raises:
        ValueError: The input directions were not kept.
    """
    if reader.vh is None:
        raise ValueError(f"{reader.layer.name}: expected input directions, got modes without them.")
    scaled = (reader.vh * reader.s[:, None]).reshape(reader.s.size, reader.layer.channels, -1)
    energy = np.einsum("kct,kct->c", scaled, scaled)
    if link.rows is None:
        met, rows = np.ones(energy.size, dtype=np.bool_), np.arange(energy.size)
    else:
        met, rows = link.rows >= 0, link.rows
    found: Values = np.sqrt(np.bincount(rows[met], weights=energy[met], minlength=out))
    return found


def dead_channels(rows: Values, columns: Values, /, *, shared: Rows | None = None, tiny: float = TINY) -> DeadChannels:
    """Count the channels that are tiny on both sides, against two sets drawn blindly.

    Args:
        rows: (out,) norms of the rows of the writer, batch norm folded in: a gain of zero is a dead channel too.
        columns: (out,) norms of the columns of the reader that meet each channel.
        shared: Channels that the reader meets; None: all.
        tiny: Share of the largest norm below which one is tiny.

    Returns:
        The count with its hypergeometric p.

    Raises:
        ValueError: The two do not fit.
    """
    if rows.shape != columns.shape:
        raise ValueError(f"dead_channels: expected as many columns as rows, got {columns.size} and {rows.size}.")
    at = np.arange(rows.size) if shared is None else np.unique(shared)
    small, unread = at[barely(rows, tiny=tiny)[at]], at[barely(columns, tiny=tiny)[at]]
    joint = np.intersect1d(small, unread)
    p = float(hypergeom.sf(joint.size - 1, at.size, small.size, unread.size)) if joint.size else 1.0
    return DeadChannels(
        channels=int(at.size),
        rows=int(small.size),
        columns=int(unread.size),
        joint=tuple(joint.tolist()),
        expected=small.size * unread.size / at.size if at.size else 0.0,
        p=p,
        status=_why_none(small.size, unread.size, joint.size),
    )


def barely(norms: Values, /, *, tiny: float = TINY) -> NDArray[np.bool_]:
    """Which norms are below a share of the largest; all where there is nothing but zeros."""
    found: NDArray[np.bool_] = norms < tiny * norms.max(initial=0.0)
    return found if norms.any() else np.ones(norms.shape, dtype=np.bool_)


def _why_none(rows: int, columns: int, joint: int) -> str:
    if joint:
        return "ok"
    if not rows:
        return "none: the writer writes all channels"
    return "none: those that are barely written are read" if columns else "none: the reader reads all channels"
