"""Bias nodes: shares that are squared cosines, edges that are those of a mode, and laws that hold for random biases."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, binom, kstest

from gauge_cases import batch_norm, constant, dense
from modescope.errors import MatrixError
from modescope.matrix import Array, Blocks
from modescope.spectral_graph.bias_nodes import as_mode, bias_edges, bias_node, bias_read
from modescope.spectral_graph.gauges import in_gauge
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import overlaps, pair
from modescope.spectral_graph.wiring import Layer, Link, Wiring

RNG = np.random.default_rng


def with_bias(layer: Layer, bias: Array) -> Layer:
    return replace(layer, bias=constant(bias))


def test_shares_are_squared_cosines_and_sum_to_the_part_the_layer_can_write() -> None:
    rng = RNG(0)
    w, b = rng.standard_normal((9, 5)), rng.standard_normal(9)
    layer = dense("a", w, bias=b)
    found = bias_node(modes(layer))
    u = np.linalg.svd(w, full_matrices=False)[0]
    np.testing.assert_allclose(found.shares, (u.T @ b) ** 2 / (b @ b), rtol=1e-12)
    assert found.norm == pytest.approx(np.linalg.norm(b), rel=1e-14)
    assert found.shares.sum() == pytest.approx(np.linalg.norm(u @ u.T @ b) ** 2 / (b @ b), rel=1e-12)
    assert bias_node(modes(dense("a", rng.standard_normal((5, 9)), bias=b[:5]))).shares.sum() == pytest.approx(1.0, rel=1e-12)


def test_shares_do_not_depend_on_the_length_of_the_bias() -> None:
    rng = RNG(1)
    w, b = rng.standard_normal((9, 5)), rng.standard_normal(9)
    one = bias_node(modes(dense("a", w, bias=b)))
    for factor in (-3.0, 1e-200, 1e200):
        other = bias_node(modes(dense("a", w, bias=factor * b)))
        np.testing.assert_allclose(other.shares, one.shares, rtol=1e-12)
        np.testing.assert_allclose(other.log_p, one.log_p, rtol=1e-10)
        assert other.norm == pytest.approx(abs(factor) * one.norm, rel=1e-12)


def test_a_bias_along_a_mode_lies_in_it_alone_and_is_no_accident() -> None:
    w = RNG(2).standard_normal((40, 40))
    u = np.linalg.svd(w)[0]
    found = bias_node(modes(dense("a", w, bias=0.3 * u[:, 7] + 1e-9)))
    assert found.shares[7] == pytest.approx(1.0, abs=1e-12)
    assert found.log_p[7] < -300
    assert (np.delete(found.log_p, 7) > np.log(1e-3)).all()


def test_p_values_of_random_biases_are_uniform() -> None:
    """600 biases on 3 nodes of 1, 2 and 9 modes; a true law passes .01 of a Kolmogorov-Smirnov test 99 times in a hundred."""
    rng = RNG(3)
    u, v = np.linalg.qr(rng.standard_normal((12, 12)))[0], np.linalg.qr(rng.standard_normal((12, 12)))[0]
    base = modes(dense("a", u @ np.diag([3.0, 2, 2, *[1.0] * 9]) @ v.T))
    assert base.nodes == ((0, 1), (1, 3), (3, 12))
    drawn = np.array([bias_node(replace(base, layer=with_bias(base.layer, b))).log_p for b in rng.standard_normal((600, 12))])
    for column in drawn.T:
        assert kstest(np.exp(column), "uniform").pvalue > 0.01


def test_a_node_of_all_dimensions_is_no_evidence() -> None:
    rng = RNG(4)
    layer = dense("a", np.linalg.qr(rng.standard_normal((6, 6)))[0], bias=rng.standard_normal(6))
    found = bias_node(modes(layer))
    assert found.shares == pytest.approx([1.0])
    assert found.log_p.tolist() == [0.0]
    assert bias_node(modes(dense("a", np.ones((1, 3)), bias=np.ones(1)))).log_p.tolist() == [0.0]


@pytest.mark.parametrize("taps", [1, 9])
def test_edges_are_the_edge_formula_with_the_bias_for_u(taps: int) -> None:
    rng = RNG(5)
    layer, reader = (
        dense("a", rng.standard_normal((8, 5)), bias=rng.standard_normal(8)),
        dense("b", rng.standard_normal((6, 8 * taps)), taps=taps),
    )
    read = modes(reader)
    found = bias_edges(Link("a", "b"), layer, read)
    b = layer.bias() / np.linalg.norm(layer.bias())
    slow = [sum((kernel[:, tap] @ b) ** 2 for tap in range(taps)) for kernel in read.vh.reshape(6, 8, taps)]
    np.testing.assert_allclose(found.weights, slow, rtol=1e-12)
    assert (found.source, found.target) == ("a", "b")
    mode = as_mode(layer)
    np.testing.assert_array_equal(found.weights, overlaps(pair(Link("a", "b"), mode, read))[:, 0])
    assert mode.s[0] == pytest.approx(np.linalg.norm(layer.bias()))
    if taps == 1:
        np.testing.assert_allclose(np.exp(found.log_p), beta.sf(slow, 0.5, 3.5), rtol=1e-9)


@pytest.mark.parametrize("s", [(5, 3, 3, 2, 1), (5, 4, 3, 2, 1)])
def test_edges_of_random_biases_have_uniform_p_also_for_smooth_kernels_and_groups_of_modes(s: tuple[int, ...]) -> None:
    """300 biases; readers of one nearly separable kernel, of ordinary ones, and in one case a node of two modes."""
    rng = RNG(6)
    v = rng.standard_normal((5, 90))
    v[0] = np.outer(rng.standard_normal(10), np.ones(9) + 0.1 * rng.standard_normal(9)).ravel()
    v = np.linalg.qr(v.T)[0].T
    read = modes(dense("b", np.linalg.qr(rng.standard_normal((5, 5)))[0] @ np.diag(s) @ v, taps=9))
    assert len(read.nodes) == len(set(s))
    writer, link = dense("a", rng.standard_normal((10, 4))), Link("a", "b", rows=rng.permutation(10))
    drawn = np.array([bias_edges(link, with_bias(writer, b), read).log_p for b in rng.standard_normal((300, 10))])
    for column in drawn.T:
        assert kstest(np.exp(column), "uniform").pvalue > 0.01


def test_a_bias_of_a_layer_with_groups_is_not_confined_to_one() -> None:
    rng = RNG(7)
    layer = dense("a", Blocks(rng.standard_normal((2, 4, 3))), groups=2, bias=rng.standard_normal(8))
    read = modes(dense("b", rng.standard_normal((8, 8))))
    found = bias_edges(Link("a", "b"), layer, read)
    assert found.weights.sum() == pytest.approx(1.0, rel=1e-12)  # all of R^8 is read
    np.testing.assert_allclose(np.exp(found.log_p), beta.sf(found.weights, 0.5, 3.5), rtol=1e-9)
    assert bias_node(modes(layer)).shares.sum() <= 1 + 1e-12


def test_the_bias_is_that_of_the_gauge() -> None:
    rng = RNG(8)
    w, b = rng.standard_normal((6, 4)), rng.standard_normal(6)
    gamma, shift, mean, var = (rng.standard_normal(6) for _ in range(4))
    layer = dense("a", w, bias=b, after=(batch_norm("bn", gamma, shift, mean, var**2),))
    wiring = Wiring((layer,), ())
    folded = (b - mean) * gamma / np.sqrt(var**2 + 1e-5) + shift
    assert as_mode(in_gauge(wiring, "folded").layers[0]).s[0] == pytest.approx(np.linalg.norm(folded), rel=1e-12)
    assert as_mode(in_gauge(wiring, "raw").layers[0]).s[0] == pytest.approx(np.linalg.norm(b), rel=1e-12)
    bare = replace(layer, bias=None)
    assert as_mode(in_gauge(Wiring((bare,), ()), "folded").layers[0]) is not None
    assert as_mode(bare) is None


def test_no_bias_and_a_bias_of_zeros_make_no_node() -> None:
    rng = RNG(9)
    read = modes(dense("b", rng.standard_normal((3, 6))))
    for layer in (dense("a", rng.standard_normal((6, 4))), dense("a", rng.standard_normal((6, 4)), bias=np.zeros(6))):
        assert bias_node(modes(layer)) is None
        assert bias_edges(Link("a", "b"), layer, read) is None


@pytest.mark.parametrize(
    ("bias", "message"), [(np.ones(5), r"a: expected a bias of shape \(6,\)"), (np.full(6, np.nan), "a: 6 of 6")]
)
def test_a_bias_that_does_not_fit_names_its_layer(bias: Array, message: str) -> None:
    with pytest.raises(MatrixError, match=message):
        as_mode(dense("a", np.ones((6, 4)), bias=bias))


def test_directions_that_were_not_kept_are_asked_for() -> None:
    layer = dense("a", RNG(10).standard_normal((6, 4)), bias=np.ones(6))
    with pytest.raises(ValueError, match="expected u of a"):
        bias_node(modes(layer, written=False))


def test_a_reader_of_the_bias_is_found_among_the_others_and_told_by_its_first_mode() -> None:
    rng = RNG(10)
    b = rng.standard_normal(64)
    v = rng.standard_normal((6, 64))
    v[4] = b / np.linalg.norm(b) + 0.02 * rng.standard_normal(64)
    v[[0, 1, 2, 3, 5]] -= np.outer(v[[0, 1, 2, 3, 5]] @ v[4], v[4]) / (v[4] @ v[4])
    v = np.linalg.qr(v[[4, 0, 1, 2, 3, 5]].T)[0].T[[1, 2, 3, 4, 0, 5]]
    read = modes(dense("b", np.linalg.qr(rng.standard_normal((6, 6)))[0] @ np.diag([6.0, 4, 4, 3, 2, 1]) @ v))
    writer, link = dense("a", rng.standard_normal((64, 10)), bias=b), Link("a", "b")
    found, edges = bias_read(link, writer, read), bias_edges(link, writer, read)
    assert (found.nodes, found.significant, found.mode, found.modes) == (5, 1, 4, 1)
    assert found.weight == edges.weights[3] > 0.9
    assert (found.log_p, found.p) == (edges.log_p.min(), np.exp(edges.log_p.min()))


def test_a_level_is_kept_within_the_pair() -> None:
    """1000 random biases before 6 modes: .05 of the pairs have a significant one, within the 99.9 % interval of a binomial."""
    rng = RNG(11)
    read, writer = modes(dense("b", rng.standard_normal((6, 16)))), dense("a", rng.standard_normal((16, 4)))
    drawn = [bias_read(Link("a", "b"), with_bias(writer, b), read).significant for b in rng.standard_normal((1000, 16))]
    low, high = binom.ppf([5e-4, 1 - 5e-4], 1000, 0.05)
    assert low <= np.count_nonzero(drawn) <= high


def test_where_there_is_no_bias_or_none_that_can_be_read_the_status_says_so() -> None:
    rng = RNG(12)
    read = modes(dense("b", rng.standard_normal((3, 6))))
    for bias, words in ((None, "no bias"), (np.zeros(6), "no bias"), (np.full(6, np.nan), "not finite")):
        found = bias_read(Link("a", "b"), dense("a", rng.standard_normal((6, 4)), bias=bias), read)
        assert words in found.status
        assert (found.nodes, found.significant, found.mode, found.p) == (0, 0, None, None)
