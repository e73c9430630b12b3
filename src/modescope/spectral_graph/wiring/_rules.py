"""What each function of torch does to the labels of its tensors: one rule for each way."""

from collections.abc import Sequence
from typing import Any

from modescope.spectral_graph.wiring import _operations as operations
from modescope.spectral_graph.wiring._channels import compatible, raised, stepped
from modescope.spectral_graph.wiring._labels import Labels, floats, is_float, marked, shrunk
from modescope.spectral_graph.wiring._tracer import Call, Tracer, varies

FEW = 16  # different summands of an axis that are followed one by one


def _still(call: Call) -> bool:
    if call.name not in operations.STILL:
        return False
    call.tracer.set(call.outputs[0], call.before[0][1])
    return True


def _moved(call: Call) -> bool:
    if call.name not in operations.MOVING:
        return False
    if all(labels is None for _, labels in call.before):
        return False

    def own(value: Any) -> Any:
        if is_float(value):
            labels = call.labels(value)
            labels = call.tracer.constant(value) if labels is None else labels
            return labels.contiguous() if call.name in {"view", "view_as", "unflatten"} and value.is_contiguous() else labels
        if isinstance(value, float):
            return 0.0
        if isinstance(value, list | tuple) and type(value) in {list, tuple}:
            return type(value)(map(own, value))
        return value.cpu() if hasattr(value, "cpu") else value

    args = [own(value) for value in call.args]
    kwargs = {name: own(value) for name, value in call.kwargs.items() if name != "out"}
    if call.name == "pad":
        kwargs["value"] = 0.0 if call.argument(2, "mode", "constant") == "constant" else None
        args = args[:3]
    if call.name == "setitem" and not is_float(call.args[2]):
        args[2] = 0.0
    if operations.named(call.function)[1]:
        args[0] = args[0].clone(memory_format=call.tracer.torch.contiguous_format)
    moved = call.function(*args, **kwargs)
    results = [args[0]] if call.name == "setitem" else list(floats(moved))
    for output, labels in zip(call.outputs, results, strict=True):
        call.tracer.set(output, labels)
    _placed(call)
    return True


def _placed(call: Call) -> None:
    """Numbers that no layer wrote, put beside channels at other positions, hold these at their places."""
    joined = call.name in operations.JOINING
    known = [(tensor, labels) for tensor, labels in call.before if labels is not None]
    others = [tensor for tensor, labels in known if not marked(labels)]
    for labels in (labels for _, labels in known if marked(labels)) if others else ():
        along = call.argument(1, "dim", 0) % labels.ndim if joined and call.name != "stack" else None
        axes = [axis for axis in range(labels.ndim) if labels.shape[axis] > 1 and labels.stride(axis) and axis != along]
        beside = [t for t in others if not joined or any(t.ndim > axis and varies(t, axis - t.ndim) for axis in axes)]
        call.tracer.pinned(labels, [tensor for tensor in beside if bool((tensor != tensor.reshape(-1)[:1]).any())], call.name)


def _made(call: Call) -> bool:
    if call.name not in operations.MAKING:
        return False
    for output in call.outputs:
        call.tracer.set(output, call.tracer.constant(output))
    return True


def _gained(call: Call) -> bool:
    """A learned vector multiplies the channels along one axis: a normalisation without statistics, as in LayerScale."""
    if call.name not in {"mul", "multiply"}:
        return False
    output, sides = call.outputs[0], (call.argument(0, "input"), call.argument(1, "other"))
    for tensor, gains in (sides, sides[::-1]):
        labels = call.labels(tensor) if is_float(tensor) and is_float(gains) else None
        if labels is None or not marked(labels) or _labelled(call, gains) or not (name := call.tracer.gain(gains)):
            continue
        axis = output.ndim - gains.ndim + max(range(gains.ndim), key=lambda at: gains.shape[at])
        call.tracer.normalised(labels.expand(output.shape), output, (name, operations.GAIN), (axis,), (gains,))
        return True
    return False


