"""Convolutions as operators: against their Jacobian, and between the bounds of the unfoldings."""

import math
from copy import deepcopy
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from modescope.profiles.operator_norms import operator_norm, operator_norms
from profiles_features_cases import chain, looked

module = import_module("modescope.profiles.operator_norms")  # the package has the function under this name

CIRCULAR = {"padding": 1, "padding_mode": "circular"}
LAYERS = {
    "plain": (nn.Conv2d(3, 4, 3, **CIRCULAR), (3, 6, 5)),
    "stride": (nn.Conv2d(2, 5, 3, stride=2, **CIRCULAR), (2, 6, 8)),
    "stride that does not divide": (nn.Conv2d(2, 3, 3, stride=2, **CIRCULAR), (2, 7, 5)),
    "non-overlapping": (nn.Conv2d(3, 4, 2, stride=2), (3, 6, 6)),
    "dilation": (nn.Conv2d(2, 3, 3, dilation=2, padding=2, padding_mode="circular"), (2, 6, 6)),
    "stride and dilation": (nn.Conv1d(3, 4, 3, stride=2, dilation=2, padding=2, padding_mode="circular"), (3, 12)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2, **CIRCULAR), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, **CIRCULAR), (4, 5, 5)),
    "one axis": (nn.Conv1d(3, 4, 3, **CIRCULAR), (3, 7)),
    "three axes": (nn.Conv3d(2, 2, 3, **CIRCULAR), (2, 3, 4, 3)),
    "one tap": (nn.Conv2d(3, 5, 1), (3, 4, 5)),
}
ZERO_PADDED = {
    "plain": (nn.Conv2d(3, 4, 3, padding=1), (3, 6, 5)),
    "full": (nn.Conv2d(3, 4, 3, padding=2), (3, 5, 5)),
    "stride": (nn.Conv2d(2, 5, 3, stride=2, padding=1), (2, 7, 6)),
    "dilation": (nn.Conv2d(2, 3, 3, dilation=2, padding=2), (2, 6, 6)),
    "groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), (4, 3, 4)),
    "transposed groups": (nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), (4, 5)),
}


def compared(layer, shape, **more):
    """What is said of a layer, and its matrix on images of this shape."""
    found = looked(chain(deepcopy(layer), **more), *shape)
    (one,) = operator_norms(found.model, torch.zeros(2, *shape, dtype=torch.float64), found.survey, found.bases)
    size = math.prod(shape)
    with torch.no_grad():
        columns = found.model(torch.eye(size, dtype=torch.float64).reshape(size, *shape)) - found.model(
            torch.zeros(1, *shape, dtype=torch.float64)
        )
    return found, one, columns.reshape(size, -1).T.numpy()


@pytest.mark.parametrize("kind", LAYERS)
def test_values_are_those_of_the_matrix_of_the_layer_with_circular_padding(kind):
    found, one, matrix = compared(*LAYERS[kind])
    s = np.linalg.svd(matrix, compute_uv=False)
    assert one.norm == pytest.approx(s[0], rel=1e-10)
    assert one.count == s.size
    np.testing.assert_allclose(one.values, s, rtol=0, atol=1e-7 * s[0])  # the smallest by way of their squares
    assert one.unfolding == pytest.approx(found.bases["0"].s[0], rel=1e-12)
    assert one.holds
    assert one.norm <= min(one.upper, one.four_way) * (1 + 1e-9)
    assert (one.lower is None) == ("does not divide" in kind)
    if one.lower is not None:
        assert one.unfolding * (1 - 1e-9) <= one.norm


@pytest.mark.parametrize("kind", ZERO_PADDED)
def test_a_layer_that_pads_with_zeros_stays_below_the_norm_on_a_larger_grid(kind):
    _, one, matrix = compared(*ZERO_PADDED[kind])
    norm = np.linalg.norm(matrix, 2)
    assert norm <= one.zero_padded * (1 + 1e-9)
    assert norm >= 0.5 * one.zero_padded  # and the bound says something
    assert one.zero_padded <= one.four_way * (1 + 1e-9)
    assert one.holds
    assert "zero_padded bounds its norm" in one.statement


def test_the_larger_grid_is_the_one_on_which_nothing_wraps_around():
    padded = compared(*ZERO_PADDED["plain"])[1]
    wide = compared(LAYERS["plain"][0], (3, 8, 7))[1]
    strided = compared(*ZERO_PADDED["stride"])[1]
    assert padded.zero_padded == pytest.approx(wide.norm, rel=1e-12)
    assert strided.zero_padded == pytest.approx(compared(LAYERS["stride"][0], (2, 10, 8))[1].norm, rel=1e-12)


