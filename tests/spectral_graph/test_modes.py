"""Nodes and how far rounding may have turned them."""

import numpy as np
import pytest

from modescope.spectral_graph.modes import blur, modes, rounding
from net_cases import haar, layer

RNG = np.random.default_rng(2)


def test_zero_values_are_one_node() -> None:
    u, v = haar(RNG, 10, 4), haar(RNG, 10, 4)
    found = modes(layer("a", u @ np.diag([4.0, 3, 2, 1]) @ v.T))
    assert found.nodes == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 10))


def test_sides_that_nothing_needs_are_not_kept() -> None:
    found = modes(layer("a", RNG.standard_normal((5, 4))), written=False)
    assert found.u is None
    assert found.vh is not None
    assert modes(layer("a", RNG.standard_normal((5, 4))), read=False).vh is None


def test_a_perturbation_of_the_rounding_turns_no_mode_further_than_its_blur() -> None:
    s = np.array([4.0, 3.999, 2, 1, 0.5])
    w = (haar(RNG, 6, 5) * s) @ haar(RNG, 5)
    found = modes(layer("a", w, stored="float16"))
    assert found.u is not None
    noise = RNG.standard_normal(w.shape)
    noise *= rounding("float16") * s[0] / np.linalg.norm(noise, 2)
    turned = modes(layer("a", w + noise))
    assert turned.u is not None
    angles = np.arccos(np.minimum(np.abs((found.u * turned.u).sum(axis=0)), 1))
    assert (angles <= 1.5 * found.blur).all()  # up to a small constant
    assert found.blur[0] > 1
    assert found.blur[2] < 0.1


def test_the_gap_to_further_directions_of_value_zero_counts_where_there_are_some() -> None:
    s = np.array([1.0, 1e-4])
    single = ((0, 1), (1, 2))
    assert blur(s, single, eps=1e-6, closed=False)[1] == pytest.approx(1e-2)
    assert blur(s, single, eps=1e-6, closed=True)[1] == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(("stored", "eps"), [("float32", 2**-23), ("bfloat16", 2**-7), ("float16", 2**-10), ("int8", 2**-23)])
def test_the_rounding_is_that_of_the_stored_numbers(stored: str, eps: float) -> None:
    assert rounding(stored) == eps


def test_a_zero_matrix_is_one_node_of_no_direction() -> None:
    found = modes(layer("a", np.zeros((4, 3))))
    assert found.nodes == ((0, 3),)
    assert found.blur.tolist() == [np.pi / 2]


@pytest.mark.parametrize(("out", "inn", "closed"), [(6, 5, False), (5, 6, False), (5, 5, True)])
def test_the_smallest_value_of_a_layer_that_is_not_square_lies_beside_directions_of_value_zero(
    out: int, inn: int, closed: bool
) -> None:
    s = np.array([5.0, 4, 3, 2, 0.25])
    found = modes(layer("a", (haar(RNG, out, 5) * s) @ haar(RNG, inn, 5).T, stored="float16"))
    assert found.nodes[-1] == (4, 5)
    assert found.blur[-1] == pytest.approx(rounding("float16") * 5 / (1.75 if closed else 0.25))
