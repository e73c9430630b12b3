"""Hooks on the layers, and eyes on the functions that take their outputs."""

import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from inspect import signature
from typing import Any

from modescope.activations._layout import channels_last, is_convolution, unfolded
from modescope.activations._sinks import Sink
from modescope.errors import UsageError

_RECTIFIERS = {"relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"}
_SIGMOIDS = {"sigmoid", "hardsigmoid", "logsigmoid", "log_sigmoid", "tanh", "hardtanh", "softsign", "softplus", "erf", "sin", "cos"}
_CUTS = {"threshold", "clamp", "clamp_min", "clamp_max", "clip", "tanhshrink", "hardshrink", "softshrink"}
ACTIVATIONS = frozenset(_RECTIFIERS | _SIGMOIDS | _CUTS)
"""Names of the functions that count as activations; a trailing or a leading underscore makes no difference."""

_MODULES = re.compile(r"activation|elu|silu|swish|mish|sigmoid|tanh|softplus|softsign|shrink|snake|sine\Z", re.I)
_NO_ACTIVATION = re.compile(r"glu\Z|attention|norm", re.I)


class Tap:
    """One kind of data of one layer, on its way into a sink."""

    def __init__(self, layer: str, kind: str, module: Any, sink: Sink, patches: bool, axis: int | None) -> None:
        self.layer, self.kind, self.module, self.activation = layer, kind, module, ""
        self.first_taker = ""
        self._sink, self._patches, self._axis = sink, patches, axis
        self._calls, self._fault, self.reached = 0, "", False

    def take(self, value: Any) -> None:
        """Take in what a layer was given or gave."""
        self.reached = True
        tensor = _tensor(value)
        if tensor is None:
            self._fault = f"expected a tensor, got {type(value).__name__}."
            return
        try:
            if self._patches and self.kind == "input" and is_convolution(self.module):
                parts = unfolded(self.module, channels_last(self.module, tensor, -1))
            else:
                parts = iter((channels_last(self.module, tensor, self._axis),))
        except UsageError as error:
            self._fault = str(error)  # no reason to stop the model: it may be that nobody asks for it
            return
        self._calls += 1
        for part in parts:
            try:
                self._sink.add(part)
            except UsageError as error:
                raise UsageError(f"{self._name}: {error}") from error

    def missed(self, why: str) -> None:
        """There is something to take, but it cannot be taken exactly."""
        self.reached, self._fault = True, why

    def value(self) -> Any:
        """What the sink made of it.

        Raises:
            UsageError: There was nothing to take.
        """
        if self._fault:
            raise UsageError(f"{self._name}: {self._fault}")
        if not self.reached:
            raise UsageError(f"{self._name}: expected the layer to run, but the model did not call it on these inputs.")
        if not self._calls:
            taker = f"; {self.first_taker} took it first" if self.first_taker else ""
            raise UsageError(
                f"{self._name}: expected an activation that takes the output of the layer, found none{taker}. Name the module "
                "whose output the activation takes, or take the 'preactivation' of the module that applies it."
            )
        try:
            return self._sink.value()
        except UsageError as error:
            raise UsageError(f"{self._name}: {error}") from error

    @property
    def _name(self) -> str:
        return f"layer {self.layer!r}, {self.kind}"


def chosen(model: Any, layers: Sequence[str]) -> dict[str, Any]:
    """Modules by name.

    Raises:
        UsageError: It is no module, or has none of that name.
    """
    if not callable(getattr(model, "named_modules", None)):
        raise UsageError(f"capture: expected a torch nn.Module, got {type(model).__name__}.")
    modules = dict(model.named_modules(remove_duplicate=False))
    for name in layers:
        if name not in modules:
            known = [other for other in modules if other]
            close = get_close_matches(str(name), known, n=3, cutoff=0.5) or known[:3]
            raise UsageError(
                f"{type(model).__name__}: expected the name of a module, got {name!r}; did you mean {', '.join(map(repr, close))}?"
                if close
                else f"{type(model).__name__}: expected the name of a module, got {name!r}; the model has none but itself, ''."
            )
    return {name: modules[name] for name in layers}


@contextmanager
def tapped(model: Any, taps: Mapping[tuple[str, str], Tap]) -> Iterator[None]:
    """Feed the taps while the model runs; nothing of it is left behind."""
    watch = _Watch()
    by_module: dict[int, list[Tap]] = {}
    for tap in taps.values():
        by_module.setdefault(id(tap.module), []).append(tap)
    following = any(tap.kind == "postactivation" for tap in taps.values())
    unseen = _unseen(model, by_module)
    with ExitStack() as stack:
        for module in model.modules():
            if own := by_module.get(id(module)):
                stack.callback(module.register_forward_pre_hook(watch.entering(own), with_kwargs=True).remove)
                stack.callback(module.register_forward_hook(watch.leaving(own)).remove)
            if following and _is_activation(module):
                stack.callback(module.register_forward_pre_hook(watch.activating).remove)
                stack.callback(module.register_forward_hook(watch.activated, always_call=True).remove)
        if following:
            stack.enter_context(_function_mode(watch))
        if unseen:
            stack.enter_context(_dispatch_mode(unseen))
        yield


