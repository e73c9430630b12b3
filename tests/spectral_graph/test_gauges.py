"""Gauges: what a network computes stays as it is, norms become what the gauge says, and the graph changes where it must."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from gauge_cases import batch_norm, chain, constant, dense, gains, layer_norm
from modescope.checkpoints import open as open_checkpoint
from modescope.errors import MatrixError, UsageError
from modescope.matrix import Array, Blocks, Matrix, Product
from modescope.spectral_graph.gauges import GAUGES, fold, in_gauge, scaled, scaled_bias, scalings
from modescope.spectral_graph.wiring import Gains, Gap, Layer, Link, Norm, Wiring
from modescope.spectral_graph.wiring.traced import traced

RNG = np.random.default_rng
SCALES = ("unit_rows", "balanced")


def run(wiring: Wiring, x: Array, *, activation: Callable[[Array], Array] = lambda x: np.maximum(x, 0.0)) -> Array:
    """A chain of dense layers as a network: weight, bias, the norms behind it, activation; the norms in front of the next."""
    for index, layer in enumerate(wiring.layers):
        for norm in layer.before:
            x = normed(norm, x)
        x = x @ layer.matrix.read().T + (0.0 if layer.bias is None else layer.bias())
        for norm in layer.after:
            x = normed(norm, x)
        if index < len(wiring.layers) - 1:
            x = activation(x)
    return x


def normed(norm: Norm, x: Array) -> Array:
    found = norm.read()
    return (x - x.mean(axis=-1, keepdims=True) if norm.centred else x) * found.scale + found.shift


def matrices(wiring: Wiring) -> list[Array]:
    return [layer.matrix.read() for layer in wiring.layers]


def graph_of(wiring: Wiring) -> list[Array]:
    """Overlaps of every gap of a dense chain, by the definition."""
    factors = [np.linalg.svd(w, full_matrices=False) for w in matrices(wiring)]
    return [(reader[2] @ writer[0]) ** 2 for writer, reader in pairwise(factors)]


def test_every_gauge_leaves_what_the_network_computes_as_it_is() -> None:
    rng = RNG(0)
    wiring = chain(rng, 5, 12, 7, 9, 4, norms=True)
    x = rng.standard_normal((50, 5))
    expected = run(wiring, x)
    for gauge in GAUGES:
        np.testing.assert_allclose(run(in_gauge(wiring, gauge), x), expected, rtol=1e-10, atol=1e-10, err_msg=gauge)


def test_raw_is_the_wiring_as_stored() -> None:
    wiring = chain(RNG(1), 5, 12, 4)
    found = scalings(wiring, "raw")
    for layer in wiring.layers:
        stored = layer.matrix.read()
        assert scaled(layer, stored, found[layer.name]) is stored


@pytest.mark.parametrize("taps", [1, 3])
def test_gains_after_a_layer_multiply_its_rows_with_their_signs(taps: int) -> None:
    rng = RNG(2)
    w = rng.standard_normal((4, 5 * taps))
    scale, shift = np.array([2.0, -1.0, 0.0, 0.5]), np.arange(4.0)
    layer = dense("a", w, taps=taps, bias=np.ones(4), after=(gains("bn", scale, shift),))
    found = fold(layer)
    np.testing.assert_array_equal(scaled(layer, w, found), np.diag(scale) @ w)
    np.testing.assert_array_equal(scaled_bias(layer, found), scale + shift)
    np.testing.assert_array_equal(scaled_bias(replace(layer, bias=None), found), shift)


def test_a_folded_batch_norm_is_the_affine_map_of_its_statistics() -> None:
    rng = RNG(3)
    w, b, x = rng.standard_normal((6, 4)), rng.standard_normal(6), rng.standard_normal(4)
    gamma, beta, mean, var = (rng.standard_normal(6) for _ in range(4))
    var = var**2
    layer = dense("a", w, bias=b, after=(batch_norm("bn", gamma, beta, mean, var),))
    found = fold(layer)
    expected = (w @ x + b - mean) / np.sqrt(var + 1e-5) * gamma + beta
    np.testing.assert_allclose(scaled(layer, w, found) @ x + scaled_bias(layer, found), expected, rtol=1e-13, atol=1e-13)


def test_several_norms_after_a_layer_act_in_the_order_of_the_network() -> None:
    rng = RNG(30)
    w, b, x = rng.standard_normal((6, 4)), rng.standard_normal(6), rng.standard_normal(4)
    norms = tuple(gains(f"bn{i}", rng.standard_normal(6), rng.standard_normal(6)) for i in range(3))
    layer = dense("a", w, bias=b, after=norms)
    expected = w @ x + b
    for norm in norms:
        expected = normed(norm, expected)
    found = fold(layer)
    np.testing.assert_allclose(scaled(layer, w, found) @ x + scaled_bias(layer, found), expected, rtol=1e-12, atol=1e-13)


def test_a_gain_of_zero_makes_a_kernel_in_the_folded_gauge_only() -> None:
    rng = RNG(4)
    wiring = chain(rng, 6, 6, 3, norms=True)
    gamma = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 1.0])
    wiring = replace(wiring, layers=(replace(wiring.layers[0], after=(gains("bn", gamma),)), wiring.layers[1]))
    ranks = {gauge: np.linalg.matrix_rank(in_gauge(wiring, gauge).layers[0].matrix.read()) for gauge in GAUGES}
    assert ranks == {"raw": 6, "folded": 4, "unit_rows": 4, "balanced": 4}
    assert not in_gauge(wiring, "unit_rows").layers[0].matrix.read()[[1, 4]].any()


@pytest.mark.parametrize("taps", [1, 3])
def test_a_layer_norm_before_a_reader_is_its_gain_after_the_mean_is_subtracted(taps: int) -> None:
    rng = RNG(5)
    w, gamma = rng.standard_normal((3, 5 * taps)), rng.standard_normal(5)
    layer = dense("a", w, taps=taps, before=(layer_norm("ln", gamma),))
    centring = np.diag(gamma) @ (np.eye(5) - np.ones((5, 5)) / 5)
    expected = np.einsum("oct,cd->odt", w.reshape(3, 5, taps), centring).reshape(3, -1)
    found = scaled(layer, w, fold(layer))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(found.reshape(3, 5, taps).sum(axis=1), 0.0, atol=1e-14)  # all ones is not read


def test_several_norms_before_a_reader_act_in_the_order_of_the_network() -> None:
    rng = RNG(6)
    w, x = rng.standard_normal((3, 5)), rng.standard_normal(5)
    norms = (
        layer_norm("first", rng.standard_normal(5)),
        gains("second", rng.standard_normal(5)),
        layer_norm("third", rng.random(5)),
    )
    layer = dense("a", w, before=norms)
    expected = x
    for norm in norms:
        expected = normed(norm, expected)
    np.testing.assert_allclose(scaled(layer, w, fold(layer)) @ x, w @ expected, rtol=1e-12, atol=1e-13)


def test_a_norm_is_met_through_its_own_channels_after_a_flatten() -> None:
    rng = RNG(7)
    w, gamma, x = rng.standard_normal((2, 12)), rng.standard_normal(4), rng.standard_normal((4, 3))
    for flat, at in ((x.ravel(), np.repeat(np.arange(4), 3)), (x.T.ravel(), np.tile(np.arange(4), 3))):
        layer = dense("a", w, before=(layer_norm("ln", gamma, at=at),))
        centred = (x - x.mean(axis=0)) * gamma[:, None]
        expected = w @ (centred.ravel() if at[1] == at[0] else centred.T.ravel())
        np.testing.assert_allclose(scaled(layer, w, fold(layer)) @ flat, expected, rtol=1e-12, atol=1e-13)


def test_a_reader_of_a_part_of_a_layer_norm_gets_its_gain_and_a_note() -> None:
    layer = dense("a", np.ones((2, 3)), before=(layer_norm("ln", np.arange(1.0, 6.0), at=np.array([4, 0, 1])),))
    found = fold(layer)
    np.testing.assert_array_equal(scaled(layer, np.ones((2, 3)), found), [[5, 1, 2]] * 2)
    assert "the layer meets a part of it" in found.notes[0]


def test_products_and_blocks_are_scaled_by_their_parts() -> None:
    rng = RNG(8)
    left, right = rng.standard_normal((6, 2)), rng.standard_normal((2, 8))
    norms = {"after": (gains("bn", rng.standard_normal(6)),), "before": (layer_norm("ln", rng.standard_normal(4)),)}
    layer = dense("a", left @ right, taps=2, **norms)
    found = scaled(layer, Product(left, right, 0.5), fold(layer))
    assert isinstance(found, Product)
    whole = scaled(layer, 0.5 * left @ right, fold(layer))
    np.testing.assert_allclose(found.scale * found.left @ found.right, whole, rtol=1e-12, atol=1e-13)

    blocks = rng.standard_normal((2, 3, 4))  # 2 groups of 2 channels with 2 taps
    full = np.zeros((6, 8))
    full[:3, :4], full[3:, 4:] = blocks
    norms["before"] = (gains("bn", rng.standard_normal(4)),)
    layer = dense("a", full, taps=2, groups=2, **norms)
    seen, dense_one = scaled(layer, Blocks(blocks), fold(layer)), scaled(replace(layer, groups=1), full, fold(layer))
    assert isinstance(seen, Blocks)
    np.testing.assert_array_equal(seen.blocks, [dense_one[:3, :4], dense_one[3:, 4:]])


def test_both_sides_of_a_product_that_reads_on_both_are_folded_alike() -> None:
    """Scores of normed positions, x^T C D Wk^T Wq D C y: the other side stands behind as gains, then a mean that is subtracted."""
    rng = RNG(9)
    q, k, gamma = rng.standard_normal((3, 7)), rng.standard_normal((3, 7)), rng.standard_normal(7)
    layer = dense("a", k.T @ q, before=(layer_norm("ln", gamma),), after=(gains("ln", gamma), layer_norm("ln", np.ones(7))))
    step = np.diag(gamma) @ (np.eye(7) - 1 / 7)
    found = scaled(layer, Product(k.T, q), fold(layer))
    np.testing.assert_allclose(found.left @ found.right, (k @ step).T @ (q @ step), rtol=1e-12, atol=1e-13)


def test_a_layer_norm_behind_a_layer_is_the_linear_part_of_what_it_does_to_the_output() -> None:
    rng = RNG(31)
    w, b, x, gamma, shift = (rng.standard_normal(n) for n in ((6, 4), 6, 4, 6, 6))
    norm = gains("ln", gamma, shift, centred=True)
    layer = dense("a", w, bias=b, after=(norm,))
    found = fold(layer)
    expected = normed(norm, w @ x + b)
    np.testing.assert_allclose(scaled(layer, w, found) @ x + scaled_bias(layer, found), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("widths", [(5, 12, 4), (6, 10, 10, 3), (8, 20, 5, 30, 12, 10, 7)])
def test_balanced_channels_have_equal_norms_in_and_out(widths: tuple[int, ...]) -> None:
    found = matrices(in_gauge(chain(RNG(10), *widths, norms=True), "balanced"))
    for writer, reader in pairwise(found):
        np.testing.assert_allclose(np.linalg.norm(writer, axis=1), np.linalg.norm(reader, axis=0), rtol=3e-14)


def test_one_balanced_gap_has_the_factor_of_its_definition() -> None:
    wiring = chain(RNG(11), 5, 12, 4)
    w1, w2 = matrices(wiring)
    t = np.sqrt(np.linalg.norm(w2, axis=0) / np.linalg.norm(w1, axis=1))
    found = matrices(in_gauge(wiring, "balanced"))
    np.testing.assert_allclose(found[0], w1 * t[:, None], rtol=1e-13)
    np.testing.assert_allclose(found[1], w2 / t, rtol=1e-13)


def test_balanced_is_the_least_sum_of_squares_and_forgets_the_scales_it_came_from() -> None:
    rng = RNG(12)
    wiring = chain(rng, 5, 8, 9, 4)
    w = matrices(wiring)
    t1, t2 = np.exp(rng.standard_normal(8) * 2), np.exp(rng.standard_normal(9) * 2)
    other = chain(rng, 5, 8, 9, 4, weights=[w[0] * t1[:, None], w[1] / t1 * t2[:, None], w[2] / t2])
    one, two = (matrices(in_gauge(seen, "balanced")) for seen in (wiring, other))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    least = sum((a**2).sum() for a in one)
    for _ in range(20):
        factors = [np.ones(5), *(np.exp(0.1 * rng.standard_normal(n)) for n in (8, 9)), np.ones(4)]
        moved = sum(((f[:, None] * a / g) ** 2).sum() for a, g, f in zip(one, factors, factors[1:], strict=False))
        assert moved > least


def test_unit_rows_have_norm_one_where_others_read_them_and_dead_rows_stay() -> None:
    wiring = chain(RNG(13), 5, 12, 7, 4, norms=True, dead=(0, 3))
    found = matrices(in_gauge(wiring, "unit_rows"))
    norms = [np.linalg.norm(w, axis=1) for w in found]
    np.testing.assert_allclose(norms[1], 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.delete(norms[0], 3), 1.0, rtol=1e-14)
    assert norms[0][3] == 0.0
    assert np.ptp(norms[2]) > 0.1  # the outputs of the network keep their scale


def test_all_positions_of_a_channel_count_as_outgoing() -> None:
    rng = RNG(14)
    writer, reader = dense("conv", rng.standard_normal((4, 27)), taps=9), dense("fc", rng.standard_normal((3, 24)))
    for rows in (np.repeat(np.arange(4), 6), np.tile(np.arange(4), 6)):
        wiring = Wiring((writer, reader), (Link("conv", "fc", "flatten", rows, ("relu", "max_pool2d", "flatten")),), how="traced")
        w, v = matrices(in_gauge(wiring, "balanced"))
        out = [np.linalg.norm(v[:, rows == c]) for c in range(4)]
        np.testing.assert_allclose(np.linalg.norm(w, axis=1), out, rtol=1e-13)


def test_products_and_blocks_are_balanced_like_the_matrices_they_stand_for() -> None:
    rng = RNG(15)
    first, last = (Product(rng.standard_normal((6, 2)), rng.standard_normal((2, n)), 0.1) for n in (4, 6))
    blocks, full = rng.standard_normal((2, 3, 3)), np.zeros((6, 6))
    full[:3, :3], full[3:, 3:] = blocks

    def formed(w: Product) -> Array:
        return w.scale * w.left @ w.right

    links = (Link("a", "b", through=("relu",)), Link("b", "c", through=("relu",)))
    whole = Wiring((dense("a", formed(first)), dense("b", full), dense("c", formed(last))), links, how="traced")
    parts = Wiring((dense("a", first), dense("b", Blocks(blocks), groups=2), dense("c", last)), links, how="traced")
    for gauge in SCALES:
        one, two = in_gauge(whole, gauge), in_gauge(parts, gauge)
        for name in "ac":
            np.testing.assert_allclose(formed(two[name].matrix.read()), one[name].matrix.read(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(two["b"].matrix.read().blocks[1], one["b"].matrix.read()[3:, 3:], rtol=1e-11)


def test_concatenated_writers_share_a_reader_and_keep_what_it_computes() -> None:
    rng = RNG(16)
    a, b = dense("a", rng.standard_normal((3, 4)), bias=rng.standard_normal(3)), dense("b", rng.standard_normal((2, 4)))
    c = dense("c", rng.standard_normal((6, 5)))
    links = (
        Link("a", "c", "concatenation", np.array([0, 1, 2, -1, -1]), ("relu", "cat")),
        Link("b", "c", "concatenation", np.array([-1, -1, -1, 0, 1]), ("relu", "cat")),
    )
    with pytest.raises(UsageError, match="'a' and 'c' stands cat"):
        in_gauge(Wiring((a, b, c), links, how="traced"), "balanced")
    wiring = Wiring((a, b, c), tuple(replace(link, through=("relu",)) for link in links), how="traced")

    def computed(seen: Wiring, x: Array) -> Array:
        hidden = [seen[n].matrix.read() @ x + (0 if seen[n].bias is None else seen[n].bias()) for n in "ab"]
        return seen["c"].matrix.read() @ np.maximum(np.concatenate(hidden), 0)

    x = rng.standard_normal(4)
    for gauge in SCALES:
        np.testing.assert_allclose(computed(in_gauge(wiring, gauge), x), computed(wiring, x), rtol=1e-11, atol=1e-12)


def test_the_graph_ignores_signs_rotations_and_layer_scales_but_not_channel_scales() -> None:
    """Invariance A2, and why a gauge is needed at all."""
    rng = RNG(17)
    w = [rng.standard_normal(shape) for shape in ((12, 5), (4, 12))]
    q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    t = np.exp(rng.standard_normal(12))

    def seen(first: Array, second: Array) -> Wiring:
        return chain(rng, 5, 12, 4, weights=[first, second])

    plain = graph_of(seen(*w))[0]
    np.testing.assert_allclose(graph_of(seen(q @ w[0], w[1] @ q.T))[0], plain, atol=1e-10)
    np.testing.assert_allclose(graph_of(seen(3 * w[0], -0.1 * w[1]))[0], plain, atol=1e-10)
    moved = seen(w[0] * t[:, None], w[1] / t)
    assert np.abs(graph_of(moved)[0] - plain).max() > 0.05
    for gauge in SCALES:
        here, there = (graph_of(in_gauge(x, gauge))[0] for x in (seen(*w), moved))
        np.testing.assert_allclose(there, here, atol=1e-10, err_msg=gauge)


@pytest.mark.parametrize("gauge", SCALES)
@pytest.mark.parametrize("operation", ["gelu", "silu", "tanh", "sigmoid", "softmax", "elu", "layer_norm", "rms_norm", "batch_norm"])
def test_scales_do_not_pass_what_is_not_homogeneous(gauge: str, operation: str) -> None:
    wiring = chain(RNG(18), 5, 6, 4, through=("dropout", operation))
    with pytest.raises(UsageError, match=rf"between '0\.weight' and '1\.weight' stands {operation}") as caught:
        in_gauge(wiring, gauge)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("operation", ["relu", "relu_", "leaky_relu", "identity", "dropout", "max_pool2d", "avg_pool2d", "flatten"])
def test_scales_pass_what_is_homogeneous(operation: str) -> None:
    wiring = chain(RNG(19), 5, 6, 4, through=(operation,))
    np.testing.assert_allclose(np.linalg.norm(in_gauge(wiring, "unit_rows").layers[0].matrix.read(), axis=1), 1.0)


def test_an_unknown_activation_must_be_named_and_be_homogeneous() -> None:
    wiring = replace(chain(RNG(20), 5, 6, 4, through=()), how="order of the file")
    with pytest.raises(UsageError, match="pass activation='relu'"):
        in_gauge(wiring, "balanced")
    with pytest.raises(UsageError, match="got 'gelu'"):
        in_gauge(wiring, "balanced", activation="gelu")
    assert in_gauge(wiring, "balanced", activation="relu").layers[0].matrix.read().shape == (6, 5)
    assert in_gauge(wiring, "folded").layers[0].matrix.read().shape == (6, 5)


@pytest.mark.parametrize("relation", ["residual", "product", "attention"])
def test_a_shared_stream_keeps_its_scale(relation: str) -> None:
    wiring = chain(RNG(21), 5, 6, 4)
    with pytest.raises(UsageError, match=f"a {relation} connection"):
        in_gauge(replace(wiring, links=(replace(wiring.links[0], relation=relation),)), "unit_rows")


def test_a_channel_with_two_writers_and_a_layer_with_an_unknown_reader_are_refused() -> None:
    rng = RNG(22)
    layers = (*(dense(name, rng.standard_normal((4, 4))) for name in "ab"), dense("c", rng.standard_normal((3, 4))))
    links = tuple(Link(name, "c", "stated", through=("relu",)) for name in "ab")
    with pytest.raises(UsageError, match="several layers write"):
        in_gauge(Wiring(layers, links, how="traced"), "balanced")
    for source in ("a", ""):
        wiring = Wiring(layers, links[:1], (Gap(source, "d", "reads the output of fft"),), how="traced")
        with pytest.raises(UsageError, match="reads the output of fft"):
            in_gauge(wiring, "balanced")


def test_a_batch_norm_before_a_reader_lets_scales_pass_only_without_an_activation_behind_it() -> None:
    """relu(t g x + h) is not t relu(g x + h): the shift does not scale."""
    rng = RNG(23)
    norm = gains("bn", rng.standard_normal(6), rng.standard_normal(6))
    for through, passes in (
        (("relu", "batch_norm"), True),
        (("relu", "batch_norm", "dropout"), True),
        (("batch_norm", "relu"), False),
    ):
        wiring = chain(rng, 5, 6, 4, through=through)
        wiring = replace(wiring, layers=(wiring.layers[0], replace(wiring.layers[1], before=(norm,))))
        if passes:
            w = matrices(in_gauge(wiring, "unit_rows"))
            folded = matrices(in_gauge(wiring, "folded"))
            np.testing.assert_allclose(w[1] @ w[0], folded[1] @ folded[0], rtol=1e-12, atol=1e-13)
        else:
            with pytest.raises(UsageError, match="relu after a normalisation"):
                in_gauge(wiring, "unit_rows")


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (gains("bn", np.array([1.0, np.nan, 1.0])), "1 of 3 gains or shifts of bn are not finite"),
        (gains("bn", np.ones(3), np.array([np.inf, 0, 0])), "1 of 3 gains"),
        (gains("bn", np.ones(2)), "bn has 2 channels, which do not fit the 3 of the layer"),
        (gains("bn", np.ones(3), at=np.array([0, 1, 3])), "do not fit"),
        (gains("bn", np.ones(3), at=np.array([0, 1, -1])), "do not fit"),
        (Norm("bn", 3, constant(Gains(np.ones(2), np.ones(2)))), r"expected 3 gains and shifts of bn, read \(2,\)"),
    ],
)
def test_a_bad_normalisation_costs_its_own_layer_and_names_both(norm: Norm, message: str) -> None:
    rng = RNG(24)
    layers = (dense("a", rng.standard_normal((3, 3)), after=(norm,)), dense("b", rng.standard_normal((3, 3))))
    wiring = Wiring(layers, (Link("a", "b", through=("batch_norm", "relu")),), how="traced")
    for gauge in ("folded", *SCALES):
        seen = in_gauge(wiring, gauge)
        with pytest.raises(MatrixError, match=message) as caught:
            seen["a"].matrix.read()
        assert str(caught.value).startswith("a: ")
        assert np.isfinite(seen["b"].matrix.read()).all()


def test_small_running_variances_are_told() -> None:
    var = np.array([1.0, 1e-7, 0.0])
    layer = dense("a", np.ones((3, 2)), after=(batch_norm("bn", np.ones(3), np.zeros(3), np.zeros(3), var),))
    assert fold(layer).notes == ("bn: 2 channels have running variances below eps, which sets the gain there: 1, 2",)
    wiring = Wiring((layer,), ())
    assert "below eps" in in_gauge(wiring, "folded").layers[0].note
    assert not in_gauge(wiring, "raw").layers[0].note


def test_weights_that_are_not_finite_leave_their_neighbours_alone() -> None:
    wiring = chain(RNG(25), 5, 6, 4)
    w = wiring.layers[0].matrix.read().copy()
    w[2, 2] = np.nan
    wiring = replace(wiring, layers=(dense("0.weight", w), wiring.layers[1]))
    for gauge in SCALES:
        assert np.isfinite(in_gauge(wiring, gauge)["1.weight"].matrix.read()).all()


def test_an_unknown_gauge_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="'raw', 'folded', 'unit_rows', 'balanced', got 'bn'"):
        in_gauge(Wiring((), ()), "bn")


def test_layers_in_a_gauge_travel_to_another_process() -> None:
    wiring = chain(RNG(26), 5, 6, 4, norms=True)
    for gauge in GAUGES:
        seen = in_gauge(wiring, gauge)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(seen.layers[0].matrix)).read(), seen.layers[0].matrix.read())


def test_one_layer_is_in_memory_at_a_time() -> None:
    alive, most = set[int](), 0

    class Watched(np.ndarray):
        def __del__(self) -> None:
            alive.discard(id(self))

    def watched(w: Array) -> Array:
        nonlocal most
        made = w.copy().view(Watched)
        alive.add(id(made))
        most = max(most, len(alive))
        return made

    wiring = chain(RNG(27), 5, 6, 7, 8, 4)
    layers = tuple(
        replace(layer, matrix=replace(layer.matrix, read=partial(watched, layer.matrix.read()))) for layer in wiring.layers
    )
    scalings(replace(wiring, layers=layers), "balanced")
    assert most == 1


def test_the_matrix_says_what_it_is_in_every_gauge() -> None:
    wiring = chain(RNG(28), 5, 6, 4, norms=True)
    for gauge in GAUGES:
        for layer, seen in zip(wiring.layers, in_gauge(wiring, gauge).layers, strict=True):
            assert isinstance(seen, Layer)
            assert isinstance(seen.matrix, Matrix)
            assert (seen.name, seen.matrix.shape, seen.channels) == (layer.name, layer.matrix.shape, layer.channels)


def test_a_traced_network_with_batch_norms_and_a_flatten_computes_the_same_with_its_weights_in_a_gauge() -> None:
    """The live network is the oracle: weights and biases in the gauge, batch norms taken out."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 12, 3, bias=False), nn.BatchNorm2d(12), nn.LeakyReLU(), nn.AdaptiveAvgPool2d(2)),
        *(nn.Flatten(), nn.Dropout(), nn.Linear(48, 10)),
    ).double()
    with torch.no_grad():
        for norm in (model[1], model[5]):
            for one in (norm.weight, norm.bias, norm.running_mean):
                one.normal_()
            norm.running_var.uniform_(0.5, 2)
        model.eval()
        x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
        expected = model(x)
        wiring = traced(model, open_checkpoint(model), x)
        assert [layer.name for layer in wiring.layers] == ["0.weight", "4.weight", "10.weight"]
        for gauge in ("folded", *SCALES):
            other = copy.deepcopy(model)
            other[1], other[5] = nn.Identity(), nn.Identity()
            for layer in in_gauge(wiring, gauge).layers:
                module = other[int(layer.name.partition(".")[0])]
                module.weight = nn.Parameter(torch.tensor(layer.matrix.read()).reshape(module.weight.shape))
                module.bias = nn.Parameter(torch.tensor(layer.bias()))
            torch.testing.assert_close(other(x), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("gauge", ["folded", *SCALES])
def test_a_learned_gain_per_channel_is_folded_like_a_batch_norm(gauge: str) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(1)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 7), nn.Linear(7, 3)
            self.gain = nn.Parameter(torch.rand(7) + 0.5)

        def forward(self, x):
            return self.second(torch.relu(self.first(x) * self.gain))

    model = Scaled().double().eval()
    x = torch.randn(4, 5, dtype=torch.float64)
    first, second = in_gauge(traced(model, open_checkpoint(model), x), gauge).layers
    hidden = np.maximum(x.numpy() @ first.matrix.read().T + first.bias(), 0)
    found = hidden @ second.matrix.read().T + second.bias()
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-11, atol=1e-11)
