"""Back from modes: the same function in plain layers, and files that plain programs open."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from modes_conversion_cases import convolutional, images, inputs, mlp
from modescope.errors import UsageError
from modescope.modes.conversion import to_dense, to_modes
from modescope.modes.conversion.dense import export
from modescope.modes.conversion.loading import load_compressed
from modescope.modes.modules.embedding import ModeEmbedding
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.modules.parametrised import parametrize_modes
from modescope.modes.modules.recurrent import ModeGRUCell, ModeRecurrent, ModeRNNCell


def full(net: nn.Module) -> dict[str, float]:
    """Numbers of modes that lose nothing."""
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding)
    return {
        name: min(module.weight.shape[0], module.weight[0].numel())
        for name, module in net.named_modules()
        if isinstance(module, kinds) and getattr(module, "groups", 1) == 1
    }


@pytest.mark.parametrize(("make", "data"), [(mlp, inputs), (convolutional, images)])
def test_there_and_back_gives_the_same_network_with_the_same_names(make: Any, data: Any) -> None:
    net, x = make(), data()
    back = to_dense(to_modes(net, full(net)))
    assert [type(module) for module in back.modules()] == [type(module) for module in net.modules()]
    assert list(back.state_dict()) == list(net.state_dict())
    for name, wanted in net.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], wanted, atol=1e-13, rtol=1e-13)
    torch.testing.assert_close(back(x), net(x), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_dense_weight_is_the_product_of_the_stored_factors_rounded_once(dtype: torch.dtype) -> None:
    layer = ModeLinear(9, 7, 3, dtype=dtype)
    xi_out, s, xi_in = (one.detach().double() for one in (layer.xi_out, layer.s, layer.xi_in))
    weight = to_dense(layer).weight
    assert weight.dtype == dtype
    torch.testing.assert_close(weight.detach(), ((xi_out * s) @ xi_in).to(dtype), atol=1e-16, rtol=2 * torch.finfo(dtype).eps)


def test_flags_are_carried_back() -> None:
    layer = ModeLinear(9, 7, 3).eval()
    layer.xi_in.requires_grad_(False)
    back = to_dense(layer)
    assert (back.training, back.weight.requires_grad, back.bias.requires_grad) == (False, False, True)


def test_embeddings_and_cells_become_those_of_torch() -> None:
    table = ModeEmbedding(20, 6, 3, padding_idx=1)
    back = to_dense(table)
    assert (type(back), back.padding_idx) == (nn.Embedding, 1)
    torch.testing.assert_close(back(torch.arange(20)), table(torch.arange(20)), atol=1e-5, rtol=1e-5)
    for cell in (ModeRNNCell(5, 6, 3, nonlinearity="relu"), ModeRNNCell(5, 6, 2, bias=False), ModeGRUCell(5, 6, (2, 3))):
        plain, x, h = to_dense(cell), torch.randn(4, 5), torch.randn(4, 6)
        assert type(plain) in (nn.RNNCell, nn.GRUCell)
        torch.testing.assert_close(plain(x, h), cell(x, h), atol=1e-5, rtol=1e-5)


def test_a_cell_along_a_sequence_stays_one_of_plain_layers() -> None:
    layer, x = ModeRecurrent(ModeGRUCell(5, 6, 3)), torch.randn(7, 2, 5)
    plain = to_dense(layer)
    assert type(plain.cell.ih) is type(plain.cell.hh) is nn.Linear
    torch.testing.assert_close(plain(x), layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_a_network_of_modes_becomes_one_of_linear_layers_also_where_it_is_tied(tied: bool) -> None:
    net, x = ModeMLP([12, 9, 8, 5], 3, tied=tied, over_complete=True).double(), inputs(6)
    around = nn.Sequential(net, nn.ReLU())
    for back in (to_dense(net), to_dense(around)[0]):
        assert {type(layer) for layer in back.layers} == {nn.Linear}
        torch.testing.assert_close(back(x), net(x), atol=1e-12, rtol=1e-12)
    assert net.tied == tied


def test_weights_that_are_computed_from_modes_become_plain_parameters() -> None:
    net = nn.Sequential(nn.Linear(8, 8))
    parametrize_modes(net[0], 3)
    wanted = net[0].weight.detach().clone()
    back = to_dense(net)
    assert set(back.state_dict()) == {"0.weight", "0.bias"}
    torch.testing.assert_close(back[0].weight.detach(), wanted)


def test_in_place_the_network_changes_and_after_an_error_it_is_as_it_was() -> None:
    net = nn.Sequential(ModeLinear(4, 4, 2), ModeEmbedding(9, 4, 2, bias=True))
    first = net[0]
    with pytest.raises(UsageError, match="embedding without a bias"):
        to_dense(net, inplace=True)
    assert net[0] is first
    good = nn.Sequential(ModeLinear(4, 4, 2))
    assert to_dense(good, inplace=True) is good
    assert type(good[0]) is nn.Linear


def test_what_has_no_modes_or_would_lose_hooks_is_refused() -> None:
    with pytest.raises(UsageError, match="with layers in modes, got Sequential without any"):
        to_dense(mlp())
    with pytest.raises(UsageError, match=r"nn\.Module, got int"):
        to_dense(3)
    net = nn.Sequential(ModeLinear(4, 4, 2))
    net[0].register_forward_hook(lambda *_: None)
    with pytest.raises(UsageError, match="0: expected a layer without hooks"):
        to_dense(net)


def test_files_open_in_plain_torch_in_both_forms(tmp_path: Path) -> None:
    net, x = to_modes(convolutional(), 3), images()
    net.eval()
    export(net, tmp_path / "factored.safetensors")
    export(net, tmp_path / "dense.safetensors", form="dense")
    plain = convolutional()
    plain.load_state_dict(load_file(tmp_path / "dense.safetensors"))
    torch.testing.assert_close(plain(x), net(x), atol=1e-12, rtol=1e-12)
    again = to_modes(convolutional(), 3)
    with torch.no_grad():
        for one in again.parameters():
            one.zero_()
    again.load_state_dict(load_file(tmp_path / "factored.safetensors"))
    torch.testing.assert_close(again(x), net(x), atol=0, rtol=0)
    with safe_open(tmp_path / "factored.safetensors", "pt") as file:
        said = file.metadata()
        assert {"0.xi_out", "0.s", "0.xi_in", "0.bias"} <= set(file.keys())
    assert json.loads(said["modes"]) == dict.fromkeys(("0", "4", "6", "8"), 3)
    assert said["form"] == "factored"
    torch.testing.assert_close(load_compressed(tmp_path / "factored.safetensors", plain).eval()(x), net(x), atol=0, rtol=0)
    assert torch.equal(load_compressed(tmp_path / "dense.safetensors", convolutional()).eval()(x), plain(x))


def test_tied_tensors_stand_under_each_of_their_names(tmp_path: Path) -> None:
    net = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "modes": ModeLinear(4, 4, 1)})
    net["b"].weight = net["a"].weight
    export(net, tmp_path / "m.safetensors")
    held = load_file(tmp_path / "m.safetensors")
    assert torch.equal(held["a.weight"], held["b.weight"])


def test_other_forms_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="factored or dense, got 'sparse'"):
        export(to_modes(mlp(), 3), tmp_path / "m.safetensors", form="sparse")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        export(to_modes(mlp(), 3), tmp_path / "file" / "m.safetensors")
