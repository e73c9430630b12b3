"""Results as plain JSON data: what dataclasses, arrays and numbers become in a document."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

DIGITS = 9  # of a number in a document


def number(value: float, digits: int = DIGITS, /) -> float | None:
    """A number with as many digits as are known of it, or more; null where it is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def plain(value: Any, /, *, array: Callable[[Any], Any] | None = None, omitted: tuple[type, ...] = ()) -> Any:
    """Plain JSON data of anything a result is made of.

    Args:
        value: A dataclass, mapping, array, sequence, number or text; anything else is told as its text.
        array: How arrays are told; by default by all their numbers.
        omitted: Types of fields of dataclasses that are left out.
    """

    def told(item: Any) -> Any:
        return plain(item, array=array, omitted=omitted)

    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: told(item) for one in fields(value) if not isinstance(item := getattr(value, one.name), omitted)}
    if isinstance(value, Mapping):
        return {str(key): told(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return told(value.tolist()) if array is None else array(value)
    if isinstance(value, np.generic):
        return told(value.item())
    if isinstance(value, tuple | list):
        return [told(item) for item in value]
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str | int | None) else str(value)
