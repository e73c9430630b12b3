"""The exact null: its size with smooth kernels, groups, blocks and missing channels, and that nothing significant is lost."""

import math

import numpy as np
import pytest
from scipy.stats import kstest

from modescope.laws import haar_overlap
from modescope.spectral_graph.nulls import beta, nulls, positivity, rotation
from modescope.spectral_graph.overlaps import overlaps
from modescope.spectral_graph.pairs import Pair
from null_cases import binomial, directions, eigenvalues, haar, pair, single, smooth

ALL = 1 - 1e-12  # level at which every edge is given its p-value


def edges(case, most=ALL):
    return rotation.test(case, overlaps(case), most=most, draws=0, seed=0)


def table(case):
    """(reader nodes, writer nodes) p-values."""
    found = edges(case)
    p = np.ones((len(case.reader_nodes), len(case.writer_nodes)))
    p[found.reader, found.writer] = np.exp(found.log_p)
    return p


def test_every_edge_has_the_p_of_its_own_kernel_and_none_is_lost():
    """The slow twin gives every edge a p-value and then keeps those at or below the level."""
    random = np.random.default_rng(0)
    case = pair(haar(20, 20, random), smooth(15, 20, random))
    weights = overlaps(case)
    gamma = eigenvalues(case.reader)
    slow = np.array([haar_overlap.conditional_tail(gamma, 20, column) for column in weights.T]).T
    for most in (0.5, 0.05, 1e-3):
        found = edges(case, most)
        n, m = np.nonzero(slow <= math.log(most))
        assert set(zip(found.reader.tolist(), found.writer.tolist(), strict=True)) == set(zip(n.tolist(), m.tolist(), strict=True))
        assert found.log_p == pytest.approx(slow[found.reader, found.writer], abs=1e-8)
        assert found.exact.all()


@pytest.mark.parametrize(("n", "taps"), [(30, 1), (30, 9), (3, 9), (8, 25)])
def test_p_of_random_writers_is_uniform(n, taps):
    """2000 independent directions against 2 kernels: a KS p of .01 is passed 99 times in a hundred, and the seed is fixed."""
    random = np.random.default_rng(n + taps)
    kernels = np.stack([haar(n * taps, 1, random)[:, 0].reshape(n, taps) * 0.5 ** np.arange(taps) for _ in range(2)])
    kernels /= np.linalg.norm(kernels, axis=(1, 2), keepdims=True)
    p = table(pair(directions(n, 2000, random), kernels))
    for row in p:
        assert kstest(row, "uniform").pvalue > 0.01


@pytest.mark.parametrize("p", [1.35e-3, 1e-4])
def test_false_edges_with_smooth_kernels_are_as_many_as_promised(p):
    """40 kernels x 8000 directions: counts inside the 99 % interval of a binomial of 320000."""
    random = np.random.default_rng(1)
    case = pair(directions(32, 8000, random), smooth(40, 32, random))
    low, high = binomial(320_000, p)
    assert low <= edges(case, p).reader.size <= high


def test_the_corrected_level_holds_for_random_layers():
    """Bonferroni at 5 % over 64 x 64 edges, 1000 Haar writers: the standard error is .007, and .02 to .07 is allowed."""
    random = np.random.default_rng(2)
    reader = haar(64, 64, random).T
    hits = 0
    for u in haar(64, 64, random, draws=1000):
        case = pair(u, reader)
        hits += bool(edges(case, 0.05 / 64**2).reader.size)
    assert 0.02 <= hits / 1000 <= 0.07


def test_the_corrected_level_holds_with_smooth_kernels_where_the_isotropic_law_fails():
    """N = 32, 24 kernels, 4000 Haar writers: .03 to .065 is allowed of .05 +- .0035, and the Beta law must fail in half of them.

    Thresholds depend on the readers alone, so that they are taken from the law once; one draw checks them.
    """
    random = np.random.default_rng(3)
    reader = smooth(24, 32, random)
    most = 0.05 / (24 * 32)
    least = haar_overlap.threshold(eigenvalues(reader), 32, math.log(most))
    isotropic = haar_overlap.threshold(np.ones((1, 9)), 32 * 9, math.log(most))[0]
    exact = wrong = 0
    frames = reader.transpose(0, 2, 1).reshape(-1, 32)
    for u in haar(32, 32, random, draws=4000):
        a = ((frames @ u) ** 2).reshape(24, 9, 32).sum(axis=1)
        exact += bool((a > least[:, None]).any())
        wrong += bool((a > isotropic).any())
    assert 0.03 <= exact / 4000 <= 0.065
    assert wrong / 4000 > 0.5
    case = pair(u, reader)
    assert (
        edges(case, 0.01).reader.size
        == (overlaps(case) > haar_overlap.threshold(eigenvalues(reader), 32, math.log(0.01))[:, None]).sum()
    )
    assert beta.test(case, overlaps(case), most=most, draws=0, seed=0).reader.size == (overlaps(case) > isotropic).sum()


