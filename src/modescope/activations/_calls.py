"""Raw outputs of layers, call by call, for whoever reduces them while the model runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from modescope.activations._given_back import given_back
from modescope.activations._listening import Listener, listening
from modescope.activations._places import Place, places
from modescope.activations._taps import tensor_of
from modescope.errors import UsageError


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer.

    Attributes:
        layer: The name that was asked for.
        module: The module; the attention where the layer is one of its input projections.
        nth: Which call of this layer since the model was called last, from 0: that of a re-used module.
        output: What it gave, a tensor on its device and in its layout, the first where it gave several. It is no copy: read it, and
            keep what is computed from it; the model may write over it as soon as the sink returned.
    """

    layer: str
    module: Any
    nth: int
    output: Any


@contextmanager
def tapped(model: Any, sinks: Mapping[str, Callable[[Call], None]], /) -> Iterator[Mapping[str, int]]:
    """Hand every output of named layers to functions, at the time it is made.

    Within the block the model is in evaluation mode and without gradients, and it is given back as it was, as by `capture`.
    Nothing is copied. Hooks that others have put on a layer ran before: what they made of the output is what is handed on.

    Args:
        model: An `nn.Module` on any device and of any floating type. It is run by the caller, by `outputs` for one.
        sinks: A function for every layer, by its name as in `model.named_modules()`. Of torch's `MultiheadAttention`, which calls
            none of its projections, also `"NAME.out_proj"` and `"NAME.in_proj_weight query"`, `... key` and `... value`, or
            `"NAME.q_proj_weight"` and so on where it has these, in the order of axes of its own inputs.

    Yields:
        Calls so far by layer, which grow as the model runs; 0 for a layer that was not reached.

    Raises:
        UsageError: It is no module, a layer is unknown or cannot be watched, or torch is not installed; from within the model's
            call: an output is no tensor.
    """
    found = places(model, tuple(sinks))
    calls, before = dict.fromkeys(found, 0), dict.fromkeys(found, 0)

    def begins(_module: Any, _args: Any) -> None:
        before.update(calls)

    def listener(place: Place, sink: Callable[[Call], None]) -> Listener:
        def gave(output: Any) -> None:
            tensor = tensor_of(output)
            if tensor is None:
                raise UsageError(f"layer {place.name!r}: expected it to give a tensor, got {type(output).__name__}.")
            nth = calls[place.name] - before[place.name]
            calls[place.name] += 1
            sink(Call(place.name, place.module, nth, tensor.detach()))

        return Listener(place, gave=gave)

    hears = [listener(found[name], sink) for name, sink in sinks.items()]
    with given_back(model), listening(hears):
        handle = model.register_forward_pre_hook(begins, prepend=True)
        try:
            yield MappingProxyType(calls)
        finally:
            handle.remove()
