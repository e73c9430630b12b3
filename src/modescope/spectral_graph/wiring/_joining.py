"""Joining a writer to a reader: a link where their channels fit, otherwise a gap that names both layers and their dimensions."""

from collections.abc import Iterable, Sequence

import numpy as np

from modescope.spectral_graph.wiring import Gap, Layer, Link, Rows, Wiring


def join(
    writer: Layer, reader: Layer, relation: str, *, rows: Rows | None = None, through: tuple[str, ...] = (), note: str = ""
) -> Link | Gap:
    """A link between two layers, or why there is none.

    Args:
        writer: Its outputs are read.
        reader: Its input channels read them.
        relation: How they are joined.
        rows: Output of the writer that each channel of the reader meets, -1 for none; by default channel by channel.
        through: Operations in between.
        note: A sentence.
    """
    if rows is None and writer.out != reader.channels:
        return Gap(writer.name, reader.name, mismatch(writer, reader))
    if rows is not None and (rows.shape != (reader.channels,) or rows.max(initial=-1) >= writer.out or rows.min(initial=0) < -1):
        span = f"{rows.min()} to {rows.max()}" if rows.size else "none"
        reason = f"expected {reader.channels} rows between -1 and {writer.out - 1}, got {rows.size} ({span})"
        return Gap(writer.name, reader.name, f"{mismatch(writer, reader)}: {reason}")
    if rows is not None and np.all(rows < 0):
        return Gap(writer.name, reader.name, f"no channel of {reader.name} meets a row of {writer.name}")
    return Link(writer.name, reader.name, relation, rows, through, note)


def mismatch(writer: Layer, reader: Layer) -> str:
    """The two layers and their dimensions, for a reason."""
    return f"{writer.name} writes {writer.out} channels, {reader.name} reads {reader.channels}"


def flattened(writer: Layer, reader: Layer, *, channels_last: bool) -> Rows | None:
    """Rows of a writer that a dense reader meets after its positions were flattened, or None where they do not divide.

    Channels-first is the order of `torch.flatten` on (channels, height, width): all positions of one channel are neighbours.
    """
    positions, rest = divmod(reader.channels, writer.out)
    if rest or not positions:
        return None
    order = np.arange(writer.out)
    return np.tile(order, positions) if channels_last else np.repeat(order, positions)


def assembled(layers: Iterable[Layer], joined: Iterable[Link | Gap], how: str, notes: Sequence[str] = ()) -> Wiring:
    """A wiring with its links sorted by the place of the reader, then of the writer; each pair is joined once.

    A pair that would lead backwards becomes a gap: no order of layers could hold it.
    """
    order = tuple(layers)
    place = {layer.name: index for index, layer in enumerate(order)}
    links: dict[tuple[int, int], Link] = {}
    gaps: dict[tuple[str, str, str], Gap] = {}
    for item in joined:
        if isinstance(item, Link) and place[item.source] >= place[item.target]:
            reason = f"{item.target} does not come after {item.source}: it is read again in a later pass"
            item = Gap(item.source, item.target, reason)
        if isinstance(item, Gap):
            gaps.setdefault((item.source, item.target, item.reason), item)
        else:
            links.setdefault((place[item.target], place[item.source]), item)
    return Wiring(order, tuple(links[key] for key in sorted(links)), tuple(gaps.values()), how, tuple(dict.fromkeys(notes)))
