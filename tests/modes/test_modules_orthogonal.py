"""Layers whose patterns stay orthonormal while they train."""

import numpy as np
import pytest
import torch
from torch import nn

from modes_layer_cases import DOUBLE, central_difference, gaussian
from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.orthogonal import plain
from tolerance import tol


def layers(**options):
    torch.manual_seed(0)
    wide, tall = ModeLinear(20, 9, 9, orthogonal=True, **options), ModeLinear(6, 15, 4, orthogonal=True, **options)
    return [wide, tall, ModeConv2d(3, 8, 3, 5, orthogonal=True, **options)]


def inputs(layer, **options):
    return torch.randn((7, 3, 6, 6) if isinstance(layer, ModeConv2d) else (7, layer.in_features), **options)


def apart(layer):
    modes = layer.modes()
    return max(np.abs(gram - np.eye(layer.n_modes)).max() for gram in (modes.xi_out.T @ modes.xi_out, modes.xi_in @ modes.xi_in.T))


@pytest.mark.parametrize("make", [torch.optim.AdamW, torch.optim.SGD])
def test_the_singular_values_are_the_moduli_of_the_strengths_after_any_training(make):
    for layer in layers():
        before = layer.modes()
        optimizer = make(
            layer.parameters(), lr=0.05, weight_decay=0.3
        )  # strong decay: it must not change what the patterns count as
        for _ in range(20):
            optimizer.zero_grad()
            (layer(inputs(layer)) - 1).square().mean().backward()
            optimizer.step()
        assert np.abs(before.xi_in - layer.modes().xi_in).max() > 0.01
        assert apart(layer) < tol("float32", layer.shape, 1.0)
        dense = np.linalg.svd(layer.weight.detach().double().flatten(1).numpy(), compute_uv=False)[: layer.n_modes]
        strengths = np.sort(np.abs(layer.modes().s))[::-1]
        np.testing.assert_allclose(dense, strengths, atol=tol("float32", layer.shape, strengths[0]))


def test_gradients_are_those_of_central_differences():
    for layer in layers(**DOUBLE):
        for one in layer.parameters():
            one.data.add_(0.1 * torch.randn_like(one))  # away from where the parameters are orthonormal themselves
        x = inputs(layer, **DOUBLE)

        def loss(layer=layer, x=x):
            return layer(x).sin().mean()

        loss().backward()
        assert all((one.grad - central_difference(loss, one.detach())).abs().max() < 1e-8 for one in layer.parameters())


def test_orthonormal_modes_are_taken_as_they_are_and_others_as_their_singular_triples():
    layer = ModeLinear(8, 6, 3, orthogonal=True, **DOUBLE)
    other = gaussian(6, 8, 3)
    layer.set_modes(other)
    np.testing.assert_allclose(layer.modes().weight, other.weight, atol=1e-12)
    found = layer.modes()
    turned = np.array([1.0, -1.0, 1.0])
    signed = Modes(found.xi_out * turned, [-1.0, 3.0, 2.0], -found.xi_in)  # neither sorted nor positive, in any signs
    layer.set_modes(signed)
    np.testing.assert_allclose(layer.modes().s, signed.s)
    np.testing.assert_allclose(layer.modes().xi_in, signed.xi_in, atol=1e-14)
    np.testing.assert_allclose(layer.modes().xi_out, signed.xi_out, atol=1e-14)
    deficient = Modes(np.ones((6, 3)), np.ones(3), np.ones((3, 8)))
    layer.set_modes(deficient)
    assert apart(layer) < 1e-14
    np.testing.assert_allclose(layer.modes().weight, deficient.weight, atol=1e-13)


def test_what_would_break_orthonormal_patterns_is_refused():
    layer = ModeLinear(8, 6, 3, orthogonal=True)
    for attempt in (layer.balance, lambda: layer.gauge(2.0, 1.0)):
        with pytest.raises(UsageError, match="free patterns"):
            attempt()
    with pytest.raises(UsageError, match="at most 6 orthogonal modes"):
        layer.set_modes(gaussian(6, 8, 7))


def test_plain_gives_a_free_copy_under_plain_names_and_leaves_the_model_as_it_is():
    net = nn.Sequential(ModeLinear(8, 6, 3, orthogonal=True), nn.ReLU(), ModeLinear(6, 4, 2))
    names = list(net.state_dict())
    assert [name for name in names if name[0] == "0"] == [
        "0.s",
        "0.bias",
        "0.parametrizations.xi_out.original",
        "0.parametrizations.xi_in.original",
    ]
    free = plain(net)
    x = torch.randn(5, 8)
    assert set(free.state_dict()) == {f"{at}.{name}" for at in (0, 2) for name in ("xi_out", "s", "xi_in", "bias")}
    torch.testing.assert_close(free(x), net(x))
    assert type(free[0]) is ModeLinear
    assert not free[0].orthogonal
    assert net[0].orthogonal
    assert list(net.state_dict()) == names
    assert apart(net[0]) < 1e-6
    plain(net)  # the class that copies share is whole
    free[0].balance()
    dense = nn.Linear(8, 6)
    dense.load_state_dict({"weight": free[0].weight, "bias": free[0].bias})
    torch.testing.assert_close(dense(x), net[0](x))
