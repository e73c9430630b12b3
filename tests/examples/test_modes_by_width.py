"""What `examples/modes_by_width.py` claims: the rise of accuracy with modes, briefly at one width and, in time, at all."""

from functools import cache
from statistics import mean

import pytest

from example_cases import example
from modes_examples_cases import brief

by_width = example("modes_by_width")


@cache
def whole():
    return list(by_width.runs())


def made(least):
    """Runs at some widths whose accuracy is enough from a number of modes on."""
    return [
        by_width.Run(width, p, split, 0.98 if p is None or p >= enough else 0.6)
        for width, enough in least.items()
        for p in (None, *by_width.MODES)
        for split in range(3)
    ]


def test_two_modes_are_too_few_and_ten_are_enough_even_briefly():
    two, ten = (brief(by_width.counts(p), 0)[1].accuracy for p in (2, 10))
    assert two < 0.85
    assert ten > 0.95


def test_parameters_grow_with_modes_and_the_last_layer_has_no_more_than_its_rank():
    assert by_width.weights(100, None) == 17_400
    assert by_width.weights(100, 10) == 4_770
    assert by_width.weights(100, 20) == 20 * (165 + 201) + 10 * 111


def test_the_table_finds_the_least_modes_that_were_made_up_and_says_that_constants_cannot_be_told_from_a_power_that_is_flat():
    rows = made({25: 8, 50: 8, 100: 8, 200: 8, 400: 8})
    assert [one.modes for one in by_width.found(rows).points] == [8] * 5
    text = by_width.table(rows)
    assert "constant: 8;" in text
    assert text.splitlines()[5].split()[:4] == ["8", "98.0", "±", "0.0"]
    assert "Undecided" in text


@pytest.mark.full
def test_accuracy_rises_steeply_and_levels_off_at_every_width():
    rows = whole()
    for width in by_width.WIDTHS:
        reached = {p: mean(some) for p, some in by_width.accuracies(rows, width).items()}
        assert reached[5] - reached[1] > 0.2
        assert reached[20] - reached[8] < 0.05
    assert mean(by_width.accuracies(rows, 100)[2]) < 0.85
    assert mean(by_width.accuracies(rows, 100)[10]) > 0.95


@pytest.mark.full
def test_five_widths_do_not_decide_on_a_law():
    assert by_width.found(whole()).verdict == "undecided"
