"""What `examples/compressed_digits.py` claims: errors and what is cut at once, whole fine-tunings where there is time."""

from functools import cache
from statistics import mean

import numpy as np
import pytest
import torch

from example_cases import example
from modescope.modes.conversion import convert
from modescope.modes.modules.base import ModeLayer

digits = example("compressed_digits")
WAYS = pytest.mark.parametrize("by_inputs", [False, True])
BUDGETS = pytest.mark.parametrize("budget", [0.1, *(pytest.param(one, marks=pytest.mark.full) for one in (0.25, 0.05))])
ROUNDING = 1e-4  # of float32 outputs of a thousand terms, over the least share of them that is lost


@cache
def cut(budget, by_inputs):
    return digits.cut(budget, by_inputs=by_inputs)


@cache
def losses(budget, by_inputs):
    return digits.losses(cut(budget, by_inputs))


@BUDGETS
def test_weights_lose_what_their_singular_values_foretell(budget):
    rows = losses(budget, False)
    assert rows
    for one in rows:
        assert one.weight == pytest.approx(one.foretold, rel=1e-5)  # factors are float32


@BUDGETS
def test_outputs_lose_on_the_images_what_the_eigenvalues_foretell(budget):
    found = cut(budget, True)
    said = {one.name: one.output_error for one in found.layers if one.factored}
    rows = losses(budget, True)
    assert {one.name for one in rows} == set(said)
    for one in rows:
        assert one.outputs == pytest.approx(said[one.name], rel=ROUNDING)
        assert one.weight >= one.foretold


@BUDGETS
def test_by_inputs_no_layer_loses_more_of_its_outputs_with_the_same_modes(budget):
    by_inputs = cut(budget, True)
    plain = convert(digits.shipped(), digits.counts(by_inputs))
    assert digits.counts(plain) == digits.counts(by_inputs)
    for ours, other in zip(losses(budget, True), digits.losses(plain), strict=True):
        assert ours.outputs <= other.outputs * (1 + ROUNDING)


@BUDGETS
@WAYS
def test_the_network_in_modes_keeps_its_budget(budget, by_inputs):
    found, size = cut(budget, by_inputs), sum(one.numel() for one in digits.shipped().parameters())
    assert found.parameters == sum(one.numel() for one in found.model.parameters()) <= budget * size


def test_a_tenth_of_the_parameters_is_better_spent_by_inputs():
    plain, ours = (digits.accuracy(cut(0.1, by_inputs).model) for by_inputs in (False, True))
    assert plain + 0.1 < ours < digits.accuracy(digits.shipped())


def test_two_epochs_of_fine_tuning_win_back_most_of_it_and_leave_the_cut_network_alone():
    net = cut(0.1, True).model
    before = digits.accuracy(net)
    assert digits.tuned(net, 0, epochs=2) > before + 0.01
    assert digits.accuracy(net) == before


def test_from_scratch_nothing_is_left_but_the_architecture():
    net = cut(0.1, True).model
    one, same, other = (digits.fresh(net, seed) for seed in (0, 0, 1))
    for name, tensor in one.state_dict().items():
        assert tensor.shape == net.state_dict()[name].shape
        assert torch.equal(tensor, same.state_dict()[name])
    modes = [part for part in one.modules() if isinstance(part, ModeLayer)]
    for part, twin, old in zip(modes, *([p for p in n.modules() if isinstance(p, ModeLayer)] for n in (other, net)), strict=True):
        w = part.modes().weight
        assert np.var(w) * part.shape[1] == pytest.approx(2, rel=0.2)  # He's variance, of at least 18,432 dependent entries
        for else_ in (twin, old):
            assert abs(np.vdot(w, else_.modes().weight)) < 0.2 * np.linalg.norm(w) * np.linalg.norm(else_.modes().weight)
    assert 0.0 <= digits.accuracy(one) < 0.4


@pytest.mark.full
def test_fine_tuned_at_a_tenth_no_more_than_two_points_are_lost():
    net = cut(0.1, True).model
    assert mean(digits.tuned(net, seed) for seed in range(digits.SEEDS)) >= digits.accuracy(digits.shipped()) - 0.02
