"""Hubs: what is counted at the nodes, and how overlaps are spread over a gap."""

import math

import numpy as np
import pytest

from modescope.spectral_graph import hubs
from structure_cases import frame, graph

EDGES = [(0, 0, 1, 0, 0.5), (0, 1, 1, 0, 0.5), (0, 2, 1, 1, 0.3), (1, 0, 2, 2, 0.9), (0, 2, 2, 2, 0.1), (0, 2, 1, 2, 0.7)]


def test_only_significant_edges_are_counted_over_all_connections() -> None:
    found = hubs.hubs(graph([3, 3, 3], EDGES, insignificant=1))
    assert found["l0"].edges_in == (0, 0, 0)
    assert found["l0"].edges_out == (1, 1, 2)
    assert found["l0"].strength_out == pytest.approx((0.5, 0.5, 0.4))
    assert found["l1"].edges_in == (2, 1, 0)
    assert found["l1"].strength_in == pytest.approx((1, 0.3, 0))
    assert found["l1"].fan_in == pytest.approx((2, 1, 0))
    assert found["l1"].largest_in == found["l1"].largest_out == 0
    assert found["l2"].edges_in == (0, 0, 2)
    assert found["l2"].fan_in[2] == pytest.approx(1 / 0.82)
    assert found["l2"].largest_out is None


def test_what_enters_is_what_leaves() -> None:
    found = hubs.hubs(graph([3, 3, 3], EDGES)).values()
    assert sum(sum(one.edges_in) for one in found) == sum(sum(one.edges_out) for one in found) == len(EDGES)
    assert sum(sum(one.strength_in) for one in found) == pytest.approx(sum(sum(one.strength_out) for one in found))


def test_a_layer_without_significant_edges_says_so() -> None:
    found = hubs.hubs(graph([2, 2, 2], [(0, 0, 1, 0, 0.5)]))
    assert found["l2"].status == "no significant edge at any node"
    assert found["l0"].status == "ok"


def test_entropy_takes_zero_as_no_contribution_and_is_largest_for_even_overlaps() -> None:
    assert hubs.entropy(np.eye(4)) == 0
    assert hubs.entropy(np.array([[0.0, 0.5], [0.5, 0.0]])) == pytest.approx(math.log(2))
    even, random = np.full((6, 6), 1 / 6), frame(6, 6, np.random.default_rng(0)) ** 2
    assert hubs.entropy(random) < hubs.entropy(even) == pytest.approx(6 * math.log(6))


def test_the_effective_fan_is_a_count_where_overlaps_are_equal() -> None:
    a = np.array([[0.2, 0.2, 0.2, 0.0], [0.0, 0.0, 0.7, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert hubs.fan_in(a) == pytest.approx([3, 1, 0])
    assert hubs.fan_out(a) == pytest.approx([1, 1, 0.9**2 / (0.2**2 + 0.7**2), 0])


def test_intensity_is_the_largest_excess_over_chance() -> None:
    rng = np.random.default_rng(1)
    a = frame(5, 5, rng) ** 2
    slow = [max(sum(5 * a[n, m] - 1 for n in range(i + 1)) for i in range(5)) for m in range(5)]
    slow = [max(value, 0.0) for value in slow]
    assert hubs.intensity(a, 5) == pytest.approx(np.array(slow) / max(slow))
    assert not hubs.intensity(np.zeros((3, 4)), 5).any()
    assert hubs.intensity(np.eye(3), 3)[0] == 1
