"""What `examples/relaxometry.py` claims, with its own recipe and seeds."""

from functools import cache

import numpy as np
import pytest

from example_cases import example
from modescope import moments
from modescope.descrambling.wiretaps import left

relaxometry = example("relaxometry")
relaxation = example("relaxation")

SEEDS = [657, pytest.param(0, marks=pytest.mark.full), pytest.param(1, marks=pytest.mark.full)]


@cache
def trained(seed):
    return relaxation.trained(seed)


@cache
def found(seed):
    initial, after = trained(seed)
    return [relaxometry.look(network, seed=seed, stage=stage) for stage, network in (("initial", initial), ("trained", after))]


@cache
def views():
    network = trained(657)[1]
    return network, relaxometry.views(network, 657)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_network_learns_time_constants(seed):
    initial, trained = found(seed)
    assert trained.error < 0.6
    assert initial.error > 1


@pytest.mark.parametrize("seed", SEEDS)
def test_training_lifts_a_few_singular_values_out_of_the_initial_ones(seed):
    initial, trained = found(seed)
    assert trained.s[1] > 1.5 * initial.s[0]
    assert pytest.approx(0.866, abs=1e-3) == relaxometry.EDGE
    assert (trained.s > relaxometry.EDGE).sum() >= 3
    assert initial.s[0] < 1.05 * relaxometry.EDGE


@pytest.mark.parametrize("seed", SEEDS)
def test_leading_modes_are_decay_like_after_training_and_not_before(seed):
    initial, trained = found(seed)
    assert trained.r2[0, :2].min() > 0.5
    assert initial.r2[0].max() < 0.4
    assert all(fit.p < 0.01 for fit in trained.fits[:2])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_polynomial_with_as_many_parameters_explains_more_of_them(seed):
    assert [family.freedom for family in relaxometry.FAMILIES] == [5, 5]
    trained = found(seed)[1]
    assert (trained.r2[1, :2] > trained.r2[0, :2]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_both_copies_of_the_decay_are_read_alike(seed):
    initial, trained = found(seed)
    assert trained.halves[:2].min() > 0.8
    assert np.abs(initial.halves).max() < 0.5


def test_descrambling_moves_no_singular_value():
    network, described = views()
    s = np.linalg.svd(network.weights[0].astype(float), compute_uv=False)
    for view in described:
        assert view.s == pytest.approx(s, rel=1e-12)


def test_the_weight_is_smoothest_where_it_is_descrambled_by_white_inputs():
    white, *data = views()[1]
    assert white.data == "white"
    assert white.weight < min(view.weight for view in data)
    assert white.weight == pytest.approx(1 / white.gain, rel=1e-12)  # the hidden signals of white inputs are the weight
    assert min(view.top for view in data) > 0.85


def test_streamed_moments_give_the_second_moment_of_the_hidden_data():
    network = views()[0]
    inputs = relaxation.samples(657)[0].astype(float)
    weight, bias = network.weights[0].astype(float), network.biases[0].astype(float)
    hidden = inputs @ weight.T + bias
    second = hidden.T @ hidden / len(hidden)
    assert left(weight, relaxometry.streamed(inputs), bias) == pytest.approx(second, abs=1e-12 * np.abs(second).max())
    assert relaxometry.streamed(inputs).scatter == pytest.approx(moments.of(inputs).scatter, rel=1e-10, abs=1e-8)


def test_samples_are_two_copies_of_a_noisy_biexponential_decay():
    inputs, targets = relaxation.samples(0)
    assert inputs.shape == (16000, 128)
    assert targets.shape == (16000, 2)
    assert np.array_equal(inputs[:, :64], inputs[:, 64:])
    assert targets.min() == pytest.approx(0.1)
    assert targets.max() == 1
    slow, fast = (relaxation.SLOWEST * targets.T).astype(float)
    t = np.linspace(0, 800, 64)
    noise = inputs[:, :64] - (0.6 * np.exp(-t / slow[:, None]) + 0.4 * np.exp(-t / fast[:, None]))
    assert noise.std() == pytest.approx(1 / 30, rel=0.01)  # a million draws know it to a thousandth
    assert abs(noise.mean()) < 1e-3


def test_the_table_has_a_line_for_every_mode_and_every_kind_of_data():
    lines = relaxometry.table(found(657), views()[1]).splitlines()
    assert len(lines) == 1 + 2 * relaxometry.MODES + 2 + 3
