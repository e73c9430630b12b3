"""The activation that takes a layer's output first, found while the model runs."""

import re
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from modescope.activations._layout import is_recurrent
from modescope.activations._listening import Listener
from modescope.activations._taps import Tap, first, tensor_of

_RECTIFIERS = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"}
_SIGMOIDS = {"sigmoid", "hardsigmoid", "logsigmoid", "log_sigmoid", "tanh", "hardtanh", "softsign", "softplus", "erf", "sin", "cos"}
_CUTS = {"threshold", "clamp", "clamp_min", "clamp_max", "clip", "tanhshrink", "hardshrink", "softshrink"}
ACTIVATIONS = frozenset(_RECTIFIERS | _SIGMOIDS | _CUTS)
"""Names of the functions that count as activations; a trailing or a leading underscore makes no difference."""

_MODULES = re.compile(r"activation|elu|silu|swish|mish|sigmoid|tanh|softplus|softsign|shrink|snake|sine\Z", re.I)
_NO_ACTIVATION = re.compile(r"glu\Z|attention|norm", re.I)


@contextmanager
def following(model: Any, watch: "Watch") -> Iterator[None]:
    """Let the watch see every activation of the model and every function of torch, with nothing of it left behind."""
    from torch.overrides import TorchFunctionMode

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return watch.called(func, args, kwargs or {})

    with ExitStack() as stack:
        for module in model.modules():
            if _is_activation(module):
                stack.callback(module.register_forward_pre_hook(watch.activating, with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(watch.activated, always_call=True).remove)
        stack.enter_context(Watching())
        yield


class Watch:
    """Outputs that wait for their activation. They are held weakly: what dies was taken by none."""

    def __init__(self) -> None:
        self._muted = 0
        self._waiting: dict[int, tuple[Any, int, list[Tap]]] = {}
        self._inside: list[tuple[Any, list[Tap], Any]] = []

    def activating(self, module: Any, args: Any, kwargs: Any) -> None:
        """An activation module begins, and claims what it takes, so that no function inside does."""
        taken = first(module, args, kwargs)
        self._inside.append((module, self.claimed(taken), getattr(taken, "shape", None)))

    def activated(self, module: Any, _args: Any, output: Any) -> None:
        """An activation module ends, perhaps by an exception, and perhaps by one before it was heard to begin."""
        at = [i for i, (one, _, _) in enumerate(self._inside) if one is module]
        if not at:
            return
        _, taps, shape = self._inside[at[-1]]
        if getattr(tensor_of(output), "shape", None) == shape:
            with self.quiet():
                self.give(taps, output, type(module).__name__)
        del self._inside[at[-1] :]

    def called(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of torch runs."""
        if self._muted or not self._waiting:
            return function(*args, **kwargs)
        name = str(getattr(function, "__name__", "")).strip("_")
        taken = args[0] if args else kwargs.get("input")
        taps = self.claimed(taken) if name in ACTIVATIONS else []
        shape = taken.shape if taps else None
        waiting = [] if taps else self._held(args)
        result = function(*args, **kwargs)
        if tensor_of(result) is not None:  # a question about the shape takes nothing
            self._note(waiting, name)
        if taps and tensor_of(result) is not None and result.shape == shape:
            with self.quiet():
                self.give(taps, result, name)
        return result

    def claimed(self, tensor: Any) -> list[Tap]:
        """Taps that wait for what is made of this tensor; once."""
        found = self._waiting.get(id(tensor))
        if found is None or found[0]() is not tensor:
            return []
        if found[1] != tensor._version:  # a sum in place, for one: no longer the output of the layer
            self._note(found[2], "something in place")
            return []
        del self._waiting[id(tensor)]
        return found[2]

    def give(self, taps: list[Tap], output: Any, name: str) -> None:
        """Hand an activation's output to taps."""
        for tap in taps:
            tap.activation = name
            tap.take(output)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What is done here is no part of the model."""
        self._muted += 1
        try:
            yield
        finally:
            self._muted -= 1

    def wait(self, output: Any, taps: list[Tap]) -> None:
        """Follow the output of a layer for taps."""
        tensor = tensor_of(output)
        for tap in taps:
            tap.reached = True
            if tensor is None:
                tap.missed(f"expected a tensor, got {type(output).__name__}.")
            elif tensor.is_inference():
                tap.missed(
                    "expected a tensor that counts its changes in place, got one of torch.inference_mode; call the model in "
                    "torch.no_grad."
                )
        if tensor is None or tensor.is_inference():
            return
        key = id(tensor)
        known = self._waiting.get(key)
        version = tensor._version
        if known is not None and known[0]() is tensor:
            if known[1] == version:  # a container gives what its last module gave
                taps = [*known[2], *(tap for tap in taps if tap not in known[2])]
            else:
                self._note(known[2], "something in place")
        self._waiting[key] = (weakref.ref(tensor, lambda _: self._waiting.pop(key, None)), version, taps)

    def _held(self, args: Any) -> list[Tap]:
        """Taps that wait for one of the arguments."""
        found = [self._waiting.get(id(value)) for value in args]
        return [tap for value, one in zip(args, found, strict=True) if one is not None and one[0]() is value for tap in one[2]]

    @staticmethod
    def _note(taps: list[Tap], name: str) -> None:
        for tap in taps:
            tap.first_taker = tap.first_taker or name


def listener(tap: Tap, watch: Watch) -> Listener:
    """What a tap needs to hear of its layer. What it does with it is no part of the model, and not watched."""

    def given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with watch.quiet():
            tap.given(args, kwargs)

    def gave(output: Any) -> None:
        with watch.quiet():
            tap.take(output)

    def waits(output: Any) -> None:
        watch.wait(output, [tap])

    def hidden(output: Any) -> None:
        with watch.quiet():
            watch.give([tap], output, getattr(tap.module, "nonlinearity", type(tap.module).__name__))

    def unseen(_output: Any) -> None:
        tap.missed(
            f"expected a layer that gives what an activation takes, got {type(tap.module).__name__}, which applies its own inside; "
            "take its hidden states as 'postactivation'."
        )

    if tap.kind == "input":
        return Listener(tap.place, given=given)
    if tap.place.hooked and is_recurrent(tap.module):
        return Listener(tap.place, gave=hidden if tap.kind == "postactivation" else unseen)
    return Listener(tap.place, gave=gave if tap.kind == "preactivation" else waits)


def _is_activation(module: Any) -> bool:
    """Whether a module is an elementwise activation by its name, with no modules inside."""
    name = type(module).__name__
    return bool(_MODULES.search(name)) and not _NO_ACTIVATION.search(name) and not any(True for _ in module.children())
