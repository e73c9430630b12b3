"""Wiretaps: from moments alone they equal what explicit samples give, one sample per column as the papers write it."""

import numpy as np
import pytest
import torch

from modescope import moments
from modescope.activations import streamed
from modescope.descrambling.wiretaps import joint, left, right
from modescope.errors import UsageError

M, N_IN, COUNT = 7, 11, 400


@pytest.fixture
def net():
    rng = np.random.default_rng(3)
    w, c = rng.standard_normal((M, N_IN)), rng.standard_normal(M)
    x = rng.standard_normal((COUNT, N_IN)) @ rng.standard_normal((N_IN, N_IN)) + 2.0
    return w, c, x


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert np.array_equal(found, found.T)


@pytest.mark.parametrize("chunks", [1, 3, 57])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_left_is_the_second_moment_of_explicit_preactivations(net, chunks, biased, centred):
    w, c, x = net
    bias = c if biased else None
    s = w @ x.T + (c[:, None] if biased else 0.0)
    if centred:
        s = s - s.mean(1, keepdims=True)
    close(left(w, moments.streamed(np.array_split(x, chunks)), bias, centred=centred), s @ s.T / COUNT)


def test_left_equals_the_bordered_product(net):
    w, c, x = net
    found = moments.of(x)
    border = np.block([[found.second, found.mean[:, None]], [found.mean[None], np.ones((1, 1))]])
    wide = np.column_stack([w, c])
    close(left(w, found, c), wide @ border @ wide.T)


def test_a_bias_moves_the_uncentred_moment_only(net):
    w, c, x = net
    found = moments.of(x)
    assert np.array_equal(left(w, found, c, centred=True), left(w, found, centred=True))
    assert np.abs(left(w, found, c) - left(w, found)).max() > 0.1


def test_left_survives_a_bias_that_nearly_cancels_a_large_mean(net):
    w, _, x = net
    x = x + 2.0**20
    c = -w @ x.mean(0)
    s = x @ w.T + c
    found = left(w, moments.of(x), c)
    np.testing.assert_allclose(found, s.T @ s / COUNT, rtol=0, atol=1e-7 * np.abs(found).max())


@pytest.mark.parametrize("centred", [False, True])
def test_left_from_captured_patches_is_what_a_convolution_gives(centred):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 5, 3, stride=2, padding=1).double()
    x = torch.randn(40, 2, 9, 8) + 0.5
    taken = streamed(layer, "", [{"input": part} for part in x.split(7)], what=("input", "preactivation"), patches=True)
    w, c = layer.weight.detach().reshape(5, -1).numpy(), layer.bias.detach().numpy()
    gave = taken["", "preactivation"]
    assert gave.count == taken["", "input"].count == 40 * 5 * 4
    close(left(w, taken["", "input"], c, centred=centred), gave.covariance if centred else gave.second)


@pytest.mark.parametrize("centred", [False, True])
def test_right_is_the_second_moment_of_explicit_postactivations(net, centred):
    w, c, x = net
    f = np.tanh(w @ x.T + c[:, None])
    tapped = moments.streamed(np.array_split(f.T, 9))
    if centred:
        f = f - f.mean(1, keepdims=True)
    close(right(tapped, centred=centred), f @ f.T / COUNT)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("k", [3, M, 20])
def test_joint_is_the_second_moment_of_the_stacked_data(net, k, centred):
    w, c, x = net
    w2 = np.random.default_rng(5).standard_normal((k, M))
    f = np.maximum(w @ x.T + c[:, None], 0)
    tapped = moments.streamed(np.array_split(f.T, 4))
    if centred:
        f = f - f.mean(1, keepdims=True)
    mu = np.linalg.norm(f, 2) / np.linalg.norm(w2.T, 2)
    stack = np.hstack([mu * w2.T, f])
    close(joint(tapped, w2, centred=centred), stack @ stack.T / COUNT)


def test_joint_does_not_depend_on_the_scale_of_the_next_weight(net):
    _, _, x = net
    w2 = np.random.default_rng(5).standard_normal((4, N_IN))
    close(joint(moments.of(x), 1e6 * w2), joint(moments.of(x), w2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda at: left(np.ones((3, 4)), at), r"weight \(m, 5\).*got \(3, 4\)"),
        (lambda at: left(np.ones(5), at), r"got \(5,\)"),
        (lambda at: left(np.ones((3, 5)), at, np.ones(4)), r"bias \(3,\) for a weight \(3, 5\), got \(4,\)"),
        (lambda at: left(np.full((3, 5), np.nan), at), r"finite weight of shape \(3, 5\), got 15"),
        (lambda at: left(np.ones((3, 5)), at, np.array([0, 1, np.inf])), r"finite bias of shape \(3,\), got 1"),
        (lambda at: left(np.ones((3, 5), complex), at), "real weight"),
        (lambda at: joint(at, np.ones((5, 3))), r"next weight \(k, 5\).*got \(5, 3\)"),
        (lambda at: joint(at, np.zeros((3, 5))), r"next weight \(3, 5\) vanish"),
        (lambda at: joint(at, np.ones((3, 5)), centred=True), "outputs, 5 numbers in 2 samples, vanish"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_shape(call, message):
    with pytest.raises(UsageError, match=message):
        call(moments.of(np.ones((2, 5))))


def test_joint_does_not_square_a_weight_out_of_range(net):
    _, _, x = net
    w2 = np.random.default_rng(5).standard_normal((4, N_IN))
    for size in (1e-200, 1e200):
        close(joint(moments.of(x), size * w2), joint(moments.of(x), w2))


def test_left_refuses_what_float64_cannot_hold():
    with pytest.raises(UsageError, match=r"weight \(3, 5\) and inputs whose squares float64 can hold"):
        left(np.full((3, 5), 1e200), moments.of(np.eye(5)))
