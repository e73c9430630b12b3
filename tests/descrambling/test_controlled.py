"""Controls beside a descrambled layer: what each is on every side, and sentences where there is none."""

from typing import Any

import numpy as np
import pytest

from modescope import moments
from modescope.descrambling import CONTROLS, descramble
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.controls import Scrambled, Stability, bootstrap
from modescope.descrambling.operators import forward_difference
from modescope.errors import UsageError

RNG = np.random.default_rng(17)
W = RNG.standard_normal((8, 12))
X = RNG.standard_normal((200, 12)) @ RNG.standard_normal((12, 12)) + 0.4
ONLY: dict[str, Any] = {"readings": ()}


def least(second: np.ndarray) -> float:
    return smoothest(second, forward_difference(second.shape[0])).optimal


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, set()),
        ({"side": "right"}, {"untrained", "isotropic"}),
        ({"side": "joint"}, {"bootstrap"}),
        ({"criterion": "permutation"}, {"scrambled"}),
    ],
)
def test_every_control_exists_or_says_why_not(options: dict[str, Any], missing: set[str]) -> None:
    found = descramble(W, inputs=X, **options, **ONLY).controls
    assert tuple(found) == CONTROLS
    assert {name for name, one in found.items() if isinstance(one, str)} == missing


def test_controls_of_turned_inputs_are_the_same_criterion_on_other_data() -> None:
    found = descramble(W, inputs=X, side="right", **ONLY).controls
    shuffled = np.diag(X.var(axis=0)) + np.outer(X.mean(axis=0), X.mean(axis=0))
    assert found["shuffled"].scale.optimal == pytest.approx(least(shuffled), rel=1e-9)
    assert found["scrambled"].status == "ok"
    joint = descramble(W, inputs=X, side="joint", **ONLY).controls
    gain = np.linalg.norm(W, 2) ** 2
    assert joint["isotropic"].scale.optimal == pytest.approx(least(np.eye(12) + W.T @ W / gain), rel=1e-9)


def test_an_order_stands_beside_orders_of_controls() -> None:
    found = descramble(W, inputs=X, criterion="permutation", **ONLY)
    white = descramble(
        W, inputs=np.vstack([np.eye(12), -np.eye(12)]), criterion="permutation", bias=False, readings=(), controls=()
    )
    reached = found.controls["isotropic"].objective
    assert reached["reached"] == pytest.approx(12 * white.objective["reached"], rel=1e-9)
    assert reached["bound"] <= reached["reached"] * (1 + 1e-9)


def test_a_diagonal_depends_on_no_basis_and_on_no_data() -> None:
    found = descramble(RNG.standard_normal((7, 7)), criterion="diagonal_sum", **ONLY).controls
    assert isinstance(found["scrambled"], Scrambled)
    assert found["scrambled"].status == "ok"
    assert "no data" in found["bootstrap"]
    assert "same data" not in found["untrained"].status


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("how", ["array", "chunks"])
def test_the_bootstrap_is_that_of_the_hidden_data(side: str, how: str) -> None:
    c = RNG.standard_normal(8)
    given = X if how == "array" else np.array_split(X, 5)
    found = descramble(W, inputs=given, bias=c, side=side, readings=(), controls="bootstrap", seed=4).controls["bootstrap"]
    twin = bootstrap(X @ W.T + c if side == "left" else X, seed=4)
    np.testing.assert_allclose(found.cosines, twin.cosines, atol=1e-9)


def test_moments_alone_have_no_bootstrap_and_say_what_to_pass() -> None:
    assert "pass inputs" in descramble(W, moments=moments.of(X), **ONLY).controls["bootstrap"]


def test_many_samples_are_drawn_again_in_blocks_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modescope.descrambling.feeding.KEPT", 1000)
    many = np.random.default_rng(3).standard_normal((3000, 12)) @ np.diag(np.linspace(2, 1, 12))
    ordered = many[np.argsort(many[:, 0] * many[:, 1])]  # neighbours are alike in what turns the first component
    options: dict[str, Any] = {"side": "right", "readings": (), "controls": "bootstrap"}
    given = (np.array_split(ordered, 9), ordered)
    chunks, whole = (descramble(W, inputs=one, **options).controls["bootstrap"] for one in given)
    assert isinstance(chunks, Stability)
    assert "32 blocks" in chunks.status
    np.testing.assert_allclose(chunks.cosines, whole.cosines, atol=1e-9)
    angles = [float((1 - one.cosines[:, 0] ** 2).mean()) for one in (chunks, bootstrap(ordered))]
    assert 0.5 < angles[0] / angles[1] < 2  # a variance from 31 blocks is known to a quarter


def test_very_wide_layers_have_no_bootstrap_and_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modescope.descrambling.feeding.NEURONS", 7)
    assert "up to 7 neurons, not of 8" in descramble(W, inputs=X, readings=(), controls="bootstrap").controls["bootstrap"]


def test_a_live_model_has_a_bootstrap_in_one_pass_and_an_untrained_one_its_own_activations() -> None:
    torch = pytest.importorskip("torch")

    def net(seed: int) -> Any:
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 8)).double()

    model, before, x = net(0), net(1), torch.randn(150, 6, dtype=torch.float64)
    hidden = [torch.relu(one[0](x)).detach().numpy() for one in (model, before)]
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    found = descramble(model, layer="2", inputs=list(x.split(40)), untrained=before, side="right", **ONLY)
    assert len(calls) == 4
    np.testing.assert_allclose(found.controls["bootstrap"].cosines, bootstrap(hidden[0]).cosines, atol=1e-9)
    assert found.controls["untrained"].scale.optimal == pytest.approx(least(hidden[1].T @ hidden[1] / 150), rel=1e-9)
    left = descramble(model, layer="2", inputs=x, untrained=before.state_dict(), readings=(), controls="untrained")
    signals = hidden[0] @ before[2].weight.detach().numpy().T + before[2].bias.detach().numpy()
    assert left.controls["untrained"].scale.optimal == pytest.approx(least(signals.T @ signals / 150), rel=1e-9)


def test_untrained_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no such layer"):
        descramble({"fc.weight": W}, layer="fc", inputs=X, untrained={"fc2.weight": W, "fc3.weight": W})
    with pytest.raises(UsageError, match=r"shape \(8, 12\) as after training, got fc.weight of shape \(8, 3\)"):
        descramble({"fc.weight": W}, layer="fc", inputs=X, untrained={"fc.weight": W[:, :3]})
