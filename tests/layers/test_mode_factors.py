"""The layer kind of modes: which three tensors are one matrix, in every way a network of modes is stored."""

import numpy as np
import pytest

import modescope as ms
from layer_cases import by_name, counting, filled, formed, live, seen, singular_values, skipped
from tolerance import tol

RNG = np.random.default_rng(3)
NAME = "net.1"


def triple(stem=f"{NAME}.", out=5, p=3, inputs=(4,), **declared):
    return [
        counting(f"{stem}xi_out", (out, p), **declared),
        counting(f"{stem}s", (p,), **declared),
        counting(f"{stem}xi_in", (p, *inputs), **declared),
    ]


def orthonormal(out=5, p=3, inputs=(4,)):
    drawn = RNG.standard_normal((out, p)), RNG.standard_normal(p), RNG.standard_normal((p, *inputs))
    names = f"{NAME}.parametrizations.xi_out.original", f"{NAME}.s", f"{NAME}.parametrizations.xi_in.original"
    return [filled(name, one) for name, one in zip(names, drawn, strict=True)]


def parametrised(p=3):
    shapes = (5, p), (p,), (p, 4)
    return [counting(f"rnn.parametrizations.weight_hh_l0.original{i}", shape) for i, shape in enumerate(shapes)]


def tied():
    return [
        counting("layers.0.xi_in", (3, 6)),
        counting("layers.0.s", (3,)),
        counting("layers.1.xi_in", (3, 4)),
        counting("layers.1.s", (3,)),
        counting("layers.1.xi_out", (2, 3)),
    ]


def samples():
    checkpoints = [
        triple(),
        triple(""),
        triple(inputs=(4, 3, 3)),
        triple(module="ModeLinear"),
        triple("encoder.norm.qkv."),
        triple("wte."),
        triple("dw_conv.", inputs=(1, 3)),
        triple("optimizer."),
        triple(p=4)[:2] + triple()[2:],
        triple()[:1],
        triple()[1:],
        orthonormal(),
        parametrised(),
        tied(),
        [counting("a.xi_out", (5, 3), "int8"), *triple("a.")[1:]],
    ]
    return [(tensor, by_name(*tensors)) for tensors in checkpoints for tensor in tensors]


def only(*tensors):
    (row,) = seen(*tensors).values()
    return row


@pytest.mark.parametrize("inputs", [(4,), (2, 3), (2, 3, 3)])
@pytest.mark.parametrize("stem", ["", "net.1."])
def test_three_factors_are_one_row_and_two_say_where_they_went(stem, inputs):
    xi_out, s, xi_in = triple(stem, inputs=inputs)
    row = only(s, xi_in, xi_out)
    assert (row.kind, row.tensor, row.view, row.shape) == ("mode_factors", xi_in.name, "product", (5, int(np.prod(inputs))))
    assert row.parts == (xi_out.name, s.name, xi_in.name)
    np.testing.assert_array_equal(formed(row), (xi_out.read() @ np.diag(s.read())) @ xi_in.read().reshape(3, -1))
    assert skipped(s, xi_in, xi_out) == dict.fromkeys((s.name, xi_out.name), f"analysed together with {xi_in.name}")


def test_the_values_of_orthonormal_storage_are_the_moduli_of_the_strengths():
    xi_out, s, xi_in = orthonormal()
    row = only(xi_out, s, xi_in)
    assert row.tensor == xi_in.name
    np.testing.assert_allclose(singular_values(formed(row))[:3], np.sort(np.abs(s.read()))[::-1], atol=1e-14)


def test_orthonormal_storage_is_read_as_the_layer_reads_it():
    import torch

    from modescope.modes.modules.linear import ModeLinear

    layer = ModeLinear(7, 6, 4, orthogonal=True, dtype=torch.float64)
    for one in layer.parameters():
        torch.nn.init.normal_(one)
    row = only(*(filled(name, one.detach().numpy()) for name, one in layer.state_dict().items() if name != "bias"))
    np.testing.assert_allclose(formed(row), layer.weight.detach().numpy(), atol=1e-12)


def test_modes_inside_another_module_are_read_as_its_weight():
    xi_out, s, xi_in = parametrised()
    np.testing.assert_array_equal(formed(only(xi_out, s, xi_in)), (xi_out.read() * s.read()) @ xi_in.read())


