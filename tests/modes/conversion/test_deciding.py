"""Rules for numbers of modes, one layer at a time."""

import numpy as np
import pytest
from torch import nn

from modescope.errors import UsageError
from modescope.modes.budget import Candidate
from modescope.modes.conversion.deciding import one_way, rule, share_of
from modescope.modes.conversion.replaceable import replaceable


def chosen(modes: object = None, energy: float | None = None, side: int = 20) -> int | None:
    (part,), _ = replaceable(nn.Linear(side, side))
    candidate = Candidate(part.name, part.cost(), np.linspace(1, 0, side + 1))
    return rule(modes, energy, False)(part, candidate).p  # type: ignore[arg-type]


def test_each_rule_chooses_by_itself() -> None:
    assert chosen(4) == 4
    assert chosen(0.2) == 4
    assert chosen(10) is None  # break-even 9.8
    assert chosen(energy=0.3) == 6
    assert chosen("auto") is None  # break-even 9.8, a third of which is below 8
    assert chosen("auto", side=60) == 9  # break-even 29.8
    assert chosen({"": 15}) == 15
    assert chosen({"": 0.5}) == 10
    assert chosen({"other": 3}) is None


def test_one_way_is_asked_for() -> None:
    assert one_way(modes=0, energy=None, outliers=False) == "modes"
    assert one_way(modes=None, energy=None, outliers=True) == "outliers"
    with pytest.raises(UsageError, match="one of modes and energy, got modes and energy"):
        one_way(modes=1, energy=0.5)


def test_a_budget_up_to_one_is_a_share_and_a_whole_number_is_itself() -> None:
    assert share_of(0.5, 300) == 150
    assert share_of(1.0, 300) == 300
    assert share_of(1, 300) == 1
    assert share_of(np.int64(70), 300) == 70
    for bad in (0, -1, True, "half", float("inf")):
        with pytest.raises(UsageError, match="budget: expected a share"):
            share_of(bad, 300)  # type: ignore[arg-type]
