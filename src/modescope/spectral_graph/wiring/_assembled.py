"""From what every layer read to a wiring: normalisations beside their layers, links with rows and relations, gaps with reasons."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Gains, Gap, Layer, Link, Norm, Rows, Wiring
from modescope.spectral_graph.wiring._channels import OTHER, Ledger, Passed, Source, compatible, suffix
from modescope.spectral_graph.wiring._operations import GAIN
from modescope.spectral_graph.wiring._stored import BOTH, transposed_name
from modescope.spectral_graph.wiring._tracer import Read, Tracer
from modescope.spectral_graph.wiring.weights import gain, norm

LISTED = 12  # layers that a note names one by one
_RANK = ("next", "residual", "product", "attention")
_CENTRED = {"layer_norm": True, "rms_norm": False, "group_norm": False, "instance_norm": False}


def assembled(tracer: Tracer, checkpoint: Checkpoint, unused: Sequence[str]) -> Wiring:
    """The wiring of a trace that has ended.

    Args:
        tracer: What it found.
        checkpoint: Where the numbers of the normalisations are read.
        unused: Names of layers that did not run.
    """
    place = {name: at for at, name in enumerate(tracer.order)}
    after = {name: _following(tracer.ledger, layer) for name, layer in tracer.order.items()}
    reads: dict[str, list[Read]] = {}
    for read in tracer.reads:
        reads.setdefault(read.target, []).append(_without_absorbed(read, after))
    layers, links, gaps = [], [], [Gap(*gap) for gap in tracer.gaps]
    twice = {turned for name in tracer.order if (turned := transposed_name(name)) in tracer.order}
    for name, layer in tracer.order.items():
        met = [source for read in reads.get(name, ()) for source in read.sources]
        common = _common(met, layer)
        passed = [(one, _norm(checkpoint, one, layer.channels)) for one in common]
        follows = [(one, _norm(checkpoint, one, layer.out)) for one in (after[name],) if one is not None]
        unread = [
            f"batch norm {one.module} keeps no statistics and is not folded" for one, found in (*passed, *follows) if not found
        ]
        own = BOTH if name in twice else layer.note
        note = "; ".join(filter(None, (own, tracer.notes.get(name, ""), *unread)))
        before, behind = (tuple(found for _, found in ends if found) for ends in (passed, follows))
        layers.append(replace(layer, before=before, after=behind, note=note))
        links += [link for link in _links(met, tracer.order, name, len(common)) if place[link.source] < place[name]]
        gaps += _gaps(reads.get(name, ()), name, place)
    links.sort(key=lambda link: (place[link.target], place[link.source], () if link.rows is None else tuple(link.rows.tolist())))
    more = f" and {len(unused) - LISTED} more" if len(unused) > LISTED else ""
    notes = (f"did not run on the example input: {', '.join(unused[:LISTED])}{more}",) if unused else ()
    return Wiring(
        tuple(layers),
        tuple(links),
        tuple(dict.fromkeys(gaps)),
        how="traced",
        notes=notes,
        elsewhere=tuple(tracer.elsewhere),
        pins=tuple(tracer.pins),
        together=tuple(tracer.together),
    )


def _following(ledger: Ledger, layer: Layer) -> Passed | None:
    """The batch norm or the gains that all outputs of a layer go to, and nothing else."""
    found: Passed | None = None
    for start, uses in ledger.uses.items():
        rows = next((source.rows for source in ledger.block(start) if source.writer == layer.name), None)
        if rows is None:
            continue
        if len(uses) != 1 or OTHER in uses:
            return None
        passed = _direct(next(iter(uses)), rows, layer.out)
        if passed is None or (found is not None and (found.module != passed.module or not np.array_equal(found.at, passed.at))):
            return None
        found = passed
    return found


def _direct(use: tuple[Any, ...], rows: Rows, out: int) -> Passed | None:
    """The norm of a use that took each channel of a block once; by the rows of a layer that wrote the block."""
    _, module, kind, channels, _, places, offsets = use
    if kind not in {"batch_norm", GAIN} or sorted(offsets) != list(range(rows.size)):
        return None
    at = np.full(out, -1, np.int64)
    here = rows[np.asarray(offsets)]
    at[here[here >= 0]] = np.asarray(channels)[np.asarray(places)][here >= 0]
    return None if (at < 0).any() else Passed(module, kind, at)


def _without_absorbed(read: Read, after: Mapping[str, Passed | None]) -> Read:
    def without(source: Source) -> Source:
        absorbed = after.get(source.writer)
        first = source.norms[0].module if source.norms else None
        return replace(source, norms=source.norms[1:]) if absorbed is not None and absorbed.module == first else source

    return replace(read, sources=tuple(map(without, read.sources)))


def _common(met: Sequence[Source], layer: Layer) -> tuple[Passed, ...]:
    """Normalisations that all a layer reads passed last, in all its channels."""
    found: list[Passed] = []
    for passed in reversed(suffix([source.norms for source in met if not source.statistic])):
        if passed.at.size != layer.channels or (passed.at < 0).any():
            break
        found.append(passed)
    return tuple(reversed(found))


def _norm(checkpoint: Checkpoint, passed: Passed, channels: int) -> Norm | None:
    alone = passed.kind == GAIN
    found = gain(checkpoint, passed.module) if alone else norm(checkpoint, passed.module, centred=_CENTRED.get(passed.kind))
    if found is None and passed.kind in _CENTRED:  # it has no gains of its own
        size = int(passed.at.max()) + 1
        found = Norm(passed.module, size, partial(_ones, size), centred=_CENTRED[passed.kind])
    if found is None or int(passed.at.max(initial=0)) >= found.size:
        return None
    one_by_one = found.size == channels and np.array_equal(passed.at, np.arange(channels))
    return replace(found, at=None if one_by_one else passed.at)


def _ones(size: int) -> Gains:
    return Gains(np.ones(size), np.zeros(size))


def _links(met: Sequence[Source], layers: Mapping[str, Layer], target: str, folded: int) -> Iterator[Link]:
    """One link per writer, unless a channel met several of its rows by different ways."""
    merged: list[Source] = []
    for source in met:
        if not source.writer:
            continue
        at = next((n for n, one in enumerate(merged) if one.writer == source.writer and compatible(one.rows, source.rows)), None)
        if at is None:
            merged.append(source)
        else:
            merged[at] = _united(merged[at], source)
    alone = len({source.writer for source in met if not source.statistic}) == 1
    for source in merged:
        rows, relation = source.rows, source.relation
        if relation == "next" and not alone and (rows < 0).any():
            relation = "concatenation"
        elif relation == "next" and np.unique(rows[rows >= 0]).size < (rows >= 0).sum():
            relation = "flatten"
        plain = np.array_equal(rows, np.arange(layers[source.writer].out))
        lost = tuple(_unfolded(norm, relation) for norm in source.norms[: len(source.norms) - folded])
        note = "; ".join(dict.fromkeys((*source.notes, *lost)))
        yield Link(source.writer, target, relation, None if plain else rows, source.through, note)


def _united(one: Source, other: Source) -> Source:
    """What a layer meets of one writer in several ways, by channel or by use."""
    longer, shorter = (one, other) if len(one.through) >= len(other.through) else (other, one)
    notes = tuple(dict.fromkeys((*one.notes, *other.notes)))
    if longer.through != shorter.through:
        ways = " or ".join(", ".join(way.through) or "nothing" for way in (longer, shorter))
        notes = (*notes, f"passes different operations by channel or position: {ways}")
    relation = max(one.relation, other.relation, key=_RANK.index)
    return replace(longer, rows=np.maximum(one.rows, other.rows), relation=relation, notes=notes)


def _unfolded(norm: Passed, relation: str) -> str:
    kind = norm.kind.replace("_", " ")
    if relation in {"residual", "product"}:
        return f"{kind} {norm.module} before {'an addition' if relation == 'residual' else 'a product'} is not folded"
    return f"{kind} {norm.module} is not folded: not everything that is read passed it"


def _gaps(reads: Sequence[Read], target: str, place: Mapping[str, int]) -> Iterator[Gap]:
    for read in reads:
        for source in read.blurred:
            if source.writer:
                reason = f"an input channel of {target} meets several channels of {source.writer}, by position"
                yield Gap(source.writer, target, reason)
        told = [source for source in read.sources if source.writer or source.reason]
        for source in (*told, *(source for source in read.blurred if source.reason)):
            if source.reason and not (source.statistic and any(one.writer for one in told)):
                for writer in source.behind or ("",):
                    yield Gap(writer, target, f"reads {source.reason}")
            elif source.writer and place[source.writer] >= place[target]:
                yield Gap(
                    source.writer,
                    target,
                    f"{target} is used again after {source.writer}; a link leads to a later layer only"
                    if source.writer != target
                    else f"{target} is used again and reads its own output; a link leads to a later layer only",
                )
