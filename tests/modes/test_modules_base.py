"""What every mode layer owes: its gradients, its dense twin, its gauge, its conservation law, and how it is drawn and kept."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from modes_layer_cases import CASES, DOUBLE, central_difference, gaussian
from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.modules.base import INITS
from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from tolerance import tol

ALL = pytest.mark.parametrize("case", CASES, ids=str)


@ALL
def test_a_layer_is_the_dense_layer_with_its_weight_formed(case):
    layer, x = case.layer(), case.input()
    expected = case.twin(layer)(x)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    assert layer.weight.shape == case.twin(layer).weight.shape


@ALL
def test_the_rank_of_the_weight_is_at_most_the_number_of_modes(case):
    layer = case.layer()
    assert np.linalg.matrix_rank(layer.weight.detach().flatten(1).numpy()) == min(layer.n_modes, *layer.shape)


@ALL
def test_gradients_are_those_of_central_differences(case):
    layer, x = case.layer(), case.input().requires_grad_()
    target = torch.randn(layer(x).shape, generator=torch.Generator().manual_seed(2), **DOUBLE)

    def loss():
        return (layer(x) - target).square().mean()

    loss().backward()
    for held in (x, *layer.parameters()):
        assert (held.grad - central_difference(loss, held.detach())).abs().max() < 1e-8


@ALL
def test_orthogonal_and_half_precision_gradients_exist_for_every_parameter(case):
    layer = case.layer(orthogonal=case.p <= min(case.layer().shape), dtype=torch.bfloat16)
    layer(case.input().bfloat16()).float().square().sum().backward()
    assert all(
        one.grad is not None and one.grad.dtype is torch.bfloat16 and one.grad.isfinite().all() for one in layer.parameters()
    )


@ALL
def test_powers_of_two_in_the_gauge_leave_outputs_as_they_are_to_the_bit(case):
    layer, x = case.layer(), case.input()
    before = layer(x)
    rng = np.random.default_rng(0)
    layer.gauge(2.0 ** rng.integers(-9, 9, layer.n_modes), -(2.0 ** rng.integers(-9, 9, layer.n_modes)))
    assert torch.equal(layer(x), before)
    layer.gauge(rng.uniform(0.5, 2, layer.n_modes), -3.0)
    torch.testing.assert_close(layer(x), before, rtol=0, atol=1e-12)


@ALL
def test_balancing_keeps_the_weight_and_makes_all_factors_of_a_mode_equally_long(case):
    layer = case.layer()
    weight = layer.weight.detach()
    layer.gauge(np.linspace(0.3, 3, layer.n_modes), 0.7)
    layer.balance()
    torch.testing.assert_close(layer.weight.detach(), weight, rtol=0, atol=1e-12)
    third = np.cbrt(layer.modes().omega)
    for norms in (layer.xi_out.norm(dim=0), layer.s.abs(), layer.xi_in.flatten(1).norm(dim=1)):
        np.testing.assert_allclose(norms.detach().numpy(), third, atol=1e-12)


def test_strengths_and_patterns_feel_the_same_pull_at_every_point():
    # <a, dL/da> = s dL/ds = <b, dL/db> for each mode, since the loss knows only the weight: the law of conservation at one point.
    layer = ModeLinear(9, 6, 4, init="iid", **DOUBLE)
    functional.cross_entropy(layer(torch.randn(11, 9, **DOUBLE)), torch.arange(11) % 6).backward()
    pull = layer.s * layer.s.grad
    for other in ((layer.xi_out * layer.xi_out.grad).sum(0), (layer.xi_in * layer.xi_in.grad).sum(1)):
        torch.testing.assert_close(other, pull, rtol=1e-12, atol=1e-14)


def test_small_steps_conserve_the_balance_of_every_mode_and_smaller_ones_better():
    # ||a||^2 - s^2 and ||b||^2 - s^2 are conserved by the flow; a step of size lr errs by lr^2 times squared gradients, so that the
    # drift over a fixed time is of first order in lr.
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(11, 7, generator=generator, **DOUBLE), torch.arange(11) % 3

    def drift(lr, steps):
        torch.manual_seed(5)
        net = nn.Sequential(*(ModeLinear(n, m, 4, bias=False, init="iid", **DOUBLE) for n, m in ((7, 6), (6, 5), (5, 3))))
        start = copy.deepcopy(net)
        parameters = list(net.parameters())
        for _ in range(steps):
            h = x
            for at, layer in enumerate(net):
                h = layer(h) if at == 2 else layer(h).relu()
            for one, slope in zip(parameters, torch.autograd.grad(functional.cross_entropy(h, y), parameters), strict=True):
                one.data.sub_(slope, alpha=lr)
        kept = [np.abs(charges(one) - charges(other)).max() for one, other in zip(net, start, strict=True)]
        moved = [(one - other).abs().max().item() for one, other in zip(parameters, start.parameters(), strict=True)]
        return max(kept), max(moved)

    def charges(layer):
        modes = layer.modes()
        return np.array([(modes.xi_out**2).sum(0) - modes.s**2, (modes.xi_in**2).sum(1) - modes.s**2])

    small, moved = drift(1e-3, 600)
    large, _ = drift(4e-3, 150)
    assert moved > 0.02
    assert small / moved < 1e-3
    assert large / small == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("init", INITS)
def test_the_generator_alone_decides_what_is_drawn(init):
    def drawn(seed, **more):
        torch.manual_seed(1)
        return ModeLinear(20, 10, 4, init=init, generator=torch.Generator().manual_seed(seed), **more).xi_in

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    torch.manual_seed(1)
    rest = torch.rand(3)
    drawn(0)
    assert torch.equal(torch.rand(3), rest), "a generator that is given leaves torch's own where it is"


def test_the_seed_of_torch_decides_where_no_generator_is_given_and_layers_differ():
    def drawn():
        torch.manual_seed(7)
        return [ModeLinear(20, 10, 4).s for _ in range(2)]

    first, second = drawn()
    assert torch.equal(first, drawn()[0])
    assert not torch.equal(first, second)


def test_an_init_may_be_a_function():
    modes = gaussian(5, 12, 3)
    seen = []

    def mine(outputs, inputs, p, rng, gain):
        seen.append((outputs, inputs, p, gain, type(rng)))
        return modes

    layer = ModeConv1d(4, 5, 3, 3, init=mine, gain=1.5, **DOUBLE)
    assert seen == [(5, 12, 3, 1.5, np.random.Generator)]
    np.testing.assert_array_equal(layer.modes().weight, modes.weight)


def test_the_meta_device_draws_nothing_and_reset_parameters_draws_it_later():
    torch.manual_seed(0)
    expected = ModeConv2d(3, 4, 3, 2)
    state = torch.get_rng_state()
    with torch.device("meta"):
        nested = ModeConv2d(3, 4, 3, 2)
    for layer in (nested, ModeConv2d(3, 4, 3, 2, device="meta"), ModeConv2d(3, 4, 3, 2, device="meta", orthogonal=True)):
        assert all(one.is_meta for one in layer.parameters())
        assert layer(torch.empty(2, 3, 8, 8, device="meta")).shape == (2, 4, 6, 6)
    assert torch.equal(torch.get_rng_state(), state)
    nested.to_empty(device="cpu")
    torch.manual_seed(0)
    nested.reset_parameters()
    assert all(torch.equal(one, other) for one, other in zip(nested.parameters(), expected.parameters(), strict=True))
    frozen = ModeLinear(5, 4, 2, frozen_strength=True, device="meta").to_empty(device="cpu")
    frozen.reset_parameters()
    assert torch.equal(frozen.s, torch.ones(2))


def test_frozen_strengths_are_a_buffer_of_ones_and_the_weight_given_is_kept():
    layer = ModeLinear(8, 6, 4, frozen_strength=True, **DOUBLE)
    assert {name for name, _ in layer.named_parameters()} == {"xi_out", "xi_in", "bias"}
    modes = gaussian(6, 8, 4)
    layer.set_modes(modes)
    assert torch.equal(layer.s, torch.ones(4, **DOUBLE))
    np.testing.assert_allclose(layer.weight.detach().numpy(), modes.weight, atol=1e-12)
    layer.balance()
    np.testing.assert_allclose(layer.weight.detach().numpy(), modes.weight, atol=1e-12)
    np.testing.assert_allclose(layer.xi_out.norm(dim=0).detach(), layer.xi_in.norm(dim=1).detach(), rtol=1e-12)
    assert layer.cost.factored(4) == 4 * 14
    with pytest.raises(UsageError, match="not frozen"):
        layer.gauge(2.0, 2.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_layer_may_have_any_floating_type(dtype):
    layer = ModeLinear(16, 12, 5, dtype=dtype)
    x = torch.randn(3, 16, dtype=dtype)
    assert layer(x).dtype is dtype
    expected = x.double() @ layer.weight.detach().double().T
    eps = tol(str(dtype).removeprefix("torch."), (16,), 1.0)
    torch.testing.assert_close(layer(x).double(), expected, rtol=0, atol=8 * eps)


@pytest.mark.parametrize("rows", [2, 40])
def test_autocast_gives_outputs_of_the_low_precision_and_gradients_of_the_high(rows):
    layer, conv = ModeLinear(16, 12, 5), ModeConv2d(2, 3, 3, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, of_conv = layer(torch.randn(rows, 16)), conv(torch.randn(1, 2, 5, 5))
    assert found.dtype is of_conv.dtype is torch.bfloat16
    (found.sum() + of_conv.sum()).backward()
    assert all(one.grad.dtype is torch.float32 for one in (*layer.parameters(), *conv.parameters()))


@pytest.mark.parametrize("options", [{}, {"frozen_strength": True}, {"orthogonal": True}], ids=str)
def test_set_modes_takes_another_number_of_modes_and_keeps_the_parameters_where_it_is_the_same(options):
    layer = ModeLinear(8, 6, 4, **options, **DOUBLE)
    held = dict(layer.named_parameters())
    held["bias"].requires_grad_(False)
    layer.set_modes(gaussian(6, 8, 4))
    assert all(held[name] is one for name, one in layer.named_parameters())
    for p in (2, 6, 1):
        modes = gaussian(6, 8, p, seed=p)
        layer.set_modes(modes)
        assert layer.n_modes == p
        np.testing.assert_allclose(layer.weight.detach().numpy(), modes.weight, atol=1e-12)
        layer(torch.randn(3, 8, **DOUBLE)).sum().backward()
        assert dict(layer.named_parameters()).keys() == held.keys()
        assert all(one.shape[0] == p for name, one in layer.named_parameters() if "xi_in" in name)


def test_modes_and_set_modes_are_inverse_for_kernels_too():
    layer, other = ModeConv2d(3, 4, (2, 3), 5, **DOUBLE), ModeConv2d(3, 4, (2, 3), 1, **DOUBLE)
    other.set_modes(layer.modes())
    assert torch.equal(other.xi_in, layer.xi_in)
    assert other.xi_in.shape == (5, 3, 2, 3)
    np.testing.assert_allclose(layer.modes().weight, layer.weight.detach().flatten(1).numpy(), atol=1e-15)


def test_modes_of_another_weight_are_refused_and_nothing_changes():
    layer = ModeLinear(8, 6, 4)
    before = layer.weight.detach().clone()
    with pytest.raises(UsageError, match=r"ModeLinear: expected modes of a weight \(6, 8\), got \(8, 6\)"):
        layer.set_modes(gaussian(8, 6))
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("options", [{}, {"frozen_strength": True}, {"orthogonal": True}, {"bias": False}], ids=str)
def test_copies_and_state_dicts_give_the_same_layer(options, tmp_path):
    from safetensors.torch import load_file, save_file

    layer = ModeConv1d(3, 5, 2, 4, **options)
    x = torch.randn(2, 3, 9)
    twin = copy.deepcopy(layer)
    save_file(layer.state_dict(), tmp_path / "one.safetensors")
    other = ModeConv1d(3, 5, 2, 4, **options)
    other.load_state_dict(load_file(tmp_path / "one.safetensors"))
    assert torch.equal(twin(x), layer(x))
    assert torch.equal(other(x), layer(x))
    with torch.no_grad():
        next(twin.parameters()).add_(1)
    assert torch.equal(other(x), layer(x)), "a copy shares nothing"


def test_the_state_dict_is_that_of_two_plain_layers_of_torch():
    layer, conv = ModeLinear(8, 6, 4), ModeConv2d(3, 4, 3, 2, stride=2, padding=1)
    inward, outward = nn.Linear(8, 4, bias=False), nn.Linear(4, 6)
    state = layer.state_dict()
    assert list(state) == ["xi_out", "s", "xi_in", "bias"]
    inward.load_state_dict({"weight": state["xi_in"]})
    outward.load_state_dict({"weight": state["xi_out"] * state["s"], "bias": state["bias"]})
    x = torch.randn(5, 8)
    torch.testing.assert_close(outward(inward(x)), layer(x))
    state = conv.state_dict()
    first, second = nn.Conv2d(3, 2, 3, stride=2, padding=1, bias=False), nn.Conv2d(2, 4, 1)
    first.load_state_dict({"weight": state["xi_in"]})
    second.load_state_dict({"weight": (state["xi_out"] * state["s"])[..., None, None], "bias": state["bias"]})
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(second(first(x)), conv(x))


def test_mode_activations_are_what_the_strengths_multiply():
    layer, conv = ModeLinear(8, 6, 4, bias=False, **DOUBLE), ModeConv2d(3, 4, 3, 2, padding=1, padding_mode="circular", **DOUBLE)
    x, grid = torch.randn(5, 8, **DOUBLE), torch.randn(2, 3, 8, 8, **DOUBLE)
    assert conv.mode_activations(grid).shape == (2, 2, 8, 8)
    torch.testing.assert_close((layer.mode_activations(x) * layer.s) @ layer.xi_out.T, layer(x))
    layer.s.data[2] = 0  # a removed mode is a strength of 0
    without = Modes(*(np.delete(one, 2, axis) for one, axis in zip(_factors(layer), (1, 0, 0), strict=True)))
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() @ without.weight.T, atol=1e-12)


def _factors(layer):
    modes = layer.modes()
    return modes.xi_out, modes.s, modes.xi_in


def test_a_forward_pass_forms_no_array_of_the_size_of_the_weight():
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes.extend(one.numel() for one in (out if isinstance(out, tuple) else (out,)) if isinstance(one, torch.Tensor))
            return out

    for options in ({}, {"orthogonal": True}):
        layer, x = ModeLinear(60, 50, 3, **options), torch.randn(4, 60)
        with Watch():
            layer(x).sum().backward()
    assert sizes
    assert max(sizes) < 50 * 60 / 8


def test_layers_compile_without_a_break_in_the_graph():
    net = nn.Sequential(ModeLinear(8, 6, 4), ModeLinear(6, 6, 2, frozen_strength=True), ModeLinear(6, 5, 2, orthogonal=True))
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    x = torch.randn(3, 8)
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ModeLinear(8, 6, 0), "n_modes as a whole number of 1 or more, got 0"),
        (lambda: ModeLinear(8, 6, -3), "got -3"),
        (lambda: ModeLinear(8, 6, 2.5), "got 2.5"),
        (lambda: ModeLinear(8, 6, True), "got True"),
        (lambda: ModeLinear(0, 6, 1), "inputs as a whole number"),
        (lambda: ModeLinear(8, "6", 1), "outputs as a whole number of 1 or more, got '6'"),
        (lambda: ModeLinear(8, 6, 2, init="he"), "spectral, iid, published or a function, got 'he'"),
        (lambda: ModeLinear(8, 6, 2, gain=0.0), "gain N Var W above 0"),
        (lambda: ModeLinear(8, 6, 7, orthogonal=True), r"at most 6 orthogonal modes of a weight \(6, 8\), got 7"),
        (lambda: ModeLinear(8, 6, 2, orthogonal=True, frozen_strength=True), "strengths that train"),
        (lambda: ModeConv2d(3, 4, 3, 2, groups=3), "expected groups=1, got 3"),
        (lambda: ModeConv2d(3, 4, (3, 3, 3), 2), "kernel of 2 sides"),
        (lambda: ModeConv1d(3, 4, 0, 2), "kernel_size as a whole number"),
        (lambda: ModeConv2d(3, 4, 3, 0), "n_modes"),
        (lambda: ModeConv2d(3, 4, 3, 2, 2, "same"), "same"),
    ],
)
def test_bad_arguments_are_refused_by_name(made, said):
    with pytest.raises(ValueError, match=said):
        made()


def test_arguments_stand_where_torch_has_them_with_the_modes_after_the_sizes():
    layer = ModeLinear(8, 6, 4, False, "cpu", torch.float64)
    assert (layer.in_features, layer.out_features, layer.n_modes, layer.bias, layer.s.dtype) == (8, 6, 4, None, torch.float64)
    conv = ModeConv2d(3, 4, 3, 2, 2, 1, 1, 1, False, "reflect", "cpu", torch.float64)
    plain = nn.Conv2d(3, 4, 3, 2, 1, 1, 1, False, "reflect", "cpu", torch.float64)
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "bias"):
        assert getattr(conv, name) == getattr(plain, name)
    assert conv.weight.shape == plain.weight.shape
    assert repr(ModeLinear(8, 6, 4, orthogonal=True)).startswith(
        "ParametrizedModeLinear(\n  8, 6, n_modes=4, bias=True, orthogonal=True"
    )