class _Watch:
    """Outputs that wait for their activation. They are held weakly: what dies was taken by none."""

    def __init__(self) -> None:
        self.muted = 0
        self._waiting: dict[int, tuple[Any, int, list[Tap]]] = {}
        self._inside: list[list[Tap]] = []

    def entering(self, taps: list[Tap]) -> Any:
        wanted = [tap for tap in taps if tap.kind == "input"]

        def hook(module: Any, args: Any, kwargs: Any) -> None:
            with self.quiet():
                for tap in wanted:
                    tap.take(_first(module, args, kwargs))

        return hook

    def leaving(self, taps: list[Tap]) -> Any:
        wanted = [tap for tap in taps if tap.kind == "preactivation"]
        after = [tap for tap in taps if tap.kind == "postactivation"]

        def hook(_module: Any, _args: Any, output: Any) -> None:
            with self.quiet():
                for tap in wanted:
                    tap.take(output)
                if after:
                    self._wait(output, after)

        return hook

    def activating(self, _module: Any, args: Any) -> None:
        """An activation module begins: what it does inside is its own."""
        self._inside.append(self.claimed(args[0]) if args else [])
        self.muted += 1

    def activated(self, module: Any, args: Any, output: Any) -> None:
        """An activation module ends, perhaps by an exception."""
        taps = self._inside.pop()
        if _tensor(output) is not None and output.shape == args[0].shape:
            with self.quiet():
                self.give(taps, output, type(module).__name__)
        self.muted -= 1

    def called(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of torch runs."""
        if self.muted or not self._waiting:
            return function(*args, **kwargs)
        name = str(getattr(function, "__name__", "")).strip("_")
        taken = args[0] if args else kwargs.get("input")
        taps = self.claimed(taken) if name in ACTIVATIONS else []
        shape = taken.shape if taps else None
        waiting = [] if taps else self._held(args)
        result = function(*args, **kwargs)
        if _tensor(result) is not None:  # a question about the shape takes nothing
            self._note(waiting, name)
        if taps and _tensor(result) is not None and result.shape == shape:
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
        self.muted += 1
        try:
            yield
        finally:
            self.muted -= 1

    def _wait(self, output: Any, taps: list[Tap]) -> None:
        tensor = _tensor(output)
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


def _function_mode(watch: _Watch) -> Any:
    """A context in which the watch sees every function of torch."""
    from torch.overrides import TorchFunctionMode

    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return watch.called(func, args, kwargs or {})

    return Watching()


def _unseen(model: Any, by_module: Mapping[int, list[Tap]]) -> dict[int, list[Tap]]:
    """Taps by the address of a weight that torch's attention reads without calling its module."""
    found = {}
    for module in model.modules():
        inner: Any = getattr(module, "out_proj", None)
        if any(base.__name__ == "MultiheadAttention" for base in type(module).__mro__) and id(inner) in by_module:
            found[inner.weight.data_ptr()] = by_module[id(inner)]
    return found


def _dispatch_mode(unseen: Mapping[int, list[Tap]]) -> Any:
    """A context that sees products with those weights."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if func.overloadpacket.__name__ in {"addmm", "mm", "linear"}:
                given, weight = args[1:3] if func.overloadpacket.__name__ == "addmm" else args[:2]
                for tap in unseen.get(weight.data_ptr(), ()):
                    if tap.kind == "postactivation":
                        tap.reached = True  # torch's attention applies no activation to it
                    else:
                        tap.take(given if tap.kind == "input" else result)
            return result

    return Products()  # type: ignore[no-untyped-call]


def _is_activation(module: Any) -> bool:
    """Whether a module is an elementwise activation by its name, with no modules inside."""
    name = type(module).__name__
    return bool(_MODULES.search(name)) and not _NO_ACTIVATION.search(name) and not any(True for _ in module.children())


def _first(module: Any, args: Any, kwargs: Any) -> Any:
    """First argument of a call, in the order of the signature."""
    if args:
        return args[0]
    order = list(signature(module.forward).parameters)
    return kwargs[min(kwargs, key=lambda name: order.index(name) if name in order else len(order))] if kwargs else None


def _tensor(value: Any) -> Any:
    """The tensor itself, the first of several, or the steps of a packed sequence, which are those that are there."""
    if hasattr(value, "untyped_storage"):
        return value
    if hasattr(value, "batch_sizes"):
        return value.data
    if isinstance(value, tuple | list) and value:
        return _tensor(value[0])
    return None
