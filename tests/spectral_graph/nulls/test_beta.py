"""The isotropic null: its law where it holds, for networks, groups and subspaces."""

import numpy as np
import pytest
from scipy.stats import beta as beta_law
from scipy.stats import kstest

from modescope.spectral_graph.nulls import beta
from modescope.spectral_graph.overlaps import overlaps
from null_cases import binomial, directions, haar, pair, smooth

ALL = 1 - 1e-12


@pytest.mark.parametrize(("n", "taps"), [(16, 1), (64, 1), (8, 9), (64, 9), (32, 16)])
def test_overlaps_of_gaussian_networks_follow_the_beta_law(n, taps):
    """Some 5000 pooled overlaps: a KS p of .01 is passed 99 times in a hundred, and the seed is fixed."""
    random = np.random.default_rng(n + taps)
    pooled, p = [], []
    while sum(x.size for x in pooled) < 5000:
        u = np.linalg.svd(random.standard_normal((n, n)))[0]
        vh = np.linalg.svd(random.standard_normal((n, n * taps)), full_matrices=False)[2].reshape(n, n, taps)
        case = pair(u, vh)
        weights = overlaps(case)
        pooled.append(weights.ravel())
        p.append(beta.test(case, weights, most=ALL, draws=0, seed=0).log_p)
    every = np.concatenate(pooled)
    assert kstest(every, beta_law(taps / 2, taps * (n - 1) / 2).cdf).pvalue > 0.01
    assert kstest(np.exp(np.concatenate(p)), "uniform").pvalue > 0.01
    assert every.mean() * n == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("n", "taps"), [(16, 1), (64, 9)])
def test_the_size_at_three_sigma_is_nominal_for_isotropic_readers(n, taps):
    """200 x 1500 independent pairs of directions: counts inside the 99 % interval of a binomial."""
    random = np.random.default_rng(1)
    reader = directions(n * taps, 200, random).T.reshape(200, n, taps)
    case = pair(directions(n, 1500, random), reader)
    low, high = binomial(300_000, 1.35e-3)
    assert low <= beta.test(case, overlaps(case), most=1.35e-3, draws=0, seed=0).reader.size <= high


def test_groups_have_the_law_of_two_subspaces():
    """400 draws of an isotropic group of 2 kernels and a writer node of 3 modes; KS at a fixed seed."""
    random = np.random.default_rng(2)
    p = []
    for _ in range(400):
        reader = haar(36, 3, random).T.reshape(3, 9, 4)
        case = pair(haar(9, 4, random), reader, writer_nodes=((0, 1), (1, 4)), reader_nodes=((0, 1), (1, 3)))
        found = beta.test(case, overlaps(case), most=ALL, draws=0, seed=0)
        row = np.ones((2, 2))
        row[found.reader, found.writer] = np.exp(found.log_p)
        p.append(row.ravel())
    for column in np.array(p).T:
        assert kstest(column, "uniform").pvalue > 0.003


def test_the_note_warns_of_kernels_and_only_dense_layers_are_exact():
    random = np.random.default_rng(3)
    dense = pair(haar(20, 20, random), haar(20, 20, random).T)
    found = beta.test(dense, overlaps(dense), most=0.3, draws=0, seed=0)
    assert found.exact.all()
    assert found.note == ""
    conv = pair(haar(20, 20, random), smooth(20, 20, random))
    found = beta.test(conv, overlaps(conv), most=0.3, draws=0, seed=0)
    assert not found.exact.any()
    assert "isotropic" in found.note
