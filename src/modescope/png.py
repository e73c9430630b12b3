"""PNG files out of arrays of bytes, and many small pictures on one sheet."""

import struct
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.errors import UsageError

Pixels = NDArray[np.uint8]

SIDE = 64  # pixels of the shorter side that a picture on a sheet has at least
GAP = 2  # pixels between pictures
PAPER = 255


def png(pixels: Pixels, /) -> bytes:
    """A PNG file, the same bytes for the same pixels with one version of zlib.

    Args:
        pixels: (height, width) grey or (height, width, 3) red, green, blue.

    Raises:
        UsageError: They are not that.

    References:
        PNG specification, third edition, W3C (2025), sections 5 and 11.
    """
    if pixels.dtype != np.uint8 or not pixels.size or (pixels.ndim != 2 and pixels.shape[2:] != (3,)):
        raise UsageError(f"png: expected uint8 (height, width) or (height, width, 3), got {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    colour = 0 if pixels.ndim == 2 else 2
    lines = np.zeros((height, pixels[0].size + 1), np.uint8)  # each begins with its filter, 0 for none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def sheet(images: Pixels, columns: int, /, *, side: int = SIDE, gap: int = GAP) -> Pixels:
    """Pictures side by side, row by row, each enlarged by a whole factor until its shorter side has at least `side` pixels.

    Args:
        images: (n, height, width) or (n, height, width, 3).
        columns: Pictures in one row; places that are left over are white.
        side: Pixels that the shorter side has at least. Every pixel of a picture becomes a square: nothing is smoothed.
        gap: White pixels between two pictures.

    Raises:
        UsageError: There is no picture, or no column.
    """
    if images.ndim not in {3, 4} or not images.size:
        raise UsageError(f"sheet: expected pictures (n, height, width) or (n, height, width, 3), got shape {images.shape}.")
    if columns < 1:
        raise UsageError(f"sheet: expected the number of columns, at least 1, got {columns}.")
    factor = max(-(-side // min(images.shape[1:3])), 1)
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width = large.shape[:3]
    across = min(columns, count)
    down = -(-count // across)
    found: Pixels = np.full((down * (height + gap) - gap, across * (width + gap) - gap, *images.shape[3:]), PAPER, np.uint8)
    for index, one in enumerate(large):
        top, left = (index // across) * (height + gap), (index % across) * (width + gap)
        found[top : top + height, left : left + width] = one
    return found


def levels(values: ArrayLike, low: float, high: float, /) -> Pixels:
    """Bytes of numbers: `low` is 0, `high` is 255, what lies beyond is cut off and what is not a number is `low`."""
    if not low < high:
        raise UsageError(f"levels: expected a range from low to high, got {low:g} to {high:g}.")
    share = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    found: Pixels = np.rint(np.clip(np.nan_to_num(share, nan=0.0), 0, 1) * 255).astype(np.uint8)
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
