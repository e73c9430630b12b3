"""Penalties against the gradients as they are stated and the weight as it is formed."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.penalties import frobenius, hoyer, orthogonality

DOUBLE = {"dtype": torch.float64}
LAYERS = [ModeLinear(9, 6, 4, init="iid", **DOUBLE), ModeLinear(3, 5, 8, **DOUBLE), ModeConv2d(3, 4, 2, 3, init="iid", **DOUBLE)]


def gradients(penalty, layer):
    return dict(
        zip(
            ("xi_out", "s", "xi_in"),
            torch.autograd.grad(penalty(layer), [layer.xi_out, layer.s, layer.xi_in], allow_unused=True),
            strict=True,
        )
    )


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_orthogonality_has_the_stated_gradient(layer):
    found = gradients(orthogonality, layer)
    r, unit = layer.n_modes, torch.eye(layer.n_modes, **DOUBLE)
    u, v = layer.xi_out, layer.xi_in.flatten(1).T
    torch.testing.assert_close(found["xi_out"], 4 / r**2 * u @ (u.T @ u - unit))
    torch.testing.assert_close(found["xi_in"].flatten(1), (4 / r**2 * v @ (v.T @ v - unit)).T)
    assert found["s"] is None


def test_orthogonality_is_zero_where_the_patterns_are_orthonormal():
    assert orthogonality(ModeLinear(9, 6, 4, orthogonal=True, **DOUBLE)).item() == pytest.approx(0, abs=1e-28)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_hoyer_has_the_gradient_of_the_ratio_and_does_not_see_the_scale(layer):
    s = layer.s.detach()
    length = s.norm()
    stated = s.sign() / length - s.abs().sum() * s / length**3
    found = gradients(hoyer, layer)["s"]
    torch.testing.assert_close(found, stated)
    assert found @ s == pytest.approx(0, abs=1e-13)
    assert 1 <= hoyer(layer) <= math.sqrt(layer.n_modes)


def test_hoyer_counts_strengths_and_is_finite_where_all_are_zero():
    layer = ModeLinear(9, 6, 4, **DOUBLE)
    for strengths, value in (([0.0, -3.0, 0.0, 0.0], 1.0), ([2.0, -2.0, 2.0, 2.0], 2.0), ([0.0] * 4, 0.0)):
        layer.s.data.copy_(torch.tensor(strengths))
        assert hoyer(layer).item() == pytest.approx(value)
        assert gradients(hoyer, layer)["s"].isfinite().all()


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_frobenius_is_the_energy_of_the_weight_and_has_its_gradient(layer):
    torch.testing.assert_close(frobenius(layer), layer.weight.square().sum())
    found, formed = gradients(frobenius, layer), gradients(lambda one: one.weight.square().sum(), layer)
    for name, one in found.items():
        torch.testing.assert_close(one, formed[name])


def test_penalties_of_a_model_are_those_of_its_layers():
    net = nn.Sequential(*LAYERS[:2], nn.Linear(5, 2))
    for penalty in (orthogonality, hoyer, frobenius):
        assert penalty(net).item() == pytest.approx(sum(penalty(one).item() for one in LAYERS[:2]))
        with pytest.raises(UsageError, match="expected a mode layer or a model that has some, got Linear"):
            penalty(net[2])


def test_training_under_the_penalties_makes_patterns_orthonormal_and_strengths_few():
    torch.manual_seed(0)
    layer = ModeLinear(12, 10, 5, init="iid", **DOUBLE)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        (30 * orthogonality(layer) + 0.3 * hoyer(layer)).backward()
        optimizer.step()
    modes = layer.modes()
    assert np.abs(modes.xi_out.T @ modes.xi_out - np.eye(5)).max() < 0.02
    assert hoyer(layer) < 1.2