@pytest.mark.parametrize("taps", [1, 9])
def test_a_planted_edge_is_found_and_nothing_else(taps):
    random = np.random.default_rng(4)
    reader = np.zeros((30, 40, taps))
    reader[:, :, 0] = haar(40, 30, random).T
    u = haar(40, 40, random)
    u[:, 7] = reader[11, :, 0]
    found = edges(pair(u, reader), 1e-9)
    assert (found.reader.tolist(), found.writer.tolist()) == ([11], [7])
    assert -1000 < found.log_p[0] < math.log(1e-30)


def test_groups_of_readers_have_the_law_of_their_subspace():
    """2000 directions against a group of 3 kernels and one of 2; KS at a fixed seed."""
    random = np.random.default_rng(5)
    case = pair(directions(16, 2000, random), smooth(6, 16, random), reader_nodes=((0, 1), (1, 4), (4, 6)))
    for row in table(case):
        assert kstest(row, "uniform").pvalue > 0.01
    assert edges(case).exact.all()


def test_groups_of_writers_have_the_law_of_their_subspace():
    """600 Haar frames of 12 x 7 with nodes of 4, 1 and 2 modes against single directions and a group of 3, where p is matched.

    KS at a fixed seed; the matched Beta is off by less than 600 draws can see.
    """
    random = np.random.default_rng(6)
    reader = haar(12, 5, random).T
    p = []
    for u in haar(12, 7, random, draws=600):
        case = pair(u, reader, writer_nodes=((0, 4), (4, 5), (5, 7)), reader_nodes=((0, 1), (1, 2), (2, 5)))
        p.append(table(case))
    for row in np.stack(p).reshape(600, -1).T:
        assert kstest(row, "uniform").pvalue > 0.003  # nine tests
    found = edges(case)
    matched = (found.reader == 2) & (found.writer != 1)
    assert not found.exact[matched].any()
    assert found.exact[~matched].all()
    assert "moments" in found.note


def test_nodes_that_overlap_as_they_must_have_a_p_of_one():
    random = np.random.default_rng(7)
    filling = pair(haar(6, 6, random), smooth(4, 6, random), writer_nodes=((0, 6),))
    assert edges(filling, 0.999).reader.size == 0
    line = pair(np.ones((1, 1)), smooth(4, 9, random)[:, :1])
    assert edges(line, 0.999).reader.size == 0
    kernel = pair(haar(6, 6, random), haar(6, 6, random).T, reader_nodes=((0, 6),))
    assert edges(kernel, 0.999).reader.size == 0


def test_a_reader_of_some_channels_alone_is_tested_in_all_dimensions_of_the_writer():
    """Channels 0 to 9 of 25 are read, beside others that this writer does not write; KS at a fixed seed."""
    random = np.random.default_rng(8)
    u = directions(25, 2000, random)[:10]
    p = table(pair(u, smooth(3, 22, random)[:, :10], dimension=25))
    for row in p:
        assert kstest(row, "uniform").pvalue > 0.01


def grouped(random, groups=4, size=8, modes=500):
    """A writer of several blocks, whose modes live in one block each, and a dense reader of smooth kernels."""
    u = np.zeros((groups * size, groups * modes))
    for g in range(groups):
        u[g * size : (g + 1) * size, g * modes : (g + 1) * modes] = directions(size, modes, random)
    return Pair(
        writer=u,
        reader=smooth(5, groups * size, random),
        dimension=size,
        writer_nodes=single(u.shape[1]),
        reader_nodes=single(5),
        writer_block=np.repeat(np.arange(groups), modes),
        channel_block=np.repeat(np.arange(groups), size),
    )


def test_a_grouped_writer_has_the_law_of_its_own_block():
    """500 directions in each of 4 groups; twenty KS tests at a fixed seed."""
    case = grouped(np.random.default_rng(9))
    p = table(case).reshape(5, 4, 500)
    assert min(kstest(p[n, g], "uniform").pvalue for n in range(5) for g in range(4)) > 0.001
    found = edges(case, 1e-2)
    weights = overlaps(case)
    for n, m, log_p in zip(found.reader[:50], found.writer[:50], found.log_p[:50], strict=True):
        channels = case.channel_block == case.writer_block[m]
        gamma = eigenvalues(case.reader[n : n + 1, channels])
        assert log_p == pytest.approx(haar_overlap.conditional_tail(gamma, 8, weights[n, m : m + 1])[0], abs=1e-8)


def test_mean_and_variance_of_a_grouped_writer():
    """1e5 directions: `sigma / N_g` and `2 sigma^2 (N_g sum gamma^2 - 1) / (N_g^2 (N_g + 2))`, to 1 % and 3 %."""
    random = np.random.default_rng(10)
    b = smooth(1, 32, random)[0, 8:16]
    a = ((b.T @ directions(8, 100_000, random)) ** 2).sum(axis=0)
    gamma = np.linalg.eigvalsh(b.T @ b).clip(0)
    sigma = gamma.sum()
    assert a.mean() == pytest.approx(sigma / 8, rel=0.01)
    assert a.var() == pytest.approx(2 * (8 * (gamma**2).sum() - sigma**2) / (64 * 10), rel=0.03)


