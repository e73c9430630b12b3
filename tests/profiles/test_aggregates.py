"""From maps to one number: each way against its definition on the full map, and what the mean sees of an image."""

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.profiles.aggregates import AGGREGATES, aggregate
from modescope.profiles.basis import basis, project

SLOW = {
    "mean": lambda m: (m.mean(-1), None),
    "meanabs": lambda m: (np.abs(m).mean(-1), None),
    "rms": lambda m: (np.sqrt((m**2).mean(-1)), None),
    "max": lambda m: (m.max(-1), m.argmax(-1)),
    "min": lambda m: (m.min(-1), m.argmin(-1)),
}
SHAPES = {"Conv1d": (7,), "Conv2d": (6, 5), "Conv3d": (4, 3, 5), "Linear": ()}


def layer(kind, groups=1):
    torch.manual_seed(0)
    module = nn.Linear(4, 6) if kind == "Linear" else getattr(nn, kind)(4, 6 if groups < 4 else 8, 1, groups=groups)
    return basis("layer", module, module.weight.detach().numpy(), module.bias.detach().numpy())


@pytest.mark.parametrize(
    ("kind", "groups"), [(kind, groups) for kind in SHAPES for groups in (1, 2, 4) if kind != "Linear" or groups == 1]
)
@pytest.mark.parametrize("name", AGGREGATES)
def test_every_aggregate_is_its_definition_on_the_full_map(name, kind, groups):
    found = layer(kind, groups)
    outputs = torch.randn(3, found.channels, *SHAPES[kind], dtype=torch.float64)
    kept = outputs.clone()
    maps = project(found, outputs).numpy()
    if name == "centre":
        expected, places = maps[(..., *(size // 2 for size in SHAPES[kind]))], None
    else:
        expected, places = SLOW[name](maps.reshape(*maps.shape[:2], -1))
    values, where = AGGREGATES[name](found, outputs)
    np.testing.assert_allclose(values, expected, atol=1e-13)
    assert (where is None) == (places is None)
    if places is not None:
        np.testing.assert_array_equal(where, places)
    assert torch.equal(outputs, kept)


@pytest.mark.parametrize("name", AGGREGATES)
def test_half_precision_costs_no_more_than_its_own_rounding(name):
    found = layer("Conv2d")
    outputs = (100 + torch.randn(3, 6, 40, 40)).half()
    values, _ = AGGREGATES[name](found, outputs)
    expected, _ = AGGREGATES[name](found, outputs.double())
    np.testing.assert_allclose(values, expected, atol=1e-3)


def test_transposed_memory_is_read_as_it_stands():
    found, outputs = layer("Conv2d"), torch.randn(3, 6, 8, 5).contiguous(memory_format=torch.channels_last)
    for one in AGGREGATES.values():
        np.testing.assert_allclose(one(found, outputs)[0], one(found, outputs.contiguous())[0], atol=1e-6)


@pytest.mark.parametrize("name", ["sum", "Mean", "", "none"])
def test_an_unknown_name_is_told_which_there_are(name):
    with pytest.raises(UsageError, match=f"expected one of mean, meanabs, rms, max, min, centre, got '{name}'"):
        aggregate(name)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_the_mean_of_a_first_layer_is_the_brightness_times_the_sums_of_its_kernel(dtype, tolerance):
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular").to(dtype)
    found = basis("conv", conv, conv.weight.detach().numpy(), conv.bias.detach().numpy())
    x = torch.rand(5, 3, 9, 7, dtype=dtype)
    with torch.no_grad():
        values, _ = aggregate("mean")(found, conv(x))
    brightness = x.double().mean((2, 3)).numpy()
    expected = found.s * (brightness @ found.patches.sum((2, 3)).T)
    np.testing.assert_allclose(values, expected, atol=tolerance * np.abs(expected).max())
