"""What several commands take as text: arguments of a user's function, numbers between commas, and sides of images."""

import ast
from typing import Any

from modescope.errors import UsageError

SIDES = 2


def argument(text: str) -> tuple[str, Any]:
    """An argument by its name; what reads as a number, a truth value, None or a list is one.

    Raises:
        UsageError: It is not of the form NAME=VALUE.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise UsageError(f"--arg: expected NAME=VALUE, as width=32, got {text!r}.")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers between commas.

    Raises:
        UsageError: It is something else.
    """
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option}: expected numbers between commas, as 0.485,0.456,0.406, got {text!r}.") from error


def pixels(text: str | None) -> int | tuple[int, int] | None:
    """A side in pixels, or height and width.

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > SIDES or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--size: expected pixels, as 224 or 224x192, got {text!r}.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
