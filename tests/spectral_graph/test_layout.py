"""Few crossings: counted as the eye does, never more than before, none where the graph is a tree, the same every time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers

from modescope.spectral_graph.layout import Indices, crossings, heights, ranks


def by_hand(column: Indices, height: np.ndarray, source: Indices, target: Indices) -> int:
    """Every pair of edges between every two neighbouring columns."""
    depth = np.unique(column)
    lines = [(column[a], height[a], column[b], height[b]) for a, b in zip(source, target, strict=True)]
    found = 0
    for left, right in itertools.pairwise(depth):
        here = []
        for x1, y1, x2, y2 in lines:
            if x1 <= left and x2 >= right:
                places = np.interp([left, right], [x1, x2], [y1, y2])
                here.append(np.round(places, 12))
        for i, (a, b) in enumerate(here):
            found += sum((a - c) * (b - d) < 0 for c, d in here[:i])
    return found


def drawn(seed: int, *, layers: int = 4, width: int = 7, edges: int = 30) -> tuple[Indices, Indices, Indices, Indices]:
    """A random layered graph with two lanes in its second column and edges that lead past columns."""
    rng = np.random.default_rng(seed)
    column = np.repeat(np.arange(layers), width)
    stand = np.where(column == 1, 1 + 10 * (np.arange(column.size) % 2), column)
    ends = np.sort(rng.integers(0, column.size, (edges, 2)), axis=1)
    ends = ends[column[ends[:, 0]] < column[ends[:, 1]]]
    return column, stand, ends[:, 0], ends[:, 1]


def spaced(stand: Indices, rank: Indices) -> np.ndarray:
    return heights(np.unique(stand, return_inverse=True)[1], rank)


@settings(max_examples=60, deadline=None)
@given(seed=integers(0, 10_000), edges=integers(0, 40))
def test_crossings_are_those_of_every_pair_of_edges(seed: int, edges: int) -> None:
    column, stand, source, target = drawn(seed, edges=edges)
    rank = np.random.default_rng(seed).permutation(column.size)
    height = np.argsort(np.argsort(np.lexsort((rank, stand)))) / 7 % 1
    assert crossings(column, height, source, target) == by_hand(column, height, source, target)


@settings(max_examples=30, deadline=None)
@given(seed=integers(0, 10_000))
def test_ranks_number_every_stand_and_cross_no_more_than_the_given_order(seed: int) -> None:
    column, stand, source, target = drawn(seed)
    given_order = ranks(column, stand, source[:0], target[:0], [])
    found = ranks(column, stand, source, target, np.ones(source.size))
    for one in np.unique(stand):
        assert sorted(found[stand == one]) == list(range(int((stand == one).sum())))
        assert list(given_order[stand == one]) == list(range(int((stand == one).sum())))
    assert crossings(column, spaced(stand, found), source, target) <= crossings(column, spaced(stand, given_order), source, target)


@pytest.mark.parametrize("layers", [2, 3, 6])
def test_shuffled_parallel_chains_are_untangled_whole(layers: int) -> None:
    rng = np.random.default_rng(layers)
    width = 20
    column = np.repeat(np.arange(layers), width)
    places = [k * width + rng.permutation(width) for k in range(layers)]
    source, target = np.concatenate(places[:-1]), np.concatenate(places[1:])
    found = ranks(column, column, source, target, np.ones(source.size))
    assert crossings(column, spaced(column, np.tile(np.arange(width), layers)), source, target) > 50
    assert crossings(column, spaced(column, found), source, target) == 0


def test_an_edge_that_leads_past_a_column_pulls_its_ends_together() -> None:
    column = np.array([0, 0, 1, 1, 2, 2])
    source, target = np.array([0, 1, 0, 1]), np.array([5, 4, 3, 2])
    found = ranks(column, column, source, target, np.ones(4))
    assert crossings(column, spaced(column, found), source, target) == 0


def test_a_heavy_edge_pulls_more_than_a_light_one() -> None:
    column = np.array([0, 0, 0, 1, 1])
    source, target = np.array([0, 2, 1, 1]), np.array([3, 3, 3, 4])
    up = ranks(column, column, source, target, [9, 0.1, 1, 1])
    down = ranks(column, column, source, target, [0.1, 9, 1, 1])
    assert (up[3], down[3]) == (0, 1)


def test_the_same_graph_is_drawn_the_same_every_time() -> None:
    column, stand, source, target = drawn(3, edges=200)
    weight = np.random.default_rng(3).random(source.size)
    assert np.array_equal(ranks(column, stand, source, target, weight), ranks(column, stand, source, target, weight))


def test_a_graph_without_nodes_or_edges_has_an_order() -> None:
    assert ranks([], [], [], [], []).size == 0
    assert list(ranks([0, 0, 4], [0, 0, 1], [], [], [])) == [0, 1, 0]