def test_a_depthwise_writer_cannot_be_random():
    case = Pair(
        writer=np.eye(5),
        reader=smooth(3, 5, np.random.default_rng(11)),
        dimension=1,
        writer_nodes=single(5),
        reader_nodes=single(3),
        writer_block=np.arange(5),
        channel_block=np.arange(5),
    )
    assert edges(case, 0.999).reader.size == 0


def test_variance_of_structured_kernels_and_the_false_rate_of_the_isotropic_rule():
    """1e5 directions, N = 64, a separable kernel: 8.3 % pass at three sigma, and after the correction less than .3 %."""
    random = np.random.default_rng(12)
    kernel = np.outer(haar(64, 1, random)[:, 0], haar(9, 1, random)[:, 0])[None]
    case = pair(directions(64, 100_000, random), kernel)
    weights = overlaps(case)
    assert weights.var() == pytest.approx(2 * 63 / (64**2 * 66), rel=0.03)
    three = 1.3498980316e-3
    assert nulls()["chi_squared"].test(case, weights, most=three, draws=0, seed=0).reader.size / 1e5 == pytest.approx(
        0.083, abs=0.01
    )
    assert edges(case, three).reader.size / 1e5 < 0.003


def test_a_fresh_network_has_no_edge_after_correction():
    """50 pairs of Gaussian layers: a Bonferroni level of 5 % leaves edges in 2.5 of them on average, in 8 or more once in 400."""
    random = np.random.default_rng(13)
    hits = 0
    for _ in range(50):
        u = np.linalg.svd(random.standard_normal((24, 20)), full_matrices=False)[0]
        vh = np.linalg.svd(random.standard_normal((16, 24 * 9)), full_matrices=False)[2].reshape(16, 24, 9)
        hits += bool(edges(pair(u, vh), 0.05 / (20 * 16)).reader.size)
    assert hits < 8


def test_a_reader_that_reads_none_of_the_channels_has_no_edges():
    reader = smooth(3, 12, np.random.default_rng(14))
    reader[1] = 0.0
    case = pair(haar(12, 12, np.random.default_rng(15)), reader)
    assert 1 not in edges(case).reader


def test_rounding_past_the_largest_possible_overlap_is_no_evidence_where_it_must_be_reached():
    """A line, and a group of readers that fills the space: overlaps of 1 + 1e-12 are as they must be."""
    random = np.random.default_rng(16)
    line = pair(np.ones((1, 1)), np.ones((1, 1)))
    whole = pair(haar(6, 4, random), haar(6, 6, random).T, reader_nodes=((0, 6),))
    for case in (line, whole):
        weights = np.full((1, len(case.writer_nodes)), 1 + 1e-12)
        assert rotation.test(case, weights, most=0.999, draws=0, seed=0).reader.size == 0


def test_rounding_past_the_largest_possible_overlap_is_the_strongest_evidence_elsewhere():
    case = pair(haar(20, 1, np.random.default_rng(17)), smooth(1, 20, np.random.default_rng(18)))
    weights = np.array([[eigenvalues(case.reader).max() * (1 + 1e-12)]])
    found = rotation.test(case, weights, most=1e-9, draws=0, seed=0)
    assert -700 < found.log_p[0] < math.log(1e-60)


@pytest.mark.parametrize("null", [rotation, positivity])
def test_a_reader_of_some_groups_is_tested_against_those_alone(null):
    """The modes of a group of which no channel is read have no edges; those of the other have what they have by themselves."""
    random = np.random.default_rng(19)
    u, reader = haar(12, 12, random), smooth(5, 12, random)
    alone = pair(u, reader)
    both = np.zeros((12, 20))
    both[:, 8:] = u
    blocks = np.repeat([0, 1], [8, 12])
    some = Pair(both, alone.reader, 12, single(20), single(5), blocks, np.ones(12, dtype=np.int64))
    one, other = (null.test(case, overlaps(case), most=ALL, draws=0, seed=0) for case in (alone, some))
    assert (other.writer >= 8).all()
    first, second = ({(n, m): p for n, m, p in zip(t.reader, t.writer, t.log_p, strict=True)} for t in (one, other))
    assert second == {(n, m + 8): pytest.approx(p, abs=1e-12) for (n, m), p in first.items()}
    assert len(second) > 50


@pytest.mark.parametrize("taps", [1, 9])
def test_an_overlap_that_rounding_carries_past_the_largest_possible_has_a_p_that_is_not_zero(taps):
    """A direction that is read exactly: whether its overlap is 1 less or 1 more than a rounding, its edge is the same."""
    kernel = np.zeros((1, 8, taps))
    kernel[0, 0, 0] = 1.0
    case = pair(np.eye(8)[:, :1], kernel)
    found = [
        rotation.test(case, np.array([[at]]), most=0.05, draws=0, seed=0).log_p for at in (1 - 1e-14, 1.0, 1 + 4e-16, 1 + 1e-14)
    ]
    assert np.isfinite(found).all()
    assert np.ptp(found) == 0
    assert found[0] < -100
