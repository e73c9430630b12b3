"""Wiring of a live model by one run on an example input: every channel is followed, and nothing is guessed."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from modescope.checkpoints import Checkpoint
from modescope.checkpoints.module import evaluating
from modescope.errors import ModescopeError, UsageError
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring._assembled import assembled
from modescope.spectral_graph.wiring._labels import Labels, floats
from modescope.spectral_graph.wiring._rules import RULES
from modescope.spectral_graph.wiring._stored import Stored
from modescope.spectral_graph.wiring._tracer import Tracer

_NORM = re.compile(r"(rms|layer|batch)_?norm", re.IGNORECASE)


def traced(model: Any, checkpoint: Checkpoint, inputs: Any, *, view: str | None = None) -> Wiring:
    """Find which layer feeds which by running a model once and following the channels of every tensor.

    Beside each tensor goes a tensor of the same shape that holds the number of the channel each entry belongs to. Functions that
    move entries are run on the numbers too; elementwise functions, pooling, normalisations, additions and products keep them,
    attention keeps those of its values. A reader whose channels are lost gives a gap with the function that lost them.

    The model is given back as it was, also after an exception: training flags, weights and buffers that its run writes to, hooks
    and torch's random numbers. What `torch.compile` compiled runs as it was written. Memory is that of one run and, where channels
    vary along all axes, as many numbers of eight bytes as the activations that are alive.

    Args:
        model: An `nn.Module`. It runs in evaluation mode and without gradients.
        checkpoint: Its tensors; opened from the model, or from a file that the model was loaded from.
        inputs: What the model is called with: a tensor, a tuple of arguments, or a mapping of keyword arguments.
            One sample will do.
        view: "heads" to see attention projections head by head.

    Returns:
        `Wiring` of the layers that ran, in the order in which they first ran.

    Raises:
        UsageError: The model does not run on the input, does not belong to the checkpoint, or no layer of it was seen to run, as
            in a scripted or quantised one; or torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise UsageError("tracing a model needs torch: pip install 'modescope[torch]'.") from error
    args, kwargs = _arguments(inputs)
    stored = Stored(model, checkpoint, view)
    tracer = Tracer(torch, stored, RULES)
    with _given_back(model, tracer), torch.no_grad(), _eager(), _named_modules(model, tracer):
        args, kwargs = _copied((args, kwargs), tracer)
        try:
            with _mode(tracer):
                output = model(*args, **kwargs)
        except ModescopeError:
            raise
        except Exception as error:
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise UsageError(
                f"{type(model).__name__}: expected inputs that the model runs on, got {type(error).__name__}: {said}; "
                "pass a tensor, a tuple of arguments or a mapping of keyword arguments."
            ) from error
        tracer.used(output)
        for tensor in [*floats(output)] or floats(getattr(output, "__dict__", None)):
            labels = tracer.of(tensor)
            if labels is None:
                tracer.elsewhere["", "an output of the model that is not followed"] = None
            else:
                tracer.leaves(labels, "the output of the model")
    if not tracer.order:
        raise UsageError(
            f"{type(model).__name__}: expected a model whose layers run as functions of torch, got one of which none was seen to "
            "run; pass the model as it was before it was scripted, traced or quantised, with weights of real numbers."
        )
    for name, module in model.named_modules():
        if _scripted(module):
            tracer.unseen(f"{name}." if name else "", f"{name} is a scripted module, which is not followed")
    ran = {layer.matrix.tensor for layer in tracer.order.values()}
    return assembled(tracer, checkpoint, [name for name in stored.placed if name not in ran])


def _arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple | list):
        return tuple(inputs), {}
    if hasattr(inputs, "untyped_storage"):
        return (inputs,), {}
    raise UsageError(
        f"inputs: expected a tensor, a tuple of arguments or a mapping of keyword arguments, got {type(inputs).__name__}; "
        "pass what the model is called with."
    )


def _copied(value: Any, tracer: Tracer) -> Any:
    """The same inputs in tensors of their own, which are marked as the network's input."""
    if hasattr(value, "untyped_storage"):
        found = value.detach().clone()
        if value.is_floating_point() or value.is_complex():
            tracer.enters(found)
        return found
    if type(value) in {tuple, list}:
        return type(value)(_copied(part, tracer) for part in value)
    if type(value) is dict:
        return {name: _copied(part, tracer) for name, part in value.items()}
    return value


