import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layer_cases import by_name, counting, filled, formed, live, seen, singular_values
from modescope.layers import matrices
from modescope.layers.convolution import fold
from modescope.matrix import Skip


def samples():
    tensors = [
        counting("conv.weight", (2, 3, 2), module="Conv1d"),
        counting("features.0.weight", (2, 3, 2, 2)),
        counting("features.0.weight", (2, 3, 1, 2, 2), module="Conv3d", groups=1, stride="2,2,2", input_size="4,4,4"),
        counting("c.weight", (4, 2, 3, 3), module="Conv2d", groups=1, stride="2,2", dilation="1,2"),
        counting("mobile.1.weight", (4, 1, 3, 3)),
    ]
    kernel = counting("params.Conv_0.kernel", (3, 3, 2, 4))
    return [*((tensor, by_name(tensor)) for tensor in tensors), (kernel, by_name(kernel, counting("params.Conv_0.bias", (4,))))]


def test_the_unfolding_is_out_by_in_times_kernel_in_stored_order():
    row = seen(counting("conv.weight", (2, 1, 2, 2), module="Conv2d", groups=1))["conv.weight", "unfolding"]
    assert (row.kind, row.note) == ("convolution", "")
    np.testing.assert_array_equal(row.read(), [[0, 1, 2, 3], [4, 5, 6, 7]])


@given(st.lists(st.integers(1, 4), min_size=3, max_size=5))
def test_fold_undoes_the_unfolding_bit_by_bit(shape):
    weight = np.random.default_rng(0).standard_normal(shape)
    tensor = filled("conv.weight", weight)
    (row,) = seen(tensor).values()
    assert fold(row.read(), weight.shape).tobytes() == weight.tobytes()
    assert fold(row.read()[0], weight.shape).shape == weight.shape[1:]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_the_unfolding_acts_on_patches_as_the_layer_does(axes, stride, dilation):
    torch.manual_seed(0)
    layer = [torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d][axes - 1](
        3, 4, (2, 3, 2)[:axes], stride=stride, dilation=dilation, bias=False, dtype=torch.float64
    )
    (row,) = seen(*live(layer, "conv")).values()
    x = torch.randn(1, 3, *(7, 6, 5)[:axes], dtype=torch.float64)
    y = layer(x).detach().numpy()[0]
    W = row.read()
    for at in np.ndindex(*y.shape[1:]):
        taps = tuple(
            slice(p * stride, p * stride + (k - 1) * dilation + 1, dilation) for p, k in zip(at, layer.kernel_size, strict=True)
        )
        patch = x.numpy()[0][(slice(None), *taps)].reshape(-1)
        np.testing.assert_allclose(W @ patch, y[(slice(None), *at)], atol=1e-12)


def test_a_convolution_by_one_is_a_dense_map():
    (row,) = seen(counting("conv.weight", (2, 3, 1, 1))).values()
    np.testing.assert_array_equal(row.read(), np.arange(6).reshape(2, 3))


def test_slices_are_one_matrix_per_position_and_share_the_norm_of_the_unfolding():
    tensor = counting("conv.weight", (2, 3, 2, 2))
    rows = seen(tensor, view="slices")
    assert [view for _, view in rows] == ["position 0,0", "position 0,1", "position 1,0", "position 1,1"]
    np.testing.assert_array_equal(rows["conv.weight", "position 1,0"].read(), [[2, 6, 10], [14, 18, 22]])
    (whole,) = seen(tensor).values()
    assert sum(np.sum(row.read() ** 2) for row in rows.values()) == np.sum(whole.read() ** 2)


@pytest.mark.parametrize("leaf", ["pos_table", "tokens"])
def test_three_axes_alone_are_no_convolution(leaf):
    (skip,) = matrices([counting(leaf, (2, 5, 4))])
    assert skip == Skip(leaf, (2, 5, 4), "no linear map known for this tensor")


def test_four_axes_are_a_convolution_also_without_a_telling_name():
    assert seen(counting("filters", (2, 5, 4, 4)))["filters", "unfolding"].kind == "convolution"


