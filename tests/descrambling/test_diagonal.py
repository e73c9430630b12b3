"""Diagonal criteria: identities of the polar factor, the price of a reflection, and a climb that never falls."""

import numpy as np
import pytest

from modescope.descrambling import diagonal
from modescope.errors import UsageError
from rotation_cases import haar

WEIGHTS = [np.random.default_rng([m, seed]).standard_normal((m, m)) for m in (1, 2, 5, 12) for seed in range(3)]
EVERY = pytest.mark.parametrize("weight", WEIGHTS, ids=lambda weight: f"{len(weight)}")


def root(square: np.ndarray) -> np.ndarray:
    """Symmetric square root, by eigenvalues."""
    values, vectors = np.linalg.eigh(square)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@EVERY
def test_the_largest_sum_is_the_nuclear_norm_and_the_view_the_root_of_the_gram_matrix(weight: np.ndarray) -> None:
    found = diagonal.max_diag_sum(weight)
    m, scale = len(weight), np.linalg.norm(weight, 2)
    assert found.value == pytest.approx(np.linalg.norm(weight, "nuc"), rel=1e-12)
    assert np.trace(found.p @ weight) == pytest.approx(found.value, rel=1e-12)
    assert found.p.T @ found.p == pytest.approx(np.eye(m), abs=1e-12)
    view = found.p @ weight
    assert view == pytest.approx(view.T, abs=1e-12 * scale)
    assert np.linalg.eigvalsh((view + view.T) / 2)[0] >= -1e-12 * scale
    assert view == pytest.approx(root(weight.T @ weight), abs=1e-9 * scale)
    assert found.unique
    right = diagonal.max_diag_sum(weight.T).p
    assert weight @ right.T == pytest.approx(root(weight @ weight.T), abs=1e-9 * scale)


@EVERY
def test_no_random_orthogonal_matrix_has_a_larger_sum(weight: np.ndarray) -> None:
    best, turning = diagonal.max_diag_sum(weight).value, diagonal.max_diag_sum_rotation(weight).value
    for seed in range(50):
        p = haar(len(weight), seed)
        assert np.trace(p @ weight) <= best + 1e-12
        if np.linalg.det(p) > 0:
            assert np.trace(p @ weight) <= turning + 1e-12


@EVERY
def test_rotations_lose_twice_the_least_singular_value_where_the_determinant_is_negative(weight: np.ndarray) -> None:
    s = np.linalg.svd(weight, compute_uv=False)
    for given in (weight, np.concatenate([-weight[:1], weight[1:]])):
        found = diagonal.max_diag_sum_rotation(given)
        lost = 2 * s[-1] if np.linalg.det(given) < 0 else 0.0
        assert found.value == pytest.approx(s.sum() - lost, rel=1e-12, abs=1e-12)
        assert np.linalg.det(found.p) == pytest.approx(1, abs=1e-12)
        assert np.trace(found.p @ given) == pytest.approx(found.value, rel=1e-12, abs=1e-12)
        assert found.bound == pytest.approx(s.sum())


def test_a_singular_weight_is_not_brought_to_the_diagonal_in_one_way_only() -> None:
    weight = np.diag([3.0, 2.0, 0.0])
    found = diagonal.max_diag_sum(weight)
    assert not found.unique
    assert "null space" in found.status
    assert found.value == pytest.approx(5)
    assert diagonal.max_diag_sum_rotation(weight).unique
    assert not diagonal.max_diag_sum_rotation(np.diag([3.0, 2.0, -2.0])).unique


@EVERY
def test_every_step_raises_the_sum_of_squares(weight: np.ndarray) -> None:
    p = haar(len(weight), 1)
    value = np.sum(np.diag(p @ weight) ** 2)
    for _ in range(200):
        p = diagonal.climb(weight, p)
        after = np.sum(np.diag(p @ weight) ** 2)
        assert after >= value * (1 - 1e-13)
        value = after


@EVERY
def test_the_end_of_the_climb_is_stationary_and_the_best_of_its_starts(weight: np.ndarray) -> None:
    found = diagonal.max_diag_normsq(weight, iterations=20_000, restarts=4)
    total = np.sum(weight**2)
    scaled = (found.p @ weight) * np.diag(found.p @ weight)
    assert scaled == pytest.approx(scaled.T, abs=1e-12 * total)
    assert np.linalg.eigvalsh((scaled + scaled.T) / 2)[0] >= -1e-12 * total
    assert found.value == pytest.approx(np.sum(np.diag(found.p @ weight) ** 2), rel=1e-12)
    assert found.value == pytest.approx(max(found.starts.values()), rel=1e-11)
    assert set(found.starts) == {"polar", "identity", *(f"random {number}" for number in range(4))}
    assert found.identity - 1e-12 <= found.value <= found.bound * (1 + 1e-12)
    assert found.status in ("ok", "local optimum: the best of those reached")


def test_a_rotated_diagonal_weight_reaches_the_bound() -> None:
    for seed in range(3):
        weight = haar(6, seed) @ np.diag([5.0, 4.0, 3.0, 2.0, 1.5, 1.0])
        found = diagonal.max_diag_normsq(weight)
        assert found.value == pytest.approx(found.bound, rel=1e-10)
        assert found.status == "ok"


def test_random_starts_depend_on_the_seed_alone_and_few_steps_are_reported() -> None:
    weight = WEIGHTS[-1]
    one, two = (diagonal.max_diag_normsq(weight, seed=4, iterations=3) for _ in range(2))
    assert one.starts == two.starts
    assert np.array_equal(one.p, two.p)
    assert one.starts["random 0"] != diagonal.max_diag_normsq(weight, seed=5, iterations=3).starts["random 0"]
    assert one.status == "stopped after 3 steps, still rising"


@pytest.mark.parametrize("criterion", [diagonal.max_diag_sum, diagonal.max_diag_sum_rotation, diagonal.max_diag_normsq])
def test_bad_weights_are_refused_with_a_remedy(criterion) -> None:
    with pytest.raises(UsageError, match=r"square one for a diagonal criterion, got shape \(3, 4\); use smoothness"):
        criterion(np.ones((3, 4)))
    with pytest.raises(UsageError, match="1 of 4 entries"):
        criterion(np.array([[1.0, np.inf], [0.0, 1.0]]))
    with pytest.raises(UsageError, match=r"shape \(0, 0\)"):
        criterion(np.zeros((0, 0)))
