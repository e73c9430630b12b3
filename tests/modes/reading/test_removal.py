"""Removal curves: the exact answer where modes are orthogonal, and the order of the curves of a trained network."""

import numpy as np
import pytest
import torch

from modes_trained_cases import accuracy, same, state, task, trained
from modescope.errors import UsageError
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.reading.evaluating import Sample, mode_layers, sample
from modescope.modes.reading.importance import omega
from modescope.modes.reading.removal import orders, removal


def planted(s: np.ndarray) -> tuple[ModeLinear, Sample, np.ndarray]:
    """A layer of orthonormal patterns, the data that it fits, and the loss that each mode takes off."""
    rng = np.random.default_rng(0)
    layer = ModeLinear(24, 30, s.size, bias=False).double()
    out, into = np.linalg.qr(rng.standard_normal((30, s.size)))[0], np.linalg.qr(rng.standard_normal((24, s.size)))[0].T
    with torch.no_grad():
        for held, values in ((layer.xi_out, out), (layer.s, s), (layer.xi_in, into)):
            held.copy_(torch.from_numpy(values))
    x = rng.standard_normal((64, 24))
    return layer, Sample(x, (x @ into.T * s) @ out.T), s**2 * ((x @ into.T) ** 2).mean(0) / 30


def test_the_curves_of_orthogonal_modes_are_sums_of_what_each_takes_off() -> None:
    s = np.random.default_rng(1).permutation(np.array([8.0, 5, 3, 2, 1.5, 1, 0.5, 0.3, 0.2, 0.1])) * np.tile([1, -1], 5)
    layer, data, each = planted(s)
    before = state(layer)
    first = orders(omega(layer.modes()))
    found = removal(layer, "", data, first, rng=np.random.default_rng(0), draws=6)
    assert same(before, state(layer))
    assert found.removed.tolist() == list(range(11))
    for name, order in first.items():
        assert found.curves[name].loss == pytest.approx(np.concatenate([[0], np.cumsum(each[order])]), abs=1e-10)
        assert not found.curves[name].loss_spread.any()
    random = found.curves["random"]
    assert random.draws == 6
    assert random.loss[-1] == pytest.approx(each.sum(), rel=1e-10)
    assert random.loss_spread[-1] == pytest.approx(0, abs=1e-10)
    assert np.all(random.loss_spread[1:-1] > 0)
    assert random.accuracy is None
    assert found.spare is None


def test_the_mean_of_random_orders_is_the_share_that_is_out() -> None:
    # 400 orders of ten modes: the mean of the curve within four of its standard errors of r / p of all.
    layer, data, each = planted(np.linspace(0.5, 2, 10))
    found = removal(layer, "", data, {}, rng=np.random.default_rng(0), draws=400).curves["random"]
    wanted = each.sum() * np.arange(11) / 10
    assert np.all(np.abs(found.loss - wanted) <= 4 * found.loss_spread / 20 + 1e-10)


def test_equal_modes_give_no_evidence_for_an_order() -> None:
    layer, data, each = planted(np.ones(10))
    with torch.no_grad():
        layer.s.copy_(torch.from_numpy(1 / np.sqrt(each * 30)))  # each takes off the same
    x = data.x
    data = Sample(x, layer(torch.from_numpy(x)).detach().numpy())
    found = removal(layer, "", data, orders(np.arange(10.0)), rng=np.random.default_rng(0))
    assert found.curves["smallest"].loss == pytest.approx(found.curves["largest"].loss, abs=1e-10)
    assert min(found.p.values()) > 0.05


def test_a_good_order_beats_all_random_ones_and_its_reverse_none() -> None:
    layer, data, _ = planted(np.geomspace(10, 0.01, 12))
    first = orders(omega(layer.modes()))
    good = removal(layer, "", data, first, rng=np.random.default_rng(0), draws=19)
    assert good.p == {"smallest": 0.05, "largest": 0.05}
    bad = removal(layer, "", data, {"smallest": first["largest"]}, rng=np.random.default_rng(0), draws=19)
    assert bad.p == {"smallest": 1.0}


def test_a_trained_network_loses_least_without_its_smallest_modes_and_most_without_its_largest() -> None:
    # M12 on one seed, for 30 % to 70 % out of the two hidden layers.
    net, data = trained(), sample(task())
    before = state(net)
    for name in ("0", "2"):
        first = orders(omega(mode_layers(net)[name].modes()))
        found = removal(net, name, data, first, rng=np.random.default_rng(0), draws=10, removed=[9, 12, 15, 18, 21, 30])
        curves = {key: one.accuracy for key, one in found.curves.items()}
        smallest, random, largest = (curves[key] for key in ("smallest", "random", "largest"))
        assert smallest is not None
        assert random is not None
        assert largest is not None
        assert [one[0] for one in (smallest, random, largest)] == pytest.approx([accuracy(net)] * 3)
        assert np.all(smallest[1:6] > random[1:6])
        assert np.all(random[1:6] > largest[1:6])
        assert found.spare is not None
        assert smallest[found.removed.tolist().index(found.spare)] >= smallest[0] - 0.01 - 1e-9
        assert found.spare < 30
        assert smallest[found.removed.tolist().index(found.spare) + 1] < smallest[0] - 0.01
        assert smallest[6] == largest[6] == pytest.approx(random[6])
        assert found.p["smallest"] == found.p["largest"] == pytest.approx(1 / 11)
    assert same(before, state(net))


def test_few_modes_lose_accuracy_and_ten_are_nearly_enough() -> None:
    # M12, the counts of modes: acc(p = 10) > .95, acc(p = 2) < .75.
    assert accuracy(trained(10)) > 0.95
    assert accuracy(trained(2)) < 0.75


def test_what_is_no_order_is_refused() -> None:
    layer, data, _ = planted(np.ones(4))
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match="each of 4 modes once"):
        removal(layer, "", data, {"mine": np.array([0, 1, 1, 2])}, rng=rng)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        removal(layer, "", data, {}, rng=rng, draws=0)
    with pytest.raises(UsageError, match="remove 0 to 4 modes, got 0 to 5"):
        removal(layer, "", data, {}, rng=rng, removed=[5])
