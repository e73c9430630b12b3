"""Paths through significant edges: everything that leads to a start, the strongest way, and the sum over all ways."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modescope.errors import UsageError
from modescope.spectral_graph import paths
from modescope.spectral_graph.result import SpectralGraph
from structure_cases import graph


def all_paths_back(edges: list[tuple[int, int, int, int, float]], start: tuple[int, int]) -> list[tuple[tuple[int, int], float]]:
    """Every node that leads to the start, once for every way, with the product of its overlaps."""
    found = []
    for a, m, b, n, weight in edges:
        if (b, n) == start:
            found.append(((a, m), weight))
            found += [(place, weight * further) for place, further in all_paths_back(edges, (a, m))]
    return found


def all_paths_forward(edges: list[tuple[int, int, int, int, float]], start: tuple[int, int]) -> list[tuple[tuple[int, int], float]]:
    turned = [(-b, n, -a, m, weight) for a, m, b, n, weight in edges]
    return [((-layer, node), weight) for (layer, node), weight in all_paths_back(turned, (-start[0], start[1]))]


def strongest(found: list[tuple[tuple[int, int], float]]) -> dict[tuple[str, int], float]:
    best: dict[tuple[str, int], float] = {}
    for (layer, node), weight in found:
        best[f"l{layer}", node] = max(best.get((f"l{layer}", node), 0), weight)
    return best


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000))
def test_ancestors_and_descendants_are_those_of_every_way_with_its_strongest_product(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [3, 2, 3, 3]
    edges = [
        (a, m, b, n, float(rng.uniform(0.1, 1)))
        for a, b in itertools.combinations(range(4), 2)
        for m in range(sizes[a])
        for n in range(sizes[b])
        if rng.random() < 0.3
    ]
    rng.shuffle(edges)
    edges = [(int(a), int(m), int(b), int(n), float(w)) for a, m, b, n, w in edges]
    for layer, node in ((3, 0), (1, 1)):
        found = paths.trace(graph(sizes, edges), f"l{layer}", node)
        for reached, every in ((found.ancestors, all_paths_back), (found.descendants, all_paths_forward)):
            expected = strongest(every(edges, (layer, node)))
            assert {(one.layer, one.node): one.strength for one in reached} == pytest.approx(expected)
        places = {(one.layer, one.node) for one in (*found.ancestors, *found.descendants)} | {(f"l{layer}", node)}
        assert all({(step.source, step.writer), (step.target, step.reader)} <= places for step in found.edges)
        check_path(found, found.back, towards=0)
        check_path(found, found.forward, towards=-1)


def check_path(found: paths.Trace, path: paths.Path, *, towards: int) -> None:
    """Its steps join, are among the edges, and multiply to its strength, the largest in the outermost layer reached."""
    assert math.prod(step.weight for step in path.steps) == pytest.approx(path.strength)
    assert set(path.steps) <= set(found.edges)
    assert all((a.target, a.reader) == (b.source, b.writer) for a, b in itertools.pairwise(path.steps))
    reached = found.ancestors if towards == 0 else found.descendants
    if not reached:
        assert path.steps == ()
        return
    outermost = [one for one in reached if one.layer == reached[towards].layer]
    assert path.strength == pytest.approx(max(one.strength for one in outermost))


CHAIN = [(0, 0, 1, 1, 0.9), (0, 1, 1, 1, 0.5), (1, 1, 2, 0, 0.8), (1, 0, 2, 0, 0.9), (0, 0, 2, 0, 0.3)]


def test_the_path_that_is_told_leads_farthest_and_is_the_strongest_of_those() -> None:
    """The direct edge is .3 and the edge into a node that nothing feeds .9; the way through both layers has .72."""
    found = paths.trace(graph([2, 2, 2], CHAIN), "l2", 0)
    assert [(step.source, step.writer) for step in found.back.steps] == [("l0", 0), ("l1", 1)]
    assert found.back.strength == pytest.approx(0.72)
    assert found.back.status == "ok"
    assert found.forward.steps == ()
    assert found.forward.status == "ok"
    assert len(found.edges) == 5


def test_edges_that_are_not_significant_are_not_followed_and_the_end_is_named() -> None:
    edges = [CHAIN[2], CHAIN[0]]
    found = paths.trace(graph([2, 2, 2], edges, insignificant=1), "l2", 0)
    assert [(one.layer, one.node) for one in found.ancestors] == [("l1", 1)]
    assert found.back.status == "ends at l1: no significant edge leads farther towards the input"
    forward = paths.trace(graph([2, 2, 2], [CHAIN[0], CHAIN[2]], insignificant=1), "l0", 0)
    assert forward.forward.status == "ends at l1: no significant edge leads farther towards the output"


def test_an_output_starts_from_its_modes_by_their_share_of_its_energy() -> None:
    """Node 1 makes up .9 of output 0, so the edge of .2 into it counts more than that of .8 into node 0."""
    spectral = graph([2, 2], [(0, 0, 1, 0, 0.8), (0, 1, 1, 1, 0.2)])
    s = spectral.columns[1].s
    row = np.sqrt(np.array([0.1, 0.9])) / s
    found = paths.trace_output(spectral, "l1", np.vstack([row, [1.0, 0.0]]), 0)
    assert dict(found.starts) == pytest.approx({0: 0.1, 1: 0.9})
    assert {(one.node, round(one.strength, 9)) for one in found.ancestors} == {(0, 0.08), (1, 0.18)}
    assert (found.back.steps[0].writer, found.back.strength) == (1, pytest.approx(0.18))
    assert dict(paths.trace_output(spectral, "l1", np.vstack([row, [1.0, 0.0]]), 1).starts) == {0: 1.0}


def test_shares_of_an_output_are_those_of_its_row() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 6))
    u, s, vh = np.linalg.svd(weight, full_matrices=False)
    shares = paths.shares_of(u[2], s, ((0, 1), (1, 3), (3, 4)))
    assert shares.sum() == pytest.approx(1)
    projected = weight[2] @ vh[1:3].T
    assert shares[1] == pytest.approx((projected**2).sum() / (weight[2] ** 2).sum())
    assert not paths.shares_of(np.zeros(4), s, ((0, 4),)).any()


def test_an_edge_from_a_layer_to_itself_is_left_out() -> None:
    found = paths.trace(graph([2, 2], [(0, 0, 1, 0, 0.5), (1, 1, 1, 0, 0.9)]), "l1", 0)
    assert [(one.layer, one.node) for one in found.ancestors] == [("l0", 0)]


def metric_by_enumeration(overlaps: list[np.ndarray], s: list[np.ndarray], least: float) -> float:
    total = 0.0
    for path in itertools.product(*(range(values.size) for values in s)):
        if all(values[node] >= least for values, node in zip(s, path, strict=True)):
            gains = math.prod(values[node] for values, node in zip(s, path, strict=True))
            total += gains * math.prod(a[n, m] for a, (m, n) in zip(overlaps, itertools.pairwise(path), strict=True))
    return total


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_the_path_metric_sums_over_every_path(least: float) -> None:
    rng = np.random.default_rng(0)
    s = [rng.uniform(0, 2, size) for size in (3, 4, 2, 3)]
    overlaps = [rng.uniform(0, 1, (b.size, a.size)) for a, b in itertools.pairwise(s)]
    assert paths.path_metric(overlaps, s, least=least) == pytest.approx(metric_by_enumeration(overlaps, s, least))
    with pytest.raises(ValueError, match="do not join"):
        paths.path_metric(overlaps[::-1], s)


def refuse(spectral: SpectralGraph, match: str, *arguments: object) -> None:
    with pytest.raises(UsageError, match=match):
        paths.trace_output(spectral, *arguments)  # type: ignore[arg-type]


def test_unknown_places_are_refused_by_name() -> None:
    spectral = graph([2, 2], [(0, 0, 1, 0, 0.5)])
    with pytest.raises(UsageError, match=r"no layer 'l7'.*l0, l1"):
        paths.trace(spectral, "l7", 0)
    with pytest.raises(UsageError, match="l1: expected a node from 0 to 1, got 2"):
        paths.trace(spectral, "l1", 2)
    refuse(spectral, r"shape \(out, 2\)", "l1", np.ones((3, 3)), 0)
    refuse(spectral, "from 0 to 2, got 3", "l1", np.ones((3, 2)), 3)
    refuse(spectral, "output 0 is zero", "l1", np.zeros((3, 2)), 0)


@pytest.mark.parametrize("number", [1.5, 1.0, "1", None, np.nan])
def test_a_node_or_output_that_is_no_whole_number_is_refused(number: Any) -> None:
    made = graph([3, 3], [(0, 1, 1, 2, 0.9)])
    with pytest.raises(UsageError, match="whole"):
        paths.trace(made, "l1", number)
    with pytest.raises(UsageError, match="whole"):
        paths.trace_output(made, "l1", np.eye(3), number)
    assert paths.trace(made, "l1", np.int64(2)) == paths.trace(made, "l1", 2)


def test_an_edge_that_passes_nothing_is_not_followed() -> None:
    """Its directions agree, but one of its ends has a value of zero."""
    spectral = graph([2, 2, 2], [(0, 0, 1, 1, 0.9), (0, 1, 1, 1, 0.5), (1, 1, 2, 0, 0.8)])
    quiet = replace(spectral, edges=replace(spectral.edges, silent=np.array([True, False, False])))
    found = paths.trace(quiet, "l2", 0)
    assert [(one.layer, one.node) for one in found.ancestors] == [("l0", 1), ("l1", 1)]
    assert found.back.strength == pytest.approx(0.4)
    assert [(step.source, step.writer) for step in found.edges] == [("l0", 1), ("l1", 1)]
    assert paths.trace(quiet, "l0", 0).descendants == ()
