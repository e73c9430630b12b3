import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, filled, formed, live, seen, singular_values


def samples():
    tensors = [
        counting("up.weight", (4, 3, 2, 2), module="ConvTranspose2d", stride="2,2"),
        counting("up.weight", (4, 3, 2), module="ConvTranspose1d", groups=2),
        counting("up.weight", (4, 1, 2), module="ConvTranspose1d", groups=4),
        counting("deconv_layers.0.weight", (4, 3, 4, 4)),
        counting("up1.conv_transpose.weight", (4, 3, 4, 4)),
    ]
    bias = counting("decoder.3.weight", (4, 3, 2, 2))
    return [*((tensor, by_name(tensor)) for tensor in tensors), (bias, by_name(bias, counting("decoder.3.bias", (3,))))]


def test_channels_are_exchanged_before_unfolding():
    (row,) = seen(counting("up.weight", (2, 3, 2), module="ConvTranspose1d")).values()
    assert row.view == "unfolding"
    np.testing.assert_array_equal(row.read(), [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]])


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_at_stride_one_it_equals_the_convolution_with_the_flipped_kernel(groups):
    torch.manual_seed(0)
    up = torch.nn.ConvTranspose2d(4, 4, 3, groups=groups, bias=False, dtype=torch.float64)
    conv = torch.nn.Conv2d(4, 4, 3, padding=2, groups=groups, bias=False, dtype=torch.float64)
    parts = up.weight.detach().chunk(groups)
    conv.weight.data = torch.cat([part.transpose(0, 1).flip(2, 3) for part in parts])
    x = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(up(x), conv(x), atol=1e-12, rtol=0)

    def union(module):
        return np.sort(np.concatenate([singular_values(formed(row)) for row in seen(*live(module, "a")).values()]))

    np.testing.assert_allclose(union(up), union(conv), atol=1e-12)


@pytest.mark.parametrize(("bias", "kind"), [(3, "transposed_convolution"), (4, "convolution")])
@pytest.mark.parametrize("name", ["upconv1", "decoder.0"])
def test_the_length_of_the_bias_decides_before_the_name(bias, kind, name):
    tensors = counting(f"{name}.weight", (4, 3, 2, 2)), counting(f"{name}.bias", (bias,))
    assert [(row.kind, row.note) for row in seen(*tensors).values()] == [(kind, "")]


def test_a_name_alone_is_believed_and_said_so():
    (row,) = seen(counting("deconv.weight", (4, 3, 2, 2))).values()
    assert (row.kind, row.note) == ("transposed_convolution", "transposed by its name alone")
    assert row.shape == (3, 16)


def test_a_bare_weight_without_a_hint_is_a_convolution():
    assert [row.kind for row in seen(counting("decoder.0.weight", (4, 3, 2, 2))).values()] == ["convolution"]


def test_slices_are_turned_too():
    rows = seen(counting("up.weight", (2, 3, 2), module="ConvTranspose1d"), view="slices")
    np.testing.assert_array_equal(rows["up.weight", "position 1"].read(), [[1, 7], [3, 9], [5, 11]])
    rows = seen(counting("up.weight", (2, 1, 2), module="ConvTranspose1d", groups=2), view="slices")
    np.testing.assert_array_equal(formed(rows["up.weight", "position 1"]), np.diag([1, 3]))


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (2, 2)])
def test_the_operator_is_the_adjoint_of_the_layer_on_a_torus(stride, groups):
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((4, 3, 3))
    said = {"module": "ConvTranspose1d", "stride": stride, "groups": groups, "input_size": 4}
    (row,) = seen(filled("up.weight", weight, **said), view="operator").values()
    assert row.view == f"operator {4 * stride}, circular"
    assert "u and vh exchanged" in row.note
    x = rng.standard_normal((1, 4, 4))
    wide = torch.nn.functional.conv_transpose1d(torch.from_numpy(x), torch.from_numpy(weight), stride=stride, groups=groups).numpy()
    y = np.zeros((3 * groups, 4 * stride))
    for position in range(wide.shape[-1]):  # what leaves the grid enters again on the other side
        y[:, position % (4 * stride)] += wide[0, :, position]
    W = formed(row)
    assert W.shape == row.shape
    np.testing.assert_allclose(W.T @ x.reshape(-1), y.reshape(-1), atol=1e-12)
