"""What is barely written against what is barely read: planted kernels, random ones, and the sizes that must not be cut."""

import math

import numpy as np
import pytest
from scipy.stats import kstest

import net_cases
from modescope.errors import UsageError
from modescope.spectral_graph import near_kernels as kernels
from modescope.spectral_graph.modes import modes
from structure_cases import frame, joined


def with_spectrum(out: int, inn: int, s: list[float], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return frame(out, len(s), rng) * np.array(s) @ frame(inn, len(s), rng).T


@pytest.mark.parametrize("dead", [1, 5, 17])
@pytest.mark.parametrize("taps", [(), (3, 3)])
def test_layers_with_the_same_channels_zeroed_share_exactly_that_kernel(dead: int, taps: tuple[int, ...]) -> None:
    rng = np.random.default_rng(dead)
    writer, reader = rng.standard_normal((24, 40)), rng.standard_normal((30, 24, *taps))
    writer[:dead], reader[:, :dead] = 0, 0
    pair, left, right = joined(writer, reader)
    found = kernels.between(pair, left, right)
    assert (found.writer_kernel, found.reader_kernel) == (dead, dead)
    assert found.small.overlap == pytest.approx(dead, abs=1e-8)
    assert found.small.share == pytest.approx(1, abs=1e-8)
    assert found.quarter.writer == found.quarter.reader == max(6, dead)
    assert found.quarter.overlap >= dead - 1e-8
    assert found.small.p is not None
    assert found.small.p < (0.2 if dead == 1 else 1e-6)


def test_the_overlap_equals_that_of_full_bases() -> None:
    """A thin decomposition leaves out directions; the sum over explicit bases of both near-kernels is the slow twin."""
    rng = np.random.default_rng(3)
    writer, reader = with_spectrum(20, 12, [3, 2, 1, 0.5, 1e-3, 1e-4], 1), rng.standard_normal((7, 20, 2))
    pair, left, right = joined(writer, reader)
    found = kernels.between(pair, left, right)
    u = np.linalg.svd(writer)[0][:, 4:]
    v = np.linalg.svd(reader.transpose(0, 2, 1).reshape(-1, 20))[2][14:].T
    assert (found.small.writer, found.small.reader) == (16, 6)
    assert found.small.forced == 2
    assert found.small.overlap == pytest.approx(((u.T @ v) ** 2).sum(), abs=1e-10)
    assert found.small.expected == pytest.approx(16 * 6 / 20)


def test_random_near_kernels_have_a_uniform_p_and_standard_scores() -> None:
    """400 draws: a true law passes a Kolmogorov-Smirnov p of .01 in 99 of 100 seeds; a mean of scores scatters by .05."""
    p, z = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        pair, left, right = joined(rng.standard_normal((20, 20)), rng.standard_normal((20, 20)))
        block = kernels.between(pair, left, right).quarter
        p.append(block.p)
        z.append(block.z)
    assert kstest(p, "uniform").pvalue > 0.01
    assert abs(np.mean(z)) < 0.2
    assert np.std(z) == pytest.approx(1, abs=0.15)


def test_a_fixed_quarter_never_cuts_a_kernel() -> None:
    """A classifier with ten classes does not read 22 of 32 directions: no eight of them are the smallest."""
    rng = np.random.default_rng(0)
    pair, left, right = joined(rng.standard_normal((32, 32)), rng.standard_normal((10, 32)))
    quarter = kernels.between(pair, left, right).quarter
    assert (quarter.writer, quarter.reader) == (8, 22)


def test_a_fixed_quarter_never_cuts_what_the_storage_cannot_tell_from_a_kernel() -> None:
    """Weights rounded to bfloat16: values below .0078 of the largest are rounding, and five of them are a kernel of five."""
    writer = kernels.written(with_spectrum(12, 12, [5.0, 4, 3, 2, 1.5, 1.2, 1, 0.02, 0.018, 0.015, 0.01, 0.005], 0))
    reader = kernels.read(with_spectrum(12, 12, [*range(24, 12, -1)], 1)[:, :, None])
    found = kernels.near_kernels(writer, reader, floors=(0.0078, 0.0078))
    assert (found.writer_kernel, found.quarter.writer, found.quarter.reader) == (5, 5, 3)
    assert kernels.near_kernels(writer, reader).quarter.writer == 3


def test_a_fixed_quarter_never_cuts_equal_values() -> None:
    s = [5.0, 4, 3, 2, 1, 1, 1, 1, 0.5, 0.4, 0.3, 0.2]
    writer = kernels.written(with_spectrum(12, 12, s, 0))
    reader = kernels.read(with_spectrum(12, 12, [*range(24, 12, -1)], 1)[:, :, None])
    assert kernels.near_kernels(writer, reader).quarter.writer == 3
    tied = kernels.written(with_spectrum(12, 12, [5.0, 4, 3, 2, 1.9, 1.8, 1.7, 1, 1, 1, 1, 0.2], 0))
    assert kernels.near_kernels(tied, reader).quarter.writer == 5


def test_blocks_that_must_overlap_are_no_evidence() -> None:
    writer, reader = with_spectrum(10, 10, [2.0, 1], 0), with_spectrum(10, 10, [3.0], 1)
    pair, left, right = joined(writer, reader)
    block = kernels.between(pair, left, right).small
    assert (block.writer, block.reader, block.forced) == (8, 9, 7)
    assert block.p is not None
    assert block.p > 0.01
    full = joined(writer, np.zeros((4, 10)))
    emptied = kernels.between(*full).small
    assert emptied.overlap == pytest.approx(8)
    assert emptied.z is emptied.p is None
    assert "fills the space" in emptied.status


def test_layers_without_near_kernels_say_so() -> None:
    pair, left, right = joined(np.eye(6), np.eye(6))
    small = kernels.between(pair, left, right).small
    assert (small.writer, small.overlap, small.share, small.p) == (0, 0, None, None)
    assert "empty" in small.status


def test_a_reader_that_meets_half_of_the_channels_is_tested_in_that_half() -> None:
    rng = np.random.default_rng(1)
    writer, reader = rng.standard_normal((24, 30)), rng.standard_normal((16, 12))
    writer[12:16], reader[:, :4] = 0, 0
    pair, left, right = joined(writer, reader, rows=np.arange(12, 24))
    found = kernels.between(pair, left, right)
    assert found.dimension == 12
    assert found.small.overlap == pytest.approx(4, abs=1e-8)


def test_taps_are_unfolded_as_outputs_and_flattened_positions_count_as_taps() -> None:
    rng = np.random.default_rng(2)
    weight = rng.standard_normal((5, 8 * 6))
    flattened, left, right = joined(rng.standard_normal((8, 9)), weight, rows=np.repeat(np.arange(8), 6))
    direct = kernels.read(weight.reshape(5, 8, 6))
    gains = np.linalg.eigvalsh(np.einsum("oct,odt->cd", weight.reshape(5, 8, 6), weight.reshape(5, 8, 6)))[::-1]
    assert direct.s**2 == pytest.approx(gains, rel=1e-10)
    expected = kernels.near_kernels(kernels.Directions(left.s, left.u), direct)
    assert kernels.between(flattened, left, right).quarter.overlap == pytest.approx(expected.quarter.overlap, abs=1e-10)


def test_a_long_reader_is_reduced_in_parts_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.random.default_rng(5).standard_normal((50, 6, 4))
    whole = kernels.read(weight)
    monkeypatch.setattr(kernels, "PART", 12)
    assert kernels.read(weight).s == pytest.approx(whole.s, rel=1e-12)


def test_truncated_modes_are_refused_by_name() -> None:
    pair, left, right = joined(np.eye(4), np.eye(4))
    with pytest.raises(UsageError, match=r"writer to reader.*all modes"):
        kernels.between(pair, left, right, complete=False)
    with pytest.raises(ValueError, match="one space"):
        kernels.near_kernels(kernels.written(np.eye(4)), kernels.written(np.eye(5)))


def test_a_rounded_kernel_counts_as_one_and_a_rotation_of_the_channels_changes_nothing() -> None:
    rng = np.random.default_rng(7)
    writer = with_spectrum(16, 16, [4.0, 3, 2.5, 2, 1.5, 1.2, 1, 0.9, 0.8, 0.7, 0.6, 1e-9, 1e-9, 1e-9, 1e-10, 1e-10], 3)
    reader = rng.standard_normal((20, 16, 3))
    turn = frame(16, 16, rng)
    one = kernels.near_kernels(kernels.written(writer), kernels.read(reader))
    two = kernels.near_kernels(kernels.written(turn @ writer), kernels.read(np.einsum("oct,cd->odt", reader, turn.T)))
    assert one.writer_kernel == two.writer_kernel == 5
    assert one.quarter.overlap == pytest.approx(two.quarter.overlap, abs=1e-9)
    assert math.isfinite(one.quarter.z or math.nan)


@pytest.mark.parametrize(("stored", "kernel"), [("float64", 0), ("bfloat16", 3)])
def test_a_kernel_is_what_the_stored_numbers_cannot_tell_from_zero(stored: str, kernel: int) -> None:
    """bfloat16 has a spacing of 2^-7: values of less than .0078 of the largest are its rounding."""
    writer = with_spectrum(8, 8, [1.0, 0.9, 0.8, 0.7, 0.6, 0.005, 0.004, 0.003], 0)
    reader = with_spectrum(8, 8, [*range(16, 8, -1)], 1)
    for name, one, other in (("writer_kernel", writer, reader), ("reader_kernel", reader, writer)):
        left, right = (net_cases.layer("writer", one, stored=stored), net_cases.layer("reader", other, stored=stored))
        pair = net_cases.joined(left, right)
        found = kernels.between(pair, modes(left), modes(right))
        assert getattr(found, name) == kernel
        assert found.writer_kernel + found.reader_kernel == kernel
