"""The header of one array as NumPy saves it; shared by single files and archives."""

import ast
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modescope.checkpoints._dtypes import PLAIN
from modescope.checkpoints._mapped import byte_count
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UnsafeError

MAGIC = b"\x93NUMPY"
LONGEST = 10_000  # characters; NumPy's own limit against literals made to crash the parser
LONGEST_HEADER = 12 + 4 * LONGEST


@dataclass(frozen=True)
class Header:
    """What an array's header says; `offset` is where its numbers begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    offset: int
    size: int

    @property
    def unreadable(self) -> str | None:
        """Why the entries are no numbers we know, or None."""
        if self.dtype.names is not None:
            return "records with named fields: not an array of numbers"
        if self.dtype.kind == "V":
            return (
                f"raw {self.dtype.itemsize}-byte entries: NumPy saves bfloat16 and other dtypes it does not know without their name"
            )
        return None if self.dtype.name in PLAIN else f"entries of dtype {self.dtype.name}: not numbers of a weight"


def parse(what: str, head: bytes, available: int) -> Header:
    """The header of an array.

    Args:
        what: File and member, for errors.
        head: The first bytes, at least `LONGEST_HEADER` of them where there are as many.
        available: Bytes there are in all.

    Raises:
        UnsafeError: The array holds pickled objects.
        UnreadableError: The header is damaged, or promises more bytes than there are.
    """
    if not head.startswith(MAGIC) or len(head) < 12:
        raise UnreadableError(f"{what}: expected a NumPy array, got other bytes or too few. Save it again.")
    width = 2 if head[6] == 1 else 4
    start = 8 + width
    length = int.from_bytes(head[8:start], "little")
    text = head[start : start + length]
    if head[6] not in (1, 2, 3) or length > 4 * LONGEST or len(text) < length:
        raise UnreadableError(f"{what}: expected a header of version 1 to 3, got version {head[6]} with {length:,} bytes.")
    entry = _literal(what, text)
    dtype, shape, fortran = _dtype(what, entry["descr"]), entry["shape"], entry["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(axis) is int for axis in shape) or not isinstance(fortran, bool):
        raise UnreadableError(f"{what}: expected a shape and an order, got {shown(shape)} and {shown(fortran)}.")
    size = byte_count(shape, dtype.itemsize)
    if size is None:
        raise UnreadableError(f"{what}: expected a shape that fits into memory, got {shown(shape)}.")
    if start + length + size > available:
        raise UnreadableError(
            f"{what}: expected {size:,} bytes for {dtype.name} {shown(shape)}, got {available - start - length:,}."
        )
    return Header(dtype, shape, "F" if fortran else "C", start + length, size)


def _literal(what: str, text: bytes) -> dict[str, Any]:
    try:
        entry = ast.literal_eval(text.decode()[: LONGEST + 1])
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"{what}: expected a header that is a Python literal, got damage.") from error
    if not isinstance(entry, dict) or entry.keys() != {"descr", "fortran_order", "shape"}:
        raise UnreadableError(f"{what}: expected a header with descr, fortran_order and shape, got {shown(entry)}.")
    return entry


def _dtype(what: str, descr: Any) -> np.dtype[Any]:
    if isinstance(descr, str) and not re.fullmatch(r"[<>|=]?[biufcSUVmMO]\d{0,6}(\[\w+\])?", descr, re.ASCII):
        raise UnreadableError(f"{what}: expected a plain dtype, got {shown(descr)}.")  # what NumPy would guess, or warn about
    try:
        dtype = np.lib.format.descr_to_dtype(descr)
    except (TypeError, ValueError, IndexError, KeyError, SyntaxError, OverflowError, RecursionError) as error:
        raise UnreadableError(f"{what}: expected a dtype, got {shown(descr)}.") from error
    if dtype.hasobject:
        raise UnsafeError(f"{what}: expected numbers, got Python objects; reading them would run code. Save plain arrays.")
    return dtype