def _each(call: Call) -> bool:
    pair = call.name in {"max", "min"} and is_float(call.argument(1, "other"))
    if call.name not in operations.EACH and not pair:
        return False
    known = [labels for _, labels in call.before if labels is not None]
    if not known:
        return False
    relation = "product" if call.name in operations.PRODUCTS else "residual"
    output = call.outputs[0]
    call.tracer.set(output, call.tracer.met_each_by_each(known, output.shape, call.name, relation))
    return True


def _added(call: Call) -> bool:
    """Entries of one tensor are added to chosen places of another, as where experts give back their tokens."""
    if call.name not in {"index_add", "scatter_add"}:
        return False
    tracer, output = call.tracer, call.outputs[0]
    tensor, axis, index, source = call.args[:4]
    labels = [tracer.constant(one) if (known := call.labels(one)) is None else known for one in (tensor, source)]
    blank = tracer.constant(tensor).clone()
    place = blank.index_copy if call.name == "index_add" else blank.scatter
    placed = place(axis, index.cpu(), labels[1].contiguous())
    tracer.set(output, tracer.met_each_by_each([labels[0], placed], output.shape, "add", "residual"))
    return True


def _glu(call: Call) -> bool:
    if call.name != "glu" or call.before[0][1] is None:
        return False
    halves = call.before[0][1].chunk(2, call.argument(1, "dim", -1))
    call.tracer.set(call.outputs[0], call.tracer.met_each_by_each(halves, call.outputs[0].shape, "glu", "product"))
    return True


def _pool(call: Call) -> bool:
    if call.name not in operations.POOLS | operations.RESAMPLING or call.before[0][1] is None:
        return False
    labels, tracer = call.before[0][1], call.tracer
    axes = int(call.name[-2]) if call.name[-1] == "d" else int(call.name[8]) if "_with_" in call.name else labels.ndim - 2
    where = tuple(range(labels.ndim - axes, labels.ndim))
    kept = tracer.agreed(labels, where, f"{call.title} over positions of different channels", statistic=False)
    found = tracer.changed(kept, lambda sources: stepped(sources, call.name))
    for output in call.outputs:
        tracer.set(output, found.expand(output.shape))
    return True


def _reduced(call: Call) -> bool:
    if call.name not in operations.REDUCTIONS or call.before[0][1] is None:
        return False
    labels, tracer, output = call.before[0][1], call.tracer, call.outputs[0]
    said = call.kwargs.get("dim", call.kwargs.get("axis", call.argument(2 if "norm" in call.name else 1, "dim")))
    axes = tuple(range(labels.ndim)) if said is None or said == () else (said,) if isinstance(said, int) else tuple(said)
    axes = tuple(sorted(axis % labels.ndim for axis in axes))
    whole = output.ndim == labels.ndim  # the axis is kept: a number to compare the channels with
    if call.name in operations.EXTREMES and len(axes) == 1 and not whole and _groups(tracer, labels, axes[0]):
        slices = _distinct(tracer, labels, axes[0])
        if 1 < len(slices) <= FEW:
            labels = tracer.met_each_by_each(slices, slices[0].shape, call.name, "residual")
        kept = tracer.agreed(labels, axes, f"{call.title} over channels", statistic=False)
    else:
        kept = _over(call, labels, axes, f"{call.title} over channels", statistic=True)
    tracer.set(output, tracer.changed(kept, lambda sources: stepped(sources, call.name)).reshape(output.shape))
    for other in call.outputs[1:]:
        tracer.set(other, tracer.of(output))
    return True


def _over(call: Call, labels: Labels, axes: Sequence[int], reason: str, *, statistic: bool) -> Labels:
    """Labels along axes that are summed over, which keep length 1: outputs of layers that were stacked are followed.

    Args:
        call: Of the function that sums.
        labels: Of what is summed.
        axes: Summed over.
        reason: What to say where several channels of one layer are summed.
        statistic: Such a sum is a number about many channels.
    """
    for axis in axes:
        slices = _distinct(call.tracer, labels, axis)
        if 1 < len(slices) <= FEW and _are_streams(call.tracer, slices):
            labels = call.tracer.met_each_by_each(slices, slices[0].shape, call.name, "residual")
    return call.tracer.agreed(labels, axes, reason, statistic=statistic)


