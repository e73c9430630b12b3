"""How the signal of a mode over the positions of one image becomes one number."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from modescope.errors import UsageError
from modescope.profiles.basis import Basis, by_group, centred, ordered, project

CACHED = 1 << 20  # bytes of outputs
Aggregate = Callable[[Basis, Any], tuple[Any, Any]]
"""From outputs (N, d, *positions) to numbers (N, r) and, where a single position made them, its index (N, r), or None."""


def mean(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Mean over positions. In a first layer it sees mean brightness alone; the average is taken before the projection."""
    import torch

    averages = [_flat(centred(basis, part)).mean(dim=2) for part in _parts(outputs)]
    return ordered(basis, by_group(basis, torch.cat(averages))), None


def mean_absolute(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Mean of the modulus over positions: signals of both signs do not cancel."""
    import torch

    return ordered(basis, torch.cat([signals.abs_().mean(dim=2) for signals in _signals(basis, outputs)])), None


def root_mean_square(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Root of the mean square over positions."""
    import torch

    return ordered(basis, torch.cat([signals.square_().mean(dim=2).sqrt_() for signals in _signals(basis, outputs)])), None


def largest(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Largest value over positions, and where it is."""
    return _extreme(basis, [signals.max(dim=2) for signals in _signals(basis, outputs)])


def smallest(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Smallest value over positions, and where it is."""
    return _extreme(basis, [signals.min(dim=2) for signals in _signals(basis, outputs)])


def centre(basis: Basis, outputs: Any) -> tuple[Any, Any]:
    """Value at the middle position, size // 2 along each axis."""
    for size in outputs.shape[2:]:
        outputs = outputs.select(2, size // 2)
    return project(basis, outputs), None


AGGREGATES: Mapping[str, Aggregate] = {
    "mean": mean,
    "meanabs": mean_absolute,
    "rms": root_mean_square,
    "max": largest,
    "min": smallest,
    "centre": centre,
}
"""By the name that users give; full maps are `signals.maps`."""


def aggregate(name: str, /) -> Aggregate:
    """One of `AGGREGATES`.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in AGGREGATES:
        raise UsageError(f"aggregate: expected one of {', '.join(AGGREGATES)}, got {name!r}.")
    return AGGREGATES[name]


def _flat(outputs: Any) -> Any:
    """(N, d, positions); one position where there is no axis of them."""
    return outputs.reshape(*outputs.shape[:2], -1)


def _extreme(basis: Basis, found: list[Any]) -> tuple[Any, Any]:
    import torch

    values, places = torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])
    return ordered(basis, values), ordered(basis, places)


def _signals(basis: Basis, outputs: Any) -> Iterator[Any]:
    """Signals (n, r, positions) by group, some images at a time."""
    for part in _parts(outputs):
        yield by_group(basis, _flat(centred(basis, part)))


def _parts(outputs: Any) -> Iterator[Any]:
    """As many images at a time as fit in the cache of a processor with what is made of them."""
    whole = outputs.device.type != "cpu" or not outputs.numel()
    size = len(outputs) if whole else max(CACHED * len(outputs) // (outputs.numel() * outputs.element_size()), 1)
    return iter(outputs.split(max(size, 1)))
