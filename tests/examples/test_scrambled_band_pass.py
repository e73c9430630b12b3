"""What `examples/scrambled_band_pass.py` claims, with its own settings."""

import numpy as np
import pytest

from example_cases import example

band = example("scrambled_band_pass")


@pytest.fixture(scope="module")
def found():
    return band.pictures(range(20))


def test_the_filter_has_the_gains_that_the_script_names():
    gain = np.abs(np.fft.fft(band.convolution()[:, 0]))
    frequency = np.abs(np.fft.fftfreq(64, 1 / 64))
    assert gain == pytest.approx(np.exp(-((frequency - 12.3) ** 2) / 72), abs=1e-14)
    wave = np.cos(2 * np.pi * 12 * np.arange(64) / 64)
    assert band.convolution() @ wave == pytest.approx(gain[12] * wave, abs=1e-13)


def test_the_scrambled_filter_is_the_same_filter_behind_a_rotation():
    one, two = band.scrambled(0), band.scrambled(1)
    assert np.abs(one - two).max() > 0.1
    for weight in (one, two):
        assert weight.T @ weight == pytest.approx(band.convolution().T @ band.convolution(), abs=1e-13)


def test_output_frequencies_read_input_frequencies_in_the_order_of_their_gains(found):
    pairs = [{12}, {12, 13}, {13, 11}, {11, 14}, {14, 10}, {10, 15}]
    assert band.expected() == pairs
    for one in found[:-1]:
        assert one.reads[0, 12] > 0.99
        for row, pair in zip(one.reads[1:], pairs[1:], strict=False):
            assert row[sorted(pair)] == pytest.approx([0.5, 0.5], abs=0.02)


def test_descrambling_concentrates_the_power_that_the_rotation_spread(found):
    for one in found[1:-1]:
        assert one.raw < 0.35
        assert one.descrambled > 0.9
        assert one.descrambled > one.random
        assert one.p == pytest.approx(1 / (1 + band.DRAWS))


def test_the_view_is_the_same_for_all_rotations(found):
    for one in found[1:-1]:
        assert one.view == pytest.approx(found[0].view, abs=1e-10)


def test_the_filter_is_named_before_and_after_and_none_is_found_in_noise(found):
    *filters, noise = found
    assert {one.kind for one in filters} == {"band-pass"}
    assert noise.kind == "none"
    assert noise.descrambled < 0.35


def test_the_table_has_a_line_for_every_weight(found):
    lines = band.table(found).splitlines()
    assert len(lines) == 1 + len(found)
    assert all(line.endswith("12, 12+13, 11+13, 11+14, 10+14, 10+15") for line in lines[1:-1])