def _distinct(tracer: Tracer, labels: Labels, axis: int) -> tuple[Labels, ...]:
    """Slices along an axis of which entries of several channels meet, each once; none where all are of one channel."""
    (small,) = shrunk(labels)
    low = tracer.torch.where(small == 0, tracer.torch.full_like(small, float("inf")), small).amin(axis)
    high = small.amax(axis)
    if small.shape[axis] < 2 or not bool(((high > 0) & (high != low)).any()):
        return ()
    shape = tuple(1 if at == axis % labels.ndim else size for at, size in enumerate(labels.shape))
    return tuple(one.expand(shape) for one in tracer.torch.unique(small, dim=axis).split(1, axis))


def _are_streams(tracer: Tracer, slices: Sequence[Labels]) -> bool:
    """Whether slices are outputs that were stacked, and not the channels of one.

    They are where each has a layer of its own, or where all have the same channel, or none, of every layer at each place.
    """
    found = [
        [source for source in tracer.ledger.sources(one.reshape(-1).numpy().astype("int64"), None) if source.writer]
        for one in shrunk(*slices)
    ]
    writers = [{source.writer for source in one} for one in found]
    others = [set().union(*writers[:at], *writers[at + 1 :]) for at in range(len(writers))]
    if all(own - other for own, other in zip(writers, others, strict=True)):
        return True
    return any(writers) and all(
        compatible(source.rows, known.rows)
        for at, one in enumerate(found)
        for other in found[:at]
        for source in one
        for known in other
        if source.writer == known.writer
    )


def _groups(tracer: Tracer, labels: Labels, axis: int) -> bool:
    """Whether an axis holds groups of channels, of which each leaves a channel (maxout), and not all channels."""
    (first,) = shrunk(labels.narrow(axis, 0, 1))
    sources = tracer.ledger.sources(first.reshape(-1).numpy().astype("int64"), None)
    return any(len(set(source.rows[source.rows >= 0].tolist())) > 1 for source in sources if source.writer)


def _sorted(call: Call) -> bool:
    """Values by their size may be those of any channel along the axis: numbers about many channels."""
    if call.name not in operations.SORTING or call.before[0][1] is None:
        return False
    labels, output = call.before[0][1], call.outputs[0]
    place = {"topk": 2, "kthvalue": 2, "sort": 1}.get(call.name)
    axis = (0 if place is None else call.argument(place, "dim", -1)) % labels.ndim
    kept = call.tracer.agreed(labels, (axis,), f"{call.title} over channels", statistic=True)
    found = call.tracer.changed(kept, lambda sources: stepped(sources, call.name))
    call.tracer.set(output, found.expand(output.shape) if output.ndim == labels.ndim else found.reshape(output.shape))
    return True


def _norm(call: Call) -> bool:
    if call.name not in operations.NORMS or not call.before:
        return False
    tensor, output, tracer = call.args[0] if call.args else call.kwargs["input"], call.outputs[0], call.tracer
    axes: tuple[int, ...] = (1,) if output.ndim > 1 else (0,)
    if call.name in {"layer_norm", "rms_norm"}:
        axes = tuple(range(output.ndim - len(call.argument(1, "normalized_shape")), output.ndim))
    learned = [other for other, _ in call.before if other is not tensor]
    tracer.normalised(call.labels(tensor), output, (tracer.module_of(learned), call.name), axes, learned)
    return True


def _linear(call: Call) -> bool:
    if call.name != "linear":
        return False
    return _applied(call, call.argument(0, "input"), call.argument(1, "weight"), -1, call.argument(2, "bias"))


def _convolution(call: Call) -> bool:
    if call.name not in operations.CONVOLUTIONS:
        return False
    axis = -1 - int(call.name[-2])
    return _applied(call, call.argument(0, "input"), call.argument(1, "weight"), axis, call.argument(2, "bias"))


def _embedding(call: Call) -> bool:
    if call.name not in operations.TABLES:
        return False
    weight = next((value for value in (*call.args, *call.kwargs.values()) if is_float(value) and value.ndim == 2), None)
    if weight is None:
        return False
    parts = call.tracer.parts(weight.t())
    if parts:
        call.tracer.written(call.outputs[0], -1, parts)
    return bool(parts)


