"""What `examples/vgg_fashion_mnist.py` claims, for one seed and a shorter training."""

import numpy as np
import pytest

import real
from example_cases import example

vgg = example("vgg_fashion_mnist")


@pytest.fixture(scope="module")
def found():
    real.path("dataset-fashion-mnist")
    return vgg.networks([0], epochs=3)


def stages(found, name):
    return [one for one in found if one.stage == name]


@pytest.mark.real
@pytest.mark.slow
def test_training_makes_kernels_smoother_and_edges_that_the_exact_law_shows(found):
    for before, after in zip(stages(found, "initial"), stages(found, "trained"), strict=True):
        assert before.batch_norm == after.batch_norm
        assert before.accuracy < 0.4
        assert after.accuracy > 0.7
        assert np.mean(after.taps) < np.mean(before.taps)
        assert after.edges["rotation"] >= 5
        assert after.chain < 1e-3
        assert min(after.edges["beta"], after.edges["chi_squared"]) > after.edges["rotation"]


@pytest.mark.real
@pytest.mark.slow
def test_the_exact_law_shows_as_good_as_nothing_in_initial_and_in_turned_networks(found):
    """Three different networks at a level of 5 % each (both arms start alike): two or more show an edge in 0.7 % of all seeds."""
    nulls = stages(found, "initial")[:1] + stages(found, "turned")
    assert sum(one.edges["rotation"] > 0 for one in nulls) <= 1


@pytest.mark.real
@pytest.mark.slow
def test_the_table_has_a_line_for_every_network_and_stage(found):
    assert len(vgg.table(found).splitlines()) == 1 + 2 * 3


def test_turning_keeps_the_kernels_and_the_singular_values():
    weight = np.random.default_rng(0).normal(size=(6, 4, 3, 3))
    turned = vgg.turned({"0.weight": weight, "0.bias": np.ones(6)}, 0)
    assert list(turned) == ["0.weight"]
    before, after = (np.linalg.svd(one.reshape(6, -1), full_matrices=False) for one in (weight, turned["0.weight"]))
    np.testing.assert_allclose(after[1], before[1], rtol=1e-12)
    np.testing.assert_allclose(np.abs((after[2] * before[2]).sum(axis=1)), 1, rtol=1e-10)
    assert np.abs(after[0] - before[0]).max() > 0.1
