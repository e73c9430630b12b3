"""The time budget: it holds at every moment, it is used, and its books are those of a slow twin."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modescope.monitor import pace
from modescope.monitor.pace import MARGIN, WINDOW, Cost, Pace
from monitor_cases import Clock

SECONDS = st.floats(1e-3, 1e3)


def simulated(budget: float, trained: list[float], costs: list[float]) -> tuple[list[tuple[float, float, float]], list[float]]:
    """A training on a fake clock: (training, observing, prediction) after each step, and the costs that were paid."""
    clock, paid, states = Clock(), [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "perf_counter", clock)
        keeper = Pace(budget)
        keeper.run()
        waiting = list(costs)
        for seconds in trained:
            predicted = keeper.predicted
            if waiting and keeper.affords():
                with keeper.observing():
                    clock.now += waiting[0]
                paid.append(waiting.pop(0))
            states.append((keeper.cost.training, keeper.cost.seconds, predicted))
            clock.now += seconds
        states.append((keeper.cost.training, keeper.cost.seconds, predicted))
    return states, paid


@given(budget=st.floats(1e-3, 10), trained=st.lists(SECONDS, min_size=1, max_size=60), cost=SECONDS)
def test_the_share_stays_within_the_budget_at_every_moment_once_the_first_observation_is_earned(budget, trained, cost):
    states, _ = simulated(budget, trained, [cost] * 60)
    earned = False
    for training, observing, _ in states:
        earned = earned or observing <= budget * training * (1 + 1e-9)
        assert observing <= max(cost, budget * training) * (1 + 1e-9)
        assert not earned or observing <= budget * training * (1 + 1e-9)


@given(st.floats(1e-2, 1), st.lists(SECONDS, min_size=2, max_size=30), st.lists(SECONDS, min_size=1, max_size=60))
def test_the_budget_is_passed_by_no_more_than_an_observation_costs_beyond_what_was_free_for_it(budget, costs, trained):
    states, _ = simulated(budget, trained, costs)
    for (_, before, _), (training, after, predicted) in pairwise(states):
        if after > before:
            assert after <= (budget * training + max(0.0, after - before - MARGIN * predicted)) * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.5])
def test_a_long_training_uses_its_whole_budget(budget):
    states, paid = simulated(budget, [0.1] * 20_000, [0.3] * 20_000)
    training, observing, _ = states[-1]
    assert observing <= budget * training
    assert len(paid) == pytest.approx(budget * training / 0.3, abs=1 + MARGIN)  # but for what must be free, all of it


def test_the_first_observation_is_taken_at_once_and_the_second_when_both_are_earned():
    states, paid = simulated(0.1, [1.0] * 51, [2.0] * 9)  # 2 + 1.5 * 2 seconds are a tenth of 50
    observed = [training for (_, before, _), (training, after, _) in pairwise([(0.0, 0.0, 0.0), *states]) if after > before]
    assert observed == [0.0, 50.0]
    assert paid == [2.0, 2.0]


def test_a_dear_first_observation_is_forgotten_when_there_is_another(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "perf_counter", clock)
    keeper = Pace(math.inf)
    keeper.run()
    found = []
    for seconds in (9.0, 1.0, 2.0, *[0.5] * WINDOW):
        with keeper.observing():
            clock.now += seconds
        found.append(keeper.predicted)
    assert found == [9.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.5]


def test_observing_is_no_training_and_neither_is_time_before_and_after_it(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "perf_counter", clock)
    keeper = Pace(0.5)
    clock.now += 7
    keeper.run()
    clock.now += 10
    with keeper.observing():
        clock.now += 3
    clock.now += 20
    keeper.stop()
    clock.now += 50
    with keeper.observing():
        clock.now += 4
    assert keeper.cost == Cost(observations=2, seconds=3.0, training=30.0, final=4.0, budget=0.5)
    assert keeper.cost.share == pytest.approx(0.1)
    assert "2 observations took 3 s of 30 s of training (10.00%, budget 50.00%), and 4 s after it" in str(keeper.cost)
    keeper.run()
    clock.now += 30
    assert keeper.cost.share == pytest.approx(0.05)


def test_an_observation_that_raises_is_paid_for(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pace, "perf_counter", clock)
    keeper = Pace(0.5)
    keeper.run()
    clock.now += 1

    def fails() -> None:
        with keeper.observing():
            clock.now += 5
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert keeper.running
    assert keeper.cost.seconds == 5.0
    assert not keeper.affords()


def test_no_training_has_no_share():
    assert Cost(0, 0.0, 0.0, 0.0, 0.02).share == 0.0
