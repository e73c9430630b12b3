"""One chain in the order of a file: each layer reads what the one before it writes. What does not look like a chain is an error."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.errors import UsageError
from modescope.matrix import Tensor
from modescope.spectral_graph.wiring import Gap, Layer, Link, Norm, Wiring, weights
from modescope.spectral_graph.wiring._joining import assembled, flattened, join, mismatch
from modescope.spectral_graph.wiring._spine import Spot, natural, spine

ASSUMED = "one chain in the order of the file is assumed: additions, branches and concatenations cannot be seen in it"
SORTED = "the file is sorted by name, so that names are taken in the order of the numbers in them"
FIRST = "flattened positions are taken channels first, the order of torch.flatten; flatten='channels_last' for the other"
LAST = "flattened positions are taken channels last"
MODES = "mode_factors"  # kind of a weight that is kept as modes, be it a kernel or not
NORMS = "each batch norm is taken to follow the layer it is named or stored after directly"

# Words that betray more than one path, each with what it betrays.
_BETRAYED = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"down_?sample|short_?cut|skip|resid|(?:\A|[._])res(?:\d|[._])|(?:\A|\.)layer\d+\.\d+\.\w+\.", "additions"),
        (r"att(?:n|ention)|in_proj|(?:\A|[._])[qkv]_proj|(?:\A|[._])(?:query|key|value)[._]|qkv", "attention"),
        (r"branch|inception|mixed_|dense_?block|dense_?layer|lateral|fpn|(?:\A|[._])aux|tower", "branches"),
        (r"gate|up_proj|squeeze|excit|(?:\A|[._])se[._]|glu(?:[._]|\Z)", "products"),
        (r"expert|lora_|adapter|weight_[ih]h", "layers side by side"),
    )
)
_NUMBER = re.compile(r"(?P<stem>.*?)(?P<number>\d*)(?:[-_]?(?:bn|norm|batch_?norm))?\Z", re.IGNORECASE | re.DOTALL)


def ordered(
    checkpoint: Checkpoint,
    /,
    *,
    view: str | None = None,
    flatten: str | None = None,
    vouched: bool = False,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> Wiring:
    """Join the layers of a checkpoint into one chain.

    A layer reads the one before it where their dimensions are equal, or where a dense one reads a whole multiple of what a
    convolution writes: its positions, flattened. A batch norm belongs to the layer it follows. Nothing is joined past a weight
    that cannot be used or was not selected; only one that was left out as a side path, by its name or because its dimensions
    follow neither neighbour, is passed.

    Args:
        checkpoint: Its headers are used.
        view: "heads", for layers that offer it.
        flatten: "channels_first", the order of torch.flatten and the default, or "channels_last"; files of kernels stored channels
            last must say which.
        vouched: The caller says that it is one chain: names are not judged, and what does not fit is a gap.
        include: Globs on tensor names: which layers form the chain.
        exclude: Globs on tensor names.

    Raises:
        UsageError: No layers, names that betray more than one path, or dimensions that do not follow each other; with candidates.
    """
    names, is_sorted = in_order(checkpoint.tensors)
    spots, nowhere, names = spine(checkpoint, names, weights.layers(checkpoint, view=view), include, exclude)
    groups = [spot.layers for spot in spots if spot.kept]
    if not groups:
        raise UsageError("wiring: expected layers to join, got a checkpoint without any that are selected.")
    if not vouched:
        _judge(groups)
    normed, notes = _with_norms(checkpoint, names, spots)
    spots = [replace(spot, layers=(normed[spot.layers[0].name],)) if len(spot.layers) == 1 else spot for spot in spots]
    groups = [spot.layers for spot in spots if spot.kept]
    spots, passed = _without_side_paths(spots)
    aside = [spot for spot in nowhere if not spot.left_out]
    joined: list[Link | Gap] = [Gap("", spot.name, f"no place in the chain: {spot.missing}") for spot in aside]
    earlier: list[Layer] = []
    for writer, reader in pairwise(spots):
        if writer.kept and reader.kept:
            joined += _step(writer.layers, reader.layers, earlier, flatten, vouched=vouched)
        else:
            joined += _broken(writer, reader)
        earlier += writer.layers if writer.kept else ()
    if passed:
        notes.append(f"left out as side paths, which the chain goes past: {_some(passed)}")
    if any(isinstance(item, Link) and item.relation == "flatten" for item in joined):
        notes.append(LAST if flatten == "channels_last" else FIRST)
    notes = [ASSUMED, *([SORTED] if is_sorted else []), *notes]
    return assembled([layer for several in groups for layer in several], joined, "order of the file", notes)


def in_order(tensors: Sequence[Tensor]) -> tuple[list[str], bool]:
    """Names as they stand, or, where they are sorted as text, with the numbers in them counted; and whether that was done.

    Writers of safetensors sort the tensors of each width of entries by themselves, so that the order says nothing.
    """
    names = [tensor.name for tensor in tensors]
    by_dtype: dict[str, list[str]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.stored, []).append(tensor.name)
    counted = sorted(names, key=natural)
    if counted == names or any(several != sorted(several) for several in by_dtype.values()):
        return names, False
    return counted, True


def _judge(groups: Sequence[tuple[Layer, ...]]) -> None:
    """Refuse names that betray more than one path."""
    for pattern, what in _BETRAYED:
        found = [several[0].matrix.tensor for several in groups if pattern.search(several[0].matrix.tensor.lower())]
        if found:
            raise UsageError(f"wiring: expected one chain of layers, got names that betray {what}: {_some(found)}. {_advice()}")
    tops = {several[0].matrix.tensor.partition(".")[0].lower() for several in groups}
    if {"encoder", "decoder"} <= tops:
        raise UsageError(f"wiring: expected one chain of layers, got an encoder and a decoder, which skips may join. {_advice()}")
    several = next((several for several in groups if len(several) > 1), None)
    if several is not None:
        names = _some([layer.name for layer in several])
        raise UsageError(f"wiring: expected one chain of layers, got several in one tensor: {names}. {_advice()}")


def _advice() -> str:
    return (
        "Pass the nn.Module with inputs to trace it, a list of (from, to) names as wiring, "
        "or wiring='order' if it is one chain all the same."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _without_side_paths(spots: Sequence[Spot]) -> tuple[list[Spot], list[str]]:
    """The order without what was left out and is no part of the chain, and the names of that."""
    beside: list[str] = []
    for index, spot in enumerate(spots):
        before = spots[index - 1] if index else None
        after = spots[index + 1] if index + 1 < len(spots) else None
        follows = (before is not None and _may_follow(before, spot)) or (after is not None and _may_follow(spot, after))
        betrayed = any(pattern.search(spot.name.lower()) for pattern, _ in _BETRAYED)
        if spot.left_out and (betrayed or not follows):
            beside.append(spot.name)
    return [spot for spot in spots if spot.name not in beside], beside


def _may_follow(writer: Spot, reader: Spot) -> bool:
    """Whether dimensions speak for a link, or say nothing."""
    if not writer.layers or not reader.layers:
        return True
    return any(
        one.out == other.channels or (_flattens(one, other) and other.channels % one.out == 0)
        for one in writer.layers
        for other in reader.layers
    )


def _broken(writer: Spot, reader: Spot) -> list[Gap]:
    """Gaps around what is not in the graph; between two that were left out nothing needs to be said."""
    if writer.left_out and reader.left_out:
        return []
    first, second = (writer, reader) if writer.left_out else (reader, writer)  # what the user asked for is said first
    reason = "; ".join(filter(None, (first.missing, second.missing)))
    return [Gap(source, target, reason) for target in reader.ends for source in writer.ends]


def _step(
    writers: tuple[Layer, ...], readers: tuple[Layer, ...], earlier: Sequence[Layer], flatten: str | None, *, vouched: bool
) -> list[Link | Gap]:
    """How the layers of one tensor read those of the tensor before it."""
    if len(writers) > 1:
        return [
            Gap(writer.name, reader.name, f"{writer.matrix.tensor} holds {len(writers)} layers: how they join is not known")
            for reader in readers
            for writer in writers
        ]
    writer = writers[0]
    found: list[Link | Gap] = []
    for reader in readers:
        if reader.matrix.kind == "embedding":
            found.append(_refused(writer, reader, f"{reader.name} is an embedding and reads indices", vouched=vouched))
            continue
        if writer.out == reader.channels:
            found.append(join(writer, reader, "next"))
            continue
        rows = flattened(writer, reader, channels_last=flatten == "channels_last") if _flattens(writer, reader) else None
        if rows is not None:
            if flatten is None and writer.matrix.tensor.rpartition(".")[2] == "kernel":
                raise UsageError(
                    f"flatten: {reader.name} reads {reader.channels} = {reader.channels // writer.out} x {writer.out} inputs from "
                    f"{writer.name}, named as in libraries that flatten channels last or first. "
                    "Pass flatten='channels_last' or flatten='channels_first'."
                )
            found.append(join(writer, reader, "flatten", rows=rows, through=("flatten",)))
            continue
        reason = mismatch(writer, reader)
        fitting = [layer.name for layer in earlier if layer.out == reader.channels]
        if fitting:
            reason += f"; earlier layers that write {reader.channels}: {_some(fitting)}"
        found.append(_refused(writer, reader, reason, vouched=vouched))
    return found


def _refused(writer: Layer, reader: Layer, reason: str, *, vouched: bool) -> Gap:
    if not vouched:
        raise UsageError(f"wiring: expected one chain of layers, but {reason}. {_advice()}")
    return Gap(writer.name, reader.name, reason)


def _flattens(writer: Layer, reader: Layer) -> bool:
    """Whether a kernel writes what a layer without positions reads; of weights in modes their taps tell which they are."""
    kernel = "convolution" in writer.matrix.kind or (writer.matrix.kind == MODES and writer.channels < writer.matrix.shape[1])
    whole = reader.matrix.kind == MODES and reader.channels == reader.matrix.shape[1]
    return kernel and (whole or reader.matrix.kind in {"dense", "transposed"})


def _with_norms(checkpoint: Checkpoint, names: Sequence[str], spots: Sequence[Spot]) -> tuple[dict[str, Layer], list[str]]:
    """Layers with the norms that follow or precede them, also those left out, and what must be said of these."""
    found = {spot.layers[0].name: spot.layers[0] for spot in spots if spot.layers}
    by_module = {layer.matrix.tensor.rpartition(".")[0]: layer for layer in found.values()}
    notes: list[str] = []
    for module in dict.fromkeys(name.rpartition(".")[0] for name in names):
        norm = None if module in by_module else weights.norm(checkpoint, module)
        if norm is None:
            continue
        before, after = _beside(names, spots, module)
        named = _named_alike(module, by_module)
        writer = named if named is not None and named.out == norm.size else before
        if writer is not None and writer.out == norm.size and not found[writer.name].after:
            notes += _follow(found, spots, norm, writer, batch=weights.is_batch_norm(checkpoint, module))
        elif after is not None and after.channels == norm.size and not found[after.name].before:
            found[after.name] = replace(found[after.name], before=(norm,))
            notes.append(f"{module} is taken to stand before {after.name}")
        else:
            notes.append(f"{module} with {norm.size} channels fits no layer beside it: not folded")
    return found, notes


def _follow(found: dict[str, Layer], spots: Sequence[Spot], norm: Norm, writer: Layer, *, batch: bool) -> list[str]:
    """Put a norm after a layer: a batch norm is folded there, another one into what reads it next."""
    if batch:
        found[writer.name] = replace(found[writer.name], after=(norm,))
        return [NORMS]
    behind = next((late for early, late in pairwise(spots) if early.name == writer.matrix.tensor), None)
    reader = behind.layers[0] if behind is not None and behind.layers else None
    if reader is None or reader.channels % norm.size:
        return [f"{norm.name} is read by no layer of this chain: not folded"]
    if found[reader.name].before:
        return [f"{norm.name} stands beside {found[reader.name].before[0].name} before {reader.name}: not folded"]
    at = None if reader.channels == norm.size else np.repeat(np.arange(norm.size), reader.channels // norm.size)
    found[reader.name] = replace(found[reader.name], before=(replace(norm, at=at),))
    return [f"{norm.name} is taken to stand between {writer.name} and {reader.name}"]


def _beside(names: Sequence[str], spots: Sequence[Spot], module: str) -> tuple[Layer | None, Layer | None]:
    """The layers right before and right after a module in the order of names; None where a weight there gives none."""
    place = {name: index for index, name in enumerate(names)}
    here = min(index for name, index in place.items() if name.rpartition(".")[0] == module)
    before = [spot.layers for spot in spots if place[spot.name] < here][-1:]
    after = [spot.layers for spot in spots if place[spot.name] > here][:1]
    first, second = (several[0][0] if several and several[0] else None for several in (before, after))
    return first, second


def _named_alike(module: str, layers: Mapping[str, Layer]) -> Layer | None:
    """The layer with the same number beside a norm: `conv2` of `bn2`, `conv2` of `conv2-BN`."""
    parent, _, own = module.rpartition(".")
    match = _NUMBER.match(own)
    number = match["number"] if match else ""
    if not number or own.isdecimal():
        return None
    alike = [
        layer
        for name, layer in layers.items()
        if name.rpartition(".")[0] == parent and re.search(rf"(?<!\d){number}\Z", name) and not name.rpartition(".")[2].isdecimal()
    ]
    return alike[0] if len(alike) == 1 else None
