"""What takes captured data in, while the model runs: arrays that are kept, or moments alone."""

from typing import Any, Protocol

import numpy as np

from modescope.errors import UsageError
from modescope.moments import Array, Moments, Running, Values

AT_ONCE = 1 << 18  # entries


class Sink(Protocol):
    """Takes tensors whose last axis holds the channels, which may change once `add` returned; and says what became of them."""

    def add(self, tensor: Any, /) -> None:
        """Take a tensor in."""

    def value(self) -> Any:
        """What was made of all of them."""


class Stack:
    """All samples, in the order in which they came."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def add(self, tensor: Any, /) -> None:
        """Copy it as it is: to widen it is no work for the time the model runs."""
        self._kept.append(tensor.detach().to("cpu", copy=True))

    def value(self) -> Values:
        """(N, n) in float64.

        Raises:
            UsageError: There is no sample, or some are not finite.
        """
        rows = [array(tensor).astype(np.float64) for tensor in self._kept]
        if not sum(map(len, rows)):
            raise UsageError("expected at least one sample, got none.")
        if len({part.shape[1] for part in rows}) > 1:
            raise UsageError(f"expected samples of one size, got {sorted({part.shape[1] for part in rows})}.")
        found: Values = np.concatenate(rows)
        if bad := found.size - int(np.isfinite(found).sum()):
            raise UsageError(f"expected finite values, got {bad} non-finite entries in {found.shape}.")
        return found


class Summed:
    """Moments in float64; no sample is kept."""

    def __init__(self) -> None:
        self._running = Running()

    def add(self, tensor: Any, /) -> None:
        """Sum it up.

        Raises:
            UsageError: Some of it is not finite.
        """
        if tensor.ndim == 1:
            tensor = tensor[None]
        at_once = max(AT_ONCE * len(tensor) // max(tensor.numel(), 1), 1)
        for part in tensor.split(at_once):  # channels that are not last are moved there by a copy, which is small then
            self._running.add(array(part))

    def value(self) -> Moments:
        """Moments of all samples.

        Raises:
            UsageError: There is none.
        """
        return self._running.value()


def array(tensor: Any) -> Array:
    """(N, n) in a type that NumPy has and that holds every value."""
    import torch

    flat = tensor.detach().reshape(-1, tensor.shape[-1])
    narrow = flat.element_size() < 4 and flat.dtype != torch.float16
    found: Array = (flat.float() if narrow else flat).cpu().numpy()
    return found