def test_tied_layers_write_what_the_next_one_reads():
    tensors = tied()
    known = by_name(*tensors)
    first, last = seen(*tensors).values()
    np.testing.assert_array_equal(
        formed(first), (known["layers.1.xi_in"].read().T * known["layers.0.s"].read()) @ known["layers.0.xi_in"].read()
    )
    assert "next layer" in first.note
    assert (first.shape, last.shape, last.note) == ((4, 6), (2, 4), "")


def test_other_parametrisations_are_still_what_a_weight_is_computed_from():
    names = [f"fc.parametrizations.weight.original{i}" for i in (0, 1)]
    for tensors in ([counting(names[0], (5, 1)), counting(names[1], (5, 4))], [*parametrised()[:1], *parametrised(4)[1:]]):
        assert not seen(*tensors)
        assert all("parametrisation" in reason for name, reason in skipped(*tensors).items() if "original1" not in name)


def test_strengths_of_something_else_are_left_alone():
    assert "mode" not in skipped(counting("svd.s", (3,)), counting("svd.u", (5, 3)))["svd.s"]


def test_a_missing_factor_is_named():
    xi_out, s, xi_in = triple()
    assert skipped(xi_out, s)[s.name] == skipped(xi_out, s)[xi_out.name]
    assert skipped(xi_out, s)[xi_out.name].endswith(f"missing: {xi_in.name}")
    assert skipped(xi_in)[xi_in.name].endswith(f"missing: {xi_out.name}, {s.name}")


def test_factors_that_do_not_multiply_are_skipped_with_their_shapes():
    xi_out, s, _ = triple()
    for other in (counting(f"{NAME}.xi_in", (4, 3)), counting(f"{NAME}.xi_in", (3,))):
        assert f"(5, 3), (3,), {other.shape}" in skipped(xi_out, s, other)[other.name]
    xi_out, s, _ = orthonormal()
    assert "no more orthonormal" in skipped(xi_out, s, filled(f"{NAME}.parametrizations.xi_in.original", np.ones((3, 2))))[s.name]


def test_packed_factors_are_skipped_with_the_reason_on_all_three():
    xi_out, s, xi_in = triple()
    packed = counting(xi_out.name, xi_out.shape, "int8")
    assert all(xi_out.name in reason and "dequantise" in reason for reason in skipped(packed, s, xi_in).values())


def test_a_scan_of_a_saved_network_of_modes_has_the_spectrum_of_its_dense_weights(tmp_path):
    from safetensors.torch import save_file
    from torch import nn

    from modescope.modes.modules.convolution import ModeConv2d
    from modescope.modes.modules.linear import ModeLinear

    layers = {
        "plain": ModeLinear(40, 30, 6),
        "over": ModeLinear(9, 7, 20),
        "conv": ModeConv2d(4, 12, 3, 5),
        "frozen": ModeLinear(20, 30, 4, frozen_strength=True),
        "orthogonal": ModeLinear(20, 30, 4, orthogonal=True),
    }
    net = nn.ModuleDict(layers)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    for source in (tmp_path / "net.safetensors", net):
        rows = {row.name.replace(".parametrizations.xi_in.original", ".xi_in"): row for row in ms.scan(source)}
        assert rows.keys() == {f"{name}.xi_in" for name in layers}
        for name, layer in layers.items():
            dense = singular_values(layer.weight.detach().double().flatten(1).numpy())
            found = rows[f"{name}.xi_in"].s
            assert found.size == min(layer.n_modes, *layer.shape)
            np.testing.assert_allclose(found, dense[: found.size], atol=tol("float32", layer.shape, dense[0]))


def test_factors_that_are_not_finite_cost_their_row_alone():
    xi_out, s, _ = triple()
    bad = filled(f"{NAME}.xi_in", np.full((3, 4), np.nan))
    for tensors in (
        [xi_out, s, bad],
        [*orthonormal()[:2], filled(f"{NAME}.parametrizations.xi_in.original", np.full((3, 4), np.inf))],
    ):
        good = np.random.default_rng(0).standard_normal((6, 5))
        found = ms.scan({one.name: one.read() for one in tensors} | {"fc.weight": good})
        assert [row.name for row in found if row.status == "ok"] == ["fc.weight"]
        assert "12 of 12 entries are not finite" in next(row.status for row in found if row.name != "fc.weight")


def test_live_layers_are_read_under_their_own_names():
    from modescope.modes.modules.linear import ModeLinear

    row = only(*live(ModeLinear(4, 3, 2, frozen_strength=True), "fc"))
    assert (row.tensor, row.kind) == ("fc.xi_in", "mode_factors")
