"""What `examples/importance_of_modes.py` claims: of two brief networks in every run, of the whole trainings in time."""

from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch

from example_cases import example
from modes_examples_cases import brief, digits
from modescope.modes import tasks

importance = example("importance_of_modes")
HIDDEN = importance.LAYERS[:2]


@cache
def found(start, long):
    if long:
        return importance.runs(start, range(importance.SPLITS))
    return [one for n in range(2) for one in importance.read(start, n, brief(digits.EVERY, n, start)[0], draws=10)]


@pytest.fixture(params=["brief", pytest.param("whole", marks=pytest.mark.full)])
def long(request):
    return request.param == "whole"


@pytest.mark.parametrize("measure", ["omega", "tau"])
@pytest.mark.parametrize("layer", HIDDEN)
def test_the_smallest_modes_are_missed_least_and_the_largest_most(layer, measure, long):
    check_removal(found("published", long), layer, measure)


@pytest.mark.full
@pytest.mark.parametrize("measure", ["omega", "tau"])
@pytest.mark.parametrize("layer", HIDDEN)
def test_it_is_so_from_a_spectral_start_as_well(layer, measure):
    check_removal(found("spectral", True), layer, measure)


def check_removal(some, layer, measure):
    smallest, random, largest = (importance.remaining(some, layer, measure, order) for order in importance.ORDERS)
    assert (smallest > random).all()
    assert (random > largest).all()


@pytest.mark.parametrize("layer", HIDDEN)
def test_two_slopes_are_there_and_untrained_layers_have_two_as_well(layer, long):
    one = importance.law(found("published", long), layer, "tau", null=80)
    first, second = (slope.value for slope in one.slopes)
    assert abs(second) > 2 * abs(first)
    assert one.bic["broken"] < one.bic["line"]
    assert abs(one.null.slopes[1]) > 2 * abs(one.null.slopes[0])
    assert one.verdict != "broken"


@pytest.mark.parametrize("layer", HIDDEN)
def test_norms_agree_with_the_loss_from_the_published_start_better_than_the_gradient_does(layer, long):
    some = [one for one in found("published", long) if one.layer == layer]
    assert np.mean([one.rho["omega"] for one in some]) > np.mean([one.rho["first order"] for one in some]) + 0.1


@pytest.mark.full
@pytest.mark.parametrize("layer", HIDDEN)
def test_from_a_spectral_start_the_gradient_agrees_better(layer):
    some = [one for one in found("spectral", True) if one.layer == layer]
    assert np.mean([one.rho["first order"] for one in some]) > np.mean([one.rho["omega"] for one in some]) + 0.1


def test_a_gauge_changes_tau_and_neither_omega_nor_what_the_network_says():
    net = deepcopy(brief(digits.EVERY, 0, "published")[0])
    x = torch.from_numpy(tasks.digits(0).x_test)
    before = net(x).detach()
    omega, tau = importance.gauged(net, 0)
    assert omega < 1e-12
    assert tau > 0.1
    assert torch.equal(net(x), before)  # powers of two


def test_the_table_has_a_row_for_every_layer_and_measure():
    text = importance.table(found("published", False))
    assert text.count("published") == 2 * 2 + 3 + 2 * 2
