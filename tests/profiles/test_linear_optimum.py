"""The best inputs of a single layer: against the layer itself, against all corners of a box, and against projected gradients."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.profiles.aggregates import AGGREGATES, aggregate
from modescope.profiles.basis import Basis, basis
from modescope.profiles.linear_optimum import OBJECTIVES, on_ball, on_box, slopes

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(2, 5, 3), (2, 6, 7)),
    "padded, strided": (lambda: nn.Conv2d(2, 5, 3, stride=2, padding=1), (2, 8, 7)),
    "dilated": (lambda: nn.Conv2d(2, 5, 3, dilation=2, padding=2), (2, 6, 7)),
    "stride that leaves a rest": (lambda: nn.Conv2d(2, 5, 2, stride=3), (2, 7, 8)),
    "groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding=(2, 0)), (4, 5, 6)),
    "depthwise": (lambda: nn.Conv2d(3, 6, (3, 1), groups=3, stride=(1, 2)), (3, 5, 6)),
    "same": (lambda: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), (2, 6, 7)),
    "valid": (lambda: nn.Conv2d(2, 3, 3, padding="valid"), (2, 6, 7)),
    "circular": (lambda: nn.Conv2d(2, 4, 3, padding=2, padding_mode="circular", stride=2), (2, 6, 7)),
    "reflect": (lambda: nn.Conv2d(2, 4, 3, padding=(2, 1), padding_mode="reflect"), (2, 6, 7)),
    "replicate": (lambda: nn.Conv2d(2, 4, 5, padding=2, padding_mode="replicate"), (2, 6, 7)),
    "one axis": (lambda: nn.Conv1d(2, 5, 3, padding=1, stride=2), (2, 10)),
    "three axes": (lambda: nn.Conv3d(2, 5, 3, padding=(1, 0, 1)), (2, 4, 4, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 5, 3, stride=2, padding=1, output_padding=1), (3, 4, 5)),
    "transposed, groups, dilated": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=3, output_padding=2), (4, 4, 5)),
    "transposed, one axis": (lambda: nn.ConvTranspose1d(3, 5, 4, stride=3), (3, 5)),
    "linear": (lambda: nn.Linear(12, 5), (12,)),
    "linear, of a picture": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (3, 2, 2)),
    "linear, at positions": (lambda: nn.Linear(6, 5), (3, 4, 6)),
}


def made(name: str) -> tuple[Any, Any, Basis, tuple[int, ...]]:
    """The network, its layer, the modes of it and the shape of an input."""
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    network = build().double()
    layer = network[-1] if isinstance(network, nn.Sequential) else network
    return network, layer, basis(name, layer, layer.weight.detach().numpy(), layer.bias.detach().numpy()), shape


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_a_signal_is_the_product_with_its_slope(name: str, objective: str) -> None:
    network, layer, modes, shape = made(name)
    found = slopes(modes, layer, shape, objective=objective)
    assert found.shape == (modes.s.size, *shape)
    images = torch.tensor(np.random.default_rng(1).standard_normal((5, *shape)))
    with torch.no_grad():
        output = network(images)
    output = output if "linear" not in name else output.movedim(-1, 1)
    signals, _ = AGGREGATES[objective](modes, output)
    expected = images.reshape(5, -1).numpy() @ found.reshape(len(found), -1).T
    assert np.abs(signals.numpy() - expected).max() < 1e-12 * np.abs(expected).max()


def test_the_best_of_a_ball_is_the_input_direction_where_the_layer_sees_it() -> None:
    _, layer, modes, shape = made("plain")
    best = on_ball(slopes(modes, layer, shape))
    assert np.allclose(best.values, modes.s, rtol=1e-12)
    for mode in range(modes.s.size):
        seen = best.images[mode][:, 2:5, 2:5]  # outputs are 4 x 5, their middle is at (2, 2)
        assert np.allclose(seen, modes.patches[mode], atol=1e-12)
        assert np.linalg.norm(best.images[mode]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_projected_gradients_on_a_ball_end_at_the_best_of_it(objective: str, sign: int) -> None:
    network, layer, modes, shape = made("padded, strided")
    best = on_ball(slopes(modes, layer, shape, objective=objective), sign=sign, radius=2.0)
    x = torch.tensor(np.random.default_rng(2).standard_normal((modes.s.size, *shape)))
    for _ in range(60):
        x = x.detach().requires_grad_()
        signals, _ = aggregate(objective)(modes, network(x))
        own = signals.diagonal()
        (slope,) = torch.autograd.grad(sign * own.sum(), x)
        x = x + 1e3 * slope / slope.flatten(1).norm(dim=1)[:, None, None, None]
        x = 2 * x / x.flatten(1).norm(dim=1)[:, None, None, None]
    x = x.detach().numpy().reshape(len(best.images), -1)
    cosine = (x * best.images.reshape(len(x), -1)).sum(1) / 4
    assert np.abs(cosine - 1).max() < 1e-6
    assert np.abs(own.detach().numpy() / best.values - 1).max() < 1e-6
    assert (np.sign(best.values) == sign).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_no_corner_of_a_box_is_better_than_the_best(sign: int) -> None:
    torch.manual_seed(1)
    layer = nn.Conv2d(1, 3, 2, padding=1).double()
    modes = basis("layer", layer, layer.weight.detach().numpy())
    for objective in OBJECTIVES:
        found = slopes(modes, layer, (1, 3, 3), objective=objective)
        best = on_box(found, sign=sign, span=(-0.5, 2.0))
        corners = torch.tensor(list(itertools.product((-0.5, 2.0), repeat=9)), dtype=torch.float64).reshape(-1, 1, 3, 3)
        with torch.no_grad():
            signals = AGGREGATES[objective](modes, layer(corners) - layer.bias[:, None, None])[0].numpy()
        assert np.allclose(sign * best.values, (sign * signals).max(axis=0), rtol=1e-12)
        with torch.no_grad():
            own = AGGREGATES[objective](modes, layer(torch.tensor(best.images.copy())) - layer.bias[:, None, None])[0].numpy()
        assert np.allclose(np.diag(own), best.values, rtol=1e-12)


def test_a_folded_batch_norm_scales_the_slopes() -> None:
    network, layer, _, shape = made("plain")
    norm = nn.BatchNorm2d(5).double().eval()
    with torch.no_grad():
        norm.running_var.copy_(torch.linspace(0.5, 2, 5))
        norm.running_mean.copy_(torch.linspace(-1, 1, 5))
        norm.weight.copy_(torch.linspace(1, -1.5, 5))
    modes = basis("layer", layer, layer.weight.detach().numpy(), layer.bias.detach().numpy(), norm=("bn", norm))
    found = slopes(modes, layer, shape, objective="mean")
    images = torch.tensor(np.random.default_rng(1).standard_normal((3, *shape)))
    with torch.no_grad():
        zero = norm(network(torch.zeros(1, *shape, dtype=torch.float64)))
        signals = ((norm(network(images)) - zero).mean(dim=(2, 3)).numpy()) @ modes.directions()
    assert np.allclose(signals, images.reshape(3, -1).numpy() @ found.reshape(len(found), -1).T, atol=1e-12)


def test_what_has_no_closed_form_is_refused() -> None:
    _, layer, modes, _ = made("plain")
    with pytest.raises(UsageError, match="expected a linear one, centre or mean, got 'rms'"):
        slopes(modes, layer, (2, 6, 7), objective="rms")
    with pytest.raises(UsageError, match="got shape \\(3, 6, 7\\)"):
        slopes(modes, layer, (3, 6, 7))
    with pytest.raises(UsageError, match="that its kernel \\(3, 3\\) fits in"):
        slopes(modes, layer, (2, 2, 7))
    _, layer, modes, _ = made("linear")
    with pytest.raises(UsageError, match="expected an input of 12 numbers"):
        slopes(modes, layer, (13,))
