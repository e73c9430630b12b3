"""The physical axis of a layer's inputs: what their index means, in which unit, and which frequencies it can carry."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope import blocks
from modescope.errors import UsageError

Values = NDArray[np.float64]

UNIFORM = 1e-3  # of a step, by which a point may be off: an axis written with few decimals is still one
RECIPROCAL = {"s": "Hz", "ms": "kHz", "us": "MHz", "µs": "MHz", "μs": "MHz", "ns": "GHz", "ps": "THz"}  # exact in every case
DURATION = {"Hz": "s", "kHz": "ms", "MHz": "us", "GHz": "ns", "THz": "ps"}


@dataclass(frozen=True)
class InputAxis:
    """A uniform axis: point i lies at `start + i * step`.

    Attributes:
        size: Number of points.
        start: Value of the first one.
        step: From one point to the next, not zero; negative where the axis runs down.
        quantity: What is counted, as a word: "time".
        unit: Its unit, or empty for a bare index.
    """

    size: int
    start: float = 0.0
    step: float = 1.0
    quantity: str = "input"
    unit: str = ""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UsageError(f"axis: expected at least 1 point, got {self.size}.")
        if not (math.isfinite(self.start) and math.isfinite(self.step)) or self.step == 0:
            raise UsageError(f"axis: expected a finite start and a finite step other than 0, got {self.start} and {self.step}.")

    @property
    def values(self) -> Values:
        """(size,) where the points lie."""
        points: Values = self.start + self.step * np.arange(self.size, dtype=np.float64)
        return points

    @property
    def span(self) -> float:
        """Distance from the first point to the last one, not negative."""
        return abs(self.step) * (self.size - 1)

    @property
    def extent(self) -> tuple[float, float]:
        """From half a step before the first point to half a step behind the last one, as the cells of a heat map lie."""
        return self.start - self.step / 2, self.start + (self.size - 0.5) * self.step

    @property
    def label(self) -> str:
        """Quantity and unit as they stand beside a picture: "time (us)"."""
        return f"{self.quantity} ({self.unit})" if self.unit else self.quantity

    @property
    def drawn(self) -> blocks.Axis:
        """The same as an axis of a picture."""
        return blocks.Axis(self.label)

    def part(self, start: int, stop: int) -> "InputAxis":
        """The axis of the points from `start` to before `stop`.

        Raises:
            UsageError: They do not lie on the axis.
        """
        if not 0 <= start < stop <= self.size:
            raise UsageError(f"axis: expected 0 <= start < stop <= {self.size}, got {start} and {stop}.")
        return replace(self, start=self.start + start * self.step, size=stop - start)


def index(size: int, /) -> InputAxis:
    """The axis of inputs of which nothing is known but their order."""
    return InputAxis(size)


def uniform(values: ArrayLike, /, *, quantity: str = "input", unit: str = "") -> InputAxis:
    """The axis through given points.

    Args:
        values: (size,) at least two points, evenly spaced up to a thousandth of a step.
        quantity: What is counted, as a word.
        unit: Its unit, or empty.

    Raises:
        UsageError: They are not one row of finite numbers, or not evenly spaced; the worst point is named.
    """
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 1 or points.size < 2:
        raise UsageError(f"axis: expected one row of at least 2 values, got shape {points.shape}.")
    bad = points.size - int(np.isfinite(points).sum())
    if bad:
        raise UsageError(f"axis: {bad} of {points.size} values are not finite.")
    step = float(points[-1] - points[0]) / (points.size - 1)
    off = np.abs(points - (points[0] + step * np.arange(points.size)))
    worst = int(off.argmax())
    if step == 0 or off[worst] > UNIFORM * abs(step):
        raise UsageError(
            f"axis: expected evenly spaced values, got {points[worst]:g} at place {worst} where {points[0] + worst * step:g} was "
            "due. Interpolate the data to a uniform axis, or leave the axis out."
        )
    return InputAxis(points.size, float(points[0]), step, quantity, unit)


def parsed(text: str, size: int, /) -> InputAxis:
    """The axis that `start:step`, `start:step:unit` or `start:step:unit:quantity` names.

    Args:
        text: As a user writes it.
        size: Number of inputs.

    Raises:
        UsageError: It is written otherwise.
    """
    parts = [part.strip() for part in text.split(":")]
    try:
        start, step = float(parts[0]), float(parts[1])
    except (IndexError, ValueError):
        parts = []
    if not 2 <= len(parts) <= 4:
        raise UsageError(f"axis: expected start:step:unit, as in 0:0.008:us, got {text!r}.")
    unit = parts[2] if len(parts) > 2 else ""
    known = "time" if unit in RECIPROCAL else "frequency" if unit in DURATION else "input"
    return InputAxis(size, start, step, parts[3] if len(parts) > 3 and parts[3] else known, unit)


def frequencies(axis: InputAxis, /) -> InputAxis:
    """The axis of a centred discrete Fourier transform along `axis`: zero lies at place `size // 2`.

    The unit is renamed only where the name is exact (1/us is MHz); 1/nm stays 1/nm.
    """
    resolution = 1 / (axis.size * abs(axis.step))
    return InputAxis(axis.size, -(axis.size // 2) * resolution, resolution, _conjugate(axis), reciprocal(axis.unit))


def nyquist(axis: InputAxis, /) -> float:
    """The highest frequency that the axis can carry, in the unit of `frequencies`."""
    return 0.5 / abs(axis.step)


def reciprocal(unit: str, /) -> str:
    """Unit of one over a quantity in `unit`; that of cycles."""
    if not unit:
        return "cycles per input"
    named = RECIPROCAL.get(unit) or DURATION.get(unit)
    return named or (f"1/({unit})" if "/" in unit or " " in unit or "*" in unit else f"1/{unit}")


def _conjugate(axis: InputAxis) -> str:
    return "time" if axis.unit in DURATION else "frequency"