def _applied(call: Call, tensor: Any, weight: Any, axis: int, bias: Any) -> bool:
    """A layer maps the channels along an axis of a tensor to those of the output."""
    tracer = call.tracer
    parts = () if _labelled(call, weight) else tracer.parts(weight)
    if not parts:
        return False
    tracer.read(call.labels(tensor), axis, parts)
    labels = tracer.written(call.outputs[0], axis, parts)
    if bias is not None:
        tracer.pinned(labels, (bias,), call.name)
    return True


def _labelled(call: Call, tensor: Any) -> bool:
    """Whether channels of the network went into a tensor, so that it is no weight."""
    labels = call.labels(tensor)
    return labels is not None and marked(labels)


def _contracted(call: Call) -> bool:
    """A product of matrices: with a stored one it is a layer, of two activations it carries the channels that are not summed."""
    if call.name not in operations.CONTRACTIONS:
        return False
    first = 1 if call.name.startswith(("add", "badd")) else 0
    one, other = call.args[first], call.args[first + 1]
    if call.name == "matmul" and getattr(call.function, "__name__", "") == "__rmatmul__":
        one, other = other, one
    output, tracer = call.outputs[0], call.tracer
    if other.ndim == 2 and not _labelled(call, other) and (parts := tracer.parts(other.t())):
        tracer.read(call.labels(one), -1, parts)
        tracer.written(output, -1, parts)
    elif one.ndim == 2 and other.ndim > 1 and not _labelled(call, one) and (parts := tracer.parts(one)):
        tracer.read(call.labels(other), -2, parts)
        tracer.written(output, -2, parts)
    else:
        left, right = call.labels(one), call.labels(other)
        if left is None and right is None:
            return False
        left = tracer.constant(one) if left is None else left
        right = tracer.constant(other) if right is None else right
        tracer.set(output, _summed(tracer, call, (left, left.ndim - 1), (right, max(right.ndim - 2, 0)), output))
        stacks = [tensor for tensor in (one, other) if tensor.ndim > 2 and not _labelled(call, tensor)]
        tracer.pinned(tracer.of(output), stacks, call.name)  # whose further axes are multiplied entry by entry
    added = call.labels(call.args[0]) if first else None
    if first and (added is None or not marked(added)):
        tracer.pinned(tracer.of(output), call.args[:1], call.name)
    if added is not None and marked(added):
        tracer.set(output, tracer.met_each_by_each([tracer.of(output), added], output.shape, "add", "residual"))
    return True


def _summed(tracer: Tracer, call: Call, one: tuple[Labels, int], other: tuple[Labels, int], output: Any) -> Labels:
    reason = f"{call.title} of two activations"
    left, right = (_over(call, labels, (axis,), reason, statistic=True) for labels, axis in (one, other))
    if one[0].ndim == 1 and other[0].ndim > 1:  # a vector from the left: no axis of its own in the output
        left, right = left.reshape(1), right.squeeze(-2)
    elif other[0].ndim == 1:
        left, right = left.squeeze(-1), right.reshape(())
    return _weighed(tracer, left, right, output.shape, call.name)


def _weighed(tracer: Tracer, left: Labels, right: Labels, shape: Sequence[int], name: str) -> Labels:
    """Where one side is made of scores, or comes from outside, the channels are those of the other; else they are products."""
    (outside, scored), (also_outside, also_scored) = tracer.scale(left), tracer.scale(right)
    if outside == also_outside or not (marked(left) and marked(right)):
        return tracer.met_each_by_each([left, right], shape, name, "product")
    kept, attended = (right, scored) if outside else (left, also_scored)
    relation = "attention" if attended else "next"
    return tracer.changed(kept.expand(tuple(shape)), lambda sources: raised(stepped(sources, name), relation))