def _mode(tracer: Tracer) -> Any:
    """A context in which every function of torch goes through the tracer."""
    from torch.overrides import TorchFunctionMode

    class Following(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return tracer.call(func, args, kwargs or {})

    return Following()


@contextmanager
def _eager() -> Iterator[None]:
    """What was compiled runs as it was written, so that its functions are seen; before torch 2.6 there is no such switch."""
    import torch

    stance = getattr(torch.compiler, "set_stance", None)
    with nullcontext() if stance is None else stance("force_eager"):
        yield


@contextmanager
def _given_back(model: Any, tracer: Tracer) -> Iterator[None]:
    """Evaluation mode for a while; flags, weights, buffers and random numbers are then as they were."""
    import torch

    held = [
        (own, dict(own)) for module in model.modules() for own in (module._buffers, module._parameters) if isinstance(own, dict)
    ]
    copies = [(tensor, tensor.detach().clone()) for tensor in model.buffers()]
    devices = {tensor.device.index for tensor in (*model.parameters(), *model.buffers()) if tensor.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        try:
            with evaluating(model):
                yield
        finally:
            for own, entries in held:
                own.clear()
                own.update(entries)
            with torch.no_grad():
                for tensor, copy in (*copies, *tracer.kept.values()):
                    if not torch.equal(tensor, copy):
                        tensor.copy_(copy)


@contextmanager
def _named_modules(model: Any, tracer: Tracer) -> Iterator[None]:
    """Tell the tracer which module runs; normalisations written by hand are one operation each."""
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if _scripted(module):  # it runs where no function of torch is seen
                continue
            entering, leaving = _hooks(name, module, tracer)
            stack.callback(module.register_forward_pre_hook(entering, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leaving, always_call=True).remove)
        yield


def _scripted(module: Any) -> bool:
    return any(base.__name__ == "ScriptModule" for base in type(module).__mro__)


def _hooks(name: str, module: Any, tracer: Tracer) -> tuple[Any, Any]:
    """What is called before and after a module runs."""
    kind = _handwritten(module)
    taken: list[tuple[Labels | None, tuple[int, ...]]] = []

    def entering(_module: Any, args: Any, kwargs: Any) -> None:
        tracer.modules.append(name)
        if kind:
            tensor = next(value for value in (*args, *kwargs.values()) if hasattr(value, "untyped_storage"))
            taken.append((tracer.of(tensor), tuple(tensor.shape)))
            tracer.muted += 1

    def leaving(_module: Any, _args: Any, output: Any) -> None:
        tracer.modules.pop()
        if kind:
            tracer.muted -= 1
            labels, shape = taken.pop()
            if hasattr(output, "untyped_storage") and tuple(output.shape) == shape:
                axis = _axis(module, output, kind)
                own = (*module._parameters.values(), *module._buffers.values())
                tracer.normalised(labels, output, (name, kind), (axis,), [tensor for tensor in own if tensor is not None])

    return entering, leaving


def _axis(module: Any, output: Any, kind: str) -> int:
    """The axis along which a normalisation holds its gains; where several fit, the one along which the output is normalised."""
    fitting = [axis for axis in range(1, output.ndim) if output.shape[axis] == module.weight.shape[0]]
    if kind == "batch_norm" or len(fitting) < 2:
        return 1 if kind == "batch_norm" and output.ndim > 1 else fitting[0] if fitting else output.ndim - 1

    def distance(axis: int) -> float:
        moved = output.detach().double().movedim(axis, -1)
        shift = 0 if getattr(module, "bias", None) is None else module.bias.double()
        squares = ((moved - shift) / module.weight.double()).square().nanmean(-1)
        return float((squares - 1).abs().nanmean())

    return min(fitting, key=distance)


def _handwritten(module: Any) -> str:
    """The operation of a module that is a normalisation by its name and its parameters but is none of torch's own."""
    named = _NORM.search(type(module).__name__)
    own = {**module._parameters, **module._buffers}
    scale = own.get("weight")
    if named is None or type(module).__module__.startswith("torch.") or scale is None or scale.ndim != 1 or any(module.children()):
        return ""
    kind = f"{named[1].lower()}_norm"
    if kind == "batch_norm":
        return kind if own.get("running_mean") is not None else ""
    return "rms_norm" if kind == "layer_norm" and own.get("bias") is None else kind
