"""A compressed file in a network: the same outputs as the weights it stands for, and clear errors for other networks."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modes_compression_cases import inputs
from modescope.errors import UnreadableError, UsageError
from modescope.modes.calibration import Calibration
from modescope.modes.compression import compress
from modescope.modes.conversion import to_modes
from modescope.modes.conversion.dense import export
from modescope.modes.conversion.loading import load_compressed
from modescope.modes.modules.base import ModeLayer

FACTORED, DENSE = "factored.safetensors", "dense.safetensors"


class Net(nn.Module):
    """Tokens to a grid to classes: every kind of layer that modes can stand for, and a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(40, 36, padding_idx=0)
        self.line = nn.Conv1d(1, 24, 7, stride=2, padding=3)
        self.norm = nn.BatchNorm1d(24)
        self.grid = nn.Conv2d(1, 16, (5, 3), bias=False)
        self.fc = nn.Linear(16 * 20 * 16, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N,) to (N, 12)."""
        x = torch.relu(self.norm(self.line(self.emb(tokens)[:, None])))
        out: Tensor = self.fc(torch.relu(self.grid(x[:, None])).flatten(1))
        return out


@pytest.fixture
def network(tmp_path: Path) -> nn.Module:
    torch.manual_seed(0)
    net = Net().double()
    nn.init.normal_(net.emb.weight)
    net(torch.arange(40))  # the batch norm sees something
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    return net.eval()


def test_the_factored_form_gives_what_the_dense_form_gives(network: nn.Module, tmp_path: Path) -> None:
    for form in ("factored", "dense"):
        compress(tmp_path / "model.safetensors", tmp_path / f"{form}.safetensors", modes=4, embeddings=True, form=form)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    factored, dense = (load_compressed(tmp_path / name, network) for name in (FACTORED, DENSE))
    assert {name for name, one in factored.named_modules() if isinstance(one, ModeLayer)} == {"emb", "line", "grid", "fc"}
    assert not any(isinstance(one, ModeLayer) for one in dense.modules())
    tokens = torch.arange(40)
    with torch.no_grad():
        assert not torch.allclose(dense(tokens), network(tokens), rtol=1e-2)
        torch.testing.assert_close(factored(tokens), dense(tokens), rtol=1e-10, atol=1e-10)
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert {name: one.requires_grad for name, one in factored.named_parameters()}["fc.s"]
    assert not factored.training


def test_its_state_dict_is_the_file_again(network: nn.Module, tmp_path: Path) -> None:
    compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=4, embeddings=True)
    loaded = load_compressed(tmp_path / FACTORED, network)
    state, file = loaded.state_dict(), load_file(tmp_path / FACTORED)
    assert state.keys() == file.keys()
    assert all(torch.equal(state[name], file[name]) for name in file)
    again = load_compressed(tmp_path / FACTORED, loaded)  # into mode layers of the same numbers
    assert all(torch.equal(one, file[name]) for name, one in again.state_dict().items())


def test_in_place_changes_the_network_itself_and_what_is_frozen_stays_so(network: nn.Module, tmp_path: Path) -> None:
    compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=4)
    network.fc.weight.requires_grad_(False)  # type: ignore[union-attr]
    network.train()
    loaded = load_compressed(tmp_path / FACTORED, network, inplace=True)
    assert loaded is network
    assert isinstance(network.fc, ModeLayer)
    assert not network.fc.xi_out.requires_grad
    assert network.fc.bias is not None
    assert network.fc.bias.requires_grad
    assert network.fc.training


def test_a_calibrated_file_brings_its_moved_bias(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fc = nn.Linear(30, 20).double()
    save_file({f"fc.{name}": one for name, one in fc.state_dict().items()}, tmp_path / "model.safetensors")
    x, moments = inputs(30)
    calibration = Calibration({"fc": moments}, {"fc": 1.0}, len(x), "planted", {})
    told = compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=5, calibration=calibration)["fc.weight"]
    loaded = load_compressed(tmp_path / FACTORED, nn.ModuleDict({"fc": fc}))["fc"]
    with torch.no_grad():
        before, after = fc(torch.from_numpy(x)), loaded(torch.from_numpy(x))
    lost = (before - after).norm() / (before - before.mean(0)).norm()
    assert float(lost) == pytest.approx(told.output_error, rel=1e-9)


def test_a_square_weight_that_the_names_took_for_its_transpose_is_turned_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.ModuleDict({"c_fc": nn.Linear(10, 30), "c_proj": nn.Linear(12, 12)}).double()
    tensors = {"config.model_type": "gpt2"}  # says that c_proj is stored (in, out), which this network does not do
    (tmp_path / "gpt").mkdir()
    (tmp_path / "gpt" / "config.json").write_text(json.dumps({"model_type": tensors["config.model_type"]}))
    save_file({name: one for name, one in network.state_dict().items() if "proj" in name}, tmp_path / "gpt" / "model.safetensors")
    compress(tmp_path / "gpt", tmp_path / FACTORED, modes=3)
    stored = load_file(tmp_path / FACTORED)
    kept = (stored["c_proj.xi_out"] * stored["c_proj.s"]) @ stored["c_proj.xi_in"]
    alone = nn.ModuleDict({"c_proj": network["c_proj"]})
    loaded = load_compressed(tmp_path / FACTORED, alone)["c_proj"]
    torch.testing.assert_close(loaded.weight, kept.T)
    u, s, vh = torch.linalg.svd(network["c_proj"].weight.detach())
    torch.testing.assert_close(loaded.weight.detach(), (u[:, :3] * s[:3]) @ vh[:3])


def test_a_half_precision_network_takes_the_file_in_its_dtype(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(16, 16)).bfloat16()
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=3, dtype="float32")
    loaded = load_compressed(tmp_path / FACTORED, net)
    assert {one.dtype for one in loaded.parameters()} == {torch.bfloat16}
    assert loaded(torch.ones(2, 16, dtype=torch.bfloat16)).dtype == torch.bfloat16


def changed(network: nn.Module, **modules: nn.Module) -> nn.Module:
    other = copy.deepcopy(network)
    for name, module in modules.items():
        setattr(other, name, module)
    return other


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        ({"fc": nn.Linear(10, 12)}, r"'fc.xi_in': expected shape \(4, 10\), as in the network, got \(4, 5120\)"),
        ({"fc": nn.Identity()}, "'fc': expected a layer of the network that modes can stand for, got none: it has no weight"),
        ({"fc": nn.Bilinear(2, 2, 2)}, "'fc': expected a layer of the network that modes can stand for"),
        ({"fc": nn.Linear(5120, 12, bias=False)}, "'fc.bias', that the network has not"),
        ({"more": nn.Linear(2, 2)}, "'more.weight', 'more.bias', that the network has and the file has not"),
        ({"grid": nn.Conv2d(4, 16, (5, 3), groups=4, bias=False)}, "groups"),
    ],
)
def test_another_network_is_refused_and_stays_as_it_is(swap: Any, said: str, network: nn.Module, tmp_path: Path) -> None:
    compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=4, embeddings=True)
    other = changed(network, **swap)
    before = list(other.state_dict())
    with pytest.raises(UsageError, match=said):
        load_compressed(tmp_path / FACTORED, other, inplace=True)
    assert list(other.state_dict()) == before


def test_a_file_that_lacks_a_factor_or_is_no_safetensors_is_unreadable(network: nn.Module, tmp_path: Path) -> None:
    compress(tmp_path / "model.safetensors", tmp_path / FACTORED, modes=4)
    state = load_file(tmp_path / FACTORED)
    save_file({name: one for name, one in state.items() if name != "fc.s"}, tmp_path / "lacking.safetensors")
    with pytest.raises(UnreadableError, match=r"'fc': expected xi_out .* got no 'fc.s'"):
        load_compressed(tmp_path / "lacking.safetensors", network)
    save_file(state | {"fc.s": torch.ones(9, dtype=torch.float64)}, tmp_path / "odd.safetensors")
    with pytest.raises(UnreadableError, match=r"'fc': expected xi_out"):
        load_compressed(tmp_path / "odd.safetensors", network)
    np.savez(tmp_path / "model.npz", a=np.ones(3))
    with pytest.raises(UnreadableError, match="expected a safetensors file"):
        load_compressed(tmp_path / "model.npz", network)
    save_file(state, tmp_path / "said.safetensors", {"modescope": "no JSON"})
    with pytest.raises(UnreadableError, match="expected metadata as compress writes it"):
        load_compressed(tmp_path / "said.safetensors", network)


class Looped(nn.Module):
    """A cell of each kind, and one layer at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.gated = nn.RNNCell(12, 10, nonlinearity="relu"), nn.GRUCell(10, 10, bias=False)
        self.first = nn.Linear(10, 10)
        self.second = self.first

    def forward(self, x: Tensor) -> Tensor:
        """(N, 12) to (N, 10)."""
        h = self.gated(self.plain(x), torch.ones(len(x), 10, dtype=x.dtype))
        out: Tensor = self.second(torch.tanh(self.first(h)))
        return out


def test_cells_and_a_layer_at_two_places_are_loaded_from_the_state_of_a_converted_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Looped().double().eval()
    network.plain.weight_hh.requires_grad_(False)
    small = to_modes(network, 3)
    export(small, tmp_path / FACTORED)
    loaded = load_compressed(tmp_path / FACTORED, network)
    x = torch.randn(7, 12, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.allclose(small(x), network(x), rtol=1e-2)
        torch.testing.assert_close(loaded(x), small(x), rtol=1e-12, atol=1e-12)
    assert loaded.first is loaded.second
    assert not loaded.plain.hh.xi_in.requires_grad
    assert loaded.plain.ih.xi_in.requires_grad
    state = load_file(tmp_path / FACTORED)
    save_file({name: one for name, one in state.items() if not name.startswith("second")}, tmp_path / "once.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(load_compressed(tmp_path / "once.safetensors", network)(x), small(x), rtol=1e-12, atol=1e-12)
    save_file({name: one for name, one in state.items() if not name.startswith("gated.hh")}, tmp_path / "half.safetensors")
    with pytest.raises(UsageError, match=r"'gated': expected modes of both weights of a cell, got none of 'gated\.hh'"):
        load_compressed(tmp_path / "half.safetensors", network)
