"""Intruder modes by their definition."""

import numpy as np
import pytest

from comparison_cases import frame, rotation
from modescope.comparison.intruders import intruders


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
