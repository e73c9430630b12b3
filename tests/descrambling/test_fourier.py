"""The Fourier picture of a weight: where zero lies, how concentrated it is, and the ridge that sorting alone draws."""

import numpy as np
import pytest
from scipy.linalg import circulant
from scipy.stats import binom, ks_2samp

from modescope.descrambling.fourier import (
    band_share,
    bins,
    concentration,
    mirrored,
    output_bins,
    ridge,
    sorted_gains,
    top_share,
    transform,
)
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from tolerance import tol


def fourier_basis(m: int) -> np.ndarray:
    """Columns const, cos 1, sin 1, cos 2, ...: modes of every periodic difference."""
    x = 2 * np.pi * np.arange(m) / m
    columns = [np.ones(m)]
    for k in range(1, (m - 1) // 2 + 1):
        columns += [np.cos(k * x), np.sin(k * x)]
    if m % 2 == 0:
        columns.append(np.cos(m // 2 * x))
    return np.column_stack([column / np.linalg.norm(column) for column in columns])


def cosines(m: int) -> np.ndarray:
    """Columns of the orthonormal DCT-II: modes of the forward difference."""
    v = np.cos(np.pi * np.outer(np.arange(m) + 0.5, np.arange(m)) / m)
    return v / np.linalg.norm(v, axis=0)


def descrambled(weight: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P W and V^T P W for white inputs: principal directions of the outputs in order of the basis."""
    _, s, vh = np.linalg.svd(weight)
    rows = s[:, None] * vh[: s.size]
    return basis @ rows, rows


def bandpass(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A circular Gaussian band around bin 12.3 of 64, behind a random rotation."""
    f = np.abs(np.fft.fftfreq(64, 1 / 64))
    gain = np.exp(-((f - 12.3) ** 2) / 72)
    return frame(np.random.default_rng(seed), 64, 64) @ circulant(np.fft.ifft(gain).real), gain


@pytest.mark.parametrize("shape", [(8, 12), (7, 12), (8, 11), (5, 9), (1, 4)])
def test_zero_frequency_lies_in_the_middle_and_power_is_kept(shape: tuple[int, int]) -> None:
    centre = np.abs(transform(np.ones(shape)))
    assert np.unravel_index(centre.argmax(), shape) == (shape[0] // 2, shape[1] // 2)
    assert centre.max() == pytest.approx(np.sqrt(np.prod(shape)))
    assert np.sort(centre.ravel())[-2] < tol("float64", shape, 10.0)
    weight = np.random.default_rng(0).standard_normal(shape)
    assert (np.abs(transform(weight)) ** 2).sum() == pytest.approx((weight**2).sum(), rel=1e-13)


def test_the_transform_is_its_definition() -> None:
    weight = np.random.default_rng(1).standard_normal((6, 9))
    left = np.exp(-2j * np.pi * np.outer(bins(6), np.arange(6)) / 6)
    right = np.exp(-2j * np.pi * np.outer(np.arange(9), bins(9)) / 9)
    assert transform(weight) == pytest.approx(left @ weight @ right / np.sqrt(54), abs=1e-13)


@pytest.mark.parametrize("shape", [(8, 12), (7, 11)])
def test_the_mirrored_sum_does_not_know_the_sign_of_a_frequency(shape: tuple[int, int]) -> None:
    magnitude = np.abs(transform(np.random.default_rng(2).standard_normal(shape)))
    summed = mirrored(magnitude)
    place = {int(k): i for i, k in enumerate(bins(shape[0]))}
    column = {int(k): i for i, k in enumerate(bins(shape[1]))}
    for k in range(1, (shape[0] + 1) // 2):
        assert summed[place[k]] == pytest.approx(summed[place[-k]])
    for k in range(1, (shape[1] + 1) // 2):
        assert summed[:, column[k]] == pytest.approx(summed[:, column[-k]])
    assert summed.sum() == pytest.approx(2 * magnitude.sum())


def test_the_strongest_cells_are_counted() -> None:
    weight = np.random.default_rng(3).standard_normal((6, 10))
    power = np.sort(np.abs(transform(weight)).ravel() ** 2)[::-1]
    for cells in (1, 12, 59, 60):
        assert top_share(weight, cells=cells) == pytest.approx(power[:cells].sum() / power.sum(), rel=1e-12)
    assert top_share(weight) == top_share(weight, cells=12)
    assert top_share(np.cos(2 * np.pi * 3 * np.arange(10) / 10) * np.ones((6, 1)), cells=2) == pytest.approx(1)


def test_a_scrambled_bandpass_is_found_again_and_a_random_rotation_is_not_better() -> None:
    for seed in range(5):
        weight, _ = bandpass(seed)
        view, _ = descrambled(weight, fourier_basis(64))
        found = concentration(weight, view, draws=19, seed=seed)
        assert found.cells == 128
        assert found.raw < 0.35
        assert found.descrambled > 0.9
        assert found.null.max() < 0.35
        assert found.p == 1 / 20
        assert "work of the criterion" in found.status


def test_an_untrained_control_stands_beside_the_share() -> None:
    weight, _ = bandpass(0)
    view, _ = descrambled(weight, fourier_basis(64))
    blank, _ = descrambled(np.random.default_rng(5).standard_normal((64, 64)), fourier_basis(64))
    found = concentration(weight, view, untrained=blank, draws=19)
    assert found.untrained == top_share(blank)
    assert f"descrambled alike, reaches {found.untrained:.2f}" in found.status


def test_a_random_rotation_passes_for_concentrated_in_one_of_twenty_cases() -> None:
    """300 seeds; a count above the .9999 quantile of the binomial would be met by a right p-value once in 10 000 runs."""
    weight = np.random.default_rng(0).standard_normal((6, 12)) * np.linspace(2, 0.1, 12)
    small = 0
    for seed in range(300):
        view = frame(np.random.default_rng(1000 + seed), 6, 6) @ weight
        small += concentration(weight, view, draws=19, seed=seed).p <= 0.05
    assert binom.ppf(1e-4, 300, 0.05) <= small <= binom.ppf(1 - 1e-4, 300, 0.05)


def test_an_unconcentrated_view_is_said_to_be_none() -> None:
    weight = np.random.default_rng(0).standard_normal((20, 40))
    found = concentration(weight, frame(np.random.default_rng(4), 20, 20) @ weight, draws=39)
    assert found.p > 0.05
    assert found.status.startswith("not more concentrated than by a random rotation")


def test_the_ridge_of_a_convolution_is_its_gains_sorted() -> None:
    weight, gain = bandpass(3)
    basis = fourier_basis(64)
    _, rows = descrambled(weight, basis)
    found = ridge(rows, basis)
    assert found.status == "ok"
    expected = sorted_gains(gain, rows=64)
    assert expected[:11].tolist() == [12, 12, 13, 13, 11, 11, 14, 14, 10, 10, 15]
    assert found.frequency[:41] == pytest.approx(expected[:41], abs=1e-6)
    assert found.spread[:41].max() < 1e-3
    assert found.output[:11] == pytest.approx([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5], abs=1e-6)
    assert found.power == pytest.approx((rows**2).sum(1))


def test_the_power_of_the_inputs_enters_the_sorting() -> None:
    gain = np.array([1.0, 2.0, 3.0, 2.0])
    assert sorted_gains(gain, rows=4).tolist() == [2, 1, 1, 0]
    assert sorted_gains(gain, rows=2, power=np.array([100.0, 1.0, 1.0, 1.0])).tolist() == [0, 2]
    assert sorted_gains(gain, rows=2, power=np.array([8.0, 1.0, 1.0, 1.0])).tolist() == [2, 0]  # 9 to 8: gains count squared


def test_output_bins_of_cosines_are_half_whole() -> None:
    assert output_bins(cosines(40)) == pytest.approx(np.arange(40) / 2, abs=1e-6)


def test_rows_without_power_are_left_out_of_the_ridge() -> None:
    rows = np.zeros((4, 16))
    rows[1] = np.cos(2 * np.pi * 5 * np.arange(16) / 16)
    found = ridge(rows, fourier_basis(4))
    assert found.row.tolist() == [1]
    assert found.frequency == pytest.approx([5])
    assert "3 of 4 rows have no power" in found.status


@pytest.mark.parametrize("n", [15, 16])
def test_band_shares_are_those_of_the_definition_and_no_rotation_changes_them(n: int) -> None:
    rng = np.random.default_rng(n)
    weight = rng.standard_normal((6, n))
    power = np.abs(np.fft.fft(weight)) ** 2
    inside = np.abs(np.fft.fftfreq(n, 1 / n)) <= 3
    share = band_share(weight, highest=3)
    assert share == pytest.approx(power[:, inside].sum() / power.sum(), rel=1e-12)
    assert band_share(frame(rng, 6, 6) @ weight, highest=3) == pytest.approx(share, rel=1e-12)
    assert share + band_share(weight, lowest=4, highest=n) == pytest.approx(1)


def test_a_random_weight_shares_its_power_evenly() -> None:
    """The share of 67 of 256 frequencies in 80 x 256 Gaussian entries scatters by about .005: five of these."""
    weight = np.random.default_rng(0).standard_normal((80, 256))
    assert band_share(weight, highest=33) == pytest.approx(67 / 256, abs=0.025)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: transform(np.zeros(4)), r"got shape \(4,\)"),
        (lambda: transform([[1.0, np.inf]]), "1 of 2 entries of the 1 x 2 matrix are not finite"),
        (lambda: transform([[1j, 2.0]]), "expected real numbers"),
        (lambda: transform(np.zeros((0, 3))), r"got shape \(0, 3\)"),
        (lambda: top_share(np.zeros((3, 3))), "other than zero"),
        (lambda: top_share(np.eye(3), cells=10), "between 1 and 9"),
        (lambda: concentration(np.eye(3), np.eye(4)), r"expected shape \(3, 3\), that of the weight, got \(4, 4\)"),
        (lambda: concentration(np.eye(3), np.zeros((3, 3))), "descrambled weight: expected one other than zero"),
        (lambda: concentration(np.eye(3), np.eye(3), draws=0), "draws of 1 or more"),
        (lambda: ridge(np.eye(3), np.eye(4)), r"expected shape \(3, 3\), got \(4, 4\)"),
        (lambda: sorted_gains([1.0, 2.0], rows=3), "got 2 gains, 2 powers and 3 rows"),
        (lambda: sorted_gains([1.0, 2.0], rows=1, power=[1.0, -1.0]), "none negative"),
        (lambda: band_share(np.eye(3), highest=-1), "0 <= lowest <= highest"),
        (lambda: band_share(np.zeros((2, 2)), highest=1), "other than zero"),
    ],
)
def test_what_cannot_be_read_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


def test_the_null_of_a_tall_weight_is_that_of_rotations_of_all_its_rows() -> None:
    """Frames of a few directions against whole rotations, 400 of each, by their distribution function."""
    weight = np.random.default_rng(11).standard_normal((20, 5)) * np.geomspace(1, 0.1, 5)
    drawn = concentration(weight, weight, cells=10, draws=400).null
    rng = np.random.default_rng(12)
    whole = [top_share(frame(rng, 20, 20) @ weight, cells=10) for _ in range(400)]
    assert ks_2samp(drawn, whole).pvalue > 1e-3
