"""Loss and accuracy with other strengths: against copies of the network that were changed, and nothing changed in the network."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modes_trained_cases import same, state
from modescope.errors import UsageError
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading.evaluating import Sample, gradients, increases, mode_layers, sample, scored, strengths_of


def fully(seed: int = 0) -> nn.Sequential:
    drawn = torch.Generator().manual_seed(seed)
    layers = [
        ModeLinear(6, 9, 5, generator=drawn),
        nn.Dropout(),
        ModeLinear(9, 9, 4, generator=drawn),
        nn.BatchNorm1d(9),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, nn.Linear(9, 3)).double()


def convolved() -> nn.Sequential:
    drawn = torch.Generator().manual_seed(0)
    layer = ModeConv2d(2, 4, 3, 5, padding=1, generator=drawn)
    return nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).double()


def tied() -> ModeMLP:
    return ModeMLP([6, 9, 9, 3], 4, tied=True, generator=torch.Generator().manual_seed(0)).double()


class Branching(nn.Module):
    """A network whose path depends on a number, which cannot be run for all sets at once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ModeLinear(6, 3, 4, generator=torch.Generator().manual_seed(0)).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.first(x)
        return found if float(found.detach().sum()) > 0 else -found


class Again(nn.Module):
    """One layer at two places, under two names, called in turn."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(0)
        self.first = ModeLinear(6, 6, 4, generator=drawn).double()
        self.second, self.last = self.first, nn.Linear(6, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))
        return found


class Strengths(Again):
    """Two layers that share their strengths alone."""

    def __init__(self) -> None:
        super().__init__()
        self.second = ModeLinear(6, 6, 4, generator=torch.Generator().manual_seed(1)).double()
        self.second.s = self.first.s


def data(shape: tuple[int, ...] = (6,), count: int = 70) -> Sample:
    rng = np.random.default_rng(0)
    return Sample(rng.standard_normal((count, *shape)), rng.integers(0, 3, count))


CASES: list[tuple[Any, str, tuple[int, ...]]] = [
    (fully, "0", (6,)),
    (fully, "2", (6,)),
    (convolved, "0", (2, 6, 6)),
    (tied, "layers.1", (6,)),
    (Branching, "first", (6,)),
    (Again, "first", (6,)),
    (Strengths, "second", (6,)),
]


@pytest.mark.parametrize(("made", "name", "shape"), CASES)
def test_scores_are_those_of_a_copy_whose_strengths_were_changed(made: Any, name: str, shape: tuple[int, ...]) -> None:
    net, judged = made(), data(shape)
    net.train()
    before = state(net)
    s = strengths_of(net, name)
    rows = np.stack([s, np.zeros_like(s), -2 * s])
    found = scored(net, {name: rows}, judged, batch=32)
    assert same(before, state(net))
    for row, loss, accuracy in zip(rows, found.loss, found.accuracy if found.accuracy is not None else (), strict=True):
        copy = deepcopy(net).eval()
        if isinstance(net, Branching):
            parts = [changed(copy, name, row)(torch.from_numpy(judged.x[start : start + 32])) for start in range(0, 70, 32)]
            outputs = torch.cat(parts).detach()
        else:
            outputs = changed(copy, name, row)(torch.from_numpy(judged.x)).detach()
        assert loss == pytest.approx(float(nn.functional.cross_entropy(outputs, torch.from_numpy(judged.y))), rel=1e-12)
        assert accuracy == pytest.approx((outputs.argmax(1).numpy() == judged.y).mean())


def changed(net: nn.Module, name: str, row: np.ndarray) -> nn.Module:
    with torch.no_grad():
        net.get_submodule(name).s.copy_(torch.from_numpy(row))  # type: ignore[operator]
    return net


@pytest.mark.parametrize(("made", "name", "shape"), CASES)
def test_the_gradient_is_that_of_central_differences(made: Any, name: str, shape: tuple[int, ...]) -> None:
    net, judged = made(), data(shape)
    before = state(net)
    found = gradients(net, [name], judged, batch=32)[name]
    assert same(before, state(net))
    s, step = strengths_of(net, name), 1e-5
    rows = np.concatenate([s + side * step * np.eye(s.size) for side in (1, -1)])
    loss = scored(net, {name: rows}, judged, batch=32).loss
    assert found == pytest.approx((loss[: s.size] - loss[s.size :]) / (2 * step), abs=1e-8)


def test_a_network_without_a_gradient_is_refused_in_a_sentence() -> None:
    class Cut(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = super().forward(x)
            return found.detach()

    with pytest.raises(UsageError, match="a loss with a gradient for its modes"):
        gradients(Cut(*fully()), ["0"], data())


def test_an_increase_is_the_squared_signal_of_the_mode_where_modes_are_orthogonal() -> None:
    # y = W x with orthonormal patterns and white inputs: without mode k the squared error is s_k^2 times the mean square of its
    # activation, shared by the outputs.
    rng = np.random.default_rng(0)
    layer = ModeLinear(8, 10, 5, bias=False).double()
    s = np.array([3.0, -2.0, 1.0, 0.5, 0.1])
    with torch.no_grad():
        layer.xi_out.copy_(torch.from_numpy(np.linalg.qr(rng.standard_normal((10, 5)))[0]))
        layer.xi_in.copy_(torch.from_numpy(np.linalg.qr(rng.standard_normal((8, 5)))[0].T))
        layer.s.copy_(torch.from_numpy(s))
    x = rng.standard_normal((50, 8))
    judged = Sample(x, (x @ layer.xi_in.detach().numpy().T * s) @ layer.xi_out.detach().numpy().T)
    exact = s**2 * ((x @ layer.xi_in.detach().numpy().T) ** 2).mean(0) / 10
    assert increases(layer, "", judged) == pytest.approx(exact, rel=1e-12)


def test_signs_are_right_by_the_sign_of_the_output() -> None:
    layer = ModeLinear(1, 1, 1, bias=False).double()
    with torch.no_grad():
        for one in (layer.xi_out, layer.s, layer.xi_in):
            one.fill_(1.0)
    x = np.array([[1.0], [2.0], [-3.0], [4.0]])
    judged = Sample(x, np.array([[1.0], [1.0], [-1.0], [-1.0]]), signs=True)
    found = scored(layer, {"": np.array([[1.0], [-1.0]])}, judged)
    assert found.accuracy is not None
    assert found.accuracy.tolist() == [0.75, 0.25]


def test_numbers_as_targets_have_no_accuracy() -> None:
    layer = ModeLinear(2, 3, 2).double()
    judged = sample((np.ones((4, 2)), np.zeros((4, 3))))
    assert scored(layer, {"": strengths_of(layer, "")[None]}, judged).accuracy is None


def test_layers_of_modes_are_found_by_what_they_are() -> None:
    assert list(mode_layers(fully())) == ["0", "2"]
    assert list(mode_layers(tied())) == ["layers.0", "layers.1", "layers.2"]
    assert list(mode_layers(ModeLinear(2, 2, 1))) == [""]


def test_bad_data_are_refused_before_work_starts() -> None:
    net = fully()
    x, y = np.ones((4, 6)), np.zeros(4, int)
    with pytest.raises(UsageError, match="one target for each"):
        sample((x, y[:3]))
    with pytest.raises(UsageError, match="finite inputs, got 6"):
        sample((np.where(np.arange(4)[:, None] == 0, np.nan, x), y))
    with pytest.raises(UsageError, match="a pair of inputs and targets, got str"):
        sample("digits")
    strengths = {"0": strengths_of(net, "0")[None]}
    with pytest.raises(UsageError, match=r"inputs that the network runs on, got RuntimeError with shape \(2, 5\)"):
        scored(net, strengths, sample((x[:, :5], y)))
    with pytest.raises(UsageError, match=r"inside it, its \.module"):
        scored(nn.DataParallel(nn.Sequential(net)), {"module.0.0": strengths["0"]}, sample((x, y)))
    with pytest.raises(UsageError, match="for classes 0 to 7"):
        scored(net, strengths, sample((x, y + 7)))
    with pytest.raises(UsageError, match="shape of the targets"):
        scored(net, strengths, sample((x, np.zeros((4, 2)))))


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    net = fully()
    with torch.no_grad():
        net[5].bias.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(UsageError, match="finite loss"):
        scored(net, {"0": strengths_of(net, "0")[None]}, data())
