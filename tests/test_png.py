"""PNG files and sheets: read back by a decoder that follows the specification, and pixel by pixel."""

import struct
import zlib

import numpy as np
import pytest

from modescope.errors import UsageError
from modescope.png import levels, png, sheet


def decoded(data: bytes) -> np.ndarray:
    """Pixels of a PNG file with 8 bits a sample and no filters; every checksum is looked at."""
    assert data[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    place, chunks = 8, []
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack(">I", data[place + 8 + size : place + 12 + size])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        place += 12 + size
    assert [kind for kind, _ in chunks] == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    assert (depth, rest) == (8, [0, 0, 0])
    samples = {0: 1, 2: 3}[colour]
    lines = np.frombuffer(zlib.decompress(chunks[1][1]), np.uint8).reshape(height, 1 + width * samples)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape((height, width) if samples == 1 else (height, width, 3))


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (9, 5), (4, 7, 3), (300, 2, 3)])
def test_a_file_holds_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(decoded(png(pixels)), pixels)
    assert np.array_equal(decoded(png(pixels[::-1, ::-1])), pixels[::-1, ::-1])


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2)), np.zeros((2, 0), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros(3, np.uint8)]
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="expected uint8"):
        png(pixels)


@pytest.mark.parametrize("colour", [(), (3,)])
def test_every_pixel_of_a_sheet_is_that_of_its_picture(colour: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).integers(0, 255, (5, 3, 4, *colour)).astype(np.uint8)
    found = sheet(images, 2, side=7, gap=2)  # a factor of 3 makes the shorter side 9
    assert found.shape == (3 * 9 + 2 * 2, 2 * 12 + 2, *colour)
    seen = np.zeros(found.shape[:2], bool)
    for i in range(5):
        for y in range(9):
            for x in range(12):
                at = (i // 2) * 11 + y, (i % 2) * 14 + x
                assert np.array_equal(found[at], images[i, y // 3, x // 3])
                seen[at] = True
    assert (found[~seen] == 255).all()


def test_a_digit_is_enlarged_and_a_large_picture_is_not() -> None:
    assert sheet(np.zeros((1, 8, 8), np.uint8), 9).shape == (64, 64)
    assert sheet(np.zeros((2, 224, 300), np.uint8), 9).shape == (224, 602)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="expected pictures"):
        sheet(np.zeros((0, 2, 2), np.uint8), 3)
    with pytest.raises(UsageError, match="columns"):
        sheet(np.zeros((1, 2, 2), np.uint8), 0)


def test_levels_span_the_range_and_cut_what_lies_beyond() -> None:
    assert levels([-3.0, -1.0, 0.0, 1.0, 9.0, np.nan, np.inf], -1.0, 1.0).tolist() == [0, 0, 128, 255, 255, 0, 255]
    with pytest.raises(UsageError, match="low to high"):
        levels([0.0], 1.0, 1.0)
