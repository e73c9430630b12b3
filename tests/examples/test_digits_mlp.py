"""The networks of the examples are trained by what their script says: gradients, decay, batch norm, seeds."""

import numpy as np
import pytest

from example_cases import example

mlp = example("digits_mlp")


def loss(state, images, labels):
    """Mean cross-entropy with the statistics of the batch, written straight from its definition."""
    x, places = images, mlp.layers(state)
    for place in places:
        x = x @ state[f"{place}.weight"].T + state[f"{place}.bias"]
        if norm := mlp.norm_after(place, state):
            x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + mlp.EPS) * state[f"{norm}.weight"] + state[f"{norm}.bias"]
        x = x if place == places[-1] else np.maximum(x, 0)
    return np.mean(np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(labels)), labels])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_gradient_is_the_slope_of_the_loss(batch_norm):
    rng = np.random.default_rng(0)
    state = mlp.initial((64, 7, 6, 10), rng, batch_norm=batch_norm)
    images, labels = (part[:32] for part in mlp.data()[:2])
    gradients = mlp._gradients({name: value.copy() for name, value in state.items()}, images, labels)
    for name, gradient in gradients.items():
        way = rng.normal(size=gradient.shape)
        slope = (
            loss({**state, name: state[name] + 1e-5 * way}, images, labels)
            - loss({**state, name: state[name] - 1e-5 * way}, images, labels)
        ) / 2e-5
        assert slope == pytest.approx((gradient * way).sum(), rel=1e-6, abs=1e-9)  # second order in a step of 1e-5


def test_the_same_seed_gives_the_same_network_and_another_one_another():
    one, two, three = (mlp.train((64, 8, 10), seed=seed, decay=0.0, epochs=1)[1] for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["0.weight"], three["0.weight"])


def test_training_learns_and_leaves_the_initial_network_alone():
    before, after = mlp.train((64, 32, 10), seed=0, decay=1e-3, batch_norm=True, epochs=5)
    assert mlp.accuracy(before) < 0.4
    assert mlp.accuracy(after) > 0.9
    assert np.array_equal(before["0.weight"], mlp.initial((64, 32, 10), np.random.default_rng(0), batch_norm=True)["0.weight"])


def test_decay_shrinks_weights():
    norms = [np.linalg.norm(mlp.train((64, 16, 10), seed=0, decay=decay, epochs=3)[1]["0.weight"]) for decay in (0.0, 0.1)]
    assert norms[1] < 0.7 * norms[0]
