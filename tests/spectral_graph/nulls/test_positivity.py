"""The all-ones direction taken out: positive directions are no longer evidence, and the law stays exact."""

import numpy as np
import pytest
from scipy.stats import kstest

from modescope.spectral_graph.nulls import positivity, rotation
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from null_cases import directions, haar, pair, single, smooth

ALL = 1 - 1e-12


def table(case):
    found = positivity.test(case, overlaps(case), most=ALL, draws=0, seed=0)
    p = np.ones((len(case.reader_nodes), len(case.writer_nodes)))
    p[found.reader, found.writer] = np.exp(found.log_p)
    return p


def projected_twin(writer, reader):
    """The projection written out: an orthonormal basis of the complement of the all-ones direction, and of each projected node."""
    n = writer.shape[0]
    inside = np.linalg.svd(np.ones((1, n)))[2][1:]
    basis = np.linalg.qr(inside @ writer)[0]
    return float(((inside @ reader).T @ basis).ravel() @ ((inside @ reader).T @ basis).ravel())


def test_positive_directions_are_rejected_as_often_as_promised():
    """100 x 1000 pairs of |normal| directions, N = 50: at .01 all pass the rotation null, and 1 % +- .03 % of them this one."""
    random = np.random.default_rng(0)
    case = pair(np.abs(directions(50, 1000, random)), np.abs(directions(50, 100, random)).T)
    raw = rotation.test(case, overlaps(case), most=0.01, draws=0, seed=0)
    assert raw.reader.size > 0.999 * 100_000
    after = positivity.test(case, overlaps(case), most=0.01, draws=0, seed=0)
    assert 0.007 <= after.reader.size / 100_000 <= 0.013
    assert after.exact.all()


@pytest.mark.parametrize("shared", [14, 9])
def test_p_stays_uniform_for_random_writers(shared):
    """2000 directions, of which the reader meets all or some channels; KS at a fixed seed."""
    random = np.random.default_rng(1)
    case = pair(directions(14, 2000, random)[:shared], smooth(3, 14, random)[:, :shared], dimension=14)
    for row in table(case):
        assert kstest(row, "uniform").pvalue > 0.01


def test_groups_are_projected_as_subspaces():
    random = np.random.default_rng(2)
    case = pair(
        haar(9, 6, random), smooth(5, 9, random), writer_nodes=((0, 3), (3, 4), (4, 6)), reader_nodes=((0, 1), (1, 3), (3, 5))
    )
    _, weights, sizes = positivity._projected(case)
    for i, (a, b) in enumerate(case.reader_nodes):
        frame = case.reader[a:b].transpose(1, 0, 2).reshape(9, -1)
        for j, (c, d) in enumerate(case.writer_nodes):
            assert weights[i, j] == pytest.approx(projected_twin(case.writer[:, c:d], frame), rel=1e-10)
    assert sizes.tolist() == [3, 1, 2]


def test_p_of_groups_stays_uniform():
    """500 Haar frames with a node of 3 modes; KS at a fixed seed."""
    random = np.random.default_rng(3)
    reader = haar(10, 3, random).T
    p = [table(pair(u, reader, writer_nodes=((0, 3), (3, 4)))) for u in haar(10, 4, random, draws=500)]
    for column in np.stack(p).reshape(500, -1).T:
        assert kstest(column, "uniform").pvalue > 0.003


def test_a_node_that_is_the_all_ones_direction_has_nothing_left():
    random = np.random.default_rng(4)
    ones = np.full((8, 1), 8**-0.5)
    rest = np.linalg.svd(ones.T)[2][1:4].T
    case = pair(np.concatenate([ones, rest], axis=1), smooth(3, 8, random), writer_nodes=((0, 1), (1, 4)))
    assert 0 not in positivity.test(case, overlaps(case), most=ALL, draws=0, seed=0).writer
    whole = pair(case.writer, case.reader, writer_nodes=((0, 4),))
    _, weights, sizes = positivity._projected(whole)
    assert sizes.tolist() == [3]
    expected = overlaps(pair(rest, case.reader - case.reader.mean(axis=1, keepdims=True), writer_nodes=((0, 3),)))
    assert weights == pytest.approx(expected, rel=1e-9)


def test_a_reader_of_the_mean_alone_has_no_edges():
    reader = np.full((1, 8), 8**-0.5)
    case = pair(haar(8, 8, np.random.default_rng(5)), reader)
    assert positivity.test(case, overlaps(case), most=ALL, draws=0, seed=0).reader.size == 0


def test_a_planted_edge_survives_the_projection():
    random = np.random.default_rng(6)
    case = pair(haar(40, 6, random), haar(40, 6, random).T)
    u = case.writer.copy()
    u[:, 2] = case.reader[4, :, 0]
    planted = pair(u, case.reader)
    found = positivity.test(planted, overlaps(planted), most=1e-8, draws=0, seed=0)
    assert (found.reader.tolist(), found.writer.tolist()) == ([4], [2])


def test_every_block_of_a_grouped_writer_loses_its_own_mean():
    """400 positive directions in each of 3 groups against positive kernels: 1200 edges at .05, 60 +- 7.5 expected."""
    random = np.random.default_rng(7)
    u = np.zeros((24, 1200))
    for g in range(3):
        u[8 * g : 8 * g + 8, 400 * g : 400 * g + 400] = np.abs(directions(8, 400, random))
    reader = np.abs(directions(24, 1, random)).T[:, :, None]
    case = Pair(u, reader, 8, single(1200), single(1), np.repeat(np.arange(3), 400), np.repeat(np.arange(3), 8))
    found = positivity.test(case, overlaps(case), most=0.05, draws=0, seed=0)
    assert 30 <= found.writer.size <= 90
    assert rotation.test(case, overlaps(case), most=0.05, draws=0, seed=0).writer.size > 150
