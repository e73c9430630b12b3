"""Identities of the overlaps: sums, invariances, energy, blocks, and every way in which channels may meet."""

import numpy as np
import pytest

from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import aggregated, effective, met, overlaps, pair
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.wiring import Link
from net_cases import haar, joined, layer

RNG = np.random.default_rng(5)
W1, W2 = RNG.standard_normal((12, 12)), RNG.standard_normal((12, 12))
K1, K2 = RNG.standard_normal((8, 5, 3, 3)), RNG.standard_normal((10, 8, 3, 3))


def as_the_definition_says(kernel: np.ndarray, nxt: np.ndarray) -> np.ndarray:
    """Overlaps written out as in the definition, by dense decompositions and explicit sums."""
    u = np.linalg.svd(kernel.reshape(kernel.shape[0], -1), full_matrices=False)[0]
    vh = np.linalg.svd(nxt.reshape(nxt.shape[0], -1), full_matrices=False)[2]
    b = vh.reshape(-1, nxt.shape[1], int(np.prod(nxt.shape[2:], dtype=int)))
    return np.array(
        [[sum((b[n, :, t] @ u[:, m]) ** 2 for t in range(b.shape[2])) for m in range(u.shape[1])] for n in range(b.shape[0])]
    )


@pytest.mark.parametrize(("a", "b"), [(W1, W2), (K1, K2), (W1[:, :4], W2[:7]), (K1, RNG.standard_normal((6, 8, 1, 1)))])
def test_overlaps_are_those_of_the_definition(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(overlaps(joined(layer("a", a), layer("b", b))), as_the_definition_says(a, b), atol=1e-12)


def test_two_full_bases_give_a_doubly_stochastic_matrix() -> None:
    a = overlaps(joined(layer("a", W1), layer("b", W2)))
    assert a.min() >= 0
    assert a.max() <= 1 + 1e-12
    np.testing.assert_allclose(a.sum(axis=0), 1, atol=1e-10)
    np.testing.assert_allclose(a.sum(axis=1), 1, atol=1e-10)


def test_a_full_basis_of_writers_sums_to_one_for_every_reader_of_any_number_of_taps() -> None:
    a = overlaps(joined(layer("a", RNG.standard_normal((8, 40))), layer("b", K2)))
    np.testing.assert_allclose(a.sum(axis=1), 1, atol=1e-10)
    assert overlaps(joined(layer("a", K1[:, :2, 0, 0]), layer("b", K2))).sum(axis=1).max() <= 1 + 1e-10


def test_a_full_basis_of_readers_sums_to_the_number_of_taps() -> None:
    a = overlaps(joined(layer("a", K1), layer("b", RNG.standard_normal((72, 8, 3, 3)))))
    np.testing.assert_allclose(a.sum(axis=0), 9, atol=1e-10)
    assert overlaps(joined(layer("a", K1), layer("b", K2))).sum(axis=0).max() <= 9


def test_a_rotation_between_the_layers_and_the_scale_of_either_change_nothing() -> None:
    r = haar(RNG, 8)
    before = overlaps(joined(layer("a", K1), layer("b", K2)))
    rotated = np.einsum("dc,cikl->dikl", r, K1), np.einsum("oikl,ji->ojkl", K2, r)
    np.testing.assert_allclose(overlaps(joined(layer("a", 3 * rotated[0]), layer("b", 0.2 * rotated[1]))), before, atol=1e-10)


def test_a_kernel_of_one_tap_is_a_dense_layer() -> None:
    dense = overlaps(joined(layer("a", W1), layer("b", W2)))
    np.testing.assert_allclose(
        overlaps(joined(layer("a", W1[:, :, None, None]), layer("b", W2[:, :, None, None]))), dense, atol=1e-12
    )


def test_the_energy_of_the_product_is_the_weighted_sum_of_overlaps() -> None:
    a, b = layer("a", W1), layer("b", W2)
    weighted = modes(b).s ** 2 @ overlaps(joined(a, b)) @ modes(a).s ** 2
    assert weighted == pytest.approx(np.linalg.norm(W2 @ W1) ** 2, rel=1e-12)
    a, b = layer("a", K1), layer("b", K2)
    composite = np.einsum("pckl,cixy->piklxy", K2, K1)
    assert modes(b).s ** 2 @ overlaps(joined(a, b)) @ modes(a).s ** 2 == pytest.approx(np.linalg.norm(composite) ** 2, rel=1e-12)


def test_blocks_of_nodes_sum_to_the_overlap_of_their_projections() -> None:
    u, v = haar(RNG, 9), haar(RNG, 9)
    s = np.array([5.0, 5, 5, 3, 2, 2, 1, 0, 0])
    a, b = layer("a", u @ np.diag(s) @ haar(RNG, 9)), layer("b", haar(RNG, 9) @ np.diag(s) @ v.T)
    nodes = ((0, 3), (3, 4), (4, 6), (6, 7), (7, 9))
    assert modes(a).nodes == nodes == modes(b).nodes
    expected = [[np.linalg.norm(v[:, i:j].T @ u[:, k:m]) ** 2 for k, m in nodes] for i, j in nodes]
    np.testing.assert_allclose(overlaps(joined(a, b)), expected, atol=1e-10)


def test_a_flatten_in_either_order_meets_its_channels() -> None:
    positions = 4
    dense = RNG.standard_normal((6, 8, positions))
    first, last = dense.reshape(6, -1), dense.transpose(0, 2, 1).reshape(6, -1)
    by_taps = overlaps(joined(layer("a", K1), layer("b", dense)))
    for weight, rows in ((first, np.repeat(np.arange(8), positions)), (last, np.tile(np.arange(8), positions))):
        np.testing.assert_allclose(overlaps(joined(layer("a", K1), layer("b", weight), rows=rows)), by_taps, atol=1e-12)


def test_a_concatenation_meets_the_window_of_each_writer() -> None:
    other = RNG.standard_normal((4, 5, 3, 3))
    reader = layer("c", RNG.standard_normal((10, 12, 3, 3)))
    rows = np.concatenate([np.full(4, -1), np.arange(8)])
    found = joined(layer("a", K1), reader, rows=rows)
    assert (found.dimension, found.reader.shape) == (8, (10, 8, 9))
    first = overlaps(joined(layer("o", other), reader, rows=np.concatenate([np.arange(4), np.full(8, -1)])))
    both = overlaps(found).sum(axis=1) + first.sum(axis=1)
    np.testing.assert_allclose(both, 1, atol=1e-10)  # both writers are full bases of their windows


def test_a_reader_of_part_of_the_channels_and_one_that_meets_some_more_often_are_padded_with_zeros() -> None:
    rows = np.array([2, 0, 2, -1, 5])
    shared, meeting = met(rows)
    assert shared.tolist() == [0, 2, 5]
    assert meeting.tolist() == [[1, -1], [0, 2], [4, -1]]
    v = RNG.standard_normal((4, 5))
    found = joined(layer("a", RNG.standard_normal((6, 7))), layer("b", v), rows=rows)
    b = modes(layer("b", v)).vh
    assert b is not None
    first = b[:, [1, 0, 4]] @ found.writer  # the first time that each channel is met, and the second
    second = b[:, [2]] @ found.writer[[1]]
    np.testing.assert_allclose(overlaps(found), first**2 + second**2, atol=1e-12)


def test_a_grouped_layer_is_its_dense_block_diagonal_expansion() -> None:
    kernel = RNG.standard_normal((8, 3, 3, 3))
    dense = np.zeros((8, 6, 3, 3))
    dense[:4, :3], dense[4:, 3:] = kernel[:4], kernel[4:]
    grouped, full = layer("a", kernel, groups=2), layer("a", dense)
    np.testing.assert_allclose(modes(grouped).s, modes(full).s, rtol=1e-12)
    np.testing.assert_allclose(overlaps(joined(grouped, layer("b", K2))), overlaps(joined(full, layer("b", K2))), atol=1e-12)
    reader = RNG.standard_normal((6, 4, 3, 3))
    wide = np.zeros((6, 8, 3, 3))
    wide[:3, :4], wide[3:, 4:] = reader[:3], reader[3:]
    np.testing.assert_allclose(
        overlaps(joined(layer("a", K1), layer("b", reader, groups=2))),
        overlaps(joined(layer("a", K1), layer("b", wide))),
        atol=1e-12,
    )
    found = joined(grouped, layer("b", K2))
    assert found.dimension == 4
    assert found.writer_block is not None
    assert found.channel_block is not None
    outside = found.writer_block[None, :] != found.channel_block[:, None]
    assert np.abs(found.writer[outside]).max() == 0


def test_equal_values_of_different_groups_are_nodes_of_their_own() -> None:
    block = haar(RNG, 4)
    twice = layer("a", np.concatenate([block, block]), groups=2)
    found = modes(twice)
    assert found.nodes == ((0, 4), (4, 8))
    assert found.block is not None
    assert found.block.tolist() == [0] * 4 + [1] * 4


def test_chunks_of_readers_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = joined(layer("a", K1), layer("b", K2))
    whole = overlaps(found)
    monkeypatch.setattr("modescope.spectral_graph.overlaps.CHUNK", 100)
    np.testing.assert_allclose(overlaps(found), whole, atol=1e-14)


def test_effective_taps_are_one_for_a_separable_kernel_and_the_number_of_taps_for_a_flat_one() -> None:
    separable = np.einsum("c,t->ct", haar(RNG, 8, 1)[:, 0], haar(RNG, 9, 1)[:, 0])
    flat = haar(RNG, 8, 4) / 2
    reader = np.stack([separable, np.pad(flat, ((0, 0), (0, 5)))])
    found = effective(Pair(np.eye(8), reader, 8, ((0, 1),), ((0, 1), (1, 2))))
    np.testing.assert_allclose(found, [1, 4], rtol=1e-12)


def test_vectors_that_were_not_kept_are_named() -> None:
    writer, reader = modes(layer("a", W1), written=False), modes(layer("b", W2))
    with pytest.raises(ValueError, match="u of a"):
        pair(Link("a", "b"), writer, reader)


def test_aggregation_leaves_single_modes_as_they_are() -> None:
    a = RNG.random((3, 4))
    assert aggregated(a, ((0, 1), (1, 2), (2, 3)), tuple((i, i + 1) for i in range(4))) is a
