"""Channels of a network that is being traced: which layers wrote each, and what happened to it since.

Channels are numbered from 1 through a whole trace; 0 stands for what no layer wrote: constants, padding, the network's input. The
numbers are dealt in blocks, and a block says where its channels come from. A step through the network deals a new block.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.wiring import Rows

Use = tuple[Any, ...]
OTHER: Use = ("other",)
FEW = 4  # layers behind a channel that are named one by one
_RANK = ("next", "residual", "product", "attention")


@dataclass(frozen=True, eq=False)
class Passed:
    """A normalisation that channels passed.

    Attributes:
        module: Its name.
        kind: Its operation: "batch_norm", "layer_norm".
        at: (n,) which of its channels each met; -1 for those that did not, -2 where that depends on the position.
    """

    module: str
    kind: str
    at: Rows


@dataclass(frozen=True, eq=False)
class Source:
    """What n channels have from one layer.

    Attributes:
        writer: Name of the layer; empty for the input of the network, and where a reason is given.
        rows: (n,) its output channels, -1 for none; 0 where there is no writer.
        relation: As in a link, as far as it shows before the channels are read.
        through: Operations since, in order.
        norms: Normalisations since, in order.
        notes: Sentences for the link.
        reason: Why the writer is not known, or empty.
        statistic: It is a number about many channels (their mean, a score), which scales others but is not made of them.
        behind: Layers that what is not followed was made from, where they are few.
    """

    writer: str
    rows: Rows
    relation: str = "next"
    through: tuple[str, ...] = ()
    norms: tuple[Passed, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    statistic: bool = False
    behind: tuple[str, ...] = ()

    def taken(self, at: NDArray[np.intp]) -> "Source":
        """The channels at these places."""
        norms = tuple(replace(norm, at=norm.at[at]) for norm in self.norms)
        return replace(self, rows=self.rows[at], norms=norms)

    @property
    def given(self) -> bool:
        """From outside: the input of the network."""
        return not (self.writer or self.reason)

    @property
    def key(self) -> tuple[Any, ...]:
        """Everything but the channels."""
        passed = tuple((norm.module, norm.kind) for norm in self.norms)
        return (self.writer, self.relation, self.through, passed, self.notes, self.reason, self.statistic, self.behind)


class Ledger:
    """Blocks of channels, and what used each."""

    def __init__(self) -> None:
        self._starts = [1]
        self._blocks: list[tuple[Source, ...]] = []
        self.uses: dict[int, set[Use]] = {}

    @property
    def count(self) -> int:
        """One more than the last number dealt."""
        return self._starts[-1]

    def new(self, size: int, sources: Iterable[Source]) -> int:
        """Deal a block; its first number."""
        start = self._starts[-1]
        self._blocks.append(tuple(sources))
        self._starts.append(start + size)
        return start

    def output(self, size: int, sources: Iterable[Source]) -> int:
        """Deal a block that a layer wrote, of which the uses are kept."""
        start = self.new(size, sources)
        self.uses[start] = set()
        return start

    def block(self, start: int) -> tuple[Source, ...]:
        """Sources of the block that starts there."""
        return self._blocks[self._starts.index(start)]

    def sources(self, ids: Rows, use: Use | None = OTHER) -> tuple[Source, ...]:
        """Where channels come from; 0 gives no row of any source.

        Args:
            ids: (n,) channels.
            use: What the channels are used for; None leaves no trace.
        """
        found: dict[tuple[Any, ...], Source] = {}
        places = np.searchsorted(self._starts, ids, side="right") - 1
        for place in np.unique(places[ids > 0]).tolist():
            start, at = self._starts[place], np.flatnonzero(places == place)
            if use is not None and start in self.uses:
                self.uses[start].add(
                    use if use == OTHER else (*use, ids.size, tuple(at.tolist()), tuple((ids[at] - start).tolist()))
                )
            seen: Counter[tuple[Any, ...]] = Counter()  # a channel may hold several rows of one layer, as a sum of its halves does
            for source in self._blocks[place]:
                part = source.taken(ids[at] - start)
                key = (*part.key, seen[part.key])
                seen[part.key] += 1
                found[key] = _filled(found.get(key) or _empty(part, ids.size), part, at)
        return tuple(source for source in found.values() if (source.rows >= 0).any())

    def unknown(self, reason: str, *, statistic: bool = False, behind: Iterable[str] = ()) -> int:
        """A channel of which only a reason is known, and the layers behind it, unless they are many."""
        few = tuple(dict.fromkeys(behind))
        few = few if len(few) <= FEW else ()
        return self.new(1, (Source("", np.zeros(1, np.int64), reason=reason, statistic=statistic, behind=few),))


def stepped(sources: Sequence[Source], operation: str) -> tuple[Source, ...]:
    """The sources after an operation; the same one several times in a row is said once."""
    return tuple(
        source if source.through[-1:] == (operation,) else replace(source, through=(*source.through, operation))
        for source in sources
    )


def normed(sources: Sequence[Source], passed: Passed, note: str = "") -> tuple[Source, ...]:
    """The sources after a normalisation."""
    return tuple(
        replace(
            source,
            norms=(*source.norms, replace(passed, at=np.where(source.rows >= 0, passed.at, -1))),
            notes=_joined(source.notes, (note,) if note else ()),
        )
        for source in stepped(sources, passed.kind)
    )


def raised(sources: Sequence[Source], relation: str) -> tuple[Source, ...]:
    """The sources with at least this relation."""
    return tuple(replace(source, relation=max(source.relation, relation, key=_RANK.index)) for source in sources)


def combined(one: Sequence[Source], other: Sequence[Source], relation: str) -> tuple[Source, ...]:
    """Sources of channels that were added or multiplied, one by one.

    Numbers about many channels are dropped beside channels. Where both come from the same channels of the same layers, as in
    `x * sigmoid(x)`, this is a step of one stream and no meeting of two.
    """
    one, other = _without_statistics(one, other), _without_statistics(other, one)
    if not one or not other:
        return tuple(one or other)
    if not (all(any(_same(a, b) for b in other) for a in one) and all(any(_same(a, b) for a in one) for b in other)):
        one, other = raised(one, relation), raised(other, relation)
    found = list(one)
    for source in other:
        twin = next((place for place, known in enumerate(found) if _same(known, source)), None)
        if twin is None:
            found.append(source)
        else:
            found[twin] = _merged(found[twin], source)
    return tuple(found)


def compatible(one: Rows, other: Rows) -> bool:
    """Whether two assignments agree where both say something."""
    return bool(np.all((one == other) | (one == -1) | (other == -1)))


def met(ledger: Ledger, channels: Rows, ids: Rows, size: int) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    """What a layer meets in its input channels, over all positions.

    Args:
        ledger: Of the trace.
        channels: (n,) input channels.
        ids: (n,) numbers met there, each pair once.
        size: Number of input channels.

    Returns:
        The sources by input channel, and those of which a channel meets several rows.
    """
    kept = ids > 0
    channels, ids = channels[kept], ids[kept]
    clear, blurred = [], []
    for source in ledger.sources(ids):
        here = source.rows >= 0
        rows = _assigned(channels[here], source.rows[here], size)
        norms = []
        for norm in source.norms:
            told = norm.at != -1
            at = _assigned(channels[told], norm.at[told], size)
            norms.append(replace(norm, at=np.full(size, -2) if at is None else at))
        if rows is None:
            blurred.append(source)
        else:
            clear.append(replace(source, rows=rows, norms=tuple(norms)))
    return tuple(clear), tuple(blurred)


def _assigned(channels: Rows, values: Rows, size: int) -> Rows | None:
    found = np.full(size, -1, np.int64)
    found[channels] = values
    return found if np.array_equal(found[channels], values) else None


def _empty(part: Source, size: int) -> Source:
    none = np.full(size, -1, np.int64)
    return replace(part, rows=none, norms=tuple(replace(norm, at=none) for norm in part.norms))


def _filled(whole: Source, part: Source, at: NDArray[np.intp]) -> Source:
    norms = tuple(replace(w, at=_put(w.at, at, p.at)) for w, p in zip(whole.norms, part.norms, strict=True))
    return replace(whole, rows=_put(whole.rows, at, part.rows), norms=norms)


def _put(into: Rows, at: NDArray[np.intp], values: Rows) -> Rows:
    found = into.copy()
    found[at] = values
    return found


def _same(one: Source, other: Source) -> bool:
    told = (one.writer, one.reason, one.statistic, one.behind) == (other.writer, other.reason, other.statistic, other.behind)
    return told and np.array_equal(one.rows, other.rows)


def _merged(one: Source, other: Source) -> Source:
    """One source that went two ways: the longer way, the norms that both passed last, and a note of the others."""
    longer = one if len(one.through) >= len(other.through) else other
    common = suffix((one.norms, other.norms))
    lost = dict.fromkeys(
        f"{norm.kind.replace('_', ' ')} {norm.module} on one of two ways is not folded"
        for source in (one, other)
        for norm in source.norms[: len(source.norms) - len(common)]
        if norm.module not in {known.module for known in (other if source is one else one).norms}
    )
    notes = _joined(_joined(one.notes, other.notes), tuple(lost))
    return replace(longer, relation=max(one.relation, other.relation, key=_RANK.index), norms=common, notes=notes)


def suffix(sequences: Sequence[tuple[Passed, ...]]) -> tuple[Passed, ...]:
    """The normalisations that all sequences end with, with the channels that any of them tells."""
    found: list[Passed] = []
    for last in zip(*(reversed(sequence) for sequence in sequences), strict=False):
        at = last[0].at
        for norm in last[1:]:
            if norm.module != last[0].module or not compatible(at, norm.at):
                return tuple(reversed(found))
            at = np.where(at == -1, norm.at, at)
        found.append(replace(last[0], at=at))
    return tuple(reversed(found))


def _without_statistics(sources: Sequence[Source], beside: Sequence[Source]) -> Sequence[Source]:
    if all(source.statistic or source.given for source in beside):
        return sources
    return [source for source in sources if not source.statistic]


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


Change = Callable[[tuple[Source, ...]], tuple[Source, ...]]
