"""Short-time spectra and Gram matrices of rows."""

import numpy as np
import pytest
from scipy.signal import spectrogram

from modescope.descrambling.axis import InputAxis
from modescope.descrambling.spectrograms import column_gram, cosines, row_gram, spectrograms
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame


@pytest.mark.parametrize(("n", "window", "hop"), [(64, 16, 4), (65, 15, 7), (40, 40, 1), (33, 4, 1)])
def test_every_row_has_the_spectrogram_of_scipy(n: int, window: int, hop: int) -> None:
    rows = np.random.default_rng(n).standard_normal((3, n))
    found = spectrograms(rows, axis=InputAxis(n, 1.0, 0.5, "time", "us"), window=window, hop=hop)
    for row, power in zip(rows, found.power, strict=True):
        f, t, density = spectrogram(
            row, fs=2.0, window=("hann"), nperseg=window, noverlap=window - hop, detrend=False, scaling="density"
        )
        assert power == pytest.approx(density * 2.0 / window, rel=1e-10, abs=1e-15)
        assert found.frequency == pytest.approx(f)
        assert found.position == pytest.approx(1.0 + t)
    assert found.unit == "MHz"


def test_power_is_the_mean_square_under_the_window() -> None:
    rows = np.random.default_rng(0).standard_normal((2, 50))
    found = spectrograms(rows, window=20, hop=10)
    taper = np.hanning(21)[:-1]
    for place, start in enumerate(range(0, 31, 10)):
        expected = (rows[:, start : start + 20] ** 2 @ taper**2) / (taper**2).sum()
        assert found.power[:, :, place].sum(1) == pytest.approx(expected, rel=1e-12)


def test_a_chirp_is_a_slanted_ridge() -> None:
    """From 2 to 10 MHz over 10 us; within a bin of the window, and the leakage of the negative frequencies is far off."""
    axis = InputAxis(400, 0.0, 0.025, "time", "us")
    t = axis.values
    rows = np.stack([np.cos(2 * np.pi * (2 * t + 0.4 * t**2)), np.cos(2 * np.pi * 6 * t), np.zeros(400)])
    found = spectrograms(rows, axis=axis, window=80, hop=20)
    bin_width = found.frequency[1]
    assert found.ridge[0] == pytest.approx(2 + 0.8 * found.position, abs=bin_width)
    assert found.ridge[1] == pytest.approx(np.full(found.position.size, 6.0), abs=bin_width)
    assert not found.ridge[2].any()


def test_gram_matrices_are_inner_products_and_lengths_can_be_taken_out() -> None:
    rng = np.random.default_rng(1)
    weight = rng.standard_normal((5, 8))
    weight[2] = 0
    weight[4] = -3 * weight[0]
    gram = row_gram(weight)
    assert gram[0, 1] == pytest.approx(weight[0] @ weight[1])
    found = cosines(gram)
    assert np.diagonal(found) == pytest.approx([1, 1, 0, 1, 1])
    assert found[0, 4] == pytest.approx(-1)
    assert np.abs(found).max() <= 1
    assert not found[2].any()
    assert column_gram(frame(rng, 5, 5) @ weight) == pytest.approx(column_gram(weight), abs=1e-12)
    assert np.trace(column_gram(weight)) == pytest.approx(np.trace(gram))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda w: spectrograms(w, axis=InputAxis(9)), "expected 16 points, one per input of the weight, got 9"),
        (lambda w: spectrograms(w, window=17), "window of 4 to 16 points"),
        (lambda w: spectrograms(w, window=8, hop=0), "hop of 1 or more"),
        (lambda w: spectrograms(w[:, :3]), "window of 4 to 3 points"),
        (lambda w: row_gram(w[0]), r"got shape \(16,\)"),
    ],
)
def test_what_has_no_spectrogram_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(np.ones((2, 16)))
