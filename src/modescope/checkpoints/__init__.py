"""Checkpoints: a file, a folder or a live model in, lazy tensors out. One file per format; content is asked before the suffix.

A format has `claims(source, head, /) -> int` (0 none, 1 suffix, 2 magic bytes or structure, 3 declared) and
`tensors(source, /) -> Iterator[Tensor | Skip]`. `source` is a `pathlib.Path`, or any other object a user passes (a module, a
mapping); `head` is the first bytes of a file, empty for folders and objects. A format reads headers only, never runs what it
reads, and raises `UnreadableError` or `UnsafeError` in a sentence that names the file and the tensor. A format whose files carry
text of their writer may offer `metadata(source, /) -> Mapping[str, str]`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from modescope.checkpoints._names import shown
from modescope.checkpoints._state import without_training_state
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor
from modescope.registry import modules, strongest

HEAD = 4096  # bytes shown to `claims`


class Format(Protocol):
    """What a module in this folder must offer."""

    def claims(self, source: Any, head: bytes, /) -> int:
        """How strong the evidence is that the source has this format."""

    def tensors(self, source: Any, /) -> Iterator[Tensor | Skip]:
        """Every tensor, unread, and what is known not to be one."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was opened: names, shapes and thunks; its weights are still where they were.

    Attributes:
        path: Where it was read from, or None for a live object.
        format: The format that claimed it.
        tensors: Every tensor by its header, in the order of the source.
        skipped: Parts of the source that are no weights (optimizer state, copies), with the reason.
        metadata: What the writer of the file said of it, where the format has room for that; text of unknown origin.
    """

    path: Path | None
    format: str
    tensors: tuple[Tensor, ...]
    skipped: tuple[Skip, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def open(source: Any, /) -> Checkpoint:
    """Open a checkpoint without reading its weights.

    Args:
        source: A path (str or Path) to a file or folder, an `nn.Module`, or a mapping from names to arrays.

    Raises:
        UnreadableError: The path does not exist, its format is not known, or its header is damaged.
        UnsafeError: Reading it would run code or leave its folder.
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, str | PathLike):
        if not str(source):
            raise UnreadableError("expected a path, got an empty text.")
        source = Path(source)
    name, everything = contents(source)
    found = tuple(without_training_state(everything))
    tensors = tuple(item for item in found if isinstance(item, Tensor))
    names = Counter(name for tensor in tensors for name in (tensor.name, *tensor.aliases))
    repeated = next((name for name, count in names.items() if count > 1), None)
    if repeated is not None:
        raise UnreadableError(f"{described(source)}: expected every tensor to have its own name, got {shown(repeated)} twice.")
    return Checkpoint(
        path=source if isinstance(source, Path) else None,
        format=name,
        tensors=tensors,
        skipped=tuple(item for item in found if isinstance(item, Skip)),
        metadata=getattr(modules(__name__)[name], "metadata", _silent)(source),
    )


def _silent(_source: Any, /) -> Mapping[str, str]:
    return {}


def contents(source: Any, /) -> tuple[str, tuple[Tensor | Skip, ...]]:
    """The format of a source, and everything in it as that format gives it; what a format calls to open a file it names.

    Raises:
        UnreadableError: No format knows the source, or its header is damaged.
        UnsafeError: Reading it would run code or leave its folder.
    """
    name = format_of(source)
    if name is None:
        known = ", ".join(modules(__name__))
        raise UnreadableError(f"{described(source)}: expected a checkpoint in one of the formats {known}; none of them knows this.")
    return name, tuple(modules(__name__)[name].tensors(source))


def format_of(source: Any, /) -> str | None:
    """Name of the format with the strongest evidence for a source, or None where there is no evidence for any.

    Raises:
        UnreadableError: The path does not exist, cannot be read, or is neither a file nor a folder.
        UsageError: Two formats have equal evidence.
    """
    head = _head(source) if isinstance(source, Path) else b""
    return strongest({name: module.claims(source, head) for name, module in modules(__name__).items()}, described(source))


def described(source: Any, /) -> str:
    """The source as an error names it: its path, or its type."""
    return str(source) if isinstance(source, Path) else f"a {type(source).__module__}.{type(source).__qualname__}"


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise UnreadableError(f"{path}: expected a file or a folder, got neither.")
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
