"""The moment-matched Beta: exact for one tap, near `rotation` in the middle of its law, too small deep out."""

import numpy as np
import pytest

from modescope.laws.haar_block import moments
from modescope.spectral_graph.nulls import Tested as Found
from modescope.spectral_graph.nulls import beta, matched_beta, rotation
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from null_cases import binomial, directions, eigenvalues, haar, pair, smooth

ALL = 1 - 1e-12


def table(found: Found, case: Pair) -> np.ndarray:
    """p of every edge, 1 where none is told."""
    p = np.ones((len(case.reader_nodes), len(case.writer_nodes)))
    p[found.reader, found.writer] = np.exp(found.log_p)
    return p


def test_one_tap_has_the_exact_law_of_rotation_down_to_any_p() -> None:
    random = np.random.default_rng(0)
    u = haar(20, 20, random)
    case = pair(u, np.vstack([u[:, 3] + 1e-4 * random.standard_normal(20), haar(20, 6, random).T]))
    ours, theirs = (null.test(case, overlaps(case), most=0.5, draws=0, seed=0) for null in (matched_beta, rotation))
    np.testing.assert_allclose(np.log(table(ours, case)), np.log(table(theirs, case)), rtol=1e-6)
    assert ours.exact.all()
    assert ours.note == ""
    assert ours.log_p.min() < -100


def test_the_law_of_kernels_has_their_mean_and_variance_and_is_called_approximate() -> None:
    """The distance of 20000 p-values of a smooth kernel from uniform is at most 0.08: the moments are right, not the shape."""
    random = np.random.default_rng(1)
    case = pair(directions(32, 20_000, random), smooth(4, 32, random))
    found = matched_beta.test(case, overlaps(case), most=ALL, draws=0, seed=0)
    for row in table(found, case):
        assert abs(np.sort(row) - np.arange(1, row.size + 1) / row.size).max() < 0.08
    assert not found.exact.any()
    assert "too small" in found.note


def test_at_a_nominal_level_of_a_hundredth_its_size_is_between_half_and_twice_that_where_beta_exceeds_it_far() -> None:
    random = np.random.default_rng(2)
    case = pair(directions(64, 4000, random), smooth(40, 64, random))
    weights = overlaps(case)
    ours, isotropic = (null.test(case, weights, most=1e-2, draws=0, seed=0).reader.size for null in (matched_beta, beta))
    assert 0.5 * 1600 < ours < 2 * 1600
    assert isotropic > 3 * 1600


def test_deep_out_its_p_values_are_smaller_than_the_exact_ones_of_nearly_separable_kernels() -> None:
    random = np.random.default_rng(3)
    reader = smooth(8, 64, random, decay=0.6)
    top = np.array([np.linalg.svd(kernel)[0][:, 0] for kernel in reader]).T
    lean = np.repeat(np.linspace(0.3, 0.8, 20), 8)
    near = lean * np.tile(top, 20) + np.sqrt(1 - lean**2) * directions(64, 160, random)
    case = pair(near / np.linalg.norm(near, axis=0), reader)
    weights = overlaps(case)
    ours, exact = (table(null.test(case, weights, most=0.5, draws=0, seed=0), case) for null in (matched_beta, rotation))
    deep = (ours < 1e-8) & (ours > 1e-10)
    assert deep.sum() > 10
    assert (ours[deep] < exact[deep]).all()
    assert (ours[deep] / exact[deep]).min() < 0.3
    assert (ours[deep] / exact[deep]).min() > 0.01


def test_edges_above_the_level_are_left_out_and_no_other() -> None:
    random = np.random.default_rng(4)
    case = pair(haar(24, 24, random), smooth(10, 24, random))
    weights = overlaps(case)
    whole = table(matched_beta.test(case, weights, most=ALL, draws=0, seed=0), case)
    few = table(matched_beta.test(case, weights, most=0.03, draws=0, seed=0), case)
    np.testing.assert_array_equal(few, np.where(whole <= 0.03, whole, 1.0))
    assert 0 < (few < 1).sum() < whole.size


def test_groups_of_modes_are_tested_by_the_moments_of_their_own_law() -> None:
    """3000 random writers of a group of 3 modes: rejections at .05 inside .6 to 1.6 times that."""
    random = np.random.default_rng(5)
    reader = smooth(3, 30, random)
    hits = np.zeros((2, 2))
    for _ in range(1500):
        case = pair(haar(30, 4, random), reader, writer_nodes=((0, 1), (1, 4)), reader_nodes=((0, 1), (1, 3)))
        hits += table(matched_beta.test(case, overlaps(case), most=0.05, draws=0, seed=0), case) < 1
    low, high = binomial(1500, 0.05)
    assert (hits > 0.6 * low).all()
    assert (hits < 1.6 * high).all()
    law = moments(eigenvalues(reader[:1]), 30, 3)
    assert law.mean[0] == pytest.approx(0.1)


def test_blocks_of_a_writer_have_laws_of_their_own_dimensions() -> None:
    random = np.random.default_rng(6)
    a, b = haar(12, 12, random), haar(12, 12, random)
    writer = np.block([[a, np.zeros((12, 12))], [np.zeros((12, 12)), b]])
    reader = smooth(5, 24, random)
    blocks = np.repeat([0, 1], 12)
    whole = pair(writer, reader, dimension=12)
    case = Pair(whole.writer, whole.reader, 12, whole.writer_nodes, whole.reader_nodes, blocks, blocks)
    p = table(matched_beta.test(case, overlaps(case), most=ALL, draws=0, seed=0), case)
    for block, u in enumerate((a, b)):
        alone = pair(u, reader[:, 12 * block : 12 * block + 12])
        alone_p = table(matched_beta.test(alone, overlaps(alone), most=ALL, draws=0, seed=0), alone)
        np.testing.assert_allclose(p[:, 12 * block : 12 * block + 12], alone_p, rtol=1e-9)


def test_a_reader_that_fills_its_space_or_reads_nothing_gives_no_evidence() -> None:
    random = np.random.default_rng(7)
    whole = np.eye(4)[None] * 0.5
    case = pair(haar(4, 4, random), np.concatenate([whole, np.zeros((1, 4, 4))]))
    assert matched_beta.test(case, overlaps(case), most=0.9, draws=0, seed=0).reader.size == 0
