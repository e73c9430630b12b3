"""A safetensors file written tensor by tensor: the header is known before any number, and one tensor at a time is in memory."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modescope.checkpoints._dtypes import numpy_dtype
from modescope.checkpoints.safetensors import LONGEST_HEADER, STORED
from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Array

CODES = {name: code for code, name in STORED.items()}
ALIGNED = 8  # bytes that the header is padded to
CHUNK = 1 << 26  # bytes that are written together


@dataclass(frozen=True)
class Entry:
    """Header of one tensor: its dtype by its NumPy or ml_dtypes name, and its shape."""

    stored: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * numpy_dtype(self.stored).itemsize


@dataclass(frozen=True)
class Part:
    """Tensors that are made together, as the three factors of a weight are.

    Attributes:
        entries: Their headers by name.
        make: Gives their numbers by name, in the dtype and shape of the header.
    """

    entries: Mapping[str, Entry]
    make: Callable[[], Mapping[str, Array]]


def write(path: Path, parts: Sequence[Part], said: Mapping[str, str]) -> Iterator[str]:
    """Write a file part by part, telling the name of each before it is made.

    Args:
        path: The file, which is overwritten.
        parts: All of its tensors, of different names.
        said: Metadata.

    Raises:
        UsageError: The format has no room for a dtype or for so long a header.
        OSError: The file cannot be written.
    """
    header, places = _header({name: entry for part in parts for name, entry in part.entries.items()}, said)
    if len(header) > LONGEST_HEADER:
        raise UsageError(f"{path}: expected a header of at most {LONGEST_HEADER:,} bytes, got {len(header):,}: too many tensors.")
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for part in parts:
            yield next(iter(part.entries))
            made = part.make()
            for name, entry in part.entries.items():
                array = made[name]
                if array.shape != entry.shape or array.dtype.name != entry.stored:
                    raise UnreadableError(
                        f"{name!a}: expected {entry.stored} {entry.shape} as declared, got {array.dtype.name} {array.shape}."
                    )
                file.seek(8 + len(header) + places[name])
                for piece in pieces(array):
                    file.write(piece)


def pieces(array: Array) -> Iterator[memoryview]:
    """The bytes of an array in order, little-endian, few at a time."""
    little = array if array.dtype.byteorder != ">" else array.astype(array.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(little).reshape(-1).view(np.uint8)
    for start in range(0, flat.size, CHUNK):
        yield flat[start : start + CHUNK].data


def _header(entries: Mapping[str, Entry], said: Mapping[str, str]) -> tuple[bytes, dict[str, int]]:
    """The header, and where each tensor begins after it: wide numbers first, so that all are aligned."""
    for name, entry in entries.items():
        if entry.stored not in CODES:
            raise UsageError(f"{name!a}: expected a dtype that safetensors can hold, got {entry.stored}.")
    told: dict[str, object] = {"__metadata__": dict(said)}
    places, at = {}, 0
    for name in sorted(entries, key=lambda name: (-numpy_dtype(entries[name].stored).itemsize, name)):
        entry = entries[name]
        told[name] = {"dtype": CODES[entry.stored], "shape": list(entry.shape), "data_offsets": [at, at + entry.size]}
        places[name], at = at, at + entry.size
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return text + b" " * (-len(text) % ALIGNED), places
