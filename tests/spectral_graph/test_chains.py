"""Chains: fixed paths have a uniform p, the best path is the best of all, and its null is that of random networks."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from modescope.errors import UsageError
from modescope.spectral_graph import chains
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import aggregated, overlaps, pair
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.random_writers import random_overlaps
from modescope.spectral_graph.result import Chain
from modescope.spectral_graph.wiring import Link
from structure_cases import Values, blocks, frame, joined, layer, line_of


def gaussian(widths: list[int], rng: np.random.Generator) -> list[Values]:
    return [rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]


def best_by_enumeration(scores: list[Values]) -> tuple[tuple[int, ...], float]:
    """Every path there is."""
    widths = [scores[0].shape[1], *(w.shape[0] for w in scores)]
    paths = itertools.product(*map(range, widths))
    sums = {path: math.fsum(w[b, a] for w, (a, b) in zip(scores, itertools.pairwise(path), strict=True)) for path in paths}
    return max(sums.items(), key=lambda item: item[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=5), st.integers(0, 1000))
def test_the_best_path_is_the_best_of_all_paths(widths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]
    nodes, total = best_by_enumeration(scores)
    found = chains.best_path(scores)
    assert found.score == pytest.approx(total)
    assert found.nodes == nodes


def test_fishers_p_of_a_fixed_path_is_uniform_on_gaussian_networks() -> None:
    """2000 networks of three gaps, the path through the first modes; a true law passes a p of .01 in 99 of 100 seeds."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(2000):
        parts = [np.linalg.svd(weight, full_matrices=False) for weight in gaussian([8, 10, 9, 10, 6], rng)]
        weights = [float(reader[2][0] @ writer[0][:, 0]) ** 2 for writer, reader in itertools.pairwise(parts)]
        dimensions = [writer[0].shape[0] for writer in parts[:-1]]
        log_p = [float(beta.logsf(a, 0.5, (n - 1) / 2)) for a, n in zip(weights, dimensions, strict=True)]
        p.append(chains.fixed("abcd", (0, 0, 0, 0), weights, log_p).p)
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_fixed_chain_tells_its_edges_and_its_longest_run() -> None:
    chain = chains.fixed("abcde", (0, 0, 1, 0, 2), [0.5, 0.5, 0.5, 0.1], [-20.0, -3.0, -20.0, -21.0], most=-10)
    assert chain.longest == 2
    assert chain.chosen == "fixed"
    assert chains.share(chain) == pytest.approx(0.0125)
    one = chains.fixed("ab", (0, 3), [0.5], [math.log(0.03)])
    assert one.p == pytest.approx(0.03)
    with pytest.raises(ValueError, match="nodes of 3 layers"):
        chains.fixed("abc", (0, 0), [0.5], [-1.0])


def test_the_null_of_the_best_path_is_that_of_gaussian_networks() -> None:
    """Scores of 300 Gaussian networks against 300 with their writers replaced by frames, as two samples."""
    rng = np.random.default_rng(5)
    widths = [7, 8, 8, 8, 5]
    networks, drawn = [], []
    for _ in range(300):
        _, gaps = line_of(gaussian(widths, rng))
        networks.append(chains.best_path([chains.log_weight(one, a) for one, a in gaps]).score)
        drawn.append(chains.best_path([chains.log_weight(one, random_overlaps(one, rng)) for one, _ in gaps]).score)
    assert kstest(networks, drawn).pvalue > 0.01


@pytest.mark.parametrize("search", [chains.searched, chains.searched_part])
def test_searched_chains_of_random_networks_are_rarely_significant(search: Callable[..., Chain]) -> None:
    """Of 80 networks, 8 on average have a p of at most .1; four standard errors allow 0 to 19, a path tested as fixed has all."""
    rng = np.random.default_rng(6)
    p = []
    for _ in range(80):
        names, gaps = line_of(gaussian([7, 8, 8, 5], rng))
        p.append(search(names, gaps, draws=39).p)
    assert 1 <= sum(value <= 0.1 for value in p) <= 19
    assert kstest(p, "uniform").pvalue > 1e-3


