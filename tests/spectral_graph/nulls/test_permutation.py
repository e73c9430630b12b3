"""Channel permutations: their mean, their size, what they do not credit, and the correction by the largest overlap."""

import math

import numpy as np
import pytest

from modescope.spectral_graph.nulls import permutation, rotation
from modescope.spectral_graph.nulls._simulated import simulated
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from null_cases import haar, pair, single, smooth


def test_the_mean_over_permutations_is_as_derived():
    """2e5 permutations: the mean is asked to 1 %; its standard error is below .3 %."""
    random = np.random.default_rng(0)
    b = np.abs(smooth(1, 10, random)[0])
    b /= np.linalg.norm(b)
    u = np.abs(random.standard_normal(10))
    u /= np.linalg.norm(u)
    orders = random.permuted(np.tile(np.arange(10), (200_000, 1)), axis=1)
    a = ((u[orders] @ b) ** 2).sum(axis=1)
    expected = 1 / 10 + (u.sum() ** 2 - 1) * ((b.sum(axis=0) ** 2).sum() - 1) / (10 * 9)
    assert a.mean() == pytest.approx(expected, rel=0.01)
    assert permutation.mean(pair(u[:, None], b[None]))[0, 0] == pytest.approx(expected, rel=1e-12)


def test_draws_have_that_mean():
    """4000 draws of 4 x 3 edges: four standard errors."""
    random = np.random.default_rng(1)
    case = pair(haar(9, 3, random) ** 2, smooth(4, 9, random))
    drawn = np.stack(list(permutation.draw(case, 4000, 0)))
    error = drawn.std(axis=0) / math.sqrt(4000)
    assert (np.abs(drawn.mean(axis=0) - permutation.mean(case)) <= 4 * error).all()


def test_constant_directions_overlap_whatever_the_order():
    case = pair(np.full((8, 1), 8**-0.5), np.full((1, 8), 8**-0.5))
    assert permutation.mean(case)[0, 0] == pytest.approx(1)
    assert permutation.test(case, overlaps(case), most=0.999, draws=50, seed=0).reader.size == 0
    assert rotation.test(case, overlaps(case), most=1e-9, draws=0, seed=0).reader.size == 1


def test_matching_channels_are_credited_as_far_as_the_draws_go():
    random = np.random.default_rng(2)
    case = pair(haar(30, 5, random), haar(30, 5, random).T)
    u = case.writer.copy()
    u[:, 2] = case.reader[4, :, 0]
    planted = pair(u, case.reader)
    found = permutation.test(planted, overlaps(planted), most=0.005, draws=399, seed=0)
    assert (found.reader.tolist(), found.writer.tolist()) == ([4], [2])
    assert found.log_p[0] == pytest.approx(math.log(1 / 400))
    assert "0.0025" in found.note


def test_false_edges_are_as_many_as_promised():
    """40 random pairs of 12 x 12 edges at .05: 288 expected; edges of a pair share draws, so that .03 to .07 is allowed."""
    random = np.random.default_rng(3)
    hits = 0
    for seed in range(40):
        case = pair(haar(16, 12, random), smooth(12, 16, random))
        hits += permutation.test(case, overlaps(case), most=0.05, draws=99, seed=seed).reader.size
    assert 0.03 <= hits / (40 * 144) <= 0.07


def test_the_largest_overlap_controls_the_whole_pair():
    """300 random pairs at .05 by 39 draws each: the standard error is .013, and .015 to .095 is allowed."""
    random = np.random.default_rng(4)
    hits = 0
    for seed in range(300):
        case = pair(haar(10, 6, random), haar(10, 6, random).T)
        found = permutation.test(case, overlaps(case), most=0.05, draws=39, seed=seed)
        assert found.family is not None
        hits += bool((found.family <= math.log(0.05)).any())
    assert 0.015 <= hits / 300 <= 0.095


def test_corrected_values_are_those_of_the_largest_overlap_of_each_draw():
    random = np.random.default_rng(5)
    case = pair(haar(10, 6, random), haar(10, 6, random).T)
    weights = overlaps(case)
    found = permutation.test(case, weights, most=1 - 1e-9, draws=99, seed=3)
    assert found.family is not None
    assert (found.family >= found.log_p).all()
    largest = [drawn.max() for drawn in permutation.draw(case, 99, 3)]
    for reader, writer, family in zip(found.reader, found.writer, found.family, strict=True):
        assert math.exp(family) == pytest.approx((1 + sum(value >= weights[reader, writer] for value in largest)) / 100)


def test_channels_of_a_grouped_writer_stay_in_their_block():
    random = np.random.default_rng(6)
    u = np.zeros((8, 2))
    u[:4, 0] = u[4:, 1] = 0.5
    case = Pair(u, smooth(3, 8, random), 4, single(2), single(3), np.array([0, 1]), np.repeat([0, 1], 4))
    for drawn in permutation.draw(case, 20, 0):
        assert drawn == pytest.approx(overlaps(case))  # constant inside each block


def test_a_seed_fixes_the_draws():
    random = np.random.default_rng(7)
    case = pair(haar(10, 6, random), haar(10, 6, random).T)
    one, same, other = (permutation.test(case, overlaps(case), most=0.3, draws=60, seed=seed).log_p for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_draw_that_is_smaller_by_rounding_alone_is_as_large():
    """Otherwise constant directions, whose overlap no order changes, would be the most significant of all."""
    random = np.random.default_rng(8)
    case = pair(haar(6, 2, random), haar(6, 2, random).T)
    weights = np.array([[0.5, 0.3], [0.2, 0.1]])
    below = [weights * (1 - 4e-16)] * 19
    assert (below[0] < weights).all()
    found = simulated(case, weights, below, 1.0, "draws")
    assert found.log_p.tolist() == [0.0] * 4
    assert found.family is not None
    assert found.family[0] == 0.0
    truly = simulated(case, weights, [weights * (1 - 1e-9)] * 19, 1.0, "draws")
    assert truly.log_p == pytest.approx([math.log(1 / 20)] * 4)
    assert truly.family is not None
    assert truly.family[0] == pytest.approx(math.log(1 / 20))
