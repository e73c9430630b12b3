"""Modes of layers and projections on them: the identities of the unfolding, for every kind of layer."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modescope.errors import MatrixError, UsageError
from modescope.profiles.basis import basis, project

LAYERS = {
    "dense": (lambda: nn.Linear(6, 9), (6,)),
    "plain": (lambda: nn.Conv2d(3, 5, 3), (3, 9, 8)),
    "strided": (lambda: nn.Conv2d(3, 5, 3, stride=2, padding=1), (3, 9, 8)),
    "dilated": (lambda: nn.Conv2d(3, 5, 3, dilation=2, padding=2), (3, 9, 8)),
    "not square": (lambda: nn.Conv2d(3, 5, (1, 4), stride=(2, 1), padding=(0, 2)), (3, 9, 8)),
    "more outputs than inputs": (lambda: nn.Conv2d(2, 40, 3), (2, 6, 6)),
    "1 x 1": (lambda: nn.Conv2d(7, 4, 1), (7, 5, 5)),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2, stride=2), (6, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6, padding=1), (6, 9, 8)),
    "depthwise, two each": (lambda: nn.Conv2d(4, 8, (3, 2), groups=4), (4, 9, 8)),
    "line": (lambda: nn.Conv1d(3, 5, 4, stride=3), (3, 20)),
    "volume": (lambda: nn.Conv3d(2, 5, (1, 2, 3), padding=1), (2, 4, 5, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), (4, 5, 4)),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(4, 6, (2, 3), groups=2, dilation=2), (4, 5, 4)),
    "transposed line": (lambda: nn.ConvTranspose1d(4, 3, 3), (4, 5)),
    "transposed volume": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3)),
    "circular": (lambda: nn.Conv2d(3, 5, 3, padding=1, padding_mode="circular"), (3, 9, 8)),
}


def made(name, seed=0):
    """A layer in float64, its modes, some inputs, and its output."""
    torch.manual_seed(seed)
    build, shape = LAYERS[name]
    module = build().double()
    x = torch.randn(4, *shape, dtype=torch.float64)
    with torch.no_grad():
        return module, of(module), x, module(x)


def of(module, **options):
    bias = None if module.bias is None else module.bias.detach().numpy()
    return basis("layer", module, module.weight.detach().numpy(), bias, **options)


def with_modes(module, found, mode):
    """The layer without bias whose output in every channel of its group is the response of one folded input direction."""
    made = copy.deepcopy(module)
    patch = torch.tensor(found.patches[mode])
    group, side = int(found.group[mode]), found.channels // found.groups
    with torch.no_grad():
        made.weight.zero_()
        made.bias = None
        if getattr(module, "transposed", False):
            inside = module.in_channels // found.groups
            made.weight[group * inside : (group + 1) * inside] = patch[:, None]
        else:
            made.weight[group * side : (group + 1) * side] = patch
    return made, group * side


@pytest.mark.parametrize("name", LAYERS)
def test_modes_give_the_unfolded_weight_back_and_are_orthonormal(name):
    module, found, _, _ = made(name)
    weight = module.weight.detach().numpy()
    if getattr(module, "transposed", False):  # rows are outputs, inside their group
        inside = module.in_channels // found.groups
        blocks = [np.swapaxes(weight[g * inside : (g + 1) * inside], 0, 1) for g in range(found.groups)]
    else:
        blocks = np.split(weight, found.groups)
    assert (np.diff(found.s) <= 0).all()
    for group, block in enumerate(blocks):
        rows = block.reshape(len(block), -1)
        inside = found.group == group
        assert inside.sum() == min(rows.shape)
        u, vh = found.u[inside], found.vh[inside]
        np.testing.assert_allclose((u.T * found.s[inside]) @ vh, rows, atol=1e-12)
        np.testing.assert_allclose(u @ u.T, np.eye(len(u)), atol=1e-12)
        np.testing.assert_allclose(vh @ vh.T, np.eye(len(u)), atol=1e-12)
    largest = found.u[np.arange(found.s.size), np.abs(found.u).argmax(axis=1)]
    assert (largest > 0).all()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_a_signal_is_the_layer_with_the_folded_input_direction_times_the_value(name, dtype, tolerance):
    module, found, x, _ = made(name)
    with torch.no_grad():
        signals = project(found, _second(module, module.to(dtype)(x.to(dtype))))
        assert signals.dtype == dtype
        scale = float(signals.abs().max())
        for mode in range(found.s.size):
            alone, channel = with_modes(module.double(), found, mode)
            expected = found.s[mode] * _second(module, alone(x))[:, channel]
            np.testing.assert_allclose(signals[:, mode].double(), expected, atol=tolerance * scale)


@pytest.mark.parametrize("name", LAYERS)
def test_signals_hold_the_whole_output_and_not_that_after_an_activation(name):
    module, found, _, y = made(name)
    y = _second(module, y)
    signals = project(found, y)
    bias = torch.tensor(found.bias).reshape(1, -1, *(1,) * (y.ndim - 2))
    back = torch.einsum("dr,nr...->nd...", torch.tensor(found.directions()), signals) + bias
    np.testing.assert_allclose(back.numpy(), y.numpy(), atol=1e-12 * float(y.abs().max()))
    energy, whole = signals.square().sum(), (y - bias).square().sum()
    assert energy == pytest.approx(float(whole), rel=1e-12)
    if found.s.size < found.channels:  # where directions span all outputs every vector is in their span
        after = y.relu()
        assert float(project(found, after).square().sum()) < 0.99 * float((after - bias).square().sum())


def _second(module, y):
    return y.movedim(-1, 1) if isinstance(module, nn.Linear) else y


def test_half_precision_is_projected_in_single():
    _, found, _, y = made("plain")
    for dtype in (torch.float16, torch.bfloat16):
        signals = project(found, y.to(dtype))
        assert signals.dtype == torch.float32
        np.testing.assert_allclose(signals, project(found, y.to(dtype).double()), atol=1e-5)


def test_projecting_changes_neither_the_output_nor_later_projections():
    for name in LAYERS:
        module, found, _, y = made(name)
        kept = y.clone()
        first = project(found, _second(module, y)).clone()
        project(found, _second(module, y)).zero_()
        project(found, _second(module, y.float()))
        assert torch.equal(y, kept)
        assert torch.equal(project(found, _second(module, y)), first)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", ["plain", "grouped", "depthwise", "transposed", "transposed, grouped", "line"])
def test_folding_a_batch_norm_gives_the_modes_and_signals_of_the_folded_layer(name, affine):
    module, raw, _, y = made(name)
    kind = nn.BatchNorm1d if y.ndim == 3 else nn.BatchNorm2d
    norm = kind(y.shape[1], affine=affine).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    found = of(module, norm=("bn", norm))
    g = (norm.weight.detach() if affine else 1) / torch.sqrt(norm.running_var + norm.eps)
    folded = copy.deepcopy(module)
    with torch.no_grad():
        rows = (1, -1) if getattr(module, "transposed", False) and module.groups == 1 else (-1,)
        if getattr(module, "transposed", False):
            gain = g.reshape(module.groups, 1, -1).expand(-1, module.in_channels // module.groups, -1).flatten(0, 1)
            folded.weight *= gain.reshape(*gain.shape, *(1,) * (module.weight.ndim - 2))
        else:
            folded.weight *= g.reshape(*rows, *(1,) * (module.weight.ndim - 1))
        folded.bias.copy_((module.bias - norm.running_mean) * g + (norm.bias if affine else 0))
        expected = of(folded)
        np.testing.assert_allclose(found.s, expected.s, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(project(found, y), project(expected, norm(y)), atol=1e-11)
    low, high = float(g.abs().min()), float(g.abs().max())
    if raw.groups == 1:
        assert (found.s >= low * raw.s * (1 - 1e-12)).all()
        assert (found.s <= high * raw.s * (1 + 1e-12)).all()


def test_a_batch_norm_without_statistics_cannot_be_folded():
    module, *_ = made("plain")
    with pytest.raises(UsageError, match=r"bn: expected a batch norm with running statistics.*bn='ignore'"):
        of(module, norm=("bn", nn.BatchNorm2d(5, track_running_stats=False)))


@pytest.mark.parametrize("name", ["plain", "grouped"])
def test_weights_that_are_empty_or_not_finite_are_named(name):
    module, *_ = made(name)
    weight = module.weight.detach().numpy().copy()
    with pytest.raises(MatrixError, match="layer"):
        basis("layer", module, weight[:0])
    weight.flat[3] = np.nan
    with pytest.raises(MatrixError, match=r"layer.*1 of .* not finite"):
        basis("layer", module, weight)


def test_equal_values_are_tied_and_others_are_not():
    module = nn.Linear(4, 4, bias=False)
    found = basis("layer", module, np.diag([3.0, 2.0, 2.0, 1.0]))
    assert found.ties == ((1, 3),)
    assert basis("layer", module, np.zeros((4, 4))).ties == ((0, 4),)
    assert basis("layer", module, np.diag([4.0, 3.0, 2.0, 1.0])).ties == ()


def test_a_large_bias_is_taken_off_without_loss():
    module, found, x, _ = made("plain")
    with torch.no_grad():
        plain = project(found, module(x))
        module.bias += 1e6
        shifted = project(of(module), module(x))
    np.testing.assert_allclose(shifted, plain, atol=1e-8)
    assert functional.relu(plain).any()


def test_output_second_moments_are_those_of_patches_seen_through_the_weight():
    module, found, x, y = made("strided")
    patches = functional.unfold(x, 3, padding=1, stride=2).permute(0, 2, 1).reshape(-1, 27).numpy()
    centred = (y.detach() - module.bias.detach()[:, None, None]).movedim(1, -1).reshape(-1, 5).numpy()
    weight = module.weight.detach().flatten(1).numpy()
    np.testing.assert_allclose(centred.T @ centred, weight @ (patches.T @ patches) @ weight.T, rtol=1e-11)
    signals = project(found, y.detach()).movedim(1, -1).reshape(-1, found.s.size).numpy()
    np.testing.assert_allclose(signals, patches @ found.vh.T * found.s, atol=1e-12)


def test_the_top_direction_of_white_patches_is_the_top_component_of_the_outputs():
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 8, 3, bias=False).double()
    with torch.no_grad():
        u, s, vh = torch.linalg.svd(conv.weight.flatten(1), full_matrices=False)
        s[0] = 2 * s[0]  # a gap
        conv.weight.copy_(((u * s) @ vh).reshape(conv.weight.shape))
        y = conv(torch.randn(400, 5, 9, 9, dtype=torch.float64)).movedim(1, -1).reshape(-1, 8).numpy()
    top = np.linalg.eigh(y.T @ y)[1][:, -1]
    assert abs(top @ of(conv).u[0]) >= 0.999
