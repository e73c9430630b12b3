"""What `examples/modes_by_width_on_clothes.py` claims: its table on small draws, and every width as it is where there is time."""

from functools import cache
from statistics import mean

import numpy as np
import pytest

import real
from example_cases import example
from modescope.modes import tasks
from modescope.modes.reading.scaling import Run

clothes = example("modes_by_width_on_clothes")


@cache
def one_width(width):
    real.path("dataset-fashion-mnist")
    return [run for run, _ in clothes.runs(clothes.pictures("fashion"), (width,))]


def planted(count=60):
    """Ten classes, each of its own bright pixel."""
    labels = np.arange(count) % 10
    x = np.zeros((count, 784))
    x[np.arange(count), labels] = 1.0
    return tasks.of_arrays(x, labels, x, labels)


@pytest.mark.parametrize(
    ("width", "p", "expected"),
    [(100, None, 89_400), (100, 10, 10 * 885 + 10 * 201 + 1000), (400, 40, 40 * 1185 + 40 * 801 + 4000), (25, 2, 1_972)],
)
def test_weights_are_those_of_their_layers(width, p, expected):
    assert clothes.weights(width, p) == expected


def test_the_last_layer_is_dense_and_hidden_ones_have_as_many_modes_as_were_asked_for():
    net = clothes.network(25, 24, 0)  # above the break-even of the second layer
    assert [getattr(layer, "n_modes", None) for layer in net.layers] == [24, 24, None]


def test_no_more_modes_than_units_are_tried_and_every_seed_is_kept():
    found = list(clothes.runs(planted(), (4, 6), (2, 5), range(2), epochs=1, rates=(0.01,)))
    assert [(run.width, run.modes) for run, _ in found][::2] == [(4, None), (4, 2), (6, None), (6, 2), (6, 5)]
    assert [run.seed for run, _ in found] == [0, 1] * 5
    assert {rate for _, rate in found} == {0.01}


def test_the_rate_is_chosen_by_what_was_held_out_and_not_by_the_test():
    task = planted()
    swapped = tasks.of_arrays(task.x_train, task.y_train, task.x_test, task.y_test[::-1].copy())  # tests that all rates fail
    rates = (1e-6, 0.03)
    assert clothes.chosen(swapped, 20, None, epochs=20, rates=rates) == 0.03


def test_a_line_and_the_verdict_say_what_the_runs_were():
    def accuracy(width, p, seed):
        return 0.8 + 0.001 * seed - (0.0 if p is None or p >= 5 else 0.2)

    rows = [Run(n, p, seed, accuracy(n, p, seed)) for n in (25, 50, 100, 200) for p in (None, 2, 5) for seed in range(3)]
    law = clothes.law(rows)
    assert [one.modes for one in law.points] == [5, 5, 5, 5]
    text = clothes.verdict(law)
    assert all(f"{name}:" in text for name in law.fits)
    assert text.endswith(law.said)
    assert "80.10 ± 0.10" in clothes.line(rows[:3], 0.003)


def test_other_ways_train_as_many_terms_without_the_dense_network(monkeypatch):
    asked = []

    def penalty(network):
        asked.append(network)
        return clothes.penalised(network)

    monkeypatch.setitem(clothes.WAYS, "penalties", (False, penalty))
    for way in ("low rank", "penalties"):
        found = list(clothes.runs(planted(), (6,), (2, 5), range(1), epochs=1, rates=(0.01,), way=way))
        assert [run.modes for run, _ in found] == [2, 5]
    assert asked
    assert clothes.weights(100, 10, "low rank") == clothes.weights(100, 10) - 20
    assert clothes.weights(100, 10, "penalties") == clothes.weights(100, 10)


@pytest.mark.real
def test_modes_add_accuracy_on_real_clothes():
    real.path("dataset-fashion-mnist")
    task = clothes.pictures("fashion", 2000)
    assert task.x_train.shape == (2000, 784)
    assert task.x_test.shape == (10_000, 784)
    two, ten = (clothes.reached(task, 25, p, 0, rate=0.009, epochs=2) for p in (2, 10))
    assert two + 0.03 < ten


@pytest.mark.real
@pytest.mark.full
@pytest.mark.parametrize("width", clothes.WIDTHS)
def test_accuracy_rises_with_modes_and_levels_off_at_every_width(width):
    means = {p: mean(some) for (_, p), some in clothes.accuracies(one_width(width)).items()}
    assert means[2] < means[5] < means[None]
    assert all(means[p] > means[None] - 0.03 for p in clothes.MODES if 10 <= p <= width)


@pytest.mark.real
@pytest.mark.full
def test_five_widths_do_not_decide_on_a_law():
    law = clothes.law([run for width in clothes.WIDTHS for run in one_width(width)])
    assert law.verdict == "undecided"
