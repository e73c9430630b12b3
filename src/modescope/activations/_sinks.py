"""What takes captured data in, while the model runs: arrays that are kept, or moments alone."""

from typing import Any, Protocol

import numpy as np

from modescope.errors import UsageError
from modescope.moments import Array, Moments, Running, Values, merged

AT_ONCE = 1 << 18  # entries, which stay near the processor
AT_ONCE_ON_DEVICE = 1 << 22  # entries, enough to keep one busy
WITH_FLOAT64 = frozenset({"cuda"})  # kinds of devices: mps has none, and of xpu some have none


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
    """Moments in float64, summed on the device of the data where it has float64 and moved at the end. No sample is kept."""

    def __init__(self) -> None:
        self._sums: dict[Any, _Host | _Device] = {}

    def add(self, tensor: Any, /) -> None:
        """Sum it up.

        Raises:
            UsageError: Some of it is not finite, where it lies in the memory of the processor; elsewhere `value` tells, since to
                look at once would make the device wait.
        """
        if tensor.ndim == 1:
            tensor = tensor[None]
        host = tensor.device.type not in WITH_FLOAT64
        sums = self._sums.setdefault(tensor.device, _Host() if host else _Device())
        at_once = max((AT_ONCE if host else AT_ONCE_ON_DEVICE) * len(tensor) // max(tensor.numel(), 1), 1)
        for part in tensor.detach().split(at_once):  # channels that are not last are moved there by a copy, which is small then
            sums.add(part)

    def value(self) -> Moments:
        """Moments of all samples.

        Raises:
            UsageError: There is none, or some are not finite.
        """
        return merged(part for sums in self._sums.values() if (part := sums.value()) is not None)


class _Host:
    """By NumPy, in whose products of a matrix with itself half the work is saved."""

    def __init__(self) -> None:
        self._running, self._any = Running(), False

    def add(self, part: Any) -> None:
        self._running.add(array(part))
        self._any = self._any or bool(part.numel())

    def value(self) -> Moments | None:
        return self._running.value() if self._any else None


class _Device:
    """By torch; nothing is read back before the end."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Any = None
        self._scatter: Any = None

    def add(self, part: Any) -> None:
        import torch

        rows = part.reshape(-1, part.shape[-1]).to(torch.float64, copy=True)
        count = len(rows)
        if not count:
            return
        first = rows[0].clone()
        rows -= first  # so that what does not vary scatters by exactly 0
        shift = rows.mean(0)
        rows -= shift
        mean = first + shift
        if self._mean is None:
            self._count, self._mean, self._scatter = count, mean, rows.T @ rows
            return
        total, apart = self._count + count, mean - self._mean
        self._scatter.addmm_(rows.T, rows)
        self._scatter.addr_(apart, apart, alpha=self._count * (count / total))  # Chan et al. (1983), equation 2.1b
        self._mean += apart * (count / total)
        self._count = total

    def value(self) -> Moments | None:
        if self._mean is None:
            return None
        mean, scatter = self._mean.cpu().numpy(), self._scatter.cpu().numpy()
        if bad := np.flatnonzero(~np.isfinite(scatter.diagonal())).tolist():
            raise UsageError(
                f"expected finite values, got non-finite entries, or such whose squares overflow, in {len(bad)} of {mean.size} "
                f"channels, the first of them {bad[0]}."
            )
        return Moments(self._count, mean, scatter)


def array(tensor: Any) -> Array:
    """(N, n) in a type that NumPy has and that holds every value."""
    import torch

    flat = tensor.detach().reshape(-1, tensor.shape[-1])
    narrow = flat.element_size() < 4 and flat.dtype != torch.float16
    found: Array = (flat.float() if narrow else flat).cpu().numpy()
    return found
