"""Modes of random weights on given data: the law of untrained modes, and what it takes to be called a curve beside it."""

import numpy as np
import pytest
from scipy.stats import beta, binom, ks_2samp, kstest

from modescope import moments
from modescope.descrambling.families import exponential, polynomial
from modescope.descrambling.fits import read_modes
from modescope.descrambling.random_modes import random_modes
from modescope.descrambling.wiretaps import left
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from modescope.seeds import generator

N = 24


def decays(count: int, seed: int) -> np.ndarray:
    """Samples that vary along few smooth directions, as those of relaxometry do."""
    rng = np.random.default_rng(seed)
    return np.exp(-np.linspace(0, 1, N) * np.exp(rng.uniform(0, 3, (count, 1)))) + 0.02 * rng.standard_normal((count, N))


DATA = moments.of(decays(2000, 0))


def leading(weight: np.ndarray, data: moments.Moments, count: int, bias: np.ndarray | None, *, centred: bool) -> np.ndarray:
    """Rows of `V^T P W` as their definition: components of the hidden data, the largest first, times the weight."""
    _, u = np.linalg.eigh(left(weight, data, bias, centred=centred))
    return u[:, ::-1][:, :count].T @ weight


def squared(modes: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return (modes @ direction) ** 2 / (modes**2).sum(-1)


@pytest.mark.parametrize("centred", [False, True])
def test_random_modes_have_the_law_of_untrained_ones(centred: bool) -> None:
    """Square Gaussian weights against rotations of one of them; cosines with the main direction of the data, place by place."""
    rng = np.random.default_rng(1)
    bias = 0.5 * rng.standard_normal(6)
    direction = np.linalg.eigh(DATA.covariance if centred else DATA.second)[1][:, -1]
    fresh, turned = [], []
    for seed in range(150):
        weight = rng.standard_normal((6, N))
        fresh.append(squared(leading(weight, DATA, 3, bias, centred=centred), direction))
        drawn = random_modes(weight, DATA, count=3, bias=bias, centred=centred, draws=2, seed=seed)
        turned += list(squared(drawn, direction))
    for place in range(3):
        assert ks_2samp(np.array(fresh)[:, place], np.array(turned)[:, place]).pvalue > 1e-3
    assert np.mean(fresh, axis=0).max() > 3 / N  # not the law of random directions, whose mean is 1 / N


def test_on_white_inputs_random_modes_are_random_directions() -> None:
    white = moments.Moments(1000, np.zeros(N), 1000 * np.eye(N))
    weight = np.linspace(3, 1, 5)[:, None] * np.linalg.qr(np.random.default_rng(2).standard_normal((N, 5)))[0].T
    drawn = random_modes(weight, white, count=5, draws=400)
    direction = np.random.default_rng(3).standard_normal(N)
    for place, strength in enumerate(np.linspace(3, 1, 5)):
        assert np.linalg.norm(drawn[:, place], axis=1) == pytest.approx(strength)
        assert kstest(squared(drawn[:, place], direction / np.linalg.norm(direction)), beta(0.5, (N - 1) / 2).cdf).pvalue > 1e-3


def test_random_modes_keep_the_singular_values_and_are_drawn_once_per_seed() -> None:
    weight = np.random.default_rng(4).standard_normal((5, N))
    drawn = random_modes(weight, DATA, count=5, bias=np.ones(5), draws=3, seed=7)
    for modes in drawn:
        assert np.linalg.svd(modes, compute_uv=False) == pytest.approx(np.linalg.svd(weight, compute_uv=False))
        assert np.diag(modes @ DATA.second @ modes.T).argmax() == 0
    assert np.array_equal(drawn, random_modes(weight, DATA, count=5, bias=np.ones(5), draws=3, seed=7))
    assert not np.array_equal(drawn, random_modes(weight, DATA, count=5, bias=np.ones(5), draws=3, seed=8))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", [(30, 10), (10, 30), (12, 12)])
def test_random_modes_are_those_of_the_whole_hidden_space(shape: tuple[int, int], centred: bool) -> None:
    """The slow twin forms every random weight, with all its rows; a tall one has no more than n + 1 components."""
    rng = np.random.default_rng(5)
    weight, bias = rng.standard_normal(shape), rng.standard_normal(shape[0])
    known = moments.of(rng.standard_normal((200, shape[1])) @ rng.standard_normal((shape[1], shape[1])) + 2)
    drawn = random_modes(weight, known, count=shape[0], bias=bias, centred=centred, draws=3, seed=7)
    u, s, _ = np.linalg.svd(weight, full_matrices=False)
    basis, again = np.linalg.eigh(known.covariance)[1], generator(7, "random modes")
    for modes in drawn:
        whole = (u * s) @ frame(again, s.size, shape[1]) @ basis.T
        there = leading(whole, known, min(shape[0], shape[1] + 1), bias, centred=centred)
        signs = np.sign((modes[: there.shape[0]] * there).sum(1, keepdims=True))
        np.testing.assert_allclose(modes[: there.shape[0]] * signs, there, atol=1e-6)
        assert not np.abs(modes[there.shape[0] :]).max(initial=0.0)


def test_the_bias_and_the_mean_enter_as_in_the_result() -> None:
    """A large bias is the first component of uncentred data, whatever the weight: the first mode is the bias times the weight."""
    weight = np.random.default_rng(6).standard_normal((5, N))
    bias = 1e4 * np.array([1.0, 0, 0, 0, 0])
    length = np.linalg.norm(random_modes(weight, DATA, count=1, bias=bias, draws=3)[:, 0], axis=1)
    assert length == pytest.approx(np.linalg.norm(weight[0]), rel=1e-3)
    plain = random_modes(weight, DATA, count=1, centred=True, draws=3)
    assert random_modes(weight, DATA, count=1, bias=bias, centred=True, draws=3) == pytest.approx(plain)


def test_untrained_weights_on_smooth_data_are_called_curves_beside_random_directions_and_not_beside_random_modes() -> None:
    """60 weights, the second mode of each: the .9999 quantile of the binomial, which the data alone pass by far."""
    naive = fair = 0
    for seed in range(60):
        weight = np.random.default_rng(100 + seed).standard_normal((24, N))
        mode = leading(weight, DATA, 2, None, centred=False)[1:]
        drawn = random_modes(weight, DATA, count=2, draws=19, seed=seed)[:, 1:]
        naive += read_modes(mode, families=[polynomial(3)], draws=19, seed=seed)[0].best is not None
        fair += read_modes(mode, families=[polynomial(3)], random=drawn)[0].best is not None
    bound = binom.ppf(1 - 1e-4, 60, 0.05)
    assert fair <= bound
    assert naive > 2 * bound


def test_a_mode_that_training_planted_is_called_beside_random_weights() -> None:
    rng = np.random.default_rng(8)
    u = np.linspace(0, 1, N)
    weight = 0.2 * rng.standard_normal((8, N)) + 3 * np.outer(rng.standard_normal(8), np.exp(-4 * u) - 0.2)
    modes = leading(weight, DATA, 2, None, centred=True)
    found = read_modes(modes, families=[exponential()], random=random_modes(weight, DATA, count=2, centred=True, draws=99))[0]
    assert found.best == 0
    assert found.fits[0].p == 1 / 100
    assert "one mode of random weights on the same data in twenty exceeds" in found.status
    assert found.fits[0].null.dimension is None


def test_every_mode_stands_beside_the_random_ones_of_its_own_place() -> None:
    u = np.linspace(0, 1, N)
    noise = np.random.default_rng(9).standard_normal((40, 2, N))
    noise[:, 1] = np.exp(-3 * u) + 1e-3 * noise[:, 1]  # the second mode is a decay for any weight
    first, second = read_modes(np.tile(np.exp(-3 * u) + 0.01 * noise[0, 0], (2, 1)), families=[exponential()], random=noise)
    assert first.best == 0
    assert (second.best, second.fits[0].p) == (None, 1)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda w: random_modes(w[:, 1:], DATA, count=1), r"moments of 23 inputs for a weight \(4, 23\), got 24"),
        (lambda w: random_modes(w, DATA, count=5), "count of 1 to 4 and 1 draw or more, got 5 and 199"),
        (lambda w: random_modes(w, DATA, count=1, draws=0), "got 1 and 0"),
        (lambda w: random_modes(w, DATA, count=1, bias=np.ones(3)), r"bias of 4 numbers for a weight \(4, 24\), got 3"),
        (lambda w: random_modes(w * np.nan, DATA, count=1), "not finite"),
        (
            lambda w: read_modes(w, random=np.ones((99, 3, N))),
            r"expected shape \(draws, 4, 24\) beside these modes, got \(99, 3, 24\)",
        ),
        (lambda w: read_modes(w, random=np.full((99, 4, N), np.nan)), "got 9504 entries that are not"),
        (lambda w: read_modes(w, random=np.ones((98, 4, N))), "draws of 99 or more.*got 98"),
        (lambda w: read_modes(w, random=np.ones((99, 4, N)), span=np.eye(N)), "span or random, got both"),
    ],
)
def test_what_does_not_fit_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(np.random.default_rng(0).standard_normal((4, N)))
