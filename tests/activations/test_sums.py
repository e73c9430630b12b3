"""Moments summed where the data are: on devices as on the host, and with nothing read back before the end."""

import numpy as np
import pytest
import torch
from torch import nn

from activation_cases import rows
from modescope import activations, moments
from modescope.activations import Summed, _sinks, capture
from modescope.errors import UsageError


@pytest.fixture
def device(monkeypatch):
    """The processor taken for a device that has float64."""
    monkeypatch.setattr(_sinks, "WITH_FLOAT64", frozenset({"cpu"}))


def test_only_devices_that_have_float64_sum_themselves():
    assert "cuda" in _sinks.WITH_FLOAT64
    assert not {"cpu", "mps", "xpu", "meta"} & _sinks.WITH_FLOAT64


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("at_once", [1, 64, 1 << 22])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (40, 5), (4, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_sums_on_a_device_are_those_of_the_host(shape, at_once, dtype, monkeypatch):
    monkeypatch.setattr(_sinks, "AT_ONCE_ON_DEVICE", at_once)
    generator = torch.Generator().manual_seed(0)
    parts = [(1000 + torch.randn(shape, generator=generator)).to(dtype) for _ in range(3)]
    sums = Summed()
    for part in parts:
        sums.add(part)
    found, expected = sums.value(), moments.of(np.concatenate([rows(part) for part in parts]))
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-15)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=0, atol=1e-10 * max(expected.scatter.max(), 1))


@pytest.mark.usefixtures("device")
def test_nothing_is_read_back_while_the_model_runs(monkeypatch):
    def refused(*_args, **_kwargs):
        raise AssertionError("read back")

    model, x = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True)).double(), torch.randn(4, 2, 6, 6).double()
    expected = moments.of(rows(model[0](x), 1))
    with capture(model, "0", into=Summed) as taken:
        with monkeypatch.context() as patch:
            for name in ("cpu", "numpy", "item", "tolist", "__bool__", "__float__", "__int__", "__index__", "__array__"):
                patch.setattr(torch.Tensor, name, refused)
            for part in x.split(3):
                model(part)
        np.testing.assert_allclose(taken["0", "preactivation"].scatter, expected.scatter, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("device")
def test_what_does_not_vary_scatters_by_exactly_nothing_and_the_data_are_left_alone():
    x = torch.full((50, 3), 0.1, dtype=torch.float64)
    sums = Summed()
    sums.add(x)
    sums.add(x)
    assert not sums.value().scatter.any()
    assert (x == 0.1).all()


@pytest.mark.usefixtures("device")
def test_values_on_a_device_that_are_not_finite_name_the_layer_and_a_channel_afterwards():
    model = nn.Linear(5, 4)
    with torch.no_grad():
        model.weight[2] = torch.inf
    with pytest.raises(UsageError, match=r"layer '', preactivation: expected finite values.* in 1 of 4 channels, the first .* 2"):
        activations.moments(model, "", torch.randn(9, 5).abs(), what="preactivation")


@pytest.mark.usefixtures("device")
def test_no_sample_is_an_error_and_an_empty_part_is_none():
    model = nn.Linear(5, 4)
    with capture(model, "", what="input", into=Summed) as taken:
        model(torch.zeros(0, 5))
    with pytest.raises(UsageError, match="at least one sample, got none"):
        _ = taken["", "input"]


def test_parts_on_several_devices_are_merged(monkeypatch):
    x, sums = torch.randn(20, 4, dtype=torch.float64), Summed()
    sums.add(x[:7])
    monkeypatch.setattr(_sinks, "WITH_FLOAT64", frozenset({"cpu"}))
    sums._sums = {"other": next(iter(sums._sums.values()))}  # as if it had come from another device
    sums.add(x[7:])
    found, expected = sums.value(), moments.of(x.numpy())
    assert found.count == 20
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=0, atol=1e-12)
