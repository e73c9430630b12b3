"""Shuffled weights: kernels stay whole, the size holds, and a structure of the weights is found."""

import math

import numpy as np
import pytest

from modescope.errors import UsageError
from modescope.matrix import Blocks, Matrix, Product
from modescope.spectral_graph.modes import modes as decomposed
from modescope.spectral_graph.nulls import shuffle
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.overlaps import pair as join
from modescope.spectral_graph.wiring import Layer, Link
from null_cases import pair


def modes(writer, reader):
    """The pair of two weights (out, channels, taps), decomposed densely."""
    u = np.linalg.svd(writer.reshape(writer.shape[0], -1), full_matrices=False)[0]
    vh = np.linalg.svd(reader.reshape(reader.shape[0], -1), full_matrices=False)[2]
    return pair(u, vh.reshape(-1, reader.shape[1], reader.shape[2]))


def redraw(writer, reader):
    return lambda random: overlaps(modes(shuffle.shuffled(writer, random), shuffle.shuffled(reader, random)))


def test_kernels_stay_whole():
    weight = np.arange(24.0).reshape(4, 3, 2)
    found = shuffle.shuffled(weight, np.random.default_rng(0))
    assert found.shape == weight.shape
    assert sorted(map(tuple, found.reshape(-1, 2))) == sorted(map(tuple, weight.reshape(-1, 2)))
    assert not np.array_equal(found, weight)


def test_false_edges_are_as_many_as_promised():
    """30 pairs of noise of 8 x 8 edges at .1: edges of a pair depend on each other, and .06 to .14 is allowed."""
    random = np.random.default_rng(1)
    hits = 0
    for seed in range(30):
        writer, reader = random.standard_normal((8, 6, 4)), random.standard_normal((8, 8, 4))
        case = modes(writer, reader)
        found = shuffle.test(case, overlaps(case), most=0.1, draws=39, seed=seed, redraw=redraw(writer, reader))
        hits += found.reader.size
    assert 0.06 <= hits / (30 * 64) <= 0.14


def test_a_direction_that_both_layers_share_is_found():
    random = np.random.default_rng(2)
    shared = random.standard_normal(20)
    writer = random.standard_normal((20, 12, 1)) + 2 * np.outer(shared, random.standard_normal(12))[:, :, None]
    reader = random.standard_normal((14, 20, 1)) + 2 * np.outer(random.standard_normal(14), shared)[:, :, None]
    case = modes(writer, reader)
    found = shuffle.test(case, overlaps(case), most=0.011, draws=99, seed=0, redraw=redraw(writer, reader))
    assert (0, 0) in set(zip(found.reader.tolist(), found.writer.tolist(), strict=True))
    assert found.log_p.min() == pytest.approx(math.log(0.01))


def test_modes_without_weights_are_refused():
    case = modes(np.ones((3, 2, 1)), np.ones((2, 3, 1)))
    with pytest.raises(UsageError, match="weights of both layers"):
        shuffle.test(case, overlaps(case), most=0.1, draws=9, seed=0)
    with pytest.raises(UsageError, match="got \\(1, 1\\)"):
        shuffle.test(case, overlaps(case), most=0.1, draws=9, seed=0, redraw=lambda _: np.ones((1, 1)))


def layer(name, weight, groups=1):
    out, channels, taps = weight.shape
    flat = weight.reshape(out, channels * taps)
    operand = flat if groups == 1 else Blocks(flat.reshape(groups, out // groups, channels * taps))
    matrix = Matrix(name, "unfolding", (out, groups * channels * taps), "float64", lambda: operand)
    return Layer(name, matrix, channels * groups, taps, groups)


@pytest.mark.parametrize("groups", [1, 2])
def test_layers_are_drawn_again_with_their_own_kernels(groups):
    """The slow twin shuffles, decomposes and overlaps by itself; a grouped writer keeps every kernel in its block."""
    random = np.random.default_rng(3)
    weight = random.standard_normal((6, 4, 2))
    writer, reader = layer("a", weight, groups), layer("b", random.standard_normal((5, 6, 3)))
    link = Link("a", "b")
    case = join(link, decomposed(writer, read=False), decomposed(reader, written=False))
    drawn = shuffle.redrawing(link, writer, reader, case)(np.random.default_rng(4))
    again = np.random.default_rng(4)
    blocks = [shuffle.shuffled(block, again) for block in np.split(weight, groups)]
    dense = np.zeros((6, groups * 4 * 2))
    for g, block in enumerate(blocks):
        dense[6 // groups * g : 6 // groups * (g + 1), 8 * g : 8 * (g + 1)] = block.reshape(6 // groups, 8)
    other = shuffle.shuffled(reader.matrix.read().reshape(5, 6, 3), again)
    twin = overlaps(modes(dense[:, :, None], other))
    assert drawn.shape == overlaps(case).shape
    assert drawn == pytest.approx(twin, abs=1e-8)


def test_factors_of_a_product_are_shuffled_one_by_one():
    random = np.random.default_rng(5)
    product = Product(random.standard_normal((6, 2)), random.standard_normal((2, 6)))
    writer = Layer("ov", Matrix("ov", "circuit", (6, 6), "float64", lambda: product), 6)
    reader = layer("b", random.standard_normal((5, 6, 1)))
    link = Link("ov", "b")
    case = join(link, decomposed(writer, read=False), decomposed(reader, written=False))
    drawn = shuffle.redrawing(link, writer, reader, case)(np.random.default_rng(6))
    assert drawn.shape == overlaps(case).shape
    assert not np.allclose(drawn, overlaps(case))
