"""Receptive fields: the arithmetic of stacks, and the Jacobian of networks with branches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modescope.errors import UsageError
from modescope.profiles.receptive import Field, fields
from modescope.profiles.survey import survey
from profiles_architectures import ResNet18
from profiles_exemplars_cases import analytic, jacobian_hulls, stack

C3: dict[str, Any] = {"kernel_size": 3}
STACKS: list[tuple[dict[str, Any], ...]] = [
    (C3,),
    (C3, {"kernel_size": 5, "padding": 2}, C3),
    ({"kernel_size": 3, "stride": 2, "padding": 1}, C3, {"kernel_size": 3, "stride": 2}),
    ({"kernel_size": 3, "dilation": 2}, {"kernel_size": 3, "dilation": 3}),
    ({"kernel_size": 3, "padding": 1}, {"pool": True, "kernel_size": 2}, C3, {"pool": True, "kernel_size": 3, "stride": 2}, C3),
    ({"kernel_size": 4, "stride": 4}, {"kernel_size": 1}),
    ({"pool": True, "kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 3, "padding": 1}),
]


def of(model: nn.Module, *shape: int) -> dict[str, Field]:
    few = torch.rand(2, *shape)
    return fields(model, survey(model, few), few)


@pytest.mark.parametrize("layers", STACKS, ids=range(len(STACKS)))
def test_field_of_a_stack_is_that_of_the_arithmetic(layers: tuple[dict[str, Any], ...]) -> None:
    *_, last = of(stack(*layers), 2, 40, 36).values()
    size, stride, offset = analytic(*layers)
    assert (last.size, last.stride, last.offset) == ((size, size), (stride, stride), (offset, offset))
    assert not last.note
    rows, columns = last.positions
    for place in (0, columns - 1, (rows // 2) * columns + columns // 3, rows * columns - 1):
        for (start, stop), p, side in zip(last.box(place), divmod(place, columns), (40, 36), strict=True):
            assert (start, stop) == (max(0, offset + stride * p), min(side, offset + stride * p + size))


def test_a_field_larger_than_the_image_is_known_from_a_larger_one() -> None:
    layers = tuple({"kernel_size": 3, "stride": 2, "padding": 1} for _ in range(4))
    *_, last = of(stack(*layers), 2, 24, 24).values()
    assert (last.size[0], last.stride[0], last.offset[0]) == analytic(*layers)
    assert last.size[0] > 24
    assert last.boxes.min() == 0
    assert last.boxes.max() == 24


class Branches(nn.Module):
    """A residual, a strided branch and a dilated one, joined; activations and pooling are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.c, self.d = nn.Conv2d(3, 3, 5, stride=2, padding=2), nn.Conv2d(3, 3, 3, stride=2, padding=2, dilation=2)
        self.e = nn.Conv2d(6, 2, (3, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.a(x))
        x = x - self.b(x)
        return self.e(functional.max_pool2d(torch.cat([self.c(x), -self.d(x)], 1), 2))


class UpAndDown(nn.Module):
    """Down by a convolution and up by a transposed one, with the input beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.last = nn.Conv2d(2, 3, 3, 2, 1), nn.ConvTranspose2d(3, 2, 3, 2, 1, 1), nn.Conv2d(4, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([x, self.up(self.down(x))], 1))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Branches(), (2, 18, 16)),
        (UpAndDown(), (2, 12, 12)),
        (nn.Sequential(nn.ConvTranspose2d(2, 3, 3, stride=2)), (2, 7, 6)),
        (nn.Sequential(nn.ConvTranspose2d(2, 3, 4, stride=3, padding=1, dilation=2), nn.Conv2d(3, 2, 2)), (2, 7, 7)),
        (nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 2, 3)), (2, 8, 8)),
        (nn.Sequential(nn.Conv1d(2, 4, 3, 2), nn.ReLU(), nn.MaxPool1d(2, ceil_mode=True), nn.Conv1d(4, 2, 2)), (2, 31)),
        (nn.Sequential(nn.Conv3d(2, 2, (1, 2, 3)), nn.AvgPool3d((1, 2, 2)), nn.Conv3d(2, 1, 2)), (2, 3, 10, 12)),
        (nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.SiLU(), nn.Conv2d(4, 4, 3, groups=4, padding="same")), (2, 9, 9)),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), nn.Conv2d(2, 2, 3)), (2, 12, 12)),
        (nn.Sequential(nn.Conv2d(2, 3, 3), nn.GroupNorm(1, 3), nn.Conv2d(3, 2, 3)), (2, 8, 8)),
        (nn.Sequential(nn.Conv2d(2, 3, 3, dilation=4, padding=4)), (2, 16, 15)),
    ],
    ids=[
        "branches",
        "u-net",
        "transposed",
        "transposed-dilated",
        "upsample",
        "1d",
        "3d",
        "grouped",
        "circular",
        "group-norm",
        "dilated",
    ],
)
def test_boxes_are_the_hulls_of_the_jacobian(model: nn.Module, shape: tuple[int, ...]) -> None:
    *_, last = of(model, *shape).values()
    np.testing.assert_array_equal(last.boxes, jacobian_hulls(model, shape))


def test_maxima_and_dead_units_hide_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Conv2d(1, 1, 2))
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[3].weight.zero_()
    found = of(model, 1, 20, 20)
    assert found["3"].size == (10, 10)
    assert found["3"].stride == (4, 4)


def test_layers_behind_a_global_mean_see_the_whole_image() -> None:
    found = of(ResNet18(), 3, 32, 32)
    assert found["conv1"].size == (3, 3)
    assert not found["conv1"].whole
    assert found["fc"].whole
    assert found["fc"].box(0) == ((0, 32), (0, 32))
    assert "whole image" in found["fc"].note


def test_taps_beyond_the_border_leave_the_formula_as_it_is() -> None:
    found = of(nn.Sequential(nn.Conv2d(2, 3, 3, dilation=4, padding=4)), 2, 16, 15)["0"]
    assert (found.size, found.stride, found.offset) == ((9, 9), (1, 1), (-4, -4))
    assert found.box(1)[1] == (1, 6)  # of the taps at -3, 1 and 5


def test_fields_behind_upsampling_move_by_a_fraction() -> None:
    assert of(UpAndDown(), 2, 24, 24)["up"].stride == (1.0, 1.0)
    assert of(nn.Sequential(nn.ConvTranspose2d(2, 3, 3, stride=2)), 2, 12, 12)["0"].stride == (0.5, 0.5)


def test_no_formula_is_read_from_borders_alone() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 4, stride=3, padding=1, dilation=2), nn.Conv2d(3, 2, 2))
    assert "no formula" in of(model, 2, 7, 7)["1"].note


class Scaled(nn.Module):
    """A branch that is scaled by nothing yet, a difference of equal channels, and a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(1, 1, 1)
        self.gamma = nn.Parameter(torch.zeros(2, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        y = y + self.gamma * self.b(y)
        y *= torch.sigmoid(y)
        return self.c(y[:, :1] - y[:, 1:])


def test_scales_differences_and_gates_hide_nothing() -> None:
    assert of(Scaled(), 1, 12, 12)["c"].size == (5, 5)


class Tokens(nn.Module):
    """Patches, a linear layer on each, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.each = nn.Conv2d(2, 8, 4, 4), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(self.norm(self.each(self.patch(x).flatten(2).transpose(1, 2))))


def test_a_token_sees_its_patch_before_attention_and_everything_behind_it() -> None:
    found = of(Tokens(), 2, 12, 8)
    assert (found["patch"].size, found["patch"].stride, found["patch"].offset) == ((4, 4), (4, 4), (0, 0))
    assert found["each"].box(3) == ((4, 8), (4, 8))
    assert found["block.linear1"].whole


def test_the_network_is_given_back_and_its_weights_do_not_matter() -> None:
    model = ResNet18().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    few = torch.rand(2, 3, 32, 32)
    looked = survey(model, few)
    found = fields(model, looked, few)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    for name, one in fields(model, looked, few, sites=["conv1", "stages.1.0.conv2"]).items():
        np.testing.assert_array_equal(one.boxes, found[name].boxes)


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(torch.from_numpy(x.detach().float().numpy()))


def test_what_cannot_be_measured_is_the_whole_image_and_says_so() -> None:
    found = of(Opaque(), 1, 6, 6)["a"]
    assert found.whole
    assert "not measured" in found.note
    model, few = Opaque(), torch.rand(1, 1, 6, 6)
    with pytest.raises(UsageError, match="'b'"):
        fields(model, survey(model, few), few, sites=["b"])
