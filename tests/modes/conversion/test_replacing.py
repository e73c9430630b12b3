"""Swaps of modules: everywhere where a module stood, in order, and back."""

import pickle

import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.modes.conversion.replacing import Swaps, in_modes, plain
from modescope.modes.factors import Modes
from modescope.modes.modules.base import ModeLayer
from modescope.modes.truncation import of_weight


def test_a_module_is_replaced_wherever_it_stands_and_all_come_back_in_their_places() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    net = nn.ModuleDict({"x": a, "inner": nn.Sequential(b, a)})
    swaps = Swaps(net)
    c, d = nn.Linear(2, 2), nn.Linear(2, 2)
    swaps.put(a, c)
    swaps.put(c, d)
    swaps.put(b, c)
    assert (net["x"], net["inner"][0], net["inner"][1]) == (d, c, d)
    swaps.back()
    assert (net["x"], net["inner"][0], net["inner"][1]) == (a, b, a)
    swaps.put(net, c)
    assert swaps.model is c


def test_the_bias_takes_the_shift_in_float64_and_is_rounded_once() -> None:
    layer = nn.Linear(3, 1, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.bias.fill_(256.0)
    modes = Modes([[1.0]], [1.0], [[1.0, 0.0, 0.0]])  # type: ignore[arg-type]
    new = in_modes(layer, {"weight": modes}, {"weight": torch.tensor([1.5]).numpy()})  # 257.5, of which bfloat16 holds 258
    assert new.bias.item() == 258.0
    assert new.xi_in.dtype == torch.bfloat16


def test_what_is_no_mode_layer_has_no_plain_form_and_random_numbers_are_left_alone() -> None:
    from modescope.modes.modules.linear import ModeLinear

    with pytest.raises(UsageError, match="expected a mode layer, got Linear"):
        plain(nn.Linear(2, 2))
    with pytest.raises(UsageError, match="of this library, got ModeLayer"):
        plain(ModeLayer(2, 2, 1))
    layer = ModeLinear(4, 4, 2)
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    plain(layer)
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize(("layer", "leaves"), [(nn.Linear(6, 5), ["weight"]), (nn.GRUCell(4, 3), ["weight_ih", "weight_hh"])])
def test_a_layer_made_from_a_weight_can_be_pickled_and_drawn_anew(layer: nn.Module, leaves: list[str]) -> None:
    modes = {leaf: of_weight(getattr(layer, leaf).detach().numpy()).modes(2) for leaf in leaves}
    new = in_modes(layer, modes, dict.fromkeys(leaves))
    again = pickle.loads(pickle.dumps(new))
    assert all(torch.equal(one, other) for one, other in zip(new.parameters(), again.parameters(), strict=True))
    before = [one.detach().clone() for one in again.parameters()]
    for part in again.modules():
        if isinstance(part, ModeLayer):
            part.reset_parameters()
    assert not any(torch.equal(one, other) for one, other in zip(before, again.parameters(), strict=True))
