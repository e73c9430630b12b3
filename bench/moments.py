"""Second moments of a stream of samples: time against one bare float64 product, and memory against the matrix that is made."""

import tracemalloc
from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import Ratio, Size, clocked, compare

from modescope.moments import Array, streamed

CHUNK = 4096


def rows(size: Size, /) -> Iterator[Ratio]:
    """10^6 float32 samples of 64 and of 256 numbers, in chunks that exist one at a time."""
    count, widths, rounds = (10_000, (16,), 1) if size is Size.SMOKE else (1_000_000, (64, 256), 2)
    for n in widths:
        chunk = np.random.default_rng(0).standard_normal((CHUNK, n), dtype=np.float32)
        name = f"moments of {count:,} samples of {n} numbers"

        def bare(chunk: Array = chunk, n: int = n) -> None:
            total = np.zeros((n, n))
            for part in _stream(chunk, count):
                wide = part.astype(np.float64)
                total += wide.T @ wide

        yield compare(
            name, "the bare sum of products", clocked(partial(_ours, chunk, count)), clocked(bare), limit=1.5, rounds=rounds
        )
        held = _peak(chunk, count)
        room = 8 * (10 * n * n + 3 * chunk.size)
        yield Ratio(f"memory, {name}", "ten matrices and three chunks", 1.0, held / room, held, room, remark="in bytes")
        few = _peak(chunk, count // 10)
        yield Ratio(f"memory, {name}", "a tenth of the samples", 1.05, held / few, held, few, remark="in bytes")


def _ours(chunk: Array, count: int) -> None:
    streamed(_stream(chunk, count))


def _stream(chunk: Array, count: int) -> Iterator[Array]:
    for start in range(0, count, CHUNK):
        yield chunk[: min(CHUNK, count - start)]


def _peak(chunk: Array, count: int) -> int:
    """Bytes at the peak beside the chunk itself."""
    streamed((chunk[:10],))
    tracemalloc.start()
    try:
        streamed(_stream(chunk, count))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
