"""Principal angles and shares of energy: identities, SciPy's angles, and the null."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from comparison_cases import frame
from modescope.comparison.subspaces import angles, inside, ladder, principal_cosines


def test_the_ladder_doubles_and_ends_at_the_number_of_modes() -> None:
    assert ladder(0) == ()
    assert ladder(1) == (1,)
    assert ladder(8) == (1, 2, 4, 8)
    assert ladder(11) == (1, 2, 4, 8, 11)


@pytest.mark.parametrize(("n", "k", "size"), [(20, 3, 3), (7, 5, 5), (40, 2, 6)])
def test_cosines_are_those_of_scipys_angles(n: int, k: int, size: int) -> None:
    rng = np.random.default_rng(n)
    a, b = frame(n, k, rng), frame(n, size, rng)
    np.testing.assert_allclose(principal_cosines(a, b), np.sort(np.cos(subspace_angles(a, b)))[::-1], atol=1e-12)


def test_angles_say_one_for_the_same_space_and_zero_for_orthogonal_ones() -> None:
    rng = np.random.default_rng(3)
    u, v = frame(30, 8, rng), frame(20, 8, rng)
    turned = frame(4, 4, rng)
    for found in angles((u[:, :4], v[:, :4].T), (u[:, :4] @ turned, (v[:, :4] @ turned).T)):
        if found.k == 4:
            assert found.left.share == pytest.approx(1)
            assert found.least_right == pytest.approx(1)
            assert found.left.expected == pytest.approx(4 / 30)
            assert found.right.expected == pytest.approx(4 / 20)
    for found in angles((u[:, :4], v[:, :4].T), (u[:, 4:], v[:, 4:].T)):
        assert found.left.share == pytest.approx(0, abs=1e-25)
        assert found.left.share < found.left.expected < found.left.high < 1


def test_the_whole_space_is_no_evidence() -> None:
    rng = np.random.default_rng(4)
    last = list(angles((frame(6, 6, rng), frame(9, 6, rng).T), (frame(6, 6, rng), frame(9, 6, rng).T)))[-1]
    assert last.left.share == pytest.approx(last.left.expected) == pytest.approx(last.left.high) == 1.0
    assert last.right.high < 1


def test_energy_inside_weighs_modes_by_their_squares() -> None:
    rng = np.random.default_rng(5)
    u, v = frame(50, 6, rng), frame(40, 6, rng)
    change = (u[:, [0, 5]], np.array([3.0, 1.0]), v[:, [5, 4]].T)
    found = inside(change, u[:, :4], v[:, :4].T)
    assert found.left.share == pytest.approx(0.9)
    assert found.right.share == pytest.approx(0, abs=1e-25)
    assert (found.left.expected, found.right.expected) == (4 / 50, 4 / 40)
    assert found.left.expected < found.left.high < found.left.share
