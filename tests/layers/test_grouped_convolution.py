import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, filled, formed, live, seen, singular_values


def samples():
    tensors = [
        counting("conv.weight", (4, 2, 3, 3), module="Conv2d", groups=2, stride="2,2"),
        counting("conv.weight", (6, 2, 3), module="Conv1d", groups=3),
    ]
    return [(tensor, by_name(tensor)) for tensor in tensors]


def test_each_group_is_a_matrix_of_its_own():
    rows = seen(counting("conv.weight", (4, 2, 2), module="Conv1d", groups=2))
    assert [view for _, view in rows] == ["group 0", "group 1"]
    np.testing.assert_array_equal(rows["conv.weight", "group 1"].read(), [[8, 9, 10, 11], [12, 13, 14, 15]])


def test_the_union_over_groups_is_the_spectrum_of_the_layer():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(6, 9, 3, groups=3, bias=False, dtype=torch.float64)
    rows = seen(*live(layer, "conv")).values()
    # The layer acts on a patch of all 6 channels: its matrix is the response to each unit patch.
    patches = torch.eye(6 * 9, dtype=torch.float64).reshape(54, 6, 3, 3)
    whole = layer(patches).reshape(54, 9).T.detach().numpy()
    union = np.sort(np.concatenate([singular_values(row.read()) for row in rows]))[::-1]
    np.testing.assert_allclose(union, singular_values(whole), atol=1e-12)
    flattened = singular_values(layer.weight.detach().flatten(1).numpy())
    assert abs(flattened[0] - union[0]) > 1e-3


def test_slices_are_taken_within_each_group():
    rows = seen(counting("conv.weight", (4, 2, 2), module="Conv1d", groups=2), view="slices")
    assert [view for _, view in rows] == [f"group {g} position {p}" for g in (0, 1) for p in (0, 1)]
    np.testing.assert_array_equal(rows["conv.weight", "group 1 position 1"].read(), [[9, 11], [13, 15]])


def test_the_operator_of_all_groups_is_one_row():
    weight = np.random.default_rng(0).standard_normal((4, 2, 2, 2))
    tensor = filled("conv.weight", weight, module="Conv2d", groups=2, input_size="4,4")
    (row,) = seen(tensor, view="operator").values()
    assert row.shape == (4 * 16, 4 * 16)
    assert formed(row).shape == row.shape


@pytest.mark.parametrize("groups", ["3", "none", "0"])
def test_groups_that_do_not_divide_the_channels_are_not_believed(groups):
    assert [view for _, view in seen(counting("conv.weight", (4, 2, 3), module="Conv1d", groups=groups))] == ["unfolding"]
