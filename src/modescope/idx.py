"""IDX: the format of MNIST, one array in a file, `.gz` or not."""

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from modescope.errors import UnreadableError
from modescope.matrix import Array

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
GZIP = b"\x1f\x8b"
HIGHEST_RATIO = 1032  # of deflate: 258 bytes for 2 bits
LARGEST = 8 * 2**30  # bytes that are unpacked
PIECE = 2**24
MARKS = (("images", "labels"), ("idx3", "idx1"), ("idx4", "idx1"))


def claims(path: Path, /) -> bool:
    """Whether the name is one of an IDX file, as "train-images-idx3-ubyte.gz" is."""
    name = path.name.lower().removesuffix(".gz")
    return name.endswith((".idx", "-ubyte")) or any(f"{mark}idx{n}" in name for mark in "-." for n in range(1, 6))


def beside(path: Path, /) -> Path | None:
    """The file of labels that belongs to one of images, packed or not, where there is one."""
    name = path.name
    for images, labels in MARKS:
        name = name.replace(images, labels)
    bare = name.removesuffix(".gz")
    found = (path.with_name(one) for one in (name, bare, f"{bare}.gz"))
    return next((one for one in found if one != path and one.is_file()), None)


def read(path: Path, /) -> Array:
    """The array of an IDX file; one that is not packed is mapped where it lies.

    Raises:
        UnreadableError: It is no IDX file, it is damaged, or it promises more than there is.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(GZIP)) == GZIP:
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _unpacked(path, cast(IO[bytes], unpacked))
            file.seek(0)
            dtype, shape, start = _header(path, file)
        have, want = path.stat().st_size, start + dtype.itemsize * math.prod(shape)
        if have != want:
            raise UnreadableError(f"{path}: expected {want:,} bytes for {_words(shape)} of {dtype.name}, got {have:,}.")
        if not math.prod(shape):
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", start, shape)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableError(
            f"{path}: expected an IDX file, got one that cannot be read: {error or type(error).__name__}"
        ) from error


def _header(path: Path, file: IO[bytes]) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not magic[3]:
        raise UnreadableError(
            f"{path}: expected an IDX file, which begins with 0, 0, a type and a number of axes, got {magic.hex(' ')}."
        )
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise UnreadableError(f"{path}: expected {magic[3]} sizes behind the first four bytes, got {len(sizes)} bytes.")
    return np.dtype(TYPES[magic[2]]), tuple(np.frombuffer(sizes, ">u4").tolist()), 4 + len(sizes)


def _unpacked(path: Path, file: IO[bytes]) -> Array:
    dtype, shape, _ = _header(path, file)
    want = dtype.itemsize * math.prod(shape)
    if want > min(LARGEST, HIGHEST_RATIO * path.stat().st_size):
        raise UnreadableError(
            f"{path}: expected less than is promised, {_words(shape)} of {dtype.name}; unpack it, if that is true."
        )
    parts, have = [], 0
    while have <= want and (part := file.read(min(PIECE, want - have + 1))):
        parts.append(part)
        have += len(part)
    if have != want:
        more = "more" if have > want else f"{have:,}"
        raise UnreadableError(f"{path}: expected {want:,} bytes for {_words(shape)} of {dtype.name}, got {more}.")
    return np.frombuffer(b"".join(parts), dtype).reshape(shape)


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
