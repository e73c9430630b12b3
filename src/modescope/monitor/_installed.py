"""A class of a training library to build a callback on, where that library is installed."""

from importlib import import_module
from typing import Any

from modescope.errors import UsageError


def installed(name: str, /, *homes: str) -> Any:
    """A class by name from the first of several modules that is installed.

    Raises:
        UsageError: None is.
    """
    for home in homes:
        try:
            return getattr(import_module(home), name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{home}.".startswith(f"{error.name}."):
                raise  # it is installed, and something else that it needs is not
    package = homes[0].partition(".")[0]
    raise UsageError(f"callback: expected {' or '.join(homes)}, not installed here. pip install {package}")
