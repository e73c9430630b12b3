"""Pruning and growing: outputs kept to the last bit, survivors with what the optimizer knows of them, a planted rank found."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modes_training_cases import blobs, net, teacher
from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import Grow, KeepEnergy, PruneBelow
from modescope.modes.training.resizing import add, drop, exchange, fit_to, resizable

RNG = np.random.default_rng(0)


def whole(outputs: int = 7, inputs: int = 9, p: int = 4) -> ModeLinear:
    """A layer whose factors are small whole numbers, so that sums are exact in any order."""
    layer = ModeLinear(inputs, outputs, p, dtype=torch.float64)
    layer.set_modes(Modes(*(RNG.integers(1, 9, shape) for shape in ((outputs, p), p, (p, inputs)))))
    return layer


def stepped(layer: nn.Module, x: torch.Tensor, steps: int = 3) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01)
    for _ in range(steps):
        step(layer, optimizer, x)
    return optimizer


def step(layer: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    optimizer.zero_grad()
    (layer(x) ** 2).mean().backward()
    optimizer.step()


@pytest.mark.parametrize("make", [whole, lambda: ModeConv2d(2, 5, 3, 4, dtype=torch.float64)])
def test_added_modes_change_no_output_and_take_a_gradient_at_once(make: Any) -> None:
    layer = make()
    x = torch.from_numpy(RNG.integers(-5, 6, (3, 2, 6, 6) if layer.kernel else (3, 9)).astype(float))
    before = layer(x)
    add(layer, 2, np.random.default_rng(1))
    after = layer(x)
    assert layer.n_modes == 6
    assert torch.equal(before, after) if not layer.kernel else torch.allclose(before, after, rtol=0, atol=1e-12)
    (after * torch.linspace(-1, 1, after.numel(), dtype=torch.float64).reshape(after.shape)).sum().backward()
    assert (layer.xi_out.grad[:, 4:].abs().amax(0) > 0).all()  # one factor of zero learns; two would not
    assert (layer.xi_in.grad[4:] == 0).all()


def test_the_optimizer_keeps_what_it_knows_of_survivors_and_knows_nothing_of_new_modes() -> None:
    layer, x = whole(), torch.randn(5, 9, dtype=torch.float64)
    optimizer = stepped(layer, x)
    held = {name: optimizer.state[getattr(layer, name)]["exp_avg"].clone() for name in ("xi_out", "s", "xi_in")}
    drop(layer, [3, 1], optimizer)
    add(layer, 1, RNG, optimizer)
    known = {name: optimizer.state[getattr(layer, name)] for name in held}
    assert torch.equal(known["xi_out"]["exp_avg"][:, :2], held["xi_out"][:, [1, 3]])
    assert torch.equal(known["s"]["exp_avg"][:2], held["s"][[1, 3]])
    assert torch.equal(known["xi_in"]["exp_avg"][:2], held["xi_in"][[1, 3]])
    assert (known["xi_out"]["exp_avg_sq"][:, 2] == 0).all()
    assert all(one["step"] == 3 for one in known.values())
    assert {id(one) for one in optimizer.param_groups[0]["params"]} == {id(one) for one in layer.parameters()}
    assert set(optimizer.state) == set(layer.parameters())
    before = layer.xi_out.detach().clone()
    step(layer, optimizer, x)
    assert (layer.xi_out != before).all()


def test_dropping_leaves_the_other_modes_as_they_are() -> None:
    layer = whole()
    modes = layer.modes()
    drop(layer, [0, 2])
    assert np.array_equal(layer.modes().weight, (modes.xi_out[:, [0, 2]] * modes.s[[0, 2]]) @ modes.xi_in[[0, 2]])


def test_exchanged_modes_begin_anew_in_the_optimizer() -> None:
    layer, x = whole(), torch.randn(5, 9, dtype=torch.float64)
    optimizer = stepped(layer, x)
    exchange(layer, layer.modes(), optimizer)
    assert set(optimizer.state) == {layer.bias}
    step(layer, optimizer, x)
    assert optimizer.state[layer.s]["step"] == 1


@pytest.mark.parametrize("rank", [2, 4])
def test_a_planted_rank_is_found_without_loss(rank: int) -> None:
    task = teacher(rank)
    model = ModeLinear(12, 10, 10, bias=False, gain=1.0, generator=torch.Generator().manual_seed(0))
    found = fit(model, task, epochs=24, lr=0.03, halve_every=5, prune=KeepEnergy(0.9999, every=4, start=9))
    assert model.n_modes == rank
    assert found.epochs[-1].test_loss < 1e-4 * float((task.y_test**2).mean())
    assert found.epochs[0].modes == {"": 10}
    assert any(f"to {rank}, which hold" in said for row in found.epochs for said in row.changes)


def test_growth_finds_what_too_few_modes_cannot() -> None:
    task, losses = teacher(4), {}
    for grow in (None, Grow(1, most=4, every=2)):
        model = ModeLinear(12, 10, 1, bias=False, gain=1.0, generator=torch.Generator().manual_seed(0))
        found = fit(model, task, epochs=20, lr=0.03, halve_every=8, grow=grow)
        losses[grow is not None] = found.epochs[-1].test_loss
    assert model.n_modes == 4
    assert losses[True] < 1e-2 * losses[False]


def test_pruning_by_importance_drops_the_least_and_keeps_their_order() -> None:
    layer = ModeLinear(9, 7, 4, dtype=torch.float64)
    layer.set_modes(Modes(np.eye(7, 4), np.array([3.0, 0.02, -1.0, 0.5]), np.eye(4, 9)))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    assert PruneBelow(0.1, start=5)(layer, 4, optimizer, RNG) is None
    said = PruneBelow(0.1, start=5)(layer, 5, optimizer, RNG)
    assert said is not None
    assert said.startswith("4 modes to 3")
    assert layer.modes().s.tolist() == [3.0, -1.0, 0.5]
    assert PruneBelow(0.9, least=2)(layer, 2, optimizer, RNG) is not None
    assert layer.modes().s.tolist() == [3.0, -1.0]


def test_energy_is_that_of_the_weight_and_not_of_modes_one_by_one() -> None:
    """Two modes along one direction that cancel have large importance and little energy: only an exact truncation sees that."""
    layer = ModeLinear(9, 7, 3, dtype=torch.float64)
    layer.set_modes(Modes(np.eye(7, 3)[:, [0, 1, 1]], np.array([1.0, 5.0, -5.0]), np.eye(3, 9)[[0, 1, 1]]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    assert KeepEnergy(0.99)(layer, 2, optimizer, RNG) == "3 modes to 1, which hold 1 of the energy"
    assert np.allclose(layer.modes().weight, np.outer(np.eye(7)[0], np.eye(9)[0]), atol=1e-14)


def test_a_weight_of_zero_is_left_alone() -> None:
    layer = ModeLinear(9, 7, 3)
    layer.set_modes(Modes(np.zeros((7, 3)), np.ones(3), RNG.standard_normal((3, 9))))
    for rule in (KeepEnergy(), PruneBelow()):
        assert rule(layer, 2, torch.optim.SGD(layer.parameters(), lr=0.1), RNG) is None


def test_frozen_strengths_stay_1_through_pruning_and_growth() -> None:
    model = net(frozen_strength=True)
    fit(model, blobs(), epochs=5, prune=PruneBelow(0.4, every=2, least=2), grow=Grow(1, most=6, every=3))
    assert all((layer.s == 1).all() for layer in resizable(model).values())
    assert any(layer.n_modes != p for layer, p in zip(resizable(model).values(), (4, 3), strict=True))


def test_numbers_out_of_range_are_refused() -> None:
    for words, act in (
        ("share of the largest omega", lambda: PruneBelow(0)),
        ("share of the energy", lambda: KeepEnergy(1)),
        ("count and a limit", lambda: Grow(0)),
        ("start of 2 or more", lambda: Grow(1, start=1)),
        ("every of 1 or more", lambda: KeepEnergy(every=0)),
        ("some of the modes 0 to 3", lambda: drop(whole(), [4])),
        ("some of the modes 0 to 3", lambda: drop(whole(), [])),
        ("1 or more", lambda: add(whole(), 0, RNG)),
    ):
        with pytest.raises(UsageError, match=words):
            act()


def test_a_layer_at_two_places_takes_the_number_of_modes_of_a_file_at_both() -> None:
    def looped(p: int) -> nn.Sequential:
        layer = ModeLinear(8, 8, p, generator=torch.Generator().manual_seed(p))
        return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(8, 3))

    pruned, fresh = looped(2), looped(5)
    fit_to(fresh, pruned.state_dict(), "a file")
    fresh.load_state_dict(pruned.state_dict())
    assert fresh[0] is fresh[2]
    x = torch.ones(1, 8)
    assert torch.equal(fresh[:3](x), pruned[:3](x))


def test_growth_ends_with_the_last_mode_that_saves_parameters() -> None:
    layer = whole(outputs=7, inputs=9, p=1)  # 17 parameters a mode, 63 in the weight
    optimizer = torch.optim.AdamW(layer.parameters())
    for epoch in range(2, 8):
        Grow(1, every=1)(layer, epoch, optimizer, np.random.default_rng(0))
    assert layer.n_modes == 3
