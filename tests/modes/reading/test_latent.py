"""Effective numbers, overlaps of subspaces and cosines of modes, each at ends that are known and against draws of its null."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from modescope import moments
from modescope.errors import UsageError
from modescope.laws.haar_frames import directions, frame
from modescope.modes.factors import Modes, gauged
from modescope.modes.reading.latent import (
    Overlap,
    effective_modes,
    mode_cosines,
    overlap_null,
    participation_ratio,
    random_cosine,
    stable_rank,
    subspace_overlap,
)


@given(p=integers(1, 50), kept=integers(1, 50))
def test_effective_modes_count_those_that_are_equal_and_not_those_that_are_0(p: int, kept: int) -> None:
    values = np.where(np.arange(p) < kept, 3.0, 0.0)
    assert effective_modes(values) == pytest.approx(min(p, kept), rel=1e-12)
    assert effective_modes(values * 1e-200) == pytest.approx(min(p, kept), rel=1e-12)


def test_effective_modes_of_nothing_are_0_and_of_negative_numbers_refused() -> None:
    assert effective_modes(np.zeros(4)) == 0
    with pytest.raises(UsageError, match="0 or more"):
        effective_modes([1.0, -1.0])


def test_stable_rank_is_that_of_the_dense_weight_in_any_gauge() -> None:
    rng = np.random.default_rng(0)
    modes = Modes(rng.standard_normal((9, 4)), rng.standard_normal(4), rng.standard_normal((4, 6)))
    s = np.linalg.svd(modes.weight, compute_uv=False)
    for one in (modes, gauged(modes, 3.0, 0.1)):
        assert stable_rank(one) == pytest.approx((s**2).sum() / s[0] ** 2, rel=1e-12)


@given(size=integers(1, 30), seed=integers(0, 99))
def test_participation_is_that_of_the_eigenvalues_and_ignores_rotation_and_scale(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.exponential(size=size)
    turned = frame(rng, size, size)
    covariance = 1e-7 * turned.T @ np.diag(values) @ turned
    assert participation_ratio(covariance) == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-10)


def test_states_that_do_not_vary_have_participation_0() -> None:
    assert participation_ratio(np.zeros((3, 3))) == 0


def classes(frames: list[np.ndarray], rng: np.random.Generator, mean: float = 0.0) -> list[moments.Moments]:
    """States of classes that lie in given subspaces, rows of (q, dim), about a common mean."""
    shared = mean * np.ones(frames[0].shape[1])
    return [moments.of(rng.standard_normal((200, len(one))) @ one + shared) for one in frames]


def test_the_same_subspace_overlaps_wholly_and_orthogonal_ones_not_at_all() -> None:
    rng = np.random.default_rng(0)
    turned = frame(rng, 12, 12)
    apart = classes([turned[:4], turned[4:8], turned[:4]], rng)
    found = subspace_overlap(apart, q=4, centred=True)
    assert isinstance(found, Overlap)
    assert found.pairs == pytest.approx(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]), abs=1e-10)
    assert found.mean == pytest.approx(1 / 3, abs=1e-10)


def test_the_overlap_is_the_mean_squared_cosine_of_principal_angles() -> None:
    from scipy.linalg import subspace_angles

    rng = np.random.default_rng(0)
    one, other = frame(rng, 3, 10), frame(rng, 3, 10)
    found = subspace_overlap(classes([one, other], rng), q=3, centred=True)
    assert isinstance(found, Overlap)
    assert found.mean == pytest.approx((np.cos(subspace_angles(one.T, other.T)) ** 2).mean(), rel=1e-9)


def test_a_mean_that_classes_share_shows_about_the_origin_alone() -> None:
    rng = np.random.default_rng(0)
    turned = frame(rng, 20, 20)
    apart = classes([turned[:4], turned[4:8]], rng, mean=50.0)
    about, centred = (subspace_overlap(apart, q=4, centred=one) for one in (False, True))
    assert isinstance(about, Overlap)
    assert isinstance(centred, Overlap)
    assert centred.mean == pytest.approx(0, abs=1e-9)
    assert about.mean > 0.2


def test_the_null_of_the_overlap_is_q_over_dimension_with_its_spread() -> None:
    # 2000 draws (M15): the mean within 2 %, the spread within 6 %, which is four standard errors of it.
    rng = np.random.default_rng(0)
    drawn = [((frame(rng, 4, 30) @ frame(rng, 4, 30).T) ** 2).sum() / 4 for _ in range(2000)]
    mean, spread = overlap_null(4, 30)
    assert mean == 4 / 30
    assert np.mean(drawn) == pytest.approx(mean, rel=0.02)
    assert np.std(drawn) == pytest.approx(spread, rel=0.065)


def test_the_interval_holds_the_mean_over_pairs_of_random_subspaces() -> None:
    # Pairs of 10 frames: 45 that share frames. 300 draws, 15 outside +- 3.8 expected; four standard errors are tolerated.
    rng = np.random.default_rng(0)
    outside = 0
    for _ in range(300):
        stacked = np.concatenate([frame(rng, 2, 20) for _ in range(10)])
        pairs = ((stacked @ stacked.T) ** 2).reshape(10, 2, 10, 2).sum((1, 3)) / 2
        mean, spread = overlap_null(2, 20, 45)
        outside += abs(pairs[np.triu_indices(10, 1)].mean() - mean) > 1.96 * spread
    assert 1 <= outside <= 30


def test_an_overlap_that_means_nothing_is_a_sentence() -> None:
    rng = np.random.default_rng(0)
    narrow = classes([frame(rng, 4, 4), frame(rng, 4, 4)], rng)
    assert "all there are" in str(subspace_overlap(narrow, q=4, centred=True))
    flat = classes([frame(rng, 3, 20), frame(rng, 3, 20)], rng)
    assert "class 0 span fewer than 4" in str(subspace_overlap(flat, q=4, centred=True))
    assert "two classes" in str(subspace_overlap(flat[:1], q=2, centred=True))
    with pytest.raises(UsageError, match="q of 1 or more"):
        subspace_overlap(flat, q=0, centred=True)


def test_the_level_of_random_cosines_is_that_of_draws_and_near_the_law_of_large_sizes() -> None:
    rng = np.random.default_rng(0)
    for size in (10, 64):
        rows = directions(rng, 400, size)
        drawn = np.abs(rows @ rows.T)[np.triu_indices(400, 1)]
        mean, spread = random_cosine(size)
        assert drawn.mean() == pytest.approx(mean, rel=0.01)
        assert drawn.std() == pytest.approx(spread, rel=0.02)
        assert mean == pytest.approx(math.sqrt(2 / (math.pi * size)), rel=0.3 / size)


def test_cosines_are_0_of_orthogonal_modes_1_of_parallel_ones_and_ignore_signs() -> None:
    signs = np.array([1.0, -1.0, 1.0])
    modes = Modes(np.eye(5)[:, :3], signs, np.outer(signs, np.arange(1.0, 5)))
    found = mode_cosines(modes)
    assert found["output"].mean == pytest.approx(0, abs=1e-15)
    assert found["input"].mean == pytest.approx(1, rel=1e-14)
    assert found["output"].size == 5
    assert found["input"].size == 4
    assert mode_cosines(Modes(np.ones((3, 1)), np.ones(1), np.ones((1, 3))))["input"].mean is None
    assert mode_cosines(Modes(np.zeros((3, 2)), np.ones(2), np.ones((2, 3))))["output"].mean is None
