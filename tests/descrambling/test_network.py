"""A network in the order that was found: the same function, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from modescope.descrambling import descramble
from modescope.errors import UsageError

ONLY: dict[str, Any] = {"criterion": "permutation", "readings": (), "controls": ()}
X = np.random.default_rng(0).standard_normal((60, 5))


def net() -> nn.Sequential:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Linear(5, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    made[1].running_mean.normal_()
    made[1].running_var.uniform_(0.5, 2)
    return made.eval()


def answers(model: nn.Module, x: Any) -> np.ndarray:
    with torch.no_grad():
        return model(torch.as_tensor(x)).numpy()


@pytest.mark.parametrize(("layer", "side"), [("0", "left"), ("3", "left"), ("3", "right"), ("5", "joint")])
def test_a_live_network_in_the_new_order_answers_the_same(layer: str, side: str) -> None:
    model, x = net(), torch.from_numpy(X)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = descramble(model, layer=layer, inputs=x, side=side, **ONLY)
    made = found.reordered(model, inputs=[x[:30], x[30:]])
    assert made.proof == "the network"
    assert made.difference.relative < 1e-12
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    other = net()
    other.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in made.state.items()})
    np.testing.assert_allclose(answers(other, X), answers(model, X), atol=1e-12)
    weight = made.state[f"{layer}.weight"]
    assert not np.array_equal(weight, found.weight)
    np.testing.assert_array_equal(weight, found.view)


def test_a_checkpoint_is_proven_by_the_layers_that_meet_and_saved(tmp_path: Path) -> None:
    model = net()
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_file(state, tmp_path / "net.safetensors")
    found = descramble(tmp_path / "net.safetensors", layer="0", inputs=X, **ONLY)
    made = found.reordered(tmp_path / "net.safetensors")
    assert made.proof == "the layers that meet"
    assert made.difference.relative < 1e-12
    made.save(tmp_path / "new.safetensors")
    other = net()
    other.load_state_dict({name: torch.from_numpy(array) for name, array in load_file(tmp_path / "new.safetensors").items()})
    np.testing.assert_allclose(answers(other, X), answers(model, X), atol=1e-12)
    np.testing.assert_array_equal(other[0].weight.detach().numpy(), found.view)
    with pytest.raises(UsageError, match="safetensors"):
        made.save(tmp_path / "new.npz")


def test_the_layers_that_meet_tell_a_wrong_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    from modescope.descrambling import reordering

    def half(state: Any, plan: Any) -> dict[str, Any]:
        take = plan.takes[0]
        return dict(state) | {take.tensor: np.take(state[take.tensor], take.index, axis=take.axis)}

    state = {name: tensor.numpy() for name, tensor in net().state_dict().items()}
    found = descramble(state, layer="3", inputs=np.random.default_rng(1).standard_normal((40, 9)), **ONLY)
    monkeypatch.setattr(reordering, "reordered", half)
    with pytest.raises(UsageError, match=r"3\.weight: the network in the new order is another function"):
        found.reordered(state)


class Added(nn.Module):
    """A stream into which two layers write, each of which reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.one(x))
        return self.three(h + torch.tanh(self.two(h)))


def test_a_stream_is_put_in_one_order_by_all_that_write_it() -> None:
    torch.manual_seed(1)
    model, x = Added().double(), torch.from_numpy(X)
    made = descramble(model, layer="one", inputs=x, **ONLY).reordered(model, inputs=x)
    assert set(made.plan.writers) == {"one.weight", "two.weight"}
    assert made.difference.relative < 1e-12
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    pairs = [("one.weight", "two.weight"), ("one.weight", "three.weight"), ("two.weight", "three.weight")]
    alone = descramble(state, layer="one", inputs=X, **ONLY).reordered(state, wiring=pairs)
    assert alone.proof == "the layers that meet"  # of which the second is turned on both of its sides
    np.testing.assert_array_equal(alone.state["two.weight"], made.state["two.weight"])


def test_what_cannot_be_ordered_says_why() -> None:
    model, x = net(), torch.from_numpy(X)
    with pytest.raises(UsageError, match="expected the criterion permutation, got smoothness"):
        descramble(model, layer="0", inputs=x, readings=(), controls=()).reordered(model)
    last = descramble(model, layer="5", inputs=x, **ONLY)
    with pytest.raises(UsageError, match="no layer is known to read it"):
        last.reordered(model, inputs=x)
    first = descramble(model, layer="0", inputs=x, side="right", **ONLY)
    with pytest.raises(UsageError, match="no layer is known to write what it reads"):
        first.reordered(model, inputs=x)
    with pytest.raises(UsageError, match="gone through again"):
        last.reordered(model, inputs=iter([x]))
    with pytest.raises(UsageError, match="live module"):
        last.reordered({name: tensor.numpy() for name, tensor in model.state_dict().items()}, inputs=x)


def test_a_network_that_ends_in_maps_of_channels_is_run_as_well() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 3)).double().eval()
    x = torch.randn(4, 2, 9, 9, dtype=torch.float64)
    made = descramble(model, layer="0", inputs=x, **ONLY).reordered(model, inputs=x)
    assert made.proof == "the network"
    assert made.difference.relative < 1e-12
    with pytest.raises(UsageError, match="inputs that the model runs on"):
        descramble(model, layer="0", inputs=x, **ONLY).reordered(model, inputs=[x, x[:, :1]])
