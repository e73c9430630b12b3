"""What `examples/modes_beside_dense.py` claims: its counts and its table on small draws, and all seeds where there is time."""

import numpy as np
import pytest

import real
from example_cases import example
from modescope.modes import tasks
from modescope.modes.modules.base import ModeLayer

beside = example("modes_beside_dense")

IN_MODES = [name for name in beside.WAYS if name.startswith("modes") or name == "low rank"]


def planted(count=60):
    """Ten classes, each of its own bright pixel."""
    labels = np.arange(count) % 10
    x = np.zeros((count, 784))
    x[np.arange(count), labels] = 1.0
    return tasks.of_arrays(x, labels, x, labels)


def test_modes_have_less_than_a_third_of_the_weights_and_nothing_more_would_fit():
    dense = beside.weights(beside.WAYS["dense"].network(0))
    assert dense == 89_400
    for name in IN_MODES:
        frozen = 2 * beside.P if name == "low rank" else 0
        assert beside.weights(beside.WAYS[name].network(0)) == 26 * 885 + 26 * 201 + 1000 - frozen <= dense / 3
    assert dense / 3 < 27 * 885 + 27 * 201 + 1000


def test_the_last_layer_is_dense_except_where_all_modes_are_trained():
    for name in IN_MODES:
        assert not isinstance(beside.WAYS[name].network(0).layers[2], ModeLayer)
    assert [layer.n_modes for layer in beside.WAYS["SVD training"].network(0).layers] == [100, 100, 10]


@pytest.mark.parametrize("name", ["dense", "SVD training"])
def test_a_cut_network_has_the_nearest_weights_of_26_modes(name):
    network = beside.WAYS[name].network(0)
    less, _ = beside.cut(network, planted())
    for before, after in zip(network.layers[:2], less.layers[:2], strict=True):
        u, s, vh = np.linalg.svd(before.weight.detach().numpy(), full_matrices=False)
        best = (u[:, : beside.P] * s[: beside.P]) @ vh[: beside.P]
        assert np.linalg.norm(after.weight.detach().numpy() - best) < 1e-5 * np.linalg.norm(s)
    np.testing.assert_allclose(less.layers[2].weight.detach(), network.layers[2].weight.detach(), atol=1e-6)


def test_the_rate_is_chosen_by_what_was_held_out_and_not_by_the_test():
    task = planted()
    swapped = tasks.of_arrays(task.x_train, task.y_train, task.x_test, task.y_test[::-1].copy())  # tests that all rates fail
    assert beside.chosen(swapped, "dense", epochs=20, rates=(1e-6, 0.01)) == 0.01


def test_the_gap_is_that_of_the_means_with_the_error_of_both():
    def runs(*reached):
        return [beside.Run("digits", "dense", 0.1, seed, 1, one, 1.0) for seed, one in enumerate(reached)]

    apart, error = beside.gap(runs(0.90, 0.92), runs(0.80, 0.84))
    assert apart == pytest.approx(9)
    assert error == pytest.approx(np.sqrt(1 + 4))


@pytest.mark.real
@pytest.mark.full
@pytest.mark.parametrize(("kind", "archive"), [("digits", "mnist"), ("fashion", "dataset-fashion-mnist")])
def test_modes_lose_less_than_a_point_and_less_than_a_network_cut_when_trained(kind, archive):
    real.path(archive)
    dense = beside.runs(kind, "dense", range(3))
    spectral = beside.runs(kind, "modes, spectral init", range(3))["modes, spectral init"]
    lost, _ = beside.gap(dense["dense"], spectral)
    assert lost < 1
    assert kind == "digits" or lost < beside.gap(dense["dense"], dense["dense, cut when trained"])[0]
