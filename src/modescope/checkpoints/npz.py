"""NumPy archives (`.npz`): several named arrays in a zip file."""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from modescope.checkpoints import _npy, _zip
from modescope.checkpoints._mapped import mapped
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Array, Skip, Tensor

SUFFIX = ".npy"
HIGHEST_RATIO = 1032  # of deflate: 258 bytes for 2 bits


def claims(source: Any, head: bytes, /) -> int:
    """2 for a zip file that holds NumPy arrays, 1 for the suffix."""
    if not isinstance(source, Path):
        return 0
    if any(name.endswith(SUFFIX) for name in _zip.names(source, head)):
        return 2
    return int(source.suffix.lower() == ".npz" and not source.is_dir())


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every array of the archive; a stored one is mapped where it lies, a compressed one is unpacked when it is read.

    Raises:
        UnsafeError: A member holds pickled objects.
        UnreadableError: The archive or a header is damaged, or promises more bytes than there are.
    """
    members = _zip.members(source)
    try:
        with zipfile.ZipFile(source) as archive, source.open("rb") as file:
            for member in members:
                yield _member(source, archive, file, member)
    except _zip.DAMAGE as error:
        raise _zip.damaged(source, error) from error


def _member(path: Path, archive: zipfile.ZipFile, file: IO[bytes], member: zipfile.ZipInfo) -> Tensor | Skip:
    name = member.filename.removesuffix(SUFFIX)
    what = f"{path}: array {shown(name)}"
    if not member.filename.endswith(SUFFIX):
        return Skip(member.filename, (), "a file in the archive that is no array")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableError(
            f"{what}: expected it stored or deflated, got method {member.compress_type}. Save it with numpy.savez."
        )
    stored = member.compress_type == zipfile.ZIP_STORED
    most = member.compress_size * (1 if stored else HIGHEST_RATIO)
    if member.file_size > most:
        raise UnreadableError(f"{what}: expected at most {most:,} bytes, got {member.file_size:,} promised: the archive lies.")
    with archive.open(member) as unpacked:
        header = _npy.parse(what, unpacked.read(_npy.LONGEST_HEADER), member.file_size)
    if header.unreadable is not None:
        return Skip(name, header.shape, header.unreadable)
    if stored:
        offset = _zip.data_offset(file, path, member) + header.offset
        return Tensor(
            name, header.shape, header.dtype.name, partial(mapped, path, name, header.dtype, header.shape, offset, header.order)
        )
    return Tensor(name, header.shape, header.dtype.name, partial(_inflated, path, member.filename, header))


def _inflated(path: Path, member: str, header: _npy.Header) -> Array:
    whole = header.offset + header.size
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            data = file.read(whole)
    except (*_zip.DAMAGE, KeyError) as error:
        raise _zip.damaged(path, error) from error
    if len(data) < whole:
        raise UnreadableError(
            f"{path}: array {shown(member)}: expected {whole:,} bytes, got {len(data):,}: the archive is damaged."
        )
    flat = np.frombuffer(data, header.dtype, offset=header.offset, count=header.size // max(header.dtype.itemsize, 1))
    array: Array = flat.reshape(header.shape, order=header.order)
    return array if header.dtype.isnative else array.astype(header.dtype.newbyteorder("="))