def planted(widths: list[int], modes_at: dict[int, int], rng: np.random.Generator) -> list[Values]:
    """Layers with a mode (the first) whose input direction is the first output direction of the layer before, in some gaps."""
    weights = gaussian(widths, rng)
    found = [weights[0]]
    for gap, weight in enumerate(weights[1:]):
        u, s, vh = np.linalg.svd(weight, full_matrices=False)
        if gap in modes_at:
            written = np.linalg.svd(found[-1], full_matrices=False)[0][:, 0]
            others = np.linalg.qr(np.column_stack([written, vh.T]))[0][:, : s.size]
            vh = others.T * np.sign(others[:, 0] @ written)
        found.append(u * s @ vh)
    return found


def test_a_planted_chain_is_found_with_the_smallest_p_there_is() -> None:
    rng = np.random.default_rng(1)
    names, gaps = line_of(planted([16, 16, 16, 16], {0: 0, 1: 0}, rng))
    chain = chains.searched(names, gaps, draws=99, most=math.log(1e-3))
    assert chain.modes == (0, 0, 0)
    assert chain.p == 0.01
    assert chain.chosen == "searched"
    assert chain.longest == 2
    assert chain.weights == pytest.approx((1, 1), abs=1e-9)


def test_a_chain_through_a_part_of_the_network_is_found_in_that_part() -> None:
    """It always holds the planted part; chance adds some gaps at its ends, fewer than a third of the four others."""
    more = 0
    for seed in range(6):
        names, gaps = line_of(planted([16] * 9, {1: 0, 2: 0, 3: 0}, np.random.default_rng(seed)))
        chain = chains.searched_part(names, gaps, draws=49)
        more += len(chain.layers) - 4
        modes_of = dict(zip(chain.layers, chain.modes, strict=True))
        assert [modes_of[name] for name in ("fc1", "fc2", "fc3", "fc4")] == [0, 0, 0, 0]
        assert chain.p == 0.02
    assert more < 6 * 4 / 3


def test_a_search_over_parts_of_one_gap_is_the_search_over_the_gap() -> None:
    rng = np.random.default_rng(3)
    names, gaps = line_of(gaussian([6, 7, 8], rng))
    one, two = (search(names, gaps, draws=39, seed=2) for search in (chains.searched, chains.searched_part))
    assert (one.modes, one.p, one.log_p) == (two.modes, two.p, two.log_p)


def test_evidence_is_the_exact_law_with_one_tap() -> None:
    rng = np.random.default_rng(0)
    one, _, _ = joined(rng.standard_normal((12, 9)), rng.standard_normal((7, 12)))
    a = overlaps(one)
    assert chains.evidence(one, a) == pytest.approx(-beta.logsf(a, 0.5, 11 / 2), rel=1e-9)
    readers, writers = np.array([0, 3, 6]), np.array([8, 0, 1])
    expected = beta.logsf(a[readers, writers], 0.5, 11 / 2)
    assert chains.exact_tail(one, readers, writers, a[readers, writers]) == pytest.approx(expected, rel=1e-6)


def test_evidence_of_a_vector_against_a_node_is_the_law_of_a_subspace() -> None:
    """A node of three writer modes, read by single directions: Beta(3/2, (N - 3)/2)."""
    rng = np.random.default_rng(0)
    one, _, _ = joined(rng.standard_normal((12, 12)), rng.standard_normal((12, 12)))
    nodes = ((0, 3), *((i, i + 1) for i in range(3, 12)))
    grouped = replace(one, writer_nodes=nodes)
    a = aggregated(overlaps(one), one.reader_nodes, nodes)
    assert chains.evidence(grouped, a)[:, 0] == pytest.approx(-beta.logsf(a[:, 0], 1.5, 4.5), rel=1e-9)
    at = np.arange(12)
    found = chains.exact_tail(grouped, at, np.zeros(12, dtype=np.int64), a[:, 0])
    assert found == pytest.approx(beta.logsf(a[:, 0], 1.5, 4.5), rel=1e-6)


