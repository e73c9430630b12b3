"""Intruder modes by their definition."""

import numpy as np
import pytest

from comparison_cases import frame, noise, rotation, svd
from modescope.comparison.intruders import Intruders
from modescope.comparison.intruders import intruders as found_between
from modescope.comparison.matching import Modes


def intruders(before: np.ndarray, after: np.ndarray) -> Intruders:
    """Of output directions; the input directions of both are those of the identity."""
    both = (Modes(np.ones(u.shape[1]), u, np.eye(u.shape[1], 200)) for u in (before, after))
    return found_between(*both, modes=after.shape[1])


def test_a_direction_of_its_own_is_an_intruder_and_a_turned_one_is_not() -> None:
    basis = frame(60, 12, np.random.default_rng(0))
    before = basis[:, :10]
    turned = basis[:, [0, 10]] @ rotation(0.5)
    found = intruders(before, np.column_stack([turned[:, 0], -basis[:, 3], basis[:, 11]]))
    assert [(x.mode, x.cosine < 1e-12) for x in found.found] == [(2, True)]
    assert found.looked == 3
    assert found.status == "ok"


@pytest.mark.parametrize(("angle", "count"), [(np.arccos(0.51), 0), (np.arccos(0.49), 1)])
def test_the_bound_is_on_the_largest_cosine(angle: float, count: int) -> None:
    basis = frame(500, 2, np.random.default_rng(1))
    found = intruders(basis[:, :1], basis @ rotation(angle)[:, :1])
    assert len(found.found) == count


def test_energy_spread_over_many_earlier_modes_is_still_an_intruder() -> None:
    before = frame(100, 100, np.random.default_rng(2))
    mixed = before[:, :16].sum(axis=1, keepdims=True) / 4
    found = intruders(before, mixed)
    assert found.found[0].cosine == pytest.approx(0.25)
    assert found.found[0].nearest < 16


def test_a_bound_that_random_directions_reach_says_so() -> None:
    found = intruders(np.eye(12), np.eye(12))
    assert found.null > 0.5
    assert "epsilon 0.5 is not above" in found.status


def test_a_mixture_of_close_modes_is_named_as_one_and_something_new_is_not() -> None:
    w = frame(64, 64, np.random.default_rng(3))
    turned = found_between(svd(w), svd(w + noise(w.shape, 4, 1e-3)), modes=16)
    assert len(turned.found) == 16
    assert all(intruder.mixed > 0.95 for intruder in turned.found)
    assert "16 of them are mixtures of earlier modes" in turned.status
    rng = np.random.default_rng(5)
    w = noise((256, 192), 5, 1 / 16)
    planted = found_between(svd(w), svd(w + 6 * frame(256, 1, rng) @ frame(192, 1, rng).T), modes=1)
    assert [intruder.mode for intruder in planted.found] == [0]
    assert planted.found[0].mixed < 0.4
    assert planted.status == "ok"
