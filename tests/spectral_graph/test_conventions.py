"""The three conventions against each other and against their definitions."""

from dataclasses import replace

import numpy as np
import pytest

from modescope.spectral_graph.conventions import channel, reversed_
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import overlaps, pair
from modescope.spectral_graph.wiring import Link, Wiring
from net_cases import chain, layer

RNG = np.random.default_rng(4)
K = [RNG.standard_normal((6, 4, 3, 3)), RNG.standard_normal((7, 6, 3, 3)), RNG.standard_normal((5, 7, 1, 1))]


def between(wiring: Wiring, number: int) -> np.ndarray:
    link = wiring.links[number]
    return overlaps(pair(link, modes(wiring[link.source]), modes(wiring[link.target])))


def test_cosvr_is_what_its_definition_says() -> None:
    """a[n, m] = sum over taps of <U[:, tap, m], v_n>^2 with U and V of the (out, taps) x in unfoldings."""
    backwards = reversed_(chain(*K))
    for number in range(2):
        writer, reader = (
            np.linalg.svd(k.reshape(*k.shape[:2], -1).transpose(0, 2, 1).reshape(-1, k.shape[1]), full_matrices=False)
            for k in K[number : number + 2]
        )
        u = writer[0].reshape(K[number].shape[0], -1, writer[0].shape[1])
        expected = np.einsum("ctm,nc->ntm", u, reader[2])
        found = between(backwards, number)
        np.testing.assert_allclose(found.T, (expected**2).sum(axis=1), atol=1e-12)


def test_running_backwards_twice_is_running_forwards() -> None:
    there = chain(*K)
    back = reversed_(reversed_(there))
    assert [item.name for item in back.layers] == ["0", "1", "2"]
    for number in range(2):
        np.testing.assert_allclose(between(back, number), between(there, number), atol=1e-12)


def test_a_concatenation_runs_backwards_too() -> None:
    writer, reader = layer("a", K[0]), layer("b", RNG.standard_normal((5, 9, 3, 3)))
    rows = np.array([-1, -1, 0, 1, 2, 3, 4, 5, -1])
    back = reversed_(Wiring((writer, reader), (Link("a", "b", rows=rows),)))
    assert back.links[0].rows is not None
    assert back.links[0].rows.tolist() == [2, 3, 4, 5, 6, 7]


def test_a_flatten_has_no_backwards() -> None:
    flat = layer("b", RNG.standard_normal((5, 12)))
    back = reversed_(Wiring((layer("a", K[0]), flat), (Link("a", "b", rows=np.repeat(np.arange(6), 2)),)))
    assert not back.links
    assert "svr" in back.gaps[0].reason


def test_the_channel_convention_has_one_tap_everywhere() -> None:
    split = channel(chain(*K))
    assert [item.name for item in split.layers] == ["0 (writes)", "1 (reads)", "1 (writes)", "2"]
    u = np.linalg.svd(K[0].reshape(6, -1), full_matrices=False)[0]
    v = np.linalg.svd(K[1].reshape(7, 6, 9).transpose(0, 2, 1).reshape(-1, 6), full_matrices=False)[2]
    np.testing.assert_allclose(between(split, 0), (v @ u) ** 2, atol=1e-12)
    np.testing.assert_allclose(between(split, 0).sum(axis=0), 1, atol=1e-10)


@pytest.mark.parametrize("convention", [channel, reversed_])
def test_grouped_layers_are_rewritten_like_their_dense_expansion(convention) -> None:
    kernel = RNG.standard_normal((6, 2, 3, 3))
    dense = np.zeros((6, 4, 3, 3))
    dense[:3, :2], dense[3:, 2:] = kernel[:3], kernel[3:]
    wide = chain(K[0][:4], dense, K[1])
    narrow = replace(wide, layers=(wide.layers[0], layer("1", kernel, groups=2), wide.layers[2]))
    one, other = convention(wide), convention(narrow)
    for number in range(2):
        np.testing.assert_allclose(between(one, number), between(other, number), atol=1e-10)
