"""Hooks on the places where layers run, for as long as a context lasts."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from modescope.activations._attention import Asked, projected
from modescope.activations._places import Place


@dataclass(frozen=True, eq=False)
class Listener:
    """Who hears what of a layer.

    Attributes:
        place: The layer.
        given: Called with its positional and keyword arguments before it runs, or None.
        gave: Called with its output before anything else can change it, or None.
    """

    place: Place
    given: Callable[[tuple[Any, ...], dict[str, Any]], None] | None = None
    gave: Callable[[Any], None] | None = None


@contextmanager
def listening(listeners: Iterable[Listener], /) -> Iterator[None]:
    """Let listeners hear while the model runs; nothing of it is left behind."""
    asked: list[Asked] = []
    with ExitStack() as stack:
        for listener in listeners:
            place, given, gave = listener.place, listener.given, listener.gave
            if place.hooked and given is not None:
                stack.callback(place.module.register_forward_pre_hook(_before(given), with_kwargs=True).remove)
            if place.hooked and gave is not None:
                stack.callback(place.module.register_forward_hook(_after(gave)).remove)
            if place.part:
                asked.append(Asked(place.attention, place.part, given, gave))
        if asked:
            stack.enter_context(projected(asked))
        yield


def _before(given: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> Callable[[Any, Any, Any], None]:
    def hook(_module: Any, args: Any, kwargs: Any) -> None:
        given(args, kwargs)

    return hook


def _after(gave: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
    def hook(_module: Any, _args: Any, output: Any) -> None:
        gave(output)

    return hook
