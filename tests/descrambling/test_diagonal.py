"""Diagonal criteria: identities of the polar factor, the price of a reflection, and a climb that never falls."""

from itertools import pairwise

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


def reaches(weight: np.ndarray, start: np.ndarray, *, steps: int = 2000) -> float:
    """Where the iteration ends from a start, in so many words."""
    p = start
    for _ in range(steps):
        u, _, zh = np.linalg.svd(weight @ np.diag(np.diag(p @ weight)))
        p = (u @ zh).T
    return float(np.sum(np.diag(p @ weight) ** 2))


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
    assert found.identity - 1e-12 <= found.value <= found.bound * (1 + 1e-12)


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
    assert "after 3 steps" in one.status


@pytest.mark.parametrize("criterion", [diagonal.max_diag_sum, diagonal.max_diag_sum_rotation, diagonal.max_diag_normsq])
def test_bad_weights_are_refused_with_a_remedy(criterion) -> None:
    with pytest.raises(UsageError, match=r"square one for a diagonal criterion, got shape \(3, 4\); use smoothness"):
        criterion(np.ones((3, 4)))
    with pytest.raises(UsageError, match="1 of 4 entries"):
        criterion(np.array([[1.0, np.inf], [0.0, 1.0]]))
    with pytest.raises(UsageError, match=r"shape \(0, 0\)"):
        criterion(np.zeros((0, 0)))


@EVERY
def test_the_bound_of_squares_is_above_every_orthogonal_matrix_and_is_reached(weight: np.ndarray) -> None:
    """From any matrix it is a bound; from the best one it is the value, which proves that it is the best."""
    m, found = len(weight), diagonal.max_diag_normsq(weight, iterations=20_000)
    reached = [float(np.sum(np.diag(haar(m, seed) @ weight) ** 2)) for seed in range(50)]
    for seed in range(5):
        assert diagonal.squares_bound(weight, haar(m, seed)) >= found.value * (1 - 1e-12)
    assert max(reached) <= found.bound * (1 + 1e-12)
    assert found.bound == pytest.approx(found.value, rel=1e-8)
    assert found.status == "ok"
    assert set(found.starts) == {"polar"}
    for seed in range(5):
        assert reaches(weight, haar(m, seed)) == pytest.approx(found.value, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_best_start_wins_and_more_starts_never_lose(seed: int) -> None:
    """Few steps, so that no start is proven: the first ones stay what they are when more follow, and the value cannot fall."""
    weight = np.random.default_rng([5, seed]).standard_normal((6, 6))
    runs = [diagonal.max_diag_normsq(weight, restarts=count, seed=seed, iterations=2) for count in (0, 1, 4, 12)]
    for few, many in pairwise(runs):
        assert {name: many.starts[name] for name in few.starts} == few.starts
        assert many.value >= few.value * (1 - 1e-12)
    last = runs[-1]
    assert all(last.value >= value * (1 - 1e-12) for value in last.starts.values())
    assert set(last.starts) == {"polar", "identity", *(f"random {number}" for number in range(12))}
    assert last.starts["identity"] == pytest.approx(reaches(weight, np.eye(6), steps=2), rel=1e-12)
    assert np.sum(np.diag(last.p @ weight) ** 2) == pytest.approx(max(last.starts.values()), rel=1e-11)
    assert min(last.starts.values()) < 0.99 * last.value
    told = float(last.status.split()[2])
    assert last.status.endswith("times its value below the largest there is, after 2 steps")
    assert diagonal.max_diag_normsq(weight).value <= last.value * (1 + told * 1.01)


def test_a_start_that_cannot_move_is_not_taken_for_the_best() -> None:
    """Nothing on the diagonal of two exchanged neurons: the identity is stationary there, at the least value of all."""
    weight = np.array([[0.0, 2], [1, 0]])
    p = diagonal._climbed(weight, np.eye(2), 100)
    assert p.tolist() == np.eye(2).tolist()
    assert diagonal.squares_bound(weight, np.eye(2)) == pytest.approx(5)
    found = diagonal.max_diag_normsq(weight)
    assert found.value == pytest.approx(5)
    assert found.status == "ok"


def test_a_symmetric_view_that_is_not_positive_is_no_end() -> None:
    """`W diag(d)` is symmetric here from the start, with eigenvalues 3 and -1."""
    weight = np.array([[1.0, 2], [2, 1]])
    shown = diagonal._climbed(weight, np.eye(2), 10) @ weight
    assert np.abs(shown) == pytest.approx(np.array([[2.0, 1], [1, 2]]))


def test_states_that_depend_on_each_other_are_proven_too() -> None:
    """Three directions 120 degrees apart in a plane, where 2 is the known best, and weights of low rank."""
    at = 2 * np.pi * np.arange(3) / 3
    found = diagonal.max_diag_normsq(np.array([np.cos(at), np.sin(at), 0 * at]))
    assert (found.value, found.status) == (pytest.approx(2), "ok")
    rng = np.random.default_rng(0)
    for rank in (1, 2, 4):
        weight = rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 5))
        best = diagonal.max_diag_normsq(weight, iterations=5000)
        assert best.status == "ok"
        assert best.value >= max(np.sum(np.diag(haar(5, seed) @ weight) ** 2) for seed in range(200))
    assert diagonal.max_diag_normsq(np.zeros((3, 3))).status == "ok"


def test_the_scale_of_a_weight_moves_no_rotation_and_what_squares_cannot_hold_is_refused() -> None:
    weight = WEIGHTS[-1]
    for criterion in (diagonal.max_diag_sum, diagonal.max_diag_sum_rotation, diagonal.max_diag_normsq):
        assert criterion(1e100 * weight).p == pytest.approx(criterion(weight).p, abs=1e-6)
    for size in (1e-200, 1e200):
        assert diagonal.max_diag_sum(size * weight).value == pytest.approx(size * np.linalg.norm(weight, "nuc"), rel=1e-12)
        with pytest.raises(UsageError, match=r"weight \(12, 12\): .*another unit"):
            diagonal.max_diag_normsq(size * weight)
