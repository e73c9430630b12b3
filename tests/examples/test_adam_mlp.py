"""The networks of two examples are trained by what their script says: gradients, Adam, seeds."""

import numpy as np
import pytest

from example_cases import example

mlp = example("adam_mlp")

KINDS = {"relu": mlp.RELU, "tanh": mlp.TANH, "softplus": mlp.SOFTPLUS, "identity": mlp.IDENTITY}


def network(*kinds, bias=True):
    """A small one in float64, so that slopes are seen."""
    found = mlp.initial((5, *[4] * len(kinds)), [KINDS[kind] for kind in kinds], seed=0, bias=bias)
    return mlp.Network([w.astype(float) for w in found.weights], [b.astype(float) for b in found.biases], found.activations)


@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_of_an_activation_is_that_of_its_values(kind):
    x = np.array([-3.0, -0.7, 0.2, 0.9, 4.0])
    slope = (KINDS[kind].value(x + 1e-6) - KINDS[kind].value(x - 1e-6)) / 2e-6
    assert KINDS[kind].slope(KINDS[kind].value(x)) == pytest.approx(slope, abs=1e-8)


def test_softplus_is_the_logarithm_of_one_plus_the_exponential_and_overflows_nowhere():
    assert mlp.SOFTPLUS.value(np.array([-1.0, 0.0, 2.0])) == pytest.approx(np.log(1 + np.exp([-1.0, 0.0, 2.0])))
    assert mlp.SOFTPLUS.value(np.array([-1e4, 1e4])) == pytest.approx([0.0, 1e4])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kinds", [("relu", "identity"), ("tanh", "softplus"), ("tanh", "relu", "identity")])
def test_gradients_are_the_slopes_of_the_mean_squared_error(kinds, bias):
    rng = np.random.default_rng(1)
    one, inputs, targets = network(*kinds, bias=bias), rng.standard_normal((7, 5)), rng.standard_normal((7, 4))

    def loss():
        return ((mlp.signals(one, inputs)[-1] - targets) ** 2).mean()

    found = mlp.gradients(one, inputs, targets)
    assert len(found) == len(one.parameters) == len(kinds) * (1 + bias)
    for array, gradient in zip(one.parameters, found, strict=True):
        way = rng.standard_normal(array.shape)
        array += 1e-5 * way
        up = loss()
        array -= 2e-5 * way
        slope = (up - loss()) / 2e-5
        array += 1e-5 * way
        assert slope == pytest.approx((gradient * way).sum(), rel=1e-5, abs=1e-8)  # second order in a step of 1e-5


def test_the_first_step_of_adam_is_the_rate_against_the_sign_of_the_gradient():
    one = network("identity", bias=False)
    rng = np.random.default_rng(2)
    inputs, targets = rng.standard_normal((9, 5)), rng.standard_normal((9, 4))
    after = mlp.train(one, [(inputs, targets, 0.01)])
    sign = np.sign(mlp.gradients(one, inputs, targets)[0])
    assert after.weights[0] - one.weights[0] == pytest.approx(-0.01 * sign, rel=1e-4)  # float32 factors


def test_adam_follows_its_definition_over_several_steps():
    one = network("tanh", "identity")
    rng = np.random.default_rng(3)
    batches = [(rng.standard_normal((6, 5)), rng.standard_normal((6, 4)), 0.02) for _ in range(5)]
    slow = mlp.train(one, [])
    mean, square = ([np.zeros_like(a) for a in slow.parameters] for _ in range(2))
    for step, (inputs, targets, rate) in enumerate(batches, 1):
        for i, gradient in enumerate(mlp.gradients(slow, inputs, targets)):
            mean[i] = 0.9 * mean[i] + 0.1 * gradient
            square[i] = 0.999 * square[i] + 0.001 * gradient**2
            slow.parameters[i] -= rate * (mean[i] / (1 - 0.9**step)) / (np.sqrt(square[i] / (1 - 0.999**step)) + 1e-8)
    fast = mlp.train(one, batches)
    for a, b, start in zip(fast.parameters, slow.parameters, one.parameters, strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
        assert np.abs(a - start).max() > 0.02


def test_the_same_seed_starts_the_same_network_within_its_edges():
    one, two, other = (mlp.initial((100, 30, 2), [mlp.RELU, mlp.IDENTITY], seed=seed, bias=True) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one.parameters, two.parameters, strict=True))
    assert not np.array_equal(one.weights[0], other.weights[0])
    assert 0.099 < np.abs(one.weights[0]).max() <= np.float32(0.1)
