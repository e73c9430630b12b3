"""Depthwise layers inside their neighbours: against compositions of convolutions, and against what may not be folded."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from gauge_cases import constant, dense, gains, layer_norm
from modescope.errors import MatrixError
from modescope.matrix import Array, Blocks, Convolution, Product
from modescope.spectral_graph.depthwise import is_depthwise, without_depthwise
from modescope.spectral_graph.gauges import in_gauge
from modescope.spectral_graph.wiring import Layer, Link, Wiring

torch = pytest.importorskip("torch")
RNG = np.random.default_rng


def depthwise(name: str, kernel: Array, **more: object) -> Layer:
    """A depthwise layer from (channels * per, 1, k, k)."""
    out, _, *k = kernel.shape
    channels = int(more.pop("channels", out))
    taps = int(np.prod(k))
    return dense(name, Blocks(kernel.reshape(channels, out // channels, taps)), taps=taps, groups=channels, **more)


def conv(x: Array, kernel: Array, *, groups: int = 1) -> Array:
    return torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(kernel), groups=groups).numpy()


def three(rng: np.random.Generator, *, per: int = 1, through: tuple[str, ...] = (), how: str = "traced", **norms: object) -> Wiring:
    """A pointwise layer, a depthwise one with `per` filters per channel, and a pointwise one."""
    first = dense("expand", rng.standard_normal((6, 4)))
    middle = depthwise("deep", rng.standard_normal((6 * per, 1, 3, 3)), channels=6, **norms)
    last = dense("project", rng.standard_normal((5, 6 * per)), bias=rng.standard_normal(5))
    links = (Link("expand", "deep", through=("relu",)), Link("deep", "project", through=through))
    return Wiring((first, middle, last), links, how=how)


@pytest.mark.parametrize("per", [1, 2, 3])
def test_a_following_pointwise_layer_becomes_the_composition(per: int) -> None:
    rng = RNG(0)
    wiring = three(rng, per=per)
    x = rng.standard_normal((2, 6, 7, 7))
    middle, last = wiring["deep"].matrix.read().blocks.reshape(6 * per, 1, 3, 3), wiring["project"].matrix.read()
    found = without_depthwise(wiring)
    assert [layer.name for layer in found.layers] == ["expand", "project"]
    folded = found["project"]
    assert (folded.channels, folded.taps, folded.groups, folded.matrix.shape) == (6, 9, 1, (5, 54))
    w = folded.matrix.read().reshape(5, 6, 3, 3)
    expected = conv(conv(x, middle, groups=6), last[:, :, None, None])
    np.testing.assert_allclose(conv(x, w), expected, rtol=1e-12, atol=1e-12)
    assert "deep is folded in, exactly" in folded.note
    assert folded.matrix.parts == ("project", "deep")


@pytest.mark.parametrize("per", [1, 2])
def test_a_preceding_pointwise_layer_becomes_the_composition(per: int) -> None:
    rng = RNG(1)
    wiring = three(rng, per=per)
    tall = dense("project", rng.standard_normal((5, 6 * per * 9)), taps=9)
    wiring = replace(wiring, layers=(*wiring.layers[:2], tall), links=(replace(wiring.links[0], through=()), wiring.links[1]))
    found = without_depthwise(wiring)
    assert [layer.name for layer in found.layers] == ["expand", "project"]
    folded = found["expand"]
    assert (folded.out, folded.channels, folded.taps) == (6 * per, 4, 9)
    x = rng.standard_normal((2, 4, 7, 7))
    middle, first = wiring["deep"].matrix.read().blocks.reshape(6 * per, 1, 3, 3), wiring["expand"].matrix.read()
    expected = conv(conv(x, first[:, :, None, None]), middle, groups=6)
    np.testing.assert_allclose(conv(x, folded.matrix.read().reshape(6 * per, 4, 3, 3)), expected, rtol=1e-12, atol=1e-12)
    assert [(link.source, link.target) for link in found.links] == [("expand", "project")]


def test_links_lead_past_the_folded_layer_through_its_channels() -> None:
    rng = RNG(2)
    order = rng.permutation(6)
    wiring = three(rng)
    first = dense("other", rng.standard_normal((3, 4)))
    links = (
        Link("expand", "deep", "concatenation", np.array([2, 0, 1, -1, -1, -1]), ("relu",)),
        Link("other", "deep", "concatenation", np.array([-1, -1, -1, 0, 1, 2]), ("relu",)),
        Link("deep", "project", rows=order),
    )
    found = without_depthwise(replace(wiring, layers=(wiring.layers[0], first, *wiring.layers[1:]), links=links))
    for link, old in zip(found.links, links[:2], strict=True):
        assert (link.source, link.target, link.relation, link.through) == (old.source, "project", "concatenation", ("relu",))
        np.testing.assert_array_equal(link.rows, old.rows[order])
    kernel, last = wiring["deep"].matrix.read().blocks[:, 0], wiring["project"].matrix.read()
    np.testing.assert_allclose(found["project"].matrix.read().reshape(5, 6, 9), last[:, :, None] * kernel[order])


@pytest.mark.parametrize("per", [1, 2])
@pytest.mark.parametrize("last", [False, True])
def test_a_flattened_reader_keeps_its_positions_apart(per: int, *, last: bool) -> None:
    """Filters of one channel are summed within a position only: against the response to every single channel and position."""
    rng = RNG(3)
    positions, kernel = 4, rng.standard_normal((3 * per, 1, 3, 3))
    fc = rng.standard_normal((5, 3 * per * positions))
    rows = np.tile(np.arange(3 * per), positions) if last else np.repeat(np.arange(3 * per), positions)
    layers = (dense("a", rng.standard_normal((3, 2))), depthwise("deep", kernel, channels=3), dense("fc", fc))
    wiring = Wiring(layers, (Link("a", "deep"), Link("deep", "fc", "flatten", rows)), how="traced")
    found = without_depthwise(wiring)
    link, folded = found.links[0], found["fc"]
    assert link.relation == "flatten"
    assert folded.channels == 3 * positions
    x = rng.standard_normal((1, 3, 4, 4))
    deep = conv(x, kernel, groups=3)[0].reshape(3 * per, positions)
    patches = torch.nn.functional.unfold(torch.from_numpy(x), 3).numpy()[0].reshape(3, 9, positions)
    seen = np.empty((3 * positions, 9))
    count = np.zeros(3, dtype=int)
    for channel in range(3 * positions):
        c = link.rows[channel]
        seen[channel] = patches[c, :, count[c]]
        count[c] += 1
    expected = fc @ (deep.T.ravel() if last else deep.ravel())
    np.testing.assert_allclose(folded.matrix.read() @ seen.ravel(), expected, rtol=1e-12, atol=1e-12)


def test_norms_stay_with_their_channels() -> None:
    """Batch norms before, inside and behind: the folded gauge of the folded layer is the linear map of the whole path."""
    rng = RNG(4)
    scales = [rng.standard_normal(n) for n in (6, 6, 6, 5)]
    before, middle, inner, after = (gains(f"bn{i}", scale) for i, scale in enumerate(scales))
    wiring = three(rng, through=("batch_norm", "relu"), before=(before,), after=(middle,))
    order = rng.permutation(6)
    reader = replace(wiring["project"], before=(inner,), after=(after,))
    links = (wiring.links[0], replace(wiring.links[1], rows=order))
    wiring = replace(wiring, layers=(*wiring.layers[:2], reader), links=links)
    kernel, last = wiring["deep"].matrix.read().blocks[:, 0], reader.matrix.read()
    found = in_gauge(without_depthwise(wiring), "folded")["project"].matrix.read().reshape(5, 6, 9)
    path = last * scales[3][:, None] * scales[2]  # on the reader's channels
    expected = path[:, :, None] * (scales[1][:, None] * kernel * scales[0][:, None])[order]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_norms_of_the_writer_stay_with_its_rows() -> None:
    rng = RNG(5)
    one, two = rng.standard_normal(6), rng.standard_normal(12)
    wiring = three(rng, per=2, after=(gains("bn2", two),))
    writer = replace(wiring["expand"], after=(gains("bn1", one),))
    tall = dense("project", rng.standard_normal((5, 108)), taps=9)
    found = without_depthwise(replace(wiring, layers=(writer, wiring["deep"], tall)))
    kernel = wiring["deep"].matrix.read().blocks.reshape(12, 9)
    w = in_gauge(found, "folded")["expand"].matrix.read().reshape(12, 4, 9)
    expected = two[:, None, None] * np.repeat(one[:, None] * writer.matrix.read(), 2, axis=0)[:, :, None] * kernel[:, None, :]
    np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-14)
    assert "an approximation, as relu between expand and deep is left out" in found["expand"].note


def test_a_layer_norm_inside_is_folded_without_its_mean_and_says_so() -> None:
    wiring = three(RNG(6))
    reader = replace(wiring["project"], before=(layer_norm("ln", np.ones(6)),))
    found = without_depthwise(replace(wiring, layers=(*wiring.layers[:2], reader)))["project"]
    assert not found.before[0].centred
    assert "the mean that ln subtracts inside is not folded" in found.note


def test_a_layer_norm_in_front_keeps_its_mean() -> None:
    rng = RNG(7)
    wiring = three(rng, before=(layer_norm("ln", rng.standard_normal(6)),))
    w = in_gauge(without_depthwise(wiring), "folded")["project"].matrix.read()
    np.testing.assert_allclose(w.reshape(5, 6, 9).sum(axis=1), 0.0, atol=1e-13)


@pytest.mark.parametrize(
    ("through", "how", "said"),
    [
        ((), "traced", "exactly: nothing nonlinear lies between deep and project"),
        (("batch_norm", "dropout"), "traced", "exactly"),
        (("batch_norm", "relu6"), "traced", "an approximation, as relu6 between deep and project is left out"),
        (
            ("batch_norm", "gelu", "max_pool2d"),
            "traced",
            "an approximation, as gelu, max_pool2d between deep and project are left out",
        ),
        ((), "order of the file", "exact only if nothing nonlinear lies between deep and project"),
    ],
)
def test_the_note_says_whether_the_fold_is_exact(through: tuple[str, ...], how: str, said: str) -> None:
    found = without_depthwise(three(RNG(8), through=through, how=how))
    assert found["project"].note.startswith("the depthwise convolution deep is folded in")
    assert said in found["project"].note
    assert ("depthwise deep" in found.links[0].through) == ("exactly" not in said)


def test_the_bias_passes_where_the_path_is_linear_and_only_there() -> None:
    rng = RNG(9)
    bias = rng.standard_normal(12)
    for through, linear in (((), True), (("relu",), False)):
        wiring = three(RNG(10), per=2, through=through, bias=bias)
        own, last = wiring["project"].bias(), wiring["project"].matrix.read()
        found = without_depthwise(wiring)["project"].bias()
        np.testing.assert_allclose(found, own + last @ bias if linear else own, rtol=1e-13)


def test_products_and_groups_take_a_depthwise_layer_in() -> None:
    rng = RNG(11)
    kernel, left, right = rng.standard_normal((6, 1, 3, 3)), rng.standard_normal((5, 2)), rng.standard_normal((2, 6))
    middle, first = depthwise("deep", kernel), dense("expand", rng.standard_normal((6, 4)))
    filters = kernel.reshape(6, 9)
    links = (Link("expand", "deep"), Link("deep", "project"))
    product = without_depthwise(Wiring((first, middle, dense("project", Product(left, right, 2.0))), links))[
        "project"
    ].matrix.read()
    expected = (2 * left @ right)[:, :, None] * filters
    np.testing.assert_allclose(product.scale * product.left @ product.right, expected.reshape(5, -1), rtol=1e-12, atol=1e-13)

    blocks = rng.standard_normal((2, 2, 3))
    grouped = without_depthwise(Wiring((first, middle, dense("project", Blocks(blocks), groups=2)), links))["project"]
    assert (grouped.groups, grouped.taps, grouped.matrix.shape) == (2, 9, (4, 54))
    expected = blocks[..., None] * filters.reshape(2, 1, 3, 9)
    np.testing.assert_allclose(grouped.matrix.read().blocks, expected.reshape(2, 2, 27), rtol=1e-13)

    tall = dense("project", rng.standard_normal((5, 54)), taps=9)
    wide = rng.standard_normal((6, 2)), rng.standard_normal((2, 4))
    product = without_depthwise(Wiring((dense("expand", Product(*wide)), middle, tall), links))["expand"].matrix.read()
    expected = (wide[0] @ wide[1])[:, :, None] * filters[:, None, :]
    np.testing.assert_allclose(product.left @ product.right, expected.reshape(6, -1), rtol=1e-12, atol=1e-13)
    blocks = rng.standard_normal((2, 3, 2))
    found = without_depthwise(Wiring((dense("expand", Blocks(blocks), groups=2), middle, tall), links))["expand"].matrix.read()
    expected = blocks[..., None] * filters.reshape(2, 3, 1, 9)
    np.testing.assert_allclose(found.blocks, expected.reshape(2, 3, 18), rtol=1e-13)


def test_chains_of_depthwise_layers_go_into_the_neighbours_on_both_sides() -> None:
    rng = RNG(12)
    layers = (
        dense("a", rng.standard_normal((6, 4))),
        depthwise("one", rng.standard_normal((6, 1, 3, 3))),
        depthwise("two", rng.standard_normal((6, 1, 5, 5))),
        dense("b", rng.standard_normal((5, 6))),
    )
    found = without_depthwise(Wiring(layers, (Link("a", "one"), Link("one", "two"), Link("two", "b"))))
    assert [(layer.name, layer.taps) for layer in found.layers] == [("a", 9), ("b", 25)]
    assert [(link.source, link.target) for link in found.links] == [("a", "b")]
    assert not found.gaps


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("two readers", "2 layers read it"),
        ("another writer", "project reads other layers too"),
        ("a residual", "project reads more than it"),
        ("taps", "project has several taps too"),
        ("a norm before the sum", "a normalisation lies between several filters of a channel and their sum"),
        ("other groups", "the groups of project are not its own"),
    ],
)
def test_what_cannot_be_folded_stays_with_gaps_that_say_why(change: str, why: str) -> None:
    rng = RNG(13)
    wiring = three(rng, per=2 if change == "a norm before the sum" else 1)
    links, layers = list(wiring.links), list(wiring.layers)
    match change:
        case "two readers":
            layers.append(dense("head", rng.standard_normal((2, 6))))
            links.append(Link("deep", "head"))
        case "another writer":
            links.insert(1, Link("expand", "project"))
        case "a residual":
            links[1] = replace(links[1], relation="residual")
        case "taps":
            layers[2] = dense("project", rng.standard_normal((5, 54)), taps=9)
        case "a norm before the sum":
            layers[1] = replace(layers[1], after=(gains("bn", np.ones(12)),))
        case "other groups":
            layers[2] = dense("project", Blocks(rng.standard_normal((2, 2, 3))), groups=2)
            links[1] = replace(links[1], rows=rng.permutation(6))
    layers[0] = dense("expand", rng.standard_normal((6, 36)), taps=9)  # nor can the writer take it in
    found = without_depthwise(replace(wiring, layers=tuple(layers), links=tuple(links)))
    assert [layer.name for layer in found.layers] == [layer.name for layer in layers]
    assert {(gap.source, gap.target) for gap in found.gaps} == {
        (x.source, x.target) for x in links if "deep" in {x.source, x.target}
    }
    assert all(f"not folded, as {why} and " in gap.reason for gap in found.gaps)
    assert all("deep" not in {link.source, link.target} for link in found.links)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("nothing", "0 layers write it"),
        ("shared", "other layers read expand too"),
        ("shuffled", "the groups of expand are not its own"),
    ],
)
def test_a_writer_that_cannot_take_it_in_is_told_too(change: str, why: str) -> None:
    rng = RNG(14)
    layers = [*three(rng).layers[:2], dense("project", rng.standard_normal((5, 54)), taps=9)]
    links = [Link("expand", "deep"), Link("deep", "project")]
    match change:
        case "nothing":
            links = links[1:]
        case "shared":
            links.append(Link("expand", "project"))
        case "shuffled":
            layers[0] = dense("expand", Blocks(rng.standard_normal((2, 3, 2))), groups=2)
            links[0] = replace(links[0], rows=rng.permutation(6))
    found = without_depthwise(Wiring(tuple(layers), tuple(links)))
    assert found.gaps
    assert all(gap.reason.endswith(why) for gap in found.gaps)


def test_a_writer_of_another_width_is_a_gap_and_no_crash() -> None:
    wiring = three(RNG(18))
    layers = (dense("expand", np.ones((7, 4))), *wiring.layers[1:])
    found = without_depthwise(replace(wiring, layers=layers))
    assert {(gap.source, gap.target) for gap in found.gaps} == {("expand", "deep"), ("deep", "project")}
    assert all("what writes it has another number of channels" in gap.reason for gap in found.gaps)


def test_a_network_without_depthwise_layers_comes_back_as_it_is() -> None:
    rng = RNG(15)
    a, b = dense("a", rng.standard_normal((6, 4))), dense("b", Blocks(rng.standard_normal((2, 3, 3))), groups=2)
    wiring = Wiring((a, b), (Link("a", "b"),))
    assert without_depthwise(wiring) is wiring
    assert not is_depthwise(dense("one", Blocks(rng.standard_normal((1, 1, 9))), taps=9))


def test_folded_layers_travel_to_another_process_and_read_nothing_before() -> None:
    wiring = three(RNG(16))
    found = without_depthwise(wiring)["project"].matrix
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).read(), found.read())
    silent = replace(wiring.layers[1], matrix=replace(wiring.layers[1].matrix, read=constant(None)))
    without_depthwise(replace(wiring, layers=(wiring.layers[0], silent, wiring.layers[2])))


@pytest.mark.parametrize("place", [1, 2])
def test_operands_that_hold_no_filters_are_told(place: int) -> None:
    wiring = three(RNG(17))
    grid = Convolution(np.ones((5, 6, 1, 1)), (4, 4), (1, 1), (1, 1))
    layers = [replace(x, matrix=replace(x.matrix, read=constant(grid))) if i == place else x for i, x in enumerate(wiring.layers)]
    with pytest.raises(MatrixError, match=r"filters of a depthwise|a convolution on a grid"):
        without_depthwise(replace(wiring, layers=tuple(layers)))["project"].matrix.read()
