"""NumPy single-array files (`.npy`)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from modescope.checkpoints import _npy
from modescope.checkpoints._mapped import mapped
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor


def claims(source: Any, head: bytes, /) -> int:
    """2 for NumPy's magic bytes, 1 for the suffix."""
    if not isinstance(source, Path):
        return 0
    if head.startswith(_npy.MAGIC):
        return 2
    return int(source.suffix.lower() == ".npy" and not source.is_dir())


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """The one array, named like the file.

    Raises:
        UnsafeError: It holds pickled objects.
        UnreadableError: Its header is damaged, or the file is cut.
    """
    try:
        with source.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = _npy.parse(str(source), file.read(_npy.LONGEST_HEADER), size)
    except OSError as error:
        raise UnreadableError(f"{source}: cannot be read ({error.strerror or error}).") from error
    if header.unreadable is not None:
        yield Skip(source.stem, header.shape, header.unreadable)
    else:
        read = partial(mapped, source, source.stem, header.dtype, header.shape, header.offset, header.order)
        yield Tensor(source.stem, header.shape, header.dtype.name, read)
    if (rest := size - header.offset - header.size) > 0:
        yield Skip("rest of the file", (), f"{rest:,} bytes follow the array: not read")
