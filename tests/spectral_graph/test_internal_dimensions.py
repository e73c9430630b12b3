"""Internal dimensions: planted blocks are found to the mode, random layers have none, and groups of equal values are not cut."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.linalg import block_diag, expm

from modescope.errors import UsageError
from modescope.spectral_graph import internal_dimensions as internal
from modescope.spectral_graph.overlaps import aggregated, overlaps
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.random_writers import redrawn
from structure_cases import Values, frame, joined


def pair_of(writer: Values, reader: Values) -> Pair:
    """A pair from directions: (p, m) and (n, p, z)."""
    singles = [tuple((i, i + 1) for i in range(count)) for count in (writer.shape[1], reader.shape[0])]
    return Pair(writer, reader, writer.shape[0], *singles)


def planted(d: int, n: int, rng: np.random.Generator, *, eps: float = 0.0) -> Pair:
    """The first d directions of both sides span the same space, as do the others; then turned by about eps."""
    noise = rng.standard_normal((n, n))
    turned = block_diag(frame(d, d, rng), frame(n - d, n - d, rng)) @ expm(eps * (noise - noise.T))
    return pair_of(np.eye(n), turned[:, :, None])


def scores_as_defined(pair: Pair) -> Values:
    """Z of every corner by the definition, sum by sum."""
    a = overlaps(pair)
    n, m = a.shape
    dimension = pair.dimension
    found = np.full((n, m), -np.inf)
    for i in range(1, n + 1):
        g = sum(pair.reader[k] @ pair.reader[k].T for k in range(i))
        for j in range(1, m + 1):
            variance = 2 * j * (dimension - j) / (dimension * (dimension - 1) * (dimension + 2))
            variance *= np.trace(g @ g) - np.trace(g) ** 2 / dimension
            if variance > 1e-9:
                found[i - 1, j - 1] = (a[:i, :j].sum() - j * np.trace(g) / dimension) / np.sqrt(variance)
    return found


@pytest.mark.parametrize("d", [10, 30, 70, 90])
def test_planted_dimensions_are_found_to_the_mode(d: int) -> None:
    pair = planted(d, 100, np.random.default_rng(d))
    found = internal.internal_dimensions(pair, overlaps(pair), draws=19)
    assert (found.reader, found.writer, found.status) == (d, d, "ok")
    assert found.score is not None
    assert found.score > 60
    corner = internal.svr(overlaps(pair), 100)
    assert (corner.reader, corner.writer) == (d, d)


@pytest.mark.parametrize("d", [10, 90])
def test_turned_blocks_are_found_where_the_unscaled_excess_goes_to_the_middle(d: int) -> None:
    """Turned by .1, at which a block near a corner is just visible: mean distances from the planted dimension over twelve seeds."""
    pairs = [planted(d, 100, np.random.default_rng(seed), eps=0.1) for seed in range(12)]
    scaled = [internal.internal_dimensions(pair, overlaps(pair), draws=19, level=0.999).reader or 0 for pair in pairs]
    plain = [internal.svr(overlaps(pair), 100).reader for pair in pairs]
    assert np.abs(np.array(scaled) - d).mean() < 6
    assert np.abs(np.array(plain) - d).mean() > 8


def test_random_layers_have_none() -> None:
    """Of twenty random pairs at a level of .05, one on average; four or more have a probability of .016."""
    rng = np.random.default_rng(0)
    found = [
        internal.internal_dimensions(pair, overlaps(pair), draws=99)
        for pair in (pair_of(frame(32, 32, rng), frame(32, 32, rng)[:, :, None]) for _ in range(20))
    ]
    assert sum(one.status == "ok" for one in found) < 4
    none = next(one for one in found if one.status != "ok")
    assert none.reader is none.writer is None
    assert none.status.startswith("none:")
    assert max(one.score or 0 for one in found) < 5.5


@pytest.mark.parametrize(("n", "m", "z"), [(9, 9, 1), (6, 9, 1), (7, 5, 3), (20, 9, 3)])
def test_the_score_is_the_one_of_the_definition(n: int, m: int, z: int) -> None:
    rng = np.random.default_rng(n)
    pair = pair_of(frame(9, m, rng), frame(9 * z, n, rng).T.reshape(n, 9, z))
    slow = scores_as_defined(pair)
    found = internal.internal_dimensions(pair, overlaps(pair), draws=19, level=0.05)
    assert found.score == pytest.approx(slow.max(), rel=1e-10)
    i, j = np.unravel_index(slow.argmax(), slow.shape)
    if found.status == "ok":
        assert (found.reader, found.writer) == (i + 1, j + 1)


def test_readers_taken_in_parts_are_scored_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    pair = pair_of(frame(9, 7, rng), frame(27, 20, rng).T.reshape(20, 9, 3))
    whole = internal.internal_dimensions(pair, overlaps(pair), draws=19)
    monkeypatch.setattr(internal, "PART", 12)
    assert internal.internal_dimensions(pair, overlaps(pair), draws=19).score == pytest.approx(whole.score, rel=1e-12)


def test_scores_of_random_writers_have_mean_zero_and_variance_one() -> None:
    """4000 draws of one corner: the mean scatters by .016 and the variance by about .03; smooth kernels, so that taps matter."""
    rng = np.random.default_rng(4)
    kernels = rng.standard_normal((6, 12, 1)) * np.array([1.0, 0.5, 0.2]) + 0.2 * rng.standard_normal((6, 12, 3))
    reader = kernels / np.sqrt((kernels**2).sum(axis=(1, 2), keepdims=True))
    pair = pair_of(frame(12, 8, rng), reader)
    z = np.array([scores_as_defined(replace(pair, reader=reader[:4], reader_nodes=pair.reader_nodes[:4]))[3, 4]])
    drawn = []
    g = np.einsum("ncz,ndz->cd", reader[:4], reader[:4])
    sd = np.sqrt(2 * 5 * 7 / (12 * 11 * 14) * (np.trace(g @ g) - np.trace(g) ** 2 / 12))
    for _ in range(4000):
        u = redrawn(pair, rng).writer[:, :5]
        drawn.append((np.trace(u.T @ g @ u) - 5 * np.trace(g) / 12) / sd)
    assert abs(np.mean(drawn)) < 0.07
    assert np.var(drawn) == pytest.approx(1, abs=0.12)
    assert np.isfinite(z).all()


@pytest.mark.parametrize(("z", "sizes"), [(1, [1] * 10), (1, [4, 1, 3, 2]), (4, [1] * 10), (4, [1, 1, 6, 2])])
def test_the_null_is_that_of_redrawn_writers(z: int, sizes: list[int]) -> None:
    """80 p-values of random writers for one reader are at most .1 in 1 to 19 cases (four standard errors)."""
    rng = np.random.default_rng(8)
    reader = frame(12 * z, 10, rng).T.reshape(10, 12, z) * np.linspace(1, 2, z)
    reader /= np.sqrt((reader**2).sum(axis=(1, 2), keepdims=True))
    stops = np.cumsum(sizes).tolist()
    base = replace(pair_of(frame(12, 12, rng), reader), reader_nodes=tuple(pairwise((0, *stops))))
    p = []
    for _ in range(80):
        pair = redrawn(base, rng)
        p.append(internal.internal_dimensions(pair, overlaps(pair), draws=19).p)
    assert 1 <= sum(value <= 0.1 for value in p if value is not None) <= 19


def test_corners_end_at_nodes() -> None:
    """With the group 8 to 12 as one node, a block of ten modes ends at one of its two ends."""
    pair = planted(10, 40, np.random.default_rng(1))
    nodes = (*((i, i + 1) for i in range(8)), (8, 12), *((i, i + 1) for i in range(12, 40)))
    grouped = replace(pair, reader_nodes=nodes)
    weights = aggregated(overlaps(pair), nodes, pair.writer_nodes)
    assert overlaps(grouped) == pytest.approx(weights)
    found = internal.internal_dimensions(grouped, weights, draws=19)
    assert found.reader in (8, 12)
    assert internal.internal_dimensions(pair, overlaps(pair), draws=19).reader == 10


def test_equal_singular_values_everywhere_leave_nothing_to_find() -> None:
    pair, _, _ = joined(np.eye(6), 2 * np.eye(6))
    found = internal.internal_dimensions(pair, overlaps(pair), draws=19)
    assert (found.score, found.p) == (None, None)
    assert "no corner" in found.status


def test_a_grouped_writer_is_not_tested_and_few_draws_are_refused() -> None:
    rng = np.random.default_rng(0)
    pair = pair_of(frame(6, 6, rng), frame(6, 6, rng)[:, :, None])
    blocks = replace(pair, writer_block=np.repeat([0, 1], 3), channel_block=np.repeat([0, 1], 3))
    assert "several groups" in internal.internal_dimensions(blocks, overlaps(pair)).status
    with pytest.raises(UsageError, match="at least 19"):
        internal.internal_dimensions(pair, overlaps(pair), draws=18)


def test_the_same_seed_gives_the_same_null() -> None:
    rng = np.random.default_rng(0)
    pair = pair_of(frame(9, 9, rng), frame(18, 9, rng).T.reshape(9, 9, 2))
    one, two = (internal.internal_dimensions(pair, overlaps(pair), draws=19, seed=3) for _ in range(2))
    assert one == two
    assert internal.internal_dimensions(pair, overlaps(pair), draws=19, seed=4).high != one.high
