"""What can go wrong at the edge, as three exceptions; each message says what was expected, what came and what to do."""

from typing import Any


class ModescopeError(Exception):
    """Base of every error a user can cause or meet; its text is meant to be shown as it is."""


class UsageError(ModescopeError, ValueError):
    """An argument or option is wrong: nothing was read."""


class UnreadableError(ModescopeError):
    """A checkpoint is damaged, or of a kind that is not supported."""


class UnsafeError(ModescopeError):
    """Reading the input would run code, or reach outside the folder it was given in; it was refused."""


class MatrixError(ModescopeError):
    """One matrix cannot be decomposed; it costs its own row, not the run."""


class Interrupted(KeyboardInterrupt):
    """A scan or a comparison was interrupted; `partial` is the result with everything that was finished."""

    def __init__(self, partial: Any) -> None:
        super().__init__("interrupted")
        self.partial = partial
