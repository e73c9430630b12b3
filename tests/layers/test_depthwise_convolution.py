import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, formed, live, seen, singular_values


def samples():
    tensors = [
        counting("conv.weight", (4, 1, 3, 3), module="Conv2d", groups=4),
        counting("conv.weight", (6, 1, 3), module="Conv1d", groups=3),
        counting("blocks.0.dwconv.weight", (4, 1, 3, 3)),
        counting("blocks.0.conv_dw.weight", (4, 1, 3, 3)),
        counting("block.depthwise.0.weight", (4, 1, 3)),
    ]
    return [(tensor, by_name(tensor)) for tensor in tensors]


@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_row_of_all_channels_is_the_layer_on_a_patch(multiplier):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 3 * multiplier, 2, groups=3, bias=False, dtype=torch.float64)
    (row,) = seen(*live(layer, "conv")).values()
    patches = torch.eye(12, dtype=torch.float64).reshape(12, 3, 2, 2)
    np.testing.assert_allclose(formed(row), layer(patches).reshape(12, -1).T.detach().numpy(), atol=1e-14)


def test_with_one_filter_a_channel_the_values_are_the_norms_of_the_filters():
    (row,) = seen(counting("conv.weight", (3, 1, 2), module="Conv1d", groups=3)).values()
    np.testing.assert_allclose(singular_values(formed(row)), np.linalg.norm([[4, 5], [2, 3], [0, 1]], axis=1), rtol=1e-14)


def test_a_name_alone_is_believed_and_said_so():
    (row,) = seen(counting("blocks.0.dwconv.weight", (3, 1, 2))).values()
    assert row.kind == "depthwise_convolution"
    assert row.shape == (3, 6)
    assert row.note == "depthwise by its name: one filter per channel assumed"


def test_several_input_channels_are_not_depthwise_whatever_the_name():
    assert [row.kind for row in seen(counting("dwconv.weight", (3, 2, 2))).values()] == ["convolution"]


def test_slices_are_diagonal():
    rows = seen(counting("conv.weight", (3, 1, 2), module="Conv1d", groups=3), view="slices")
    assert [view for _, view in rows] == ["position 0", "position 1"]
    np.testing.assert_array_equal(formed(rows["conv.weight", "position 1"]), np.diag([1, 3, 5]))


def test_the_operator_acts_on_each_channel_alone():
    (row,) = seen(counting("blocks.0.dwconv.weight", (2, 1, 2), input_size="4"), view="operator").values()
    W = formed(row)
    assert W.shape == row.shape == (8, 8)
    assert not W[:4, 4:].any()
    np.testing.assert_array_equal(W[0, :4], [0, 1, 0, 0])
    np.testing.assert_array_equal(W[4, 4:], [2, 3, 0, 0])


def test_a_name_with_both_hints_is_depthwise_unless_its_bias_says_otherwise():
    tensor = counting("dw.deconv.weight", (4, 1, 3, 3))
    assert [row.kind for row in seen(tensor).values()] == ["depthwise_convolution"]
    assert [row.kind for row in seen(tensor, counting("dw.deconv.bias", (1,))).values()] == ["transposed_convolution"]
