"""What `examples/xor_mixture.py` claims: the rule by hand and the proof at once, trainings of all seeds where there is time."""

from functools import cache
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
import torch

from example_cases import example
from modescope.modes import tasks

xor = example("xor_mixture")


@cache
def all_runs(units):
    return [xor.trained(units, seed) for seed in range(xor.SEEDS)]


def signs_that_fit(units):
    """Whether units of some signs can be right at all centres, by trying all: a unit acts at one end of each diagonal at most."""
    each = list(product((1, -1), (1, -1, 0), (1, -1, 0)))  # sign of its output weight, end of either diagonal that it acts at
    ends = [(1, 1), (1, -1), (2, 1), (2, -1)]  # the four centres, of which the first two are positive
    wanted = (1, 1, -1, -1)
    return any(
        all(any(unit[0] == sign and unit[axis] == end for unit in some) for (axis, end), sign in zip(ends, wanted, strict=True))
        for some in combinations_with_replacement(each, units)
    )


def test_the_best_rule_is_the_sign_of_the_product_and_has_the_accuracy_of_two_tails():
    task = tasks.xor(3, 1, 200_000)
    assert xor.best() == pytest.approx(0.97497, abs=5e-6)
    right = (np.sign(task.x_test.prod(1)) == task.y_test[:, 0]).mean()
    assert abs(right - xor.best()) < 4 * xor.error(200_000)  # one in 16,000


def test_four_units_of_two_modes_and_one_are_the_best_rule_itself():
    net, points = xor.by_hand(), np.random.default_rng(0).normal(size=(20_000, 2))
    said = xor.answers(net, points)
    halves = (np.abs(points.sum(1)) - np.abs(points[:, 0] - points[:, 1])) / 2
    np.testing.assert_allclose(said, halves, atol=1e-14)
    np.testing.assert_array_equal(np.sign(said), np.sign(points.prod(1)))
    hidden, last = (layer.weight.detach().numpy() for layer in net.layers)
    np.testing.assert_array_equal(hidden, xor.CENTRES)
    np.testing.assert_array_equal(last, [[1, 1, -1, -1]])
    assert [layer.n_modes for layer in net.layers] == [np.linalg.matrix_rank(hidden), np.linalg.matrix_rank(last)] == [2, 1]


def test_three_units_without_biases_are_never_right_at_all_four_centres():
    assert not signs_that_fit(3)
    assert signs_that_fit(4)
    rng = np.random.default_rng(0)
    hidden, last = rng.normal(size=(200_000, 3, 2)), rng.normal(size=(200_000, 1, 3))
    said = (last @ np.maximum(hidden @ xor.CENTRES.T, 0))[:, 0]
    assert not (said * xor.LABELS > 0).all(1).any()
    assert ((said * xor.LABELS > 0).sum(1) == 3).any()


def test_eight_units_reach_the_best_rule_and_do_not_pass_it():
    net, found = xor.trained(8, 0, epochs=2, samples=10_000)
    assert xor.REACHED <= found.accuracy <= xor.best() + 4 * xor.error(20_000)
    assert (xor.answers(net, xor.CENTRES) * xor.LABELS > 0).all()
    assert [layer.n_modes for layer in net.layers] == [3, 3]
    assert all(np.linalg.matrix_rank(layer.modes().weight) == rank for layer, rank in zip(net.layers, (2, 1), strict=True))


def test_what_modes_add_depends_on_the_gauge_by_its_sign_alone():
    net = xor.network(8, 1)
    before = [xor.read(net, at) for at in range(2)]
    for layer in net.layers:
        layer.gauge(-4.0, 0.5)
    for at, was in enumerate(before):
        np.testing.assert_array_equal(np.abs(xor.read(net, at)), np.abs(was))
    points = torch.as_tensor(xor.CENTRES, dtype=torch.float32)
    one = net.layers[0]
    parts = one.xi_out[:, 1].norm() * one.s[1] * (points @ one.xi_in[1])
    np.testing.assert_allclose(xor.read(net, 0)[1], parts.detach().numpy(), rtol=1e-6)


def test_a_row_tells_every_run_and_how_many_succeeded():
    fits = [xor.trained(8, seed, epochs=1, samples=100, tested=1000)[1] for seed in range(2)]
    text = xor.row("few", fits)
    assert all(f"{one.accuracy:.3f}" in text for one in fits)
    assert f"{sum(one.accuracy >= 0.97 for one in fits)} of 2" in text


@pytest.mark.full
@pytest.mark.parametrize("units", [3, 8])
def test_no_run_passes_the_best_rule(units):
    bound = xor.best() + 4 * xor.error(20_000)
    assert max(one.accuracy for _, one in all_runs(units)) <= bound
    if units == 3:
        assert not any((xor.answers(net, xor.CENTRES) * xor.LABELS > 0).all() for net, _ in all_runs(3))


@pytest.mark.full
def test_four_of_five_runs_with_eight_units_succeed():
    assert sum(one.accuracy >= xor.REACHED for _, one in all_runs(8)) >= 4
