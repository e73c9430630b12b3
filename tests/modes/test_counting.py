"""What modes cost: the published counts, the number at which nothing is gained, and what a layer of torch really holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modescope.modes.counting import Cost
from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear

NET = [Cost(100, 784), Cost(100, 100), Cost(10, 100)]


def test_the_published_network_has_the_published_counts():
    assert sum(one.dense for one in NET) == 89400
    assert [sum(one.factored(p) for one in NET) for p in (10, 30, 70)] == [11970, 35910, 83790]


@pytest.mark.parametrize(("cost", "published"), list(zip(NET, (88.6, 49.8, 9.0), strict=True)))
def test_the_break_even_numbers_are_those_of_the_note(cost, published):
    assert round(cost.break_even, 1) == published


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_the_most_modes_that_pay_save_parameters_and_one_more_saves_none_or_adds_no_rank(outputs, inputs, frozen):
    cost = Cost(outputs, inputs, frozen=frozen)
    assert not cost.most or cost.factored(cost.most) < cost.dense
    assert cost.factored(cost.most + 1) >= cost.dense or cost.most == min(outputs, inputs)


def test_auto_takes_a_third_of_the_parameters_at_most_and_no_bottleneck_below_8():
    assert [one.usual for one in NET] == [29, 16, None]
    for side in range(1, 120):
        cost = Cost(side, side)
        assert (cost.usual is None) == (cost.break_even < 24)
        assert cost.usual is None or cost.dense - 3 * cost.per_mode < 3 * cost.factored(cost.usual) <= cost.dense


@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_holds_as_many_parameters_as_are_counted(frozen):
    for layer in (ModeLinear(20, 9, 4, frozen_strength=frozen), ModeConv2d(3, 7, (2, 3), 5, frozen_strength=frozen)):
        held = sum(one.numel() for name, one in layer.named_parameters() if name != "bias")
        assert layer.cost.factored(layer.n_modes) == held
        assert layer.cost.dense == layer.weight.numel()


@pytest.mark.parametrize(("layer", "x", "uses"), [(ModeLinear(20, 9, 4), (1, 20), 1), (ModeConv2d(3, 7, 3, 5), (1, 3, 8, 8), 36)])
def test_multiply_adds_are_those_of_the_products_a_forward_pass_makes(layer, x, uses):
    # Every output of a product costs as many multiply-adds as its filter has entries: the filters are the patterns.
    outputs, inputs = layer.shape
    m = layer.mode_activations(torch.randn(x))
    made = m.numel() * inputs + layer(torch.randn(x)).numel() * layer.n_modes + m.numel()
    cost = Cost(outputs, inputs, uses=uses)
    assert cost.factored_flops(layer.n_modes) == made
    assert cost.dense_flops() == uses * cost.dense
