"""Checkpoints: a file, a folder or a live model in, lazy tensors out. One file per format; content is asked before the suffix.

A format has `claims(source, head, /) -> int` (0 none, 1 suffix, 2 magic bytes or structure, 3 declared) and
`tensors(source, /) -> Iterator[Tensor | Skip]`. `source` is a `pathlib.Path`, or any other object a user passes (a module, a
mapping); `head` is the first bytes of a file, empty for folders and objects. A format reads headers only, never runs what it
reads, and raises `UnreadableError` or `UnsafeError` in a sentence that names the file and the tensor.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

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
    """

    path: Path | None
    format: str
    tensors: tuple[Tensor, ...]
    skipped: tuple[Skip, ...] = ()


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
    if isinstance(source, str):
        source = Path(source)
    name, found = _tensors(source)
    tensors = tuple(item for item in found if isinstance(item, Tensor))
    return Checkpoint(
        path=source if isinstance(source, Path) else None,
        format=name,
        tensors=tensors,
        skipped=tuple(item for item in found if isinstance(item, Skip)),
    )


def _tensors(source: Any) -> tuple[str, tuple[Tensor | Skip, ...]]:
    formats = modules(__name__)
    what = str(source) if isinstance(source, Path) else f"a {type(source).__module__}.{type(source).__qualname__}"
    head = _head(source) if isinstance(source, Path) else b""
    name = strongest({name: module.claims(source, head) for name, module in formats.items()}, what)
    if name is None:
        raise UnreadableError(f"{what}: expected a checkpoint in one of the formats {', '.join(formats)}; none of them knows this.")
    return name, tuple(formats[name].tensors(source))


def _head(path: Path) -> bytes:
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
