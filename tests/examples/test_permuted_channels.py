"""What `examples/permuted_channels.py` claims, with its own recipe and seeds."""

from functools import cache

import numpy as np
import pytest
import torch

from example_cases import example

channels = example("permuted_channels")
cnn = example("digits_cnn")

SEEDS = [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)]


@cache
def found(seed):
    return channels.networks([seed])


@pytest.mark.parametrize("seed", SEEDS)
def test_the_network_in_its_new_order_is_the_same_function(seed):
    initial, trained = found(seed)
    assert trained.accuracy > 0.97
    assert initial.accuracy < 0.4
    for one in (initial, trained):
        assert one.proof.relative < 1e-12
        assert one.proof.same_choice == 1
        assert any((layer.found.order != np.arange(len(layer.found.order))).any() for layer in one.layers)


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbouring_channels_respond_more_alike_in_the_new_order(seed):
    for one in found(seed):
        for layer in one.layers:
            order = layer.found
            assert order.value < 0.9 * order.identity
            assert order.value < 0.9 * order.random_mean
            assert order.value <= layer.component * (1 + 1e-12)
            assert 2 / 3 < order.identity / order.random_mean < 4 / 3


@pytest.mark.parametrize("seed", SEEDS)
def test_orders_lie_between_the_rotations_and_a_twentieth_above_a_lower_bound(seed):
    for one in found(seed):
        assert [len(layer.found.order) for layer in one.layers] == list(cnn.WIDTHS)
        assert one.layers[0].found.exact
        for layer in one.layers:
            order = layer.found
            assert order.rotation <= order.bound <= order.value
            assert order.value <= 1.05 * order.bound


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rotation_does_not_commute_with_the_activation(seed):
    for one in found(seed):
        assert min(layer.mismatch for layer in one.layers) > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_an_order_gains_more_before_the_training_than_after_it(seed):
    initial, trained = found(seed)
    for before, after in zip(initial.layers, trained.layers, strict=True):
        assert before.found.value / before.found.identity < after.found.value / after.found.identity


def test_the_value_of_an_order_is_the_squared_difference_of_neighbouring_responses():
    model = cnn.network(0).eval()
    pictures = cnn.images()[1][0]
    one = channels.look(model, seed=0, stage="initial")
    assert one.proof.relative < 1e-12
    with torch.no_grad():
        behind = model[:3](pictures).movedim(1, -1).reshape(-1, cnn.WIDTHS[0]).numpy()
    first = one.layers[0].found
    slow = sum(((behind[:, a] - behind[:, b]) ** 2).mean() for a, b in zip(first.order[:-1], first.order[1:], strict=True))
    assert first.value == pytest.approx(slow, rel=1e-9)


def test_the_table_has_a_line_for_every_convolution():
    assert len(channels.table(found(0)).splitlines()) == 1 + 2 * len(cnn.WIDTHS)


def test_responses_are_those_behind_each_activation():
    model = cnn.network(1).eval()
    pictures = cnn.images()[1][0][:5]
    taken = cnn.responses(model, pictures)
    assert list(taken) == ["0.weight", "4.weight", "8.weight"]
    for before, behind in taken.values():
        assert np.array_equal(np.maximum(before, 0), behind)
    assert [behind.shape for _, behind in taken.values()] == [(320, 12), (320, 24), (80, 48)]
