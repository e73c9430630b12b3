"""Arguments of a user's function, as the command line has them."""

import ast
from typing import Any

from modescope.errors import UsageError


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