def test_patches_that_do_not_overlap_and_single_taps_have_the_norm_of_the_unfolding():
    for kind in ("non-overlapping", "one tap"):
        one = compared(*LAYERS[kind])[1]
        assert one.norm == pytest.approx(one.unfolding, rel=1e-12)
        assert one.upper == pytest.approx(one.unfolding, rel=1e-12)


def test_with_a_stride_fewer_patches_share_a_position_and_with_a_dilation_that_it_divides_as_many():
    strided, dilated = (compared(*LAYERS[kind])[1] for kind in ("stride", "stride and dilation"))
    assert strided.upper / strided.unfolding == pytest.approx(2)  # root of ceil(3 / 2)^2
    assert dilated.upper / dilated.unfolding == pytest.approx(math.sqrt(3))


def test_the_best_of_four_unfoldings_is_the_one_of_the_literature():
    found, one, _ = compared(*LAYERS["plain"])
    w = found.model[0].weight.detach().numpy()
    four = (
        w.reshape(4, -1),
        w.transpose(1, 0, 2, 3).reshape(3, -1),
        w.transpose(0, 2, 1, 3).reshape(12, -1),
        w.transpose(0, 3, 1, 2).reshape(12, -1),
    )
    assert one.four_way == pytest.approx(3 * min(np.linalg.norm(a, 2) for a in four), rel=1e-12)


def test_an_image_smaller_than_the_kernel_is_said_to_be_taken_on_a_larger_grid():
    _, one, _ = compared(nn.Conv2d(2, 3, 3, padding=1), (2, 2, 5))
    assert one.grid == (3, 5)
    assert "2 x 5 positions are fewer than the kernel spans: taken on 3 x 5" in one.statement
    assert one.holds


def test_what_would_take_too_long_is_taken_on_a_coarser_grid_and_said_so(monkeypatch):
    layer, shape = nn.Conv2d(2, 3, 3, stride=2, padding=1), (2, 32, 32)
    fine = compared(layer, shape)[1]
    monkeypatch.setattr(module, "WORK", 3000.0)
    coarse = compared(layer, shape)[1]
    assert coarse.grid == (16, 16)
    assert "too long: taken on 16 x 16" in coarse.statement
    assert coarse.zero_padded is None
    assert 0.9 * fine.norm <= coarse.norm <= fine.norm * (1 + 1e-9)  # frequencies of the coarse grid are some of the fine one's
    assert fine.count == 256 * 3


def test_large_operators_with_strides_that_do_not_divide_get_the_norm_at_stride_one(monkeypatch):
    exact = compared(*LAYERS["stride that does not divide"])[1]
    monkeypatch.setattr(module, "DENSE", 0)
    bound = compared(*LAYERS["stride that does not divide"])[1]
    assert exact.norm < bound.norm <= bound.upper * (1 + 1e-9)
    assert "an upper bound" in bound.statement


def test_each_call_of_a_shared_layer_is_taken_on_the_size_of_its_own_input():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.pool, self.head = nn.Conv2d(2, 2, 3, padding=1), nn.MaxPool2d(2), nn.Linear(2, 3)

        def forward(self, x):
            return self.head(self.shared(input=self.pool(self.shared(x))).mean((2, 3)))

    found = looked(Net(), 2, 8, 12)
    hooks = [len(one._forward_pre_hooks) for one in found.model.modules()]
    norms = operator_norms(found.model, torch.zeros(1, 2, 8, 12), found.survey, found.bases)
    assert [(one.site, one.grid) for one in norms] == [("shared@0", (8, 12)), ("shared@1", (4, 6))]
    assert [len(one._forward_pre_hooks) for one in found.model.modules()] == hooks


def test_a_folded_batch_norm_does_not_change_what_is_said_of_the_weight():
    model = chain(nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5)).eval()
    folded, plain = looked(model, 2, 6, 6, bn="fold"), looked(model, 2, 6, 6)
    one, other = (operator_norm("0", model[0], found.bases["0"], (6, 6)) for found in (folded, plain))
    assert folded.bases["0"].s[0] != pytest.approx(plain.bases["0"].s[0], rel=1e-3)
    assert (one.unfolding, one.norm, one.four_way) == pytest.approx((other.unfolding, other.norm, other.four_way), rel=1e-12)
