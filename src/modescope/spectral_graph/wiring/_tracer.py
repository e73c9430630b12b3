"""One trace of one run of a network: the labels of all its tensors, and what every layer read.

Beside a tensor stands a tensor of the same shape with the number of the channel each entry belongs to. What merely moves entries
is run on the numbers as well, so that no layout needs a rule. Numbers that are constant along an axis are held once.
"""

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from modescope.spectral_graph.wiring import Pin, Rows
from modescope.spectral_graph.wiring import _operations as operations
from modescope.spectral_graph.wiring._channels import FEW, Change, Ledger, Passed, Source, combined, met, normed, stepped
from modescope.spectral_graph.wiring._labels import Labels, address, compact, floats, marked, numbers, shrunk, tensors
from modescope.spectral_graph.wiring._stored import Part, Stored

_FAILURES = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)  # of a rule that meets a call it does not know


@dataclass(frozen=True, eq=False)
class Read:
    """What one layer met in its input channels, once.

    Attributes:
        target: Name of the layer.
        sources: By input channel.
        blurred: Sources of which one input channel meets several rows, by position.
    """

    target: str
    sources: tuple[Source, ...]
    blurred: tuple[Source, ...]


class Tracer:
    """Labels of all tensors of a run, and what was read."""

    def __init__(self, torch: Any, stored: Stored, rules: Sequence[Callable[["Call"], bool]]) -> None:
        self.ledger = Ledger()
        self.reads: list[Read] = []
        self.gaps: list[tuple[str, str, str]] = []
        self.order: dict[str, Any] = {}
        self.notes: dict[str, str] = {}
        self.elsewhere: dict[tuple[str, str], None] = {}
        self.pins: dict[Pin, None] = {}
        self.together: dict[tuple[str, ...], None] = {}
        self.kept: dict[int, tuple[Any, Any]] = {}
        self.modules: list[str] = []
        self.input = self.ledger.new(1, (Source("", np.zeros(1, np.int64)),))
        self.muted = 0
        self.torch = torch
        self._stored = stored
        self._rules = rules
        self._labels: dict[int, tuple[Any, Labels]] = {}
        self._derived: dict[int, Any] = {}

    def call(self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run a function of torch, and follow what it does."""
        name, in_place = operations.named(function)
        if in_place or name in operations.WRITING:
            self._keep(args[:1])
        elif name in operations.TABLES and (args[3] if len(args) > 3 else kwargs.get("max_norm")):  # it shortens what it looks up
            self._keep((*args[1:2], kwargs.get("weight")))
        if kwargs.get("out") is not None:
            self._keep(kwargs["out"])
        if self.muted:
            return function(*args, **kwargs)
        before = [(tensor, self.of(tensor)) for tensor in floats((args, kwargs))]
        result = function(*args, **kwargs)
        if name in operations.OUTSIDE:
            for _, labels in before:
                if labels is not None:
                    self.leaves(labels, "numbers outside torch")
        outputs = [args[0]] if name == "setitem" else list(floats(result))
        self._uncharted(Call(self, function, name, args, kwargs, [*tensors(result)], before), charted=bool(outputs))
        if outputs and before:
            self._follow(Call(self, function, name, args, kwargs, outputs, before))
            if in_place or (name in operations.EACH and any(output is tensor for output in outputs for tensor, _ in before)):
                for output in outputs:
                    self._spread(output)
        elif outputs:
            for output in outputs:
                self.set(output, self.constant(output))
        return result

    def _keep(self, written: Any) -> None:
        """Copy the stored tensors among those that a function writes to."""
        for tensor in floats(written):
            owner = self._stored.owner(tensor)
            if owner is not None and id(owner) not in self.kept:
                self.kept[id(owner)] = (owner, owner.detach().clone())

    def of(self, tensor: Any) -> Labels | None:
        """Labels of a tensor; None where nothing is known of it."""
        known = self._labels.get(id(tensor))
        if known is not None and known[1].shape == tensor.shape:
            return known[1]
        return self.constant(tensor) if self._stored.holds(tensor) else None

    def set(self, tensor: Any, labels: Labels | None) -> None:
        """Note the labels of a tensor for as long as it lives."""
        key = id(tensor)
        self._labels.pop(key, None)
        if labels is not None:
            self._labels[key] = (weakref.ref(tensor, lambda _: self._labels.pop(key, None)), compact(labels))

    def constant(self, like: Any) -> Labels:
        """Labels of what no layer wrote."""
        return self.uniform(0, like)

    def enters(self, tensor: Any) -> None:
        """Mark an input of the network."""
        self.set(tensor, self.uniform(self.input, tensor))

    def uniform(self, label: int, like: Any) -> Labels:
        """The same label everywhere."""
        return self.torch.full((), float(label), dtype=self.torch.float64).expand(like.shape)

    def table(self, values: Rows, shape: Sequence[int]) -> Labels:
        """Labels from numbers."""
        return self.torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).reshape(tuple(shape))

    def used(self, tensors: Any) -> None:
        """Note that something outside the network uses these tensors."""
        for tensor in floats(tensors):
            labels = self.of(tensor)
            if labels is not None:
                self.ledger.sources(numbers(labels))

    def leaves(self, labels: Labels, where: str) -> None:
        """Note that channels go to a place where no layer reads them."""
        for source in self.ledger.sources(numbers(labels), None):
            if source.writer:
                self.elsewhere[source.writer, where] = None

    def gain(self, tensor: Any) -> str:
        """Name of the learned vector that a tensor is, or empty."""
        return self._stored.vector(tensor)

    def pinned(self, labels: Labels, tensors: Sequence[Any], how: str) -> None:
        """Note that channels meet numbers of their own.

        Args:
            labels: Of the channels.
            tensors: What holds the numbers; single ones are none.
            how: The operation.
        """
        writers = [source.writer for source in self.ledger.sources(numbers(labels), None) if source.writer]
        for tensor in tensors:
            if tensor.numel() > 1:
                name = self._stored.name(tensor)
                self.pins |= {Pin(writer, name, how): None for writer in writers}

    def normalised(
        self, labels: Labels | None, output: Any, passed: tuple[str, str], axes: tuple[int, ...], learned: Sequence[Any]
    ) -> None:
        """Set the labels of what a normalisation gave.

        Args:
            labels: Of what it took.
            output: What it gave.
            passed: Name of the module, and its operation.
            axes: Axes of its channels, in order.
            learned: The tensors with a number for each of them.
        """
        if labels is None:
            self.set(output, None)
            return
        moving = any(labels.stride(axis) for axis in axes if labels.shape[axis] > 1)
        held = [self._stored.name(tensor) for tensor in learned if moving and tensor.numel() > 1]
        shape = [output.shape[axis] if axis in axes else 1 for axis in range(output.ndim)]
        channel = self.table(np.arange(math.prod(shape)), shape).expand(output.shape)
        module, kind = passed
        note = (
            f"{kind.replace('_', ' ')} {module} rescales each sample by its own statistics; only its gains are folded"
            if kind in _BY_SAMPLE
            else ""
        )

        def change(ids: Rows, at: Rows) -> tuple[Source, ...]:
            sources = self.ledger.sources(ids, ("norm", module, kind, tuple(at.tolist())))
            for source in sources if held else ():
                met = tuple(np.unique(at[source.rows >= 0]).tolist())
                self.pins |= {Pin(source.writer, name, kind, met): None for name in held if source.writer}
            if (ids == 0).any():  # the input of the network has no writer but passes the norm all the same
                sources = (*sources, Source("", np.where(ids == 0, 0, -1)))
            return normed(sources, Passed(module, kind, at), note)

        self.set(output, self._paired(labels, channel, change))

    def _paired(
        self, one: Labels, other: Labels, change: Callable[[Rows, Rows], tuple[Source, ...]], *, constant: bool = False
    ) -> Labels:
        """New channels for every pair of labels that meet; where `constant`, two constants make one."""
        shape = one.shape
        one, other = shrunk(one, other)
        first, second = one.reshape(-1).numpy().astype(np.int64), other.reshape(-1).numpy().astype(np.int64)
        width = int(second.max(initial=0)) + 1
        pairs, inverse = np.unique(first * width + second, return_inverse=True)
        start = self.ledger.new(pairs.size, change(pairs // width, pairs % width))
        fresh = np.where((pairs == 0) & constant, 0, start + np.arange(pairs.size))
        return self.table(fresh[inverse], one.shape).expand(shape)

    def changed(self, labels: Labels, change: Change) -> Labels:
        """New channels for all labels, each with what the change makes of its sources; constants stay."""
        shape = labels.shape
        (small,) = shrunk(labels)
        ids, inverse = np.unique(small.reshape(-1).numpy().astype(np.int64), return_inverse=True)
        start = self.ledger.new(ids.size, change(self.ledger.sources(ids)))
        fresh = np.where(ids == 0, 0, start + np.arange(ids.size))
        return self.table(fresh[inverse], small.shape).expand(shape)

    def met_each_by_each(self, labels: Sequence[Labels], shape: Sequence[int], operation: str, relation: str) -> Labels:
        """Labels of what is made of several tensors entry by entry."""
        wide = [label.expand(tuple(shape)) for label in labels]
        wide = [label for label in wide if marked(label)] or wide[:1]
        if not marked(wide[0]):
            return wide[0]
        if len(wide) == 1:
            return self.changed(wide[0], lambda sources: stepped(sources, operation))
        found = wide[0]
        for label in wide[1:]:

            def change(one: Rows, other: Rows) -> tuple[Source, ...]:
                return stepped(combined(self.ledger.sources(one), self.ledger.sources(other), relation), operation)

            found = self._paired(found, label, change, constant=True)
        return found

    def agreed(self, labels: Labels, axes: Sequence[int], reason: str, *, statistic: bool) -> Labels:
        """Labels along axes that are summed over, which keep length 1; where they disagree only the reason is known."""
        (small,) = shrunk(labels)
        high = small.amax(dim=tuple(axes), keepdim=True) if axes else small
        shape = [1 if axis in axes else labels.shape[axis] for axis in range(labels.ndim)]
        if not marked(high):
            return high.expand(shape)
        low = self.torch.where(small == 0, self.torch.full_like(small, math.inf), small)
        low = low.amin(dim=tuple(axes), keepdim=True) if axes else low
        mixed = (high != low) & (high > 0)
        if bool(mixed.any()):
            self.ledger.sources(numbers(small))
            self.leaves(small, reason if self._whole(small, axes) else f"{reason} in parts")
            mark = self.ledger.unknown(self.first_reason(labels) or reason, statistic=statistic, behind=self.behind([small]))
            high = self.torch.where(mixed, self.torch.full_like(high, float(mark)), high)
        return high.expand(shape)

    def _whole(self, labels: Labels, axes: Sequence[int]) -> bool:
        """Whether a sum along axes is of all channels of every layer that wrote some, wherever it is taken."""
        if any(size > 1 for axis, size in enumerate(labels.shape) if axis not in axes):
            return False
        sources = [source for source in self.ledger.sources(numbers(labels), None) if source.writer]
        if any(not np.array_equal(source.rows, sources[0].rows) for source in sources):
            return False
        self.together[tuple(sorted({source.writer for source in sources}))] = None
        return all(np.unique(source.rows[source.rows >= 0]).size == self.order[source.writer].out for source in sources)

    def first_reason(self, labels: Labels) -> str:
        """Why what these labels hold is not followed, where nothing else is known of it."""
        sources = self.ledger.sources(numbers(labels), None)
        told = [source for source in sources if source.writer or source.reason]
        return told[0].reason if told and all(source.reason for source in told) else ""

    def scale(self, labels: Labels) -> tuple[bool, bool]:
        """Whether labels are only of the network's input and of numbers about many channels, and whether of such a number."""
        sources = self.ledger.sources(numbers(labels))
        return all(source.statistic or source.given for source in sources), any(source.statistic for source in sources)

    def read(self, labels: Labels | None, axis: int, parts: Sequence[Part]) -> None:
        """A layer reads channels along an axis."""
        size = 0
        clear: tuple[Source, ...]
        blurred: tuple[Source, ...]
        if labels is None:
            reason = "a tensor that was not made by functions of torch"
            clear, blurred = (Source("", np.zeros(1, np.int64), reason=reason),), ()
        else:
            moved = labels.movedim(axis, -1)
            size = moved.shape[-1]
            (small,) = shrunk(moved)
            small = small.reshape(-1, small.shape[-1]).expand(-1, size) if small.ndim else small
            width = self.ledger.count
            keys = np.unique(small.numpy().astype(np.int64) + np.arange(size) * width)
            clear, blurred = met(self.ledger, keys // width, keys % width, size)
        for part in parts:
            self.order.setdefault(part.layer.name, part.layer)
            at = np.where(part.columns >= 0, part.columns, size) if size else None
            self.reads.append(
                Read(
                    part.layer.name,
                    clear if at is None else tuple(source for s in clear if ((source := _padded(s).taken(at)).rows >= 0).any()),
                    blurred,
                )
            )

    def written(self, output: Any, axis: int, parts: Sequence[Part]) -> Labels:
        """A layer wrote channels along an axis; their labels."""
        size = output.shape[axis]
        for part in parts:
            self.order.setdefault(part.layer.name, part.layer)
        start = self.ledger.output(size, [Source(part.layer.name, part.rows) for part in parts if (part.rows >= 0).any()])
        shape = [size if at == axis % output.ndim else 1 for at in range(output.ndim)]
        labels = self.table(np.arange(start, start + size), shape).expand(output.shape)
        self.set(output, labels)
        return labels

    def _follow(self, call: "Call") -> None:
        labelled = any(labels is not None and marked(labels) for _, labels in call.before)
        try:
            rule = next((rule for rule in self._rules if rule(call)), None)
        except _FAILURES:
            rule = None
        if rule is None and (labelled or any(self._stored.names(tensor) for tensor, _ in call.before)):
            call.lost(f"the output of {call.title}, which is not followed")
        elif rule is None:
            unknown = any(labels is None for _, labels in call.before)
            for output in call.outputs:
                self.set(output, None if unknown else self.constant(output))

    def _uncharted(self, call: "Call", *, charted: bool) -> None:
        """What labels do not say: whole numbers and truths made of channels, and what stands beside these."""
        if not call.outputs:
            return
        known = call.name in operations.COMPARISONS | operations.STILL | operations.EACH
        try:
            if known:
                self._derive(call)
        except _FAILURES:
            known = charted = False
        if not known and not charted:
            for labels in [labels for _, labels in call.before if labels is not None and marked(labels)]:
                self.leaves(labels, f"{call.title}, whose numbers are not followed")

    def _derive(self, call: "Call") -> None:
        """What stands beside channels entry by entry holds them at their places, unless it was computed from them in turn."""
        given = [*tensors((call.args, call.kwargs))]
        labels = {id(tensor): label for tensor, label in call.before if label is not None and marked(label)}
        others = [tensor for tensor in given if id(tensor) not in labels and id(tensor) not in self._derived]
        pinned = False
        for label in labels.values() if call.name not in operations.STILL else ():
            if call.name == "prelu":
                beside = others
            else:
                wide = label.expand(call.outputs[0].shape)
                axes = [axis - wide.ndim for axis in range(wide.ndim) if wide.shape[axis] > 1 and wide.stride(axis)]
                beside = [tensor for tensor in others if any(varies(tensor, axis) for axis in axes)]
            self.pinned(label, beside, call.name)
            pinned |= any(not self._stored.name(tensor) for tensor in beside)
        if not pinned and len(others) < len(given):
            for output in call.outputs:
                self._derived[id(output)] = weakref.ref(output, partial(self._forget, id(output)))

    def _forget(self, key: int, _: Any) -> None:
        self._derived.pop(key, None)

    def parts(self, weight: Any) -> tuple[Part, ...]:
        """The layers that a weight in use is, also where it was computed from stored ones."""
        found = self._stored.parts(weight)
        if found or self._stored.holds(weight) or not self.modules:
            return found
        found = self._stored.of_module(self.modules[-1], weight)
        for part in found:
            layer = part.layer
            held = np.asarray(_dense(layer.matrix.read()), dtype=np.float64).reshape(-1)
            if not np.allclose(np.sort(held), np.sort(weight.detach().double().cpu().numpy().reshape(-1)), rtol=1e-2, atol=1e-6):
                self.notes[layer.name] = "the network computes what it applies from this weight when it runs"
        return found

    def module_of(self, tensors: Sequence[Any]) -> str:
        """The module that owns the first of these that is stored, or else the one that runs."""
        owners = (self._stored.module(tensor) for tensor in tensors)
        return next((owner for owner in owners if owner is not None), self.modules[-1] if self.modules else "")

    def behind(self, labels: Sequence[Labels]) -> tuple[str, ...]:
        """Layers that what these labels hold was made from; none where one of them is not known."""
        found: list[str] = []
        for label in labels:
            for source in self.ledger.sources(numbers(label), None):
                if source.reason and not source.behind:
                    return ()
                found += [source.writer] if source.writer else source.behind
        return tuple(dict.fromkeys(found))

    def refuse(self, tensors: Sequence[Any], reason: str, behind: Sequence[str]) -> tuple[str, ...]:
        """Gaps for every layer among these tensors; their names.

        Args:
            tensors: What a function takes.
            reason: Why it is not followed.
            behind: The layers that wrote the others of these, or none where that is not known or they are many.
        """
        refused = {layer.name: layer for tensor in tensors for layer in self._stored.names(tensor)}
        for name, layer in refused.items():
            self.order.setdefault(name, layer)
            self.gaps += [(writer, name, reason) for writer in behind or ("",)]
        return tuple(refused)

    def unseen(self, prefix: str, reason: str) -> None:
        """A gap for every layer below a name that was not seen to run."""
        ran = {layer.matrix.tensor for layer in self.order.values()}
        for name, places in self._stored.placed.items():
            for place in places if name.startswith(prefix) and name not in ran else ():
                self.order[place.layer.name] = place.layer
                self.gaps.append(("", place.layer.name, reason))

    def _spread(self, tensor: Any) -> None:
        """Tell the views that share entries with a tensor that was changed in place."""
        labels = self.of(tensor)
        storage = address(tensor)
        alive = [(reference(), label) for reference, label in list(self._labels.values())]
        shared = [
            (other, label) for other, label in alive if other is not None and other is not tensor and address(other) == storage
        ]
        if labels is None or not shared or storage is None:
            return
        entries = self.torch.zeros(tensor.untyped_storage().nbytes() // tensor.element_size(), dtype=self.torch.float64)
        for other, label in (*shared, (tensor, labels)):
            if other.element_size() == tensor.element_size():
                once = tuple(slice(0, 1) if step == 0 else slice(None) for step in other.stride())
                entries.as_strided(other.shape, other.stride(), other.storage_offset())[once].copy_(label[once])
        for other, _ in shared:
            if other.element_size() == tensor.element_size():
                self.set(other, entries.as_strided(other.shape, other.stride(), other.storage_offset()).clone())


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a function of torch, and the labels that its tensors had before."""

    tracer: Tracer
    function: Any
    name: str
    args: Sequence[Any]
    kwargs: dict[str, Any]
    outputs: list[Any]
    before: list[tuple[Any, Labels | None]]

    @property
    def title(self) -> str:
        """The function as a user knows it."""
        found = self.tracer.torch.overrides.resolve_name(self.function)
        return str(found or f"torch.{self.name}").removesuffix(".__get__")

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument by its place or name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def labels(self, tensor: Any) -> Labels | None:
        """Labels that a tensor had before the call."""
        return next((labels for known, labels in self.before if known is tensor), None)

    def lost(self, reason: str) -> None:
        """Nothing is known of the outputs but why."""
        tracer = self.tracer
        told = [labels for _, labels in self.before if labels is not None and marked(labels)]
        reasons = [tracer.first_reason(labels) for labels in told]
        for labels in told:
            tracer.ledger.sources(numbers(labels))
            tracer.leaves(labels, f"{self.title}, which is not followed")
        behind = tracer.behind(told) if all(labels is not None for _, labels in self.before) else ()
        near = behind if len(behind) <= FEW else ()
        refused = tracer.refuse([tensor for tensor, _ in self.before], f"{self.title} is not followed", near)
        only = reasons[0] if reasons and all(reasons) else ""
        given = told and all(source.given for labels in told for source in tracer.ledger.sources(numbers(labels), None))
        mark = tracer.input if given and not refused else tracer.ledger.unknown(only or reason, behind=refused or behind)
        for output in self.outputs:
            tracer.set(output, tracer.uniform(mark, output))


def varies(tensor: Any, axis: int) -> bool:
    """Whether entries change along an axis, counted from the last one."""
    if tensor.ndim < -axis or tensor.shape[axis] < 2:
        return False
    return bool((tensor != tensor.narrow(axis, 0, 1)).any())


_BY_SAMPLE = frozenset({"group_norm", "instance_norm"})


def _padded(source: Source) -> Source:
    """The source with one more channel that meets nothing, for input channels that the weight in use does not have."""
    norms = tuple(Passed(norm.module, norm.kind, np.append(norm.at, -1)) for norm in source.norms)
    return replace(source, rows=np.append(source.rows, -1), norms=norms)


def _dense(operand: Any) -> Any:
    return getattr(operand, "blocks", operand)
