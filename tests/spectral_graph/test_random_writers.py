"""Random writers: drawn anew beside the same reader, in one block or in several."""

import numpy as np
import pytest

from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import pair
from modescope.spectral_graph.random_writers import random_overlaps, redrawn
from modescope.spectral_graph.wiring import Link
from structure_cases import blocks, joined, layer


def test_only_the_writer_is_drawn_anew() -> None:
    rng = np.random.default_rng(1)
    one, _, _ = joined(rng.standard_normal((8, 5)), rng.standard_normal((6, 4)), rows=np.array([1, 2, 6, 7]))
    other = redrawn(one, rng)
    assert other.reader is one.reader
    assert other.writer.shape == (4, 5)
    assert not np.allclose(other.writer, one.writer)
    assert random_overlaps(one, rng).shape == (len(one.reader_nodes), len(one.writer_nodes))


def test_a_writer_in_blocks_stays_in_its_blocks() -> None:
    rng = np.random.default_rng(2)
    writer = modes(blocks("writer", rng.standard_normal((3, 4, 5))))
    reader = modes(layer("reader", rng.standard_normal((9, 12))))
    one = pair(Link("writer", "reader"), writer, reader)
    drawn = redrawn(one, rng)
    assert one.writer_block is not None
    assert one.channel_block is not None
    outside = one.channel_block[:, None] != one.writer_block[None, :]
    assert not one.writer[outside].any()
    assert not drawn.writer[outside].any()
    assert drawn.writer.T @ drawn.writer == pytest.approx(np.eye(12), abs=1e-12)
