"""Safetensors files (`.safetensors`): a JSON header, then plain bytes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from modescope.checkpoints._dtypes import numpy_dtype
from modescope.checkpoints._json import parse_object
from modescope.checkpoints._mapped import byte_count, mapped
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor

PREFIX = 8  # bytes of the header's length
LONGEST_HEADER = 100_000_000  # the limit of the reference implementation

STORED = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
PACKED_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


def claims(source: Any, head: bytes, /) -> int:
    """2 for a plausible header length followed by an opening brace, 1 for the suffix."""
    if not isinstance(source, Path):
        return 0
    if head[PREFIX : PREFIX + 1] == b"{" and 2 <= int.from_bytes(head[:PREFIX], "little") <= LONGEST_HEADER:
        return 2
    return int(source.suffix.lower() == ".safetensors" and not source.is_dir())


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every tensor of the header, once the whole header has been checked.

    Raises:
        UnreadableError: The header is cut, lies about its length, is not the JSON it should be, or its tensors do not cover
            the rest of the file exactly once.
    """
    header, start, size = _header(source)
    metadata = header.pop("__metadata__", {})
    written_by = metadata.get("format") if isinstance(metadata, dict) else None
    declared = {"format": written_by} if isinstance(written_by, str) else {}
    found: list[Tensor | Skip] = []
    ranges = []
    for name, entry in header.items():
        dtype, shape, begin, end = _entry(f"{source}: tensor {shown(name)}", entry)
        ranges.append((begin, end, name))
        if dtype in PACKED_BITS:
            found.append(Skip(name, shape, f"packed {PACKED_BITS[dtype]}-bit floats ({dtype}): meaningless without their scales"))
        else:
            read = partial(mapped, source, name, numpy_dtype(STORED[dtype]), shape, start + begin)
            found.append(Tensor(name, shape, STORED[dtype], read, declared))
    _check_cover(source, ranges, size - start)
    yield from found


def metadata(source: Path, /) -> dict[str, str]:
    """What the writer of the file said of it, as text."""
    said = _header(source)[0].get("__metadata__", {})
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(PREFIX), "little")
            if size < PREFIX:
                raise UnreadableError(
                    f"{path}: expected a safetensors file, got {size} bytes: it is cut. Download or save it again."
                )
            if length > LONGEST_HEADER:
                raise UnreadableError(
                    f"{path}: expected a header of at most {LONGEST_HEADER:,} bytes, got one that says {length:,}."
                )
            if PREFIX + length > size:
                raise UnreadableError(
                    f"{path}: expected a header of {length:,} bytes, got a file of {size:,}: it is cut. Download or save it again."
                )
            data = file.read(length)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return parse_object(data, f"{path}: header"), PREFIX + length, size


def _entry(what: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise UnreadableError(f"{what}: expected dtype, shape and data_offsets, got {shown(entry)}.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or (dtype not in STORED and dtype not in PACKED_BITS):
        raise UnreadableError(f"{what}: expected a dtype among {', '.join((*STORED, *PACKED_BITS))}, got {shown(dtype)}.")
    if not _whole_numbers(shape):
        raise UnreadableError(f"{what}: expected a shape of whole numbers from 0, got {shown(shape)}.")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise UnreadableError(f"{what}: expected data_offsets [begin, end] with begin <= end, got {shown(offsets)}.")
    bits = PACKED_BITS.get(dtype) or 8 * numpy_dtype(STORED[dtype]).itemsize
    needed = byte_count(tuple(shape), bits)
    if needed is None:
        raise UnreadableError(f"{what}: expected a shape that fits into memory, got {shown(shape)}.")
    if needed != 8 * (offsets[1] - offsets[0]):
        raise UnreadableError(f"{what}: expected {-(-needed // 8):,} bytes for {dtype} {shape}, got {offsets[1] - offsets[0]:,}.")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_cover(path: Path, ranges: list[tuple[int, int, str]], available: int) -> None:
    at = 0
    for begin, end, name in sorted(ranges):
        if begin != at:
            fault = "overlaps the one before it" if begin < at else "leaves a hole before it"
            raise UnreadableError(
                f"{path}: tensor {shown(name)}: expected its bytes to begin at {at:,}, got {begin:,}: it {fault}."
            )
        if end > available:
            raise UnreadableError(
                f"{path}: tensor {shown(name)}: expected bytes up to {end:,}, got {available:,}: it is cut. Download it again."
            )
        at = end
    if at != available:
        raise UnreadableError(f"{path}: expected {at:,} bytes of tensors, got {available:,}: something follows the last tensor.")
