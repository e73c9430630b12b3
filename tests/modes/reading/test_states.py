"""States and mode activations by depth: against what a network gives by hand, and nothing left in the network."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modes_trained_cases import same, state
from modescope.errors import UsageError
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.embedding import ModeEmbedding
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading.evaluating import Sample
from modescope.modes.reading.latent import Overlap, participation_ratio
from modescope.modes.reading.states import Space, chosen, mode_activations, spaces


def net() -> nn.Sequential:
    drawn = torch.Generator().manual_seed(0)
    layers = [
        ModeLinear(12, 20, 7, generator=drawn),
        nn.ReLU(),
        nn.Linear(20, 15),
        nn.ReLU(),
        ModeLinear(15, 9, 6, generator=drawn),
    ]
    return nn.Sequential(*layers).double()


def data(shape: tuple[int, ...] = (12,), count: int = 300) -> Sample:
    rng = np.random.default_rng(0)
    return Sample(rng.standard_normal((count, *shape)), np.arange(count) % 3)


def by_key(found: tuple[Space, ...]) -> dict[tuple[str, str], Space]:
    return {(one.place, one.what): one for one in found}


def test_states_are_what_enters_each_layer_and_leaves_the_network_in_order() -> None:
    model, given = net(), data()
    before = state(model)
    found = spaces(model, given, network="mine")
    assert same(before, state(model))
    assert [(one.place, one.what, one.depth) for one in found] == [
        ("0", "states", 0),
        ("2", "states", 1),
        ("4", "states", 2),
        ("outputs", "states", 3),
        ("0", "modes", 0),
        ("4", "modes", 2),
    ]
    with torch.no_grad():
        x = torch.from_numpy(given.x)
        wanted = {("0", "states"): x, ("2", "states"): model[:2](x), ("4", "states"): model[:4](x), ("outputs", "states"): model(x)}
        wanted |= {("0", "modes"): x @ model[0].xi_in.T, ("4", "modes"): model[:4](x) @ model[4].xi_in.T}  # type: ignore[operator]
    for key, values in wanted.items():
        one = by_key(found)[key]
        assert (one.dimension, one.rows, one.network) == (values.shape[1], 300, "mine")
        assert one.participation == pytest.approx(participation_ratio(np.cov(values.numpy().T)), rel=1e-10)


def test_batches_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    whole = by_key(spaces(model, data()))
    monkeypatch.setattr("modescope.modes.reading.evaluating.HELD", 20 * 7)
    for key, one in by_key(spaces(model, data())).items():
        other = whole[key]
        assert one.participation == pytest.approx(other.participation, rel=1e-9)
        assert isinstance(one.overlap, Overlap)
        assert isinstance(other.overlap, Overlap)
        assert one.overlap.mean == pytest.approx(other.overlap.mean, rel=1e-9)


def test_classes_in_subspaces_of_their_own_show_as_overlap_0_and_without_classes_there_is_none() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    x = np.zeros((200, 12))
    x[labels == 0, :5], x[labels == 1, 6:11] = rng.standard_normal((100, 5)), rng.standard_normal((100, 5))
    found = by_key(spaces(net(), Sample(x, labels)))["0", "states"].overlap
    assert isinstance(found, Overlap)
    assert found.mean == pytest.approx(0, abs=1e-12)
    numbers = by_key(spaces(net(), Sample(x, rng.standard_normal((200, 9)))))["0", "states"]
    assert numbers.overlap == "there are no classes"


def test_every_position_of_a_convolution_is_a_sample_of_its_channels() -> None:
    drawn = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        ModeConv2d(3, 6, 3, 5, padding=1, generator=drawn), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 2)
    ).double()
    given = Sample(np.random.default_rng(0).standard_normal((40, 3, 4, 4)), np.arange(40) % 2)
    found = by_key(spaces(model, given))
    assert (found["0", "states"].dimension, found["0", "states"].rows) == (3, 640)
    assert (found["0", "modes"].dimension, found["3", "states"].dimension) == (5, 96)
    with torch.no_grad():
        layer: Any = model[0]
        m = nn.functional.conv2d(torch.from_numpy(given.x), layer.xi_in, padding=1).movedim(1, -1).reshape(-1, 5)
    assert mode_activations(model, "0", given) == pytest.approx(m.numpy(), abs=1e-12)


def test_tied_layers_and_embeddings_have_mode_activations_too() -> None:
    tied = ModeMLP([12, 8, 8, 3], 4, tied=True, generator=torch.Generator().manual_seed(0)).double()
    layer: Any = tied.layers[0]
    assert mode_activations(tied, "layers.0", data()) == pytest.approx(data().x @ layer.xi_in.detach().numpy().T, abs=1e-12)
    embedded = ModeEmbedding(11, 6, 4, bias=True).double()
    tokens = Sample(np.arange(11), np.zeros((11, 6)))
    assert mode_activations(embedded, "", tokens) == pytest.approx(embedded.xi_in.detach().numpy().T, abs=1e-12)


def test_orthonormal_patterns_and_a_layer_that_is_called_by_name_have_mode_activations_too() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drawn = torch.Generator().manual_seed(0)
            self.grid = ModeConv2d(2, 6, 2, 3, orthogonal=True, generator=drawn).double()
            self.last = ModeLinear(6, 2, 2, generator=drawn).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.last(input=self.grid(input=x).flatten(2).mean(2))
            return found

    model, given = Named(), Sample(np.random.default_rng(0).standard_normal((20, 2, 3, 3)), np.arange(20) % 2)
    with torch.no_grad():
        m = nn.functional.conv2d(torch.from_numpy(given.x), model.grid.xi_in).movedim(1, -1).reshape(-1, 3)
    assert mode_activations(model, "grid", given) == pytest.approx(m.numpy(), abs=1e-12)
    assert by_key(spaces(model, given))["last", "modes"].dimension == 2


def test_one_kind_can_be_chosen() -> None:
    assert {one.what for one in chosen(spaces(net(), data()), "modes")} == {"modes"}


def test_a_network_without_layers_to_look_at_and_an_unknown_layer_are_refused() -> None:
    with pytest.raises(UsageError, match="expected linear layers"):
        spaces(nn.Sequential(nn.Flatten()), Sample(np.ones((4, 3)), np.zeros(4, int)))
    with pytest.raises(UsageError, match=r"one of those in modes \(0, 4\), got '2'"):
        mode_activations(net(), "2", data())