def _einsum(call: Call) -> bool:
    if call.name != "einsum" or not isinstance(call.args[0], str):
        return False
    equation = call.args[0].replace(" ", "")
    operands = list(call.args[1]) if isinstance(call.args[1], list | tuple) else list(call.args[1:])
    if len(operands) != 2 or "->" not in equation or "." in equation:
        return False
    inputs, out = equation.split("->")
    terms = inputs.split(",")
    tracer, output = call.tracer, call.outputs[0]
    for tensor, weight, mine, its in ((operands[0], operands[1], *terms), (operands[1], operands[0], *terms[::-1])):
        summed = [letter for letter in its if letter in mine and letter not in out]
        free = [letter for letter in its if letter in out and letter not in mine]
        if weight.ndim == 2 and not _labelled(call, weight) and len(summed) == len(free) == 1:
            parts = tracer.parts(weight if its[1] == summed[0] else weight.t())
            if parts:
                tracer.read(call.labels(tensor), mine.index(summed[0]), parts)
                tracer.written(output, out.index(free[0]), parts)
                return True
    sides = []
    for tensor, mine in zip(operands, terms, strict=True):
        labels = call.labels(tensor)
        if len(set(mine)) != len(mine):
            return False
        labels = tracer.constant(tensor) if labels is None else labels
        axes = [at for at, letter in enumerate(mine) if letter not in out]
        kept = _over(call, labels, axes, f"{call.title} of two activations", statistic=True)
        named = [letter for letter in mine if letter in out]
        kept = kept.permute(*[mine.index(letter) for letter in sorted(named, key=out.index)], *axes)
        sides.append(kept.reshape([kept.shape[sorted(named, key=out.index).index(c)] if c in named else 1 for c in out]))
    tracer.set(output, _weighed(tracer, sides[0], sides[1], output.shape, call.name))
    for tensor, mine, its in ((operands[0], *terms), (operands[1], *terms[::-1])):
        if not _labelled(call, tensor) and any(letter in its and letter in out for letter in mine):
            tracer.pinned(tracer.of(output), (tensor,), call.name)
    return True


def _attention(call: Call) -> bool:
    if call.name != "scaled_dot_product_attention":
        return False
    query, key, value = (call.argument(at, name) for at, name in enumerate(("query", "key", "value")))
    labels, tracer, output = call.labels(value), call.tracer, call.outputs[0]
    if labels is None:
        return False
    tracer.used([query, key])
    kept = _over(call, labels, (labels.ndim - 2,), f"{call.title} over different channels", statistic=False)
    if kept.ndim > 2 and kept.shape[-3] not in {1, output.shape[-3]}:  # several query heads share the values of one
        kept = kept.repeat_interleave(output.shape[-3] // kept.shape[-3], -3)
    found = tracer.changed(kept, lambda sources: raised(stepped(sources, call.name), "attention"))
    tracer.set(output, found.expand(output.shape))
    return True


def _multihead(call: Call) -> bool:
    """`nn.MultiheadAttention` as torch computes it: three maps of its inputs, and one of the values they select."""
    if call.name != "multi_head_attention_forward":
        return False
    inputs = [call.argument(at, name) for at, name in enumerate(("query", "key", "value"))]
    packed, out = call.argument(5, "in_proj_weight"), call.argument(11, "out_proj_weight")
    width = inputs[0].shape[-1]
    weights: tuple[Any, ...] = (
        tuple(packed[at * width : (at + 1) * width] for at in range(3))
        if packed is not None
        else tuple(call.kwargs.get(f"{letter}_proj_weight") for letter in "qkv")
    )
    tracer, output = call.tracer, call.outputs[0]
    found = [tracer.parts(weight) for weight in weights]
    last = tracer.parts(out)
    if not all(found) or not last:
        return False
    for tensor, parts in zip(inputs, found, strict=True):
        tracer.read(call.labels(tensor), -1, parts)
    values = inputs[2].new_empty((*inputs[2].shape[:-1], weights[2].shape[0]))
    written = [tracer.written(values, -1, parts) for parts in found][2][(0,) * (values.ndim - 1)]
    labels = tracer.changed(written, lambda sources: raised(stepped(sources, "attention"), "attention"))
    tracer.read(labels, -1, last)
    tracer.written(output, -1, last)
    scores = tracer.ledger.unknown("the scores of an attention", statistic=True)
    for other in call.outputs[1:]:
        tracer.set(other, tracer.uniform(scores, other))
    return True


RULES = (
    *(_linear, _convolution, _embedding, _contracted, _einsum, _attention, _multihead, _norm),
    *(_still, _moved, _made, _gained, _each, _added, _glu, _pool, _reduced, _sorted),
)
