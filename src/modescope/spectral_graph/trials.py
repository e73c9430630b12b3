"""Trials: a network run with other weights, and how much its outputs change."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from modescope.matrix import Array


@dataclass(frozen=True)
class Difference:
    """How much outputs changed.

    Attributes:
        largest: Largest absolute change of any output.
        relative: The same relative to the largest absolute output.
        same_choice: Share of the inputs whose largest output is the same one.
    """

    largest: float
    relative: float
    same_choice: float


def difference(before: Array, after: Array, /) -> Difference:
    """Compare outputs (inputs, classes) of a network with those of another."""
    change = np.abs(after - before)
    top = float(np.abs(before).max(initial=0.0))
    largest = float(change.max(initial=0.0))
    same = float((before.argmax(axis=-1) == after.argmax(axis=-1)).mean()) if before.size else 1.0
    return Difference(largest, largest / top if top > 0 else (0.0 if largest == 0 else math.inf), same)


def measured(
    run: Callable[[], Array],
    state: Mapping[str, Array],
    /,
    *,
    read: Callable[[], Mapping[str, Array]],
    write: Callable[[Mapping[str, Array]], object],
) -> Difference:
    """Run a live model as it is and with other weights of the same shapes, such as those of `silenced`; it is given back as it was.

    Args:
        run: Gives the outputs for some inputs: `lambda: model(x).detach().numpy()`.
        state: Weights to try.
        read: Gives copies of the weights of the model.
        write: Puts weights into the model.
    """
    before = np.array(run())
    with replaced(state, read=read, write=write):
        after = np.array(run())
    return difference(before, after)


@contextmanager
def replaced(
    state: Mapping[str, Array], /, *, read: Callable[[], Mapping[str, Array]], write: Callable[[Mapping[str, Array]], object]
) -> Iterator[None]:
    """Put weights into a model and give it its own back, also after an exception."""
    own = read()
    try:
        write(state)
        yield
    finally:
        write(own)
