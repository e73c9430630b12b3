"""Members of a zip archive, checked before anything is read from them."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO

from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError

MAGIC = b"PK"
LOCAL = b"PK\x03\x04"
LOCAL_SIZE = 30  # bytes of a local header before its name
# What the standard library's reader raises for damage, besides its own BadZipFile.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    IndexError,
    OverflowError,
)


def first_name(head: bytes) -> str:
    """Name of the first member, from the first bytes of an archive, also of one whose end is missing; "" for other bytes."""
    if not head.startswith(LOCAL) or len(head) < LOCAL_SIZE:
        return ""
    length = int.from_bytes(head[26:28], "little")
    return head[LOCAL_SIZE : LOCAL_SIZE + length].decode(errors="replace")


def names(path: Path, head: bytes) -> tuple[str, ...]:
    """Names of all members, or of the first one alone where the archive's end is damaged; empty for other files."""
    if not head.startswith(MAGIC):
        return ()
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist())
    except DAMAGE:
        return (first_name(head),)


def members(path: Path) -> tuple[zipfile.ZipInfo, ...]:
    """Every member by the archive's directory.

    Raises:
        UnreadableError: The archive is damaged, encrypted, or two members have one name (readers would disagree on which counts).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = tuple(archive.infolist())
    except DAMAGE as error:
        raise damaged(path, error) from error
    seen: set[str] = set()
    for member in found:
        if member.filename in seen:
            raise UnreadableError(f"{path}: expected every member of the archive once, got {shown(member.filename)} twice.")
        if member.flag_bits & 0x1:
            raise UnreadableError(f"{path}: expected a plain archive, got {shown(member.filename)} encrypted. Decrypt it first.")
        seen.add(member.filename)
    return found


def data_offset(file: IO[bytes], path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin.

    Raises:
        UnreadableError: No local header stands where the directory says, or the file ends inside the member.
    """
    size = file.seek(0, 2)
    file.seek(max(member.header_offset, 0))  # a damaged directory may point before the file
    header = file.read(LOCAL_SIZE) if member.header_offset >= 0 else b""
    if len(header) < LOCAL_SIZE or not header.startswith(LOCAL):
        raise UnreadableError(f"{path}: expected a member at byte {member.header_offset:,}, got none: the archive is damaged.")
    name, extra = struct.unpack("<HH", header[26:])
    offset = member.header_offset + LOCAL_SIZE + int(name) + int(extra)
    if offset + member.file_size > size:
        raise UnreadableError(
            f"{path}: {shown(member.filename)}: expected {member.file_size:,} bytes, got a file that ends before."
        )
    return offset


def damaged(path: Path, error: Exception) -> UnreadableError:
    """The error for an archive that cannot be read."""
    return UnreadableError(f"{path}: expected a whole zip archive, got a damaged one ({error}). Download or save it again.")
