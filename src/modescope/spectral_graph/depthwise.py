"""Depthwise convolutions folded into a neighbour: alone they turn no direction, so that no graph of directions can hold them.

A depthwise layer has one filter per channel. Its left directions are the channels themselves, which no rotation null describes.
Together with the layer `P` that mixes its channels it is one map: `W[o, c, tap] = P[o, c] d[c, tap]` where `P` follows, and
`W[c, i, tap] = d[c, tap] P[c, i]` where it comes before. That is the exact composition where nothing nonlinear lies between.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from modescope.errors import MatrixError
from modescope.matrix import Array, Blocks, Operand, Product
from modescope.spectral_graph.gauges import LINEAR, PER_CHANNEL, SHARED
from modescope.spectral_graph.wiring import Gap, Layer, Link, Norm, Rows, Wiring
from modescope.svd import Values

KEPT = "a depthwise convolution writes single channels, of which the law of random directions says nothing"


@dataclass(frozen=True, eq=False)
class _Place:
    """What stands around a depthwise layer."""

    before: tuple[Link, ...]
    after: tuple[Link, ...]


def without_depthwise(wiring: Wiring, /) -> Wiring:
    """Fold every depthwise layer into the layer that reads it, or else into the one that writes it.

    The folded layer keeps the name of the neighbour and says in its note what is in it, and whether a nonlinearity was left out.
    Only one of the two may have several taps. A depthwise layer that has no such neighbour stays as a column of its own, and its
    links become gaps with the reason.

    Args:
        wiring: Any; one without depthwise layers comes back as it is.

    Returns:
        A wiring whose links lead past the folded layers. Nothing is read; thunks may travel to another process.
    """
    for layer in reversed(wiring.layers):
        if is_depthwise(layer):
            wiring = _without(wiring, layer)
    return wiring


def is_depthwise(layer: Layer, /) -> bool:
    """Whether a layer has one filter, or several, for each channel and mixes none."""
    return layer.groups == layer.channels > 1 and layer.out % layer.channels == 0


def _without(wiring: Wiring, layer: Layer) -> Wiring:
    place = _Place(
        tuple(link for link in wiring.links if link.target == layer.name),
        tuple(link for link in wiring.links if link.source == layer.name),
    )
    why = _no_reader(wiring, layer, place)
    if not why:
        return _into_reader(wiring, layer, place)
    why_not = _no_writer(wiring, layer, place)
    if not why_not:
        return _into_writer(wiring, layer, place)
    gaps = (Gap(link.source, link.target, f"{KEPT}; not folded, as {why} and {why_not}") for link in (*place.before, *place.after))
    kept = tuple(link for link in wiring.links if layer.name not in {link.source, link.target})
    return replace(wiring, links=kept, gaps=(*wiring.gaps, *gaps))


def _no_reader(wiring: Wiring, layer: Layer, place: _Place) -> str:
    """Why a depthwise layer cannot be folded into what reads it, or nothing."""
    if len(place.after) != 1:
        return f"{len(place.after)} layers read it"
    link = place.after[0]
    reader = wiring[link.target]
    rows = _rows(link, layer)
    if link.relation in SHARED or rows.size != reader.channels or rows.min() < 0 or rows.max() >= layer.out:
        return f"{reader.name} reads more than it"
    if any(_rows(other, wiring[other.source]).size != layer.channels for other in place.before):
        return "what writes it has another number of channels"
    if sum(other.target == reader.name for other in wiring.links) > 1:
        return f"{reader.name} reads other layers too"
    if is_depthwise(reader):
        return f"{reader.name} mixes no channels"
    if reader.taps > 1 and layer.taps > 1:
        return f"{reader.name} has several taps too"
    if reader.groups > 1 and (link.rows is not None or layer.out != layer.channels):
        return f"the groups of {reader.name} are not its own"
    if layer.out > layer.channels and (layer.after or reader.before):
        return "a normalisation lies between several filters of a channel and their sum"
    return ""


def _no_writer(wiring: Wiring, layer: Layer, place: _Place) -> str:
    """Why a depthwise layer cannot be folded into what writes it, or nothing."""
    if len(place.before) != 1:
        return f"{len(place.before)} layers write it"
    link = place.before[0]
    writer = wiring[link.source]
    rows = _rows(link, writer)
    if link.relation in SHARED or rows.size != layer.channels or rows.min() < 0 or rows.max() >= writer.out:
        return f"it reads more than {writer.name}"
    if sum(other.source == writer.name for other in wiring.links) > 1:
        return f"other layers read {writer.name} too"
    if is_depthwise(writer):
        return f"{writer.name} mixes no channels"
    if writer.taps > 1 and layer.taps > 1:
        return f"{writer.name} has several taps too"
    if writer.groups > 1 and not np.array_equal(rows, np.arange(writer.out)):
        return f"the groups of {writer.name} are not its own"
    return ""


def _into_reader(wiring: Wiring, layer: Layer, place: _Place) -> Wiring:
    link = place.after[0]
    reader = wiring[link.target]
    rows = _rows(link, layer)  # output of the depthwise layer that each channel of the reader meets
    per = layer.out // layer.channels
    channel, first, merged = _merged(rows, per)
    exact, said = _said(wiring, link, layer)
    # a norm beside either acts on the channels that are left, in the order in which the network passes them
    norms = (
        *(_at(norm, channel) for norm in (*layer.before, *layer.after)),  # one filter per channel where there are norms behind
        *(_at(norm, first) for norm in reader.before),
    )
    lost = [norm for norm in norms[len(layer.before) :] if norm.centred]
    folded = replace(
        reader,
        matrix=replace(
            reader.matrix,
            view=f"{reader.matrix.view}, depthwise folded",
            shape=(reader.out, channel.size * reader.taps * layer.taps),
            read=partial(_read_before, reader.matrix.read, layer.matrix.read, (reader.taps, layer.taps), rows, merged),
            parts=(*(reader.matrix.parts or (reader.matrix.tensor,)), layer.matrix.tensor),
        ),
        channels=channel.size,
        taps=reader.taps * layer.taps,
        before=(*norms[: len(layer.before)], *(replace(norm, centred=False) for norm in norms[len(layer.before) :])),
        bias=_bias_through(reader, layer, rows) if exact and not layer.after else reader.bias,
        note=_noted(reader, said, lost),
    )
    past = tuple(
        replace(
            old,
            target=reader.name,
            relation=link.relation if old.relation == "next" else old.relation,
            rows=_rows(old, wiring[old.source])[channel],
            through=_through(old, link, layer, exact=exact),
            note="; ".join(filter(None, (old.note, link.note))),
        )
        for old in place.before
    )
    return _joined(wiring, layer, folded, place, past)


def _into_writer(wiring: Wiring, layer: Layer, place: _Place) -> Wiring:
    link = place.before[0]
    writer = wiring[link.source]
    rows = np.repeat(_rows(link, writer), layer.out // layer.channels)  # of the writer, by output of the depthwise layer
    said = _said(wiring, link, layer)[1]
    inner = tuple(_at(norm, rows) for norm in writer.after)
    outer = tuple(_at(norm, np.repeat(np.arange(layer.channels), layer.out // layer.channels)) for norm in layer.before)
    lost = [norm for norm in (*inner, *outer) if norm.centred]
    folded = replace(
        writer,
        matrix=replace(
            writer.matrix,
            view=f"{writer.matrix.view}, depthwise folded",
            shape=(layer.out, writer.matrix.shape[1] * layer.taps),
            read=partial(_read_after, writer.matrix.read, layer.matrix.read, layer.taps, rows),
            parts=(*(writer.matrix.parts or (writer.matrix.tensor,)), layer.matrix.tensor),
        ),
        taps=writer.taps * layer.taps,
        after=(*(replace(norm, centred=False) for norm in (*inner, *outer)), *layer.after),
        bias=layer.bias,
        note=_noted(writer, said, lost),
    )
    past = tuple(replace(old, source=writer.name) for old in place.after)
    return _joined(wiring, layer, folded, place, past)


def _joined(wiring: Wiring, layer: Layer, folded: Layer, place: _Place, past: tuple[Link, ...]) -> Wiring:
    """The wiring with the folded layer in the place of its neighbour, links in their order."""
    layers = tuple(folded if old.name == folded.name else old for old in wiring.layers if old.name != layer.name)
    at = {old.name: index for index, old in enumerate(layers)}
    gone = {id(link) for link in (*place.before, *place.after)}
    links = (*(link for link in wiring.links if id(link) not in gone), *past)
    return replace(wiring, layers=layers, links=tuple(sorted(links, key=lambda link: (at[link.target], at[link.source]))))


def _said(wiring: Wiring, link: Link, layer: Layer) -> tuple[bool, str]:
    """Whether the fold is the exact composition, and the sentence for the note."""
    nonlinear = [name for name in link.through if name.rstrip("_") not in LINEAR | PER_CHANNEL]
    between = f"between {link.source} and {link.target}"
    folded = f"the depthwise convolution {layer.name} is folded in"
    if nonlinear:
        return False, f"{folded}: an approximation, as {', '.join(nonlinear)} {between} {_is(nonlinear)} left out"
    if wiring.how != "traced":
        return False, f"{folded}: exact only if nothing nonlinear lies {between}"
    return True, f"{folded}, exactly: nothing nonlinear lies {between}"


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _through(old: Link, link: Link, layer: Layer, *, exact: bool) -> tuple[str, ...]:
    """What lies on the way now; where a nonlinearity may be inside, the layer is named, so that no scale is taken past it."""
    return (*old.through, *link.through) if exact else (*old.through, f"depthwise {layer.name}", *link.through)


def _noted(neighbour: Layer, said: str, lost: list[Norm]) -> str:
    means = (f"the mean that {norm.name} subtracts inside is not folded" for norm in lost)
    return "; ".join(filter(None, (neighbour.note, said, *means)))


def _rows(link: Link, writer: Layer) -> Rows:
    return np.arange(writer.out) if link.rows is None else link.rows


def _at(norm: Norm, where: Rows) -> Norm:
    return replace(norm, at=where if norm.at is None else norm.at[where])


def _merged(rows: Rows, per: int) -> tuple[Rows, Rows, Rows]:
    """Channels of the folded layer: those that meet filters of one input channel at one position are summed.

    Returns:
        The input channel of the depthwise layer that each new channel is, the first old channel in each, and the new channel of
        each old one.
    """
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    position = np.empty(rows.size, dtype=np.int64)
    position[order] = np.arange(rows.size) - starts[rows[order]]  # the how-many-th place of its filter this is
    key = (rows // per) * (int(position.max(initial=0)) + 1) + position
    _, first, merged = np.unique(key, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # in the order of the reader, not of the keys
    first = np.sort(first)
    return rows[first] // per, first, rank[merged]


def _bias_through(reader: Layer, layer: Layer, rows: Rows) -> Callable[[], Values] | None:
    if layer.bias is None:
        return reader.bias
    return partial(_added, reader, layer.bias, rows)


def _added(reader: Layer, bias: Callable[[], Values], rows: Rows) -> Values:
    """The bias of the reader, and what it makes of the bias of the depthwise layer away from padded borders."""
    given = np.repeat(np.asarray(bias(), dtype=np.float64)[rows], reader.taps)
    match reader.matrix.read():
        case Product(left, right, scale):
            made = scale * (left.astype(np.float64) @ (right.astype(np.float64) @ given))
        case Blocks(blocks):
            made = np.einsum("goi,gi->go", blocks.astype(np.float64), given.reshape(blocks.shape[0], -1)).ravel()
        case np.ndarray() as a:
            made = a.astype(np.float64) @ given
        case _:
            raise MatrixError(f"{reader.name}: a convolution on a grid takes no other layer in.")
    return made if reader.bias is None else made + np.asarray(reader.bias(), dtype=np.float64)


def _filters(operand: Operand) -> Array:
    """(out, taps) filters of a depthwise layer."""
    if isinstance(operand, Blocks):
        return operand.blocks.astype(np.float64).reshape(-1, operand.blocks.shape[2])
    raise MatrixError("expected the filters of a depthwise convolution as blocks, one per channel.")


def _read_before(
    read: Callable[[], Operand], depthwise: Callable[[], Operand], taps: tuple[int, int], rows: Rows, merged: Rows, /
) -> Operand:
    """The reader's matrix after the depthwise layer: (out, channel, tap of the reader, tap of the depthwise layer)."""
    filters = _filters(depthwise())[rows]
    match read():
        case Product(left, right, scale):
            return Product(left, _mixed(right, filters, taps, merged), scale)
        case Blocks(blocks):
            count, out, _ = blocks.shape
            x = blocks.astype(np.float64).reshape(count, out, -1, taps[0], 1)
            return Blocks((x * filters.reshape(count, 1, -1, 1, taps[1])).reshape(count, out, -1))
        case np.ndarray() as a:
            return _mixed(a, filters, taps, merged)
        case _:
            raise MatrixError("a convolution on a grid takes no other layer in; ask for its unfolding.")


