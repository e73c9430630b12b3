"""Random frames: orthonormal, and with no direction or sign preferred."""

import numpy as np
import pytest
from scipy.stats import kstest

from modescope.laws.haar_frames import directions, frame


@pytest.mark.parametrize(("rows", "size"), [(1, 5), (3, 5), (5, 5), (60, 120), (119, 120)])
def test_rows_are_orthonormal(rows: int, size: int) -> None:
    drawn = frame(np.random.default_rng(0), rows, size)
    assert drawn.shape == (rows, size)
    assert drawn @ drawn.T == pytest.approx(np.eye(rows), abs=1e-13)


def test_a_random_rotation_has_the_moments_of_the_haar_measure() -> None:
    """E tr Q = 0, E (tr Q)^2 = 1 and as many reflections as rotations; 4000 draws, five standard errors."""
    rng = np.random.default_rng(1)
    drawn = [frame(rng, 4, 4) for _ in range(4000)]
    traces = np.array([np.trace(q) for q in drawn])
    assert abs(traces.mean()) < 5 / np.sqrt(4000)
    assert (traces**2).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / 4000))
    assert np.mean([np.linalg.det(q) > 0 for q in drawn]) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(4000))


def test_a_few_random_rows_have_the_moments_of_the_haar_measure() -> None:
    """Entries of mean 0 and variance 1 / 6, here by the other route; 4000 draws, five standard errors."""
    rng = np.random.default_rng(3)
    drawn = np.array([frame(rng, 3, 6) for _ in range(4000)])
    assert np.abs(drawn.mean(0)).max() < 5 / np.sqrt(6 * 4000)
    assert (drawn**2).mean(0) == pytest.approx(np.full((3, 6), 1 / 6), abs=5 * 0.21 / np.sqrt(4000))


def test_directions_have_unit_length_and_no_preference() -> None:
    drawn = directions(np.random.default_rng(2), 5000, 6)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(np.ones(5000))
    assert drawn.T @ drawn / 5000 == pytest.approx(np.eye(6) / 6, abs=0.02)


@pytest.mark.parametrize("size", [5, 7])
def test_the_square_of_an_entry_is_a_beta_and_its_sign_is_fair(size: int) -> None:
    """3000 draws of an entry, by both routes: its square is Beta(1/2, (size - 1) / 2), its sign fair within 4 errors of .009."""
    rng = np.random.default_rng(0)
    frames = [frame(rng, 3, size) for _ in range(3000)]
    entries = np.array([one[0, 0] for one in frames])
    assert kstest(entries**2, "beta", args=(0.5, (size - 1) / 2)).pvalue > 0.01
    assert abs((entries > 0).mean() - 0.5) < 0.037
