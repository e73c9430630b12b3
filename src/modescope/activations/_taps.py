"""What is taken of one layer, on its way into a sink."""

from inspect import signature
from typing import Any

from modescope.activations._layout import channels_last, is_convolution, unfolded
from modescope.activations._places import Place
from modescope.activations._sinks import Sink
from modescope.errors import UsageError


class Tap:
    """One kind of data of one layer, on its way into a sink."""

    def __init__(self, place: Place, kind: str, sink: Sink, patches: bool, axis: int | None) -> None:
        self.place, self.kind, self.module, self.activation = place, kind, place.module, ""
        self.first_taker = ""
        self._sink, self._patches, self._axis = sink, patches, axis
        self._calls, self._fault, self.reached = 0, "", False

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take in what the layer is called with."""
        size = (
            kwargs.get("output_size", args[1] if len(args) > 1 else None) if self._patches and is_convolution(self.module) else None
        )
        self.take(first(self.module, args, kwargs), size)

    def take(self, value: Any, size: Any = None) -> None:
        """Take in what a layer was given or gave; `size` of its output where a transposed convolution is told it."""
        self.reached = True
        tensor = tensor_of(value)
        if tensor is None:
            self._fault = f"expected a tensor, got {type(value).__name__}."
            return
        try:
            whole = self._patches and self.kind == "input" and is_convolution(self.module)
            ordered = channels_last(self.module, tensor, -1 if whole else self._axis)
            parts = unfolded(self.module, ordered, size) if whole else iter((ordered,))
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
        return f"layer {self.place.name!r}, {self.kind}"


def first(module: Any, args: Any, kwargs: Any) -> Any:
    """First argument of a call, in the order of the signature."""
    if args:
        return args[0]
    order = list(signature(module.forward).parameters)
    return kwargs[min(kwargs, key=lambda name: order.index(name) if name in order else len(order))] if kwargs else None


def tensor_of(value: Any) -> Any:
    """The tensor itself, the first of several, or the steps of a packed sequence, which are those that are there."""
    if hasattr(value, "untyped_storage"):
        return value
    if hasattr(value, "batch_sizes"):
        return value.data
    if isinstance(value, tuple | list) and value:
        return tensor_of(value[0])
    return None