def _mixed(a: Array, filters: Array, taps: tuple[int, int], merged: Rows) -> Array:
    x = a.astype(np.float64).reshape(a.shape[0], -1, taps[0], 1) * filters[:, None, :]
    if int(merged.max()) + 1 < merged.size:
        order = np.argsort(merged, kind="stable")
        x = np.add.reduceat(x[:, order], np.flatnonzero(np.diff(merged[order], prepend=-1)), axis=1)
    return x.reshape(a.shape[0], -1)


def _read_after(read: Callable[[], Operand], depthwise: Callable[[], Operand], taps: int, rows: Rows, /) -> Operand:
    """The writer's matrix before the depthwise layer: (out, channel, tap of the writer, tap of the depthwise layer)."""
    filters = _filters(depthwise())
    match read():
        case Product(left, right, scale):  # (left d) x (right with its taps): one factor per tap
            wide = (left.astype(np.float64)[rows, :, None] * filters[:, None, :]).reshape(rows.size, -1)
            return Product(wide, np.kron(right.astype(np.float64), np.eye(taps)), scale)
        case Blocks(blocks):
            count, _, columns = blocks.shape
            x = blocks.astype(np.float64).reshape(-1, columns)[rows, :, None] * filters[:, None, :]
            return Blocks(x.reshape(count, -1, columns * taps))
        case np.ndarray() as a:
            return (a.astype(np.float64)[rows, :, None] * filters[:, None, :]).reshape(rows.size, -1)
        case _:
            raise MatrixError("a convolution on a grid takes no other layer in; ask for its unfolding.")
