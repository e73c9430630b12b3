"""Thunks that take rows, columns or slices of a stored array; module level, so that a view can travel to another process."""

from collections.abc import Callable

from modescope.matrix import Array

Read = Callable[[], Array]


def rows(read: Read, start: int, stop: int) -> Array:
    """Rows `start` to `stop` of a matrix."""
    return read()[start:stop]


def columns(read: Read, start: int, stop: int) -> Array:
    """Columns `start` to `stop` of a matrix."""
    return read()[:, start:stop]


def turned(read: Read) -> Array:
    """A matrix stored (in, out), as (out, in)."""
    return read().T