def smooth(rng: np.random.Generator, shape: tuple[int, int, int]) -> Values:
    return rng.standard_normal((*shape[:2], 1)) + 0.3 * rng.standard_normal(shape)


def test_evidence_of_smooth_kernels_has_the_size_of_a_p_value() -> None:
    """300 random writers of 10 modes for 12 readers of smooth 3-tap kernels: shares below .05 and .01 of correlated entries."""
    rng = np.random.default_rng(2)
    one, _, _ = joined(rng.standard_normal((24, 10)), smooth(rng, (12, 24, 3)))
    drawn = np.concatenate([chains.evidence(one, random_overlaps(one, rng)).ravel() for _ in range(300)])
    assert (drawn > -math.log(0.05)).mean() == pytest.approx(0.05, abs=0.01)
    assert (drawn > -math.log(0.01)).mean() == pytest.approx(0.01, abs=0.004)


def test_a_grouped_writer_is_judged_within_its_groups() -> None:
    """Overlaps within a block of 6 channels are six times as large as chance in 24 would have them; none of it is evidence."""
    rng = np.random.default_rng(3)
    writer, reader = modes(blocks("writer", rng.standard_normal((4, 6, 8)))), modes(layer("reader", rng.standard_normal((20, 24))))
    one = pair(Link("writer", "reader"), writer, reader)
    drawn = np.concatenate([chains.evidence(one, random_overlaps(one, rng)).ravel() for _ in range(100)])
    assert (drawn > -math.log(0.05)).mean() == pytest.approx(0.05, abs=0.012)
    at, to = np.arange(20), np.arange(20) % 24
    a = overlaps(one)[at, to]
    assert chains.exact_tail(one, at, to, a) == pytest.approx(-chains.evidence(one, overlaps(one))[at, to], abs=0.02)


def test_a_node_that_fills_the_space_is_no_evidence() -> None:
    one, _, _ = joined(np.eye(5), np.diag([5.0, 4, 3, 2, 1]))
    assert one.writer_nodes == ((0, 5),)
    assert not chains.evidence(one, overlaps(one)).any()


def test_the_seed_decides_and_gaps_are_taken_one_at_a_time() -> None:
    rng = np.random.default_rng(4)
    names, gaps = line_of(gaussian([6, 6, 6, 6], rng))
    held: list[int] = []

    def one_by_one() -> Iterator[tuple[Pair, Values]]:
        for index, gap in enumerate(gaps):
            held.append(index)
            yield gap

    one = chains.searched(names, one_by_one(), draws=19, seed=1)
    assert held == [0, 1]
    assert one == chains.searched(names, gaps, draws=19, seed=1)


def test_gaps_that_do_not_fit_are_refused() -> None:
    rng = np.random.default_rng(4)
    names, gaps = line_of(gaussian([6, 6, 6, 6], rng))
    with pytest.raises(UsageError, match="every two of 2 layers, got 2"):
        chains.searched(names[:2], gaps, draws=3)
    with pytest.raises(UsageError, match="got 0"):
        chains.searched(names[:1], [], draws=3)
    with pytest.raises(ValueError, match="at least one gap"):
        chains.best_path([])
    with pytest.raises(ValueError, match="from 2 nodes"):
        chains.best_path([np.zeros((2, 3)), np.zeros((4, 5))])


def test_frames_of_the_null_keep_the_shape_of_the_writer() -> None:
    rng = np.random.default_rng(9)
    one, _, _ = joined(rng.standard_normal((9, 4)), frame(9, 6, rng).T)
    assert random_overlaps(one, rng).sum() == pytest.approx(overlaps(one).sum(), rel=0.9)
