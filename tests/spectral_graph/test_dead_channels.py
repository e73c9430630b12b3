"""Dead channels: counted against chance."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from modescope.spectral_graph import dead_channels as dead
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.wiring import Layer, Link
from structure_cases import digits_network, layer, perceptron, sides

RNG = np.random.default_rng


def test_an_untrained_perceptron_has_no_dead_channels() -> None:
    network = digits_network(epochs=0)
    for rows, columns in sides(perceptron(network.state())).values():
        (norms,) = columns.values()
        found = dead.dead_channels(rows, norms)
        assert found.joint == ()
        assert found.p == 1
        assert found.status.startswith("none")


def test_joint_counts_follow_the_hypergeometric_law() -> None:
    """2000 draws of 8 tiny rows and 10 tiny columns among 30: the mean scatters by .03, and p is at most .05 no more often."""
    rng = RNG(0)
    counts, p = [], []
    for _ in range(2000):
        rows, columns = np.ones(30), np.ones(30)
        rows[rng.permutation(30)[:8]], columns[rng.permutation(30)[:10]] = 1e-3, 1e-3
        found = dead.dead_channels(rows, columns)
        counts.append(len(found.joint))
        p.append(found.p)
    assert found.expected == pytest.approx(80 / 30)
    assert np.mean(counts) == pytest.approx(80 / 30, abs=0.12)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 2000)
    assert p[0] == pytest.approx(sum(hypergeom.pmf(k, 30, 8, 10) for k in range(counts[0], 9)))


def test_planted_joint_channels_are_the_ones_that_are_named() -> None:
    rows, columns = np.ones(20), np.ones(20)
    rows[[2, 5, 7]], columns[[5, 7, 11]] = 0, 1e-4
    found = dead.dead_channels(rows, columns)
    assert found.joint == (5, 7)
    assert (found.channels, found.rows, found.columns) == (20, 3, 3)
    half = dead.dead_channels(rows, columns, shared=np.arange(7, 20))
    assert (half.channels, half.joint) == (13, (7,))
    assert dead.dead_channels(rows, np.ones(20)).status == "none: the reader reads all channels"
    assert dead.dead_channels(np.ones(20), columns).status == "none: the writer writes all channels"
    with pytest.raises(ValueError, match="as many columns"):
        dead.dead_channels(rows, columns[1:])


def test_norms_are_those_of_the_weights_in_channels_taps_and_positions() -> None:
    rng = RNG(1)
    writer, conv, fc = rng.standard_normal((6, 9)), rng.standard_normal((4, 6, 3, 2)), rng.standard_normal((5, 24))
    assert dead.row_norms(modes(layer("w", writer))) == pytest.approx(np.linalg.norm(writer, axis=1))
    direct = dead.column_norms(modes(layer("c", conv)), Link("w", "c"), 6)
    assert direct == pytest.approx(np.sqrt((conv**2).sum(axis=(0, 2, 3))))
    rows = np.array([*np.tile([0, 3, 4, 5], 5), -1, -1, -1, -1])
    flat = dead.column_norms(modes(layer("f", fc)), Link("w", "f", rows=rows), 6)
    assert flat == pytest.approx([np.linalg.norm(fc[:, rows == c]) for c in range(6)])


def test_vectors_that_were_not_kept_are_asked_for() -> None:
    one: Layer = layer("w", np.eye(3))
    with pytest.raises(ValueError, match="w: expected output directions"):
        dead.row_norms(modes(one, written=False))
    with pytest.raises(ValueError, match="w: expected input directions"):
        dead.column_norms(modes(one, read=False), Link("v", "w"), 3)