def test_one_input_channel_in_a_bare_file_says_that_one_group_was_assumed():
    (row,) = seen(counting("conv1.weight", (4, 1, 3, 3))).values()
    assert row.note == "groups not declared: one group assumed"
    (row,) = seen(counting("conv1.weight", (4, 1, 3, 3), module="Conv2d", groups=1)).values()
    assert row.note == ""


def test_a_kernel_stored_channels_last_is_turned_before_it_is_unfolded():
    stored = counting("params.Conv_0.kernel", (2, 3, 5, 4))
    (row,) = seen(stored, counting("params.Conv_0.bias", (4,))).values()
    np.testing.assert_array_equal(row.read(), stored.read().transpose(3, 2, 0, 1).reshape(4, -1))
    assert row.note == "stored channels last"


def circular(x, weight, stride, dilation, groups=1):
    """Convolution on a torus, by torch: the input is continued by its own beginning."""
    more = [(k - 1) * d for k, d in zip(weight.shape[2:], dilation, strict=True)]
    wide = np.pad(x, [(0, 0), (0, 0), *((0, m) for m in more)], mode="wrap")
    run = [torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d][len(more) - 1]
    return run(torch.from_numpy(wide), torch.from_numpy(weight), stride=stride, dilation=dilation, groups=groups).numpy()


@pytest.mark.parametrize(
    ("kernel", "grid", "stride", "dilation", "groups"),
    [
        ((3, 2, 3), (8,), (1,), (1,), 1),
        ((3, 2, 3), (9,), (3,), (2,), 1),
        ((4, 2, 3, 2), (6, 4), (2, 1), (1, 2), 1),
        ((4, 2, 2, 2), (4, 4), (2, 2), (1, 1), 2),
        ((2, 2, 2, 1, 2), (4, 2, 2), (1, 2, 1), (1, 1, 1), 1),
    ],
)
def test_the_operator_view_is_the_layer_on_a_torus(kernel, grid, stride, dilation, groups):
    rng = np.random.default_rng(1)
    weight = rng.standard_normal(kernel)
    said = {"stride": stride, "dilation": dilation, "groups": groups, "input_size": grid}
    said = {key: str(value).strip("(),").replace(" ", "") for key, value in said.items()}
    (row,) = seen(filled("conv.weight", weight, module=f"Conv{len(grid)}d", **said), view="operator").values()
    assert row.view == f"operator {'x'.join(map(str, grid))}, circular"
    x = rng.standard_normal((1, kernel[1] * groups, *grid))
    W = formed(row)
    assert W.shape == row.shape
    np.testing.assert_allclose(W @ x.reshape(-1), circular(x, weight, stride, dilation, groups).reshape(-1), atol=1e-12)


def test_the_operator_lies_between_the_bounds_of_the_unfolding():
    weight = np.random.default_rng(2).standard_normal((3, 2, 3, 3))
    tensor = filled("conv.weight", weight, module="Conv2d", input_size="6,6")
    (operator,), (unfolding,) = seen(tensor, view="operator").values(), seen(tensor).values()
    top, bound = singular_values(formed(operator))[0], singular_values(unfolding.read())[0]
    assert bound <= top * (1 + 1e-12)
    assert top <= 3 * bound * (1 + 1e-12)


def test_an_operator_without_an_input_size_says_which_grid_and_what_was_assumed():
    (row,) = seen(counting("conv.weight", (2, 3, 3, 3)), view="operator").values()
    assert row.view == "operator 32x32, circular"
    assert "no input size declared" in row.note
    assert "not declared, taken as 1: stride, dilation, groups" in row.note
    (row,) = seen(counting("conv.weight", (2, 3, 3, 3, 3)), view="operator").values()
    assert row.view == "operator 16x16x16, circular"


def test_the_grid_holds_the_dilated_kernel_and_is_divided_by_the_stride():
    said = {"module": "Conv2d", "stride": "3,1", "dilation": "1,8", "input_size": "3,7,7"}
    (row,) = seen(counting("conv.weight", (2, 3, 3, 3), **said), view="operator").values()
    assert row.view == "operator 9x17, circular"
    assert "enlarged from 7x7" in row.note
