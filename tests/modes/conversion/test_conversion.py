"""Networks into modes: the forward pass is that of truncated weights, errors are as told, and nothing is lost by mistake."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modes_conversion_cases import convolutional, digits, images, inputs, mlp, truncated_twin
from modescope.errors import UsageError
from modescope.modes import conversion, tasks
from modescope.modes.calibration import calibrate
from modescope.modes.conversion import Conversion, convert, to_modes
from modescope.modes.modules.base import ModeLayer
from modescope.modes.modules.linear import ModeLinear
from modescope.moments import of


def rows(found: Conversion) -> dict[str, Any]:
    return {row.name: row for row in found.layers}


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    now = model.state_dict()
    return list(now) == list(before) and all(torch.equal(now[name], before[name]) for name in now)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("make", "data"), [(mlp, inputs), (convolutional, images)])
def test_the_forward_pass_is_that_of_the_truncated_weights(make: Any, data: Any, dtype: torch.dtype) -> None:
    net, x = make(dtype), data(dtype=dtype)
    before = state(net)
    found = convert(net, 3)
    assert any(isinstance(module, ModeLayer) for module in found.model.modules())
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found.model(x), truncated_twin(net, 3)(x), atol=tolerance, rtol=tolerance)
    assert unchanged(net, before)
    assert {one.dtype for one in found.model.parameters()} == {dtype}


def test_rows_tell_the_errors_parameters_and_reasons() -> None:
    net = mlp()
    found = convert(net, 4)
    told = rows(found)
    s = np.linalg.svd(net[0].weight.detach().numpy(), compute_uv=False)
    assert told["0"].error == pytest.approx(np.sqrt(np.sum(s[4:] ** 2) / np.sum(s**2)), rel=1e-10)
    assert (told["0"].modes, told["0"].parameters, told["0"].dense_parameters) == (4, 4 * 29, 192)
    assert told["0"].shape == (16, 12)
    assert (told["4"].factored, told["4"].modes, told["4"].error, told["4"].output_error) == (False, None, 0.0, None)
    assert "14" in told["4"].reason
    assert found.parameters == sum(one.numel() for one in found.model.parameters())
    assert found.dense_parameters == sum(one.numel() for one in net.parameters())
    assert found.feeding == "none"


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_output_error_is_what_the_layer_loses_on_the_data(centred: bool, bias: bool) -> None:
    net, x = mlp(bias=bias), inputs()
    found = convert(net, 4, calibration=x, centred=centred)
    told = rows(found)
    h, g = x, x
    for at in (0, 2):
        with torch.no_grad():
            lost = net[at](h) - found.model[at](h)
            gives = h @ net[at].weight.T
            gives = gives - gives.mean(0) if centred and bias else gives
            assert told[str(at)].output_error == pytest.approx(float(lost.norm() / gives.norm()), rel=1e-9)
            if centred and bias:
                torch.testing.assert_close(lost.mean(0), torch.zeros_like(lost[0]), atol=1e-12, rtol=0)
            plain = truncated_twin(net, 4)[at](h) - net[at](h)
            assert lost.norm() <= plain.norm() * (1 + 1e-12)
            h = net[at + 1](net[at](h))
    assert found.feeding == "original"
    torch.testing.assert_close(found.model(g), convert(net, 4, calibration=calibrate(net, x), centred=centred).model(g))


def test_compressed_feeding_fits_each_layer_to_what_the_converted_ones_before_it_give() -> None:
    net, x = mlp(), inputs()
    before = state(net)
    found = convert(net, 3, calibration=x, feeding="compressed")
    by_hand = copy.deepcopy(net)
    by_hand[0] = to_modes(net[0], 3, calibration=x)
    with torch.no_grad():
        seen = by_hand[1](by_hand[0](x))
    by_hand[2] = to_modes(net[2], 3, calibration=seen)
    torch.testing.assert_close(found.model(x), by_hand(x), atol=1e-12, rtol=1e-12)
    original = convert(net, 3, calibration=x)
    assert not torch.allclose(found.model[2].xi_in, original.model[2].xi_in)
    assert unchanged(net, before)
    assert (found.feeding, rows(found)["0"].modes) == ("compressed", 3)


def test_compressed_feeding_lowers_what_the_second_layer_loses_on_what_it_gets() -> None:
    net, x = mlp(), inputs(200)
    first = to_modes(net[0], 2)
    with torch.no_grad():
        seen = net[1](first(x))
        lost = [
            float((net[2](seen) - layer(seen)).norm())
            for layer in (to_modes(net[2], 3, calibration=seen), to_modes(net[2], 3, calibration=net[1](net[0](x))))
        ]
    assert lost[0] < lost[1]


@pytest.mark.parametrize("by", ["parameters", "flops"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_budget_is_kept_by_the_network_that_comes_out(by: str, share: float) -> None:
    net = convolutional()
    found = convert(net, budget=share, budget_by=by, calibration=images())
    if by == "parameters":
        assert found.parameters <= share * found.dense_parameters
        assert found.parameters <= convert(net, budget=found.parameters).dense_parameters
        return
    uses = calibrate(net, images()).uses
    spent = sum(uses[row.name] * row.parameters for row in found.layers if row.name in uses)
    dense = sum(uses[row.name] * row.dense_parameters for row in found.layers if row.name in uses)
    assert spent <= share * dense


def test_a_full_budget_leaves_the_network_as_it_is_and_a_tiny_one_is_refused_with_the_least() -> None:
    net, x = mlp(), inputs()
    found = convert(net, budget=1.0)
    assert not any(row.factored for row in found.layers)
    torch.testing.assert_close(found.model(x), net(x), atol=0, rtol=0)
    with pytest.raises(UsageError, match=r"budget: expected at least 111 parameters, .* got 110"):
        convert(net, budget=110)  # 29 + 31 + 18 for one mode each, and 33 biases


def test_energy_auto_and_shares_say_how_many_modes_they_take() -> None:
    net = mlp()
    s = np.linalg.svd(net[0].weight.detach().numpy(), compute_uv=False)
    held = np.cumsum(s**2) / np.sum(s**2)
    assert rows(convert(net, energy=0.6))["0"].modes == int(np.argmax(held >= 0.6)) + 1
    assert rows(convert(net, 0.25))["0"].modes == 3
    told = rows(convert(digits(), "auto"))
    assert (told["3"].modes, told["3"].reason) == (17, "17 of 64 modes, a third of the break-even 52.2")
    assert (told["10"].modes, told["10"].reason) == (None, "stays dense: a third of the break-even 8.5 is below 8 modes")


def test_outliers_keep_the_planted_modes_and_small_layers_stay() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(60, 80), nn.Linear(80, 4))
    with torch.no_grad():
        net[0].weight.normal_()
        for _ in range(2):
            net[0].weight += 40 * torch.outer(
                nn.functional.normalize(torch.randn(80), dim=0), nn.functional.normalize(torch.randn(60), dim=0)
            )
    told = rows(convert(net, outliers=True))
    assert (told["0"].modes, told["1"].modes) == (2, None)
    assert "short side 4" in told["1"].reason


def test_numbers_by_name_are_taken_at_their_word_and_the_others_stay() -> None:
    net = mlp()
    told = rows(convert(net, {"0": 12, "2": 0.5}))
    assert [told[name].modes for name in "024"] == [12, 7, None]
    assert "saves nothing" in told["0"].reason
    assert told["0"].error < 1e-14
    assert "not asked for" in told["4"].reason


def test_training_flags_gradients_and_devices_are_kept_and_the_random_numbers_too() -> None:
    net = mlp(torch.float32)
    net[0].weight.requires_grad_(False)
    net[2].bias.requires_grad_(False)
    net.eval()
    net[2].train()
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    found = to_modes(net, 3)
    assert torch.equal(torch.rand(3), wanted)
    assert [found[at].training for at in (0, 2)] == [False, True]
    assert [one.requires_grad for one in found[0].parameters()] == [False, False, False, True]
    assert [found[2].xi_in.requires_grad, found[2].bias.requires_grad] == [True, False]


def test_converted_networks_train() -> None:
    net, x = to_modes(mlp(), 3), inputs()
    net(x).square().mean().backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in net.parameters())


def test_frozen_strengths_leave_the_weights_and_cost_one_parameter_less() -> None:
    net, x = mlp(), inputs()
    free, frozen = convert(net, 3), convert(net, 3, frozen_strength=True)
    torch.testing.assert_close(free.model(x), frozen.model(x), atol=1e-12, rtol=1e-12)
    assert rows(free)["0"].parameters - rows(frozen)["0"].parameters == 3
    assert torch.equal(frozen.model[0].s, torch.ones(3, dtype=torch.float64))
    assert frozen.parameters == sum(one.numel() for one in frozen.model.parameters())


@pytest.mark.parametrize("feeding", ["original", "compressed"])
def test_in_place_the_network_itself_changes_and_after_an_interrupt_it_is_as_it_was(
    feeding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = mlp(), inputs()
    before, modules = state(net), list(net)
    wanted = convert(net, 3, calibration=x, feeding=feeding).model(x)

    def interrupted(_what: str, done: int, _total: int | None) -> None:
        if _what == "modes" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(net, 3, calibration=x, feeding=feeding, inplace=True, progress=interrupted)
    assert unchanged(net, before)
    assert all(a is b for a, b in zip(net, modules, strict=True))
    found = convert(net, 3, calibration=x, feeding=feeding, inplace=True)
    assert found.model is net
    assert isinstance(net[0], ModeLinear)
    torch.testing.assert_close(net(x), wanted, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("feeding", ["original", "compressed"])
def test_one_layer_in_two_places_stays_one_layer(inplace: bool, feeding: str) -> None:
    layer = nn.Linear(12, 12).double()
    net = nn.Sequential(layer, nn.ReLU(), layer)
    found = to_modes(net, 2, inplace=inplace, calibration=inputs(), feeding=feeding)
    assert found[0] is found[2]
    assert isinstance(found[0], ModeLinear)


def test_a_single_layer_becomes_a_mode_layer() -> None:
    layer = nn.Linear(12, 16).double()
    for inplace in (False, True):
        found = convert(layer, 3, inplace=inplace)
        assert isinstance(found.model, ModeLinear)
        assert [row.name for row in found.layers] == [""]


def test_embeddings_keep_their_padding_where_it_is_zero_and_its_vector_where_it_is_not() -> None:
    torch.manual_seed(0)
    plain, odd = (nn.Embedding(30, 8, padding_idx=2).double() for _ in range(2))
    with torch.no_grad():
        odd.weight[2] = 1.0
    tokens = torch.arange(30)
    for layer, padding in ((plain, 2), (odd, None)):
        found = convert(nn.Sequential(layer), {"0": 8}, calibration=None)
        torch.testing.assert_close(found.model(tokens), layer(tokens), atol=1e-13, rtol=1e-13)
        assert found.model[0].padding_idx == padding
    told = rows(convert(nn.Sequential(plain, nn.Linear(8, 20).double()), 3, calibration=tokens))
    assert (told["0"].output_error, told["1"].output_error is None) == (None, False)
    assert "cut by its weight" in told["0"].reason


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell])
def test_cells_become_modes_in_both_weights_or_in_none(kind: Any) -> None:
    torch.manual_seed(0)
    cell, x = kind(10, 12).double(), inputs(6, 10)
    full = to_modes(cell, {"ih": 10, "hh": 12})
    torch.testing.assert_close(full(x), cell(x), atol=1e-13, rtol=1e-13)
    told = rows(convert(nn.ModuleDict({"cell": cell}), 2))
    assert [told[name].modes for name in ("cell.ih", "cell.hh")] == [2, 2]
    told = rows(convert(nn.ModuleDict({"cell": cell}), {"cell.ih": 2}))
    assert told["cell.hh"].modes == most_that_save(cell.weight_hh)
    assert "the most that save" in told["cell.hh"].reason
    thin = rows(convert(nn.ModuleDict({"cell": kind(1, 12), "head": nn.Linear(12, 12)}), 2))
    assert (thin["cell"].modes, thin["head"].modes) == (None, 2)
    calibrated = rows(convert(cell, 2, calibration=x))
    assert calibrated["ih"].output_error is not None
    assert calibrated["hh"].output_error is None


def most_that_save(weight: torch.Tensor) -> int:
    out, inn = weight.shape
    return max(p for p in range(1, min(out, inn) + 1) if p * (out + inn + 1) < out * inn)


def test_an_encoder_layer_of_torch_gives_the_same_on_its_fast_path() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    found = convert(layer, 4)
    assert {name for name, row in rows(found).items() if row.factored} == {"linear1", "linear2"}
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(found.model(x), truncated_encoder(layer)(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.model(x), truncated_encoder(layer)(x), atol=1e-5, rtol=1e-5)


def truncated_encoder(layer: nn.Module) -> nn.Module:
    twin = copy.deepcopy(layer)
    for name in ("linear1", "linear2"):
        setattr(twin, name, truncated_twin(nn.Sequential(getattr(layer, name)), 4)[0])
    return twin


def test_modes_beyond_the_rank_of_a_weight_say_that_they_cannot_be_trained() -> None:
    net = mlp()
    with torch.no_grad():
        net[0].weight.copy_(torch.outer(net[0].weight[:, 0], net[0].weight[0]))
    told = rows(convert(net, 3))
    assert "rank 1" in told["0"].reason
    assert "rank" not in told["2"].reason


def test_a_layer_that_gives_nothing_on_the_data_stays() -> None:
    net = nn.Sequential(nn.Linear(12, 16), nn.Linear(16, 12)).double()
    with torch.no_grad():
        net[0].weight.zero_()
    told = rows(convert(net, 2, calibration=inputs(), centred=False))
    assert told["0"].modes is None
    assert "gives nothing that varies" in told["0"].reason


def test_what_is_selected_by_globs_and_size_is_converted_alone() -> None:
    net = mlp()
    for options, wanted in (
        ({"include": "0*"}, {"0"}),
        ({"include": ["2.weight", "4"]}, {"2"}),
        ({"exclude": "2.weight"}, {"0"}),
        ({"min_dim": 13}, {"2"}),
    ):
        told = rows(convert(net, 3, **options))  # type: ignore[arg-type]
        assert {name for name, row in told.items() if row.factored} == wanted
    assert "short side 12" in told["0"].reason


def test_progress_counts_layers() -> None:
    told: list[Any] = []
    convert(mlp(), 3, progress=lambda *said: told.append(said))
    assert told == [("modes", 1, 3), ("modes", 2, 3), ("modes", 3, 3)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "expected one of modes, energy, outliers and budget, got none"),
        ({"modes": 3, "energy": 0.5}, "got modes and energy"),
        ({"modes": 0}, "whole number from 1"),
        ({"modes": -2}, "whole number from 1"),
        ({"modes": 2.5}, "whole number from 1"),
        ({"modes": "all"}, "'auto', got 'all'"),
        ({"modes": 500}, "a layer that gains by it, got none"),
        ({"modes": {"0": 13}}, "0: expected at most 12 modes"),
        ({"modes": {"0": 0}}, "whole number from 1"),
        ({"modes": {"fc": 3}}, "got 'fc'; did you mean"),
        ({"modes": {"1": 3}}, "expected names of layers, got '1'"),
        ({"modes": 3, "include": "nothing"}, "not selected"),
        ({"modes": {"0": 3}, "exclude": "0"}, "layer '0' cannot be in modes: not selected"),
        ({"energy": 1.5}, "energy: expected a share"),
        ({"budget": 0}, "budget: expected a share"),
        ({"budget": -0.5}, "budget: expected a share"),
        ({"budget": float("nan")}, "budget: expected a share"),
        ({"budget": 0.5, "budget_by": "bytes"}, "parameters or flops, got 'bytes'"),
        ({"budget": 0.5, "budget_by": "flops"}, "expected a calibration"),
        ({"modes": 3, "feeding": "both"}, "original or compressed, got 'both'"),
        ({"modes": 3, "feeding": "compressed"}, "calibration as data"),
        ({"modes": 3, "min_dim": 0}, "min_dim"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = mlp()
    before = state(net)
    monkeypatch.setattr(conversion, "_copied", lambda *_: pytest.fail("it was copied"))
    with pytest.raises(UsageError, match=said):
        convert(net, **options)
    assert unchanged(net, before)


def test_networks_without_layers_for_modes_are_refused_with_the_reasons() -> None:
    with pytest.raises(UsageError, match=r"got Sequential without \(0: a convolution in 2 groups"):
        convert(nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), 1)
    with pytest.raises(UsageError, match="got ReLU without"):
        convert(nn.ReLU(), 1)
    with pytest.raises(UsageError, match=r"nn\.Module, got dict"):
        convert({}, 1)
    with pytest.raises(UsageError, match="in modes already"):
        convert(to_modes(mlp(), {"0": 2, "2": 2, "4": 2}), 2)


def test_a_calibration_of_another_network_is_refused_by_the_name_of_the_weight() -> None:
    other = calibrate(nn.Sequential(nn.Linear(5, 5)), torch.ones(3, 5))
    with pytest.raises(UsageError, match=r"0\.weight: expected moments of 12 inputs"):
        convert(mlp(), 3, calibration=other)


def test_a_network_that_cannot_be_copied_says_so() -> None:
    net = mlp()
    net.held = (i for i in range(3))  # type: ignore[assignment]
    with pytest.raises(UsageError, match=r"can be copied.*inplace=True"):
        convert(net, 3)
    assert convert(net, 3, inplace=True).model is net


def test_the_shipped_network_halved_by_its_inputs_keeps_what_it_says_of_nearly_all_images() -> None:
    x = torch.from_numpy(tasks.digits().x_train[:120]).reshape(-1, 1, 8, 8)
    net = digits()
    small = convert(net, budget=0.5, calibration=x, batch=60)
    assert small.parameters <= 0.5 * small.dense_parameters
    with torch.no_grad():
        same = (small.model(x).argmax(1) == net(x).argmax(1)).float().mean()
    assert same >= 0.97
    layer = rows(small)["8"]
    with torch.no_grad():
        h = net[:8](x)
        rest = (net[8](h) - small.model[8](h)).numpy()
    scale = np.trace(net[8].weight.double().detach().numpy() @ of(h.numpy()).covariance @ net[8].weight.double().detach().numpy().T)
    assert np.sqrt(np.mean(np.sum(rest**2, axis=1)) / scale) == pytest.approx(layer.output_error, rel=1e-3)


def test_half_precision_tells_the_error_of_the_rounded_factors() -> None:
    net = mlp(torch.bfloat16)
    found = convert(net, {"0": 12})
    stored, wanted = found.model[0].modes().weight, net[0].weight.detach().double().numpy()
    error = rows(found)["0"].error
    assert error == pytest.approx(np.linalg.norm(stored - wanted) / np.linalg.norm(wanted), rel=1e-9)
    assert 1e-4 < error < 1e-1


def test_a_layer_of_transformers_that_stores_its_weight_the_other_way_becomes_a_linear_one() -> None:
    class Conv1D(nn.Module):
        __module__ = "transformers.pytorch_utils"

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(12, 20).double()), nn.Parameter(torch.randn(20).double())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight + self.bias

    torch.manual_seed(0)
    net, x = nn.Sequential(Conv1D()), inputs()
    torch.testing.assert_close(to_modes(net, {"0": 12})(x), net(x), atol=1e-12, rtol=1e-12)
    told = rows(convert(net, 3, calibration=x))["0"]
    assert (told.shape, told.parameters, told.output_error is None) == ((12, 20), 3 * 33, False)
