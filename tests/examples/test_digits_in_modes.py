"""What `examples/digits_in_modes.py` claims: parameters and starts, who is ahead after a few epochs and, in time, at the end."""

import math

import numpy as np
import pytest
import torch

from modes_examples_cases import digits
from modescope.modes.factors import svd

EARLY = 4  # epochs


def runs(way, accuracies, rate=0.005):
    return [digits.Run(way, rate, split, 1, accuracy, 1.0) for split, accuracy in enumerate(accuracies)]


@pytest.mark.parametrize(
    ("way", "parameters"),
    [
        ("dense", 17_400),
        ("published modes", 477 * 30),
        ("normal factors", 477 * 30),
        ("spectral modes", 12_090),
        ("spectral, biases", 12_090 + 210),
        ("low rank", 12_090 - 70),
    ],
)
def test_every_way_has_the_parameters_of_its_modes(way, parameters):
    one = digits.WAYS[way]
    assert digits.parameters(digits.network(one.counts, 0, **one.options)) == parameters


@pytest.mark.parametrize(("way", "scale"), [("published modes", 30 / math.log(64)), ("normal factors", 2), ("spectral modes", 2)])
def test_the_published_start_is_three_times_too_strong_for_thirty_modes(way, scale):
    one = digits.WAYS[way]
    starts = [digits.network(one.counts, seed, **one.options).layers[0].weight.detach() for seed in range(20)]
    spread = [64 * float(weight.var()) for weight in starts]
    assert np.mean(spread) == pytest.approx(scale, rel=0.1)


def test_after_a_few_epochs_spectral_modes_are_ahead_of_published_ones():
    found = [run for way in ("published modes", "spectral modes") for split in range(3) for run in early(way, split)]
    ahead, error, count = digits.gap(digits.best(found, "spectral modes"), digits.best(found, "published modes"))
    assert count == 3
    assert ahead > max(2 * error, 1)


def early(way, split):
    return digits.runs(way, split, rate=0.005, epochs=EARLY)


def test_a_dense_network_is_cut_to_the_ranks_of_the_modes_and_keeps_its_best_directions():
    net = digits.trained(digits.WAYS["dense"].counts, 0, epochs=1)[0]
    less = digits.cut(net)
    assert digits.parameters(less) == 12_090
    for dense, layer, p in zip(net.layers, less.layers, digits.USEFUL, strict=True):
        values = torch.linalg.svdvals(dense.weight.detach().double())[:p].numpy()
        assert svd(layer.modes())[1] == pytest.approx(values, rel=1e-5)


def test_gaps_are_means_of_paired_differences_at_the_best_rates():
    found = runs("dense", [0.98, 0.96, 0.97], 0.002) + runs("dense", [0.90, 0.99, 0.90], 0.005)
    found += runs("modes", [0.97, 0.96, 0.94])
    lost, error, count = digits.gap(digits.best(found, "dense"), digits.best(found, "modes"))
    assert (lost, count) == (pytest.approx(4 / 3), 3)
    assert error == pytest.approx(np.std([1, 0, 3], ddof=1) / math.sqrt(3))
    row = digits.line(found, "modes")
    assert all(said in row for said in ("95.67", "+1.33 ± 0.88"))


@pytest.mark.full
def test_spectral_modes_are_no_less_accurate_than_published_ones():
    found = [run for way in ("published modes", "spectral modes") for n in range(10) for run in digits.runs(way, n, rate=0.005)]
    ahead, error, _ = digits.gap(digits.best(found, "spectral modes"), digits.best(found, "published modes"))
    assert ahead > -2 * error
