"""What `examples/online_learning_of_modes.py` claims: of its draw in every run, of many draws where there is time."""

from functools import cache

import numpy as np
import pytest

from example_cases import example
from modescope.modes.online.equations import integrate

online = example("online_learning_of_modes")


@cache
def orders(overlapping):
    return [online.order(draw, overlapping=overlapping) for draw in range(1, 11)]


def test_theory_and_runs_escape_from_the_plateau():
    theory, runs = online.escape()
    assert theory > 50
    assert (runs > 50).all()
    first, last = integrate(online.start(), [15.2, 35.1]).error
    assert first < 2 * last


def test_modes_are_learnt_in_the_order_of_their_gains_and_found_in_another():
    one = online.order(online.DRAW, overlapping=True)
    assert (np.diff(one.gains) < 0).all()
    assert (np.diff(one.correlations) < 0).all()
    assert one.ordered == {0.5: False, 0.99: True}


def test_runs_come_nearer_to_their_own_theory_as_inputs_grow():
    found = online.apart(sizes=(30, 400), runs=8)
    assert online.exponent(found) == pytest.approx(-0.5, abs=0.25)
    assert found[1].gains < found[0].gains / 2
    assert found[1].gains < found[1].frozen / 5


def test_the_table_has_a_line_for_every_finding():
    found, fall = online.course(runs=1, until=20.0), (107.0, np.array([82.0]))
    orders = [online.Order(1, False, np.ones(3), np.ones(3), {0.5: False, 0.99: None})]
    text = online.table(found, fall, online.apart(sizes=(30, 60), runs=2), orders)
    assert all(word in text for word in ("theory 107, runs 82", "plateau", "exponent", "no overlap", "gains in 0 of 1", "0 of 0"))


@pytest.mark.full
def test_some_draws_find_their_modes_in_another_order_even_without_overlap():
    for overlapping in (True, False):
        said = [one.ordered[0.5] for one in orders(overlapping)]
        assert True in said
        assert False in said
