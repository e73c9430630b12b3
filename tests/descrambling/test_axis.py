"""The axis of the inputs: which points make one, and which frequencies it carries in which unit."""

import numpy as np
import pytest

from modescope.descrambling.axis import InputAxis, frequencies, index, nyquist, parsed, reciprocal, uniform
from modescope.errors import UsageError


@pytest.mark.parametrize("size", [2, 7, 256])
@pytest.mark.parametrize(("start", "step"), [(0.0, 0.008), (-3.5, 2.0), (10.0, -0.25)])
def test_an_axis_of_even_points_is_recognised(size: int, start: float, step: float) -> None:
    points = start + step * np.arange(size)
    for dtype in (np.float64, np.float32):
        axis = uniform(points.astype(dtype), quantity="time", unit="us")
        assert axis.size == size
        assert axis.values == pytest.approx(points, abs=1e-6 * (abs(start) + size * abs(step)))
    assert axis.label == "time (us)"
    assert axis.drawn.label == "time (us)"
    assert axis.span == pytest.approx(abs(points[-1] - points[0]), rel=1e-5)


def test_an_uneven_point_is_named() -> None:
    points = np.linspace(0, 1, 11)
    points[4] += 0.01
    with pytest.raises(UsageError, match=r"evenly spaced values, got 0.41 at place 4 where 0.4 was due"):
        uniform(points)
    points[4] -= 0.01 - 5e-5  # half a thousandth of a step, as decimals that were cut
    assert uniform(points).step == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0], "at least 2 values"),
        ([[1.0, 2.0]], r"got shape \(1, 2\)"),
        ([0.0, np.nan, 2.0], "1 of 3 values are not finite"),
        ([2.0, 2.0, 2.0], "evenly spaced"),
        ([1.0, 10.0, 100.0], "got 10 at place 1"),
    ],
)
def test_points_that_make_no_axis_are_refused(values: list[float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        uniform(values)


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("step", [0.5, -0.5])
def test_frequencies_are_those_of_a_centred_transform(size: int, step: float) -> None:
    found = frequencies(InputAxis(size, 3.0, step, "time", "us"))
    assert found.values == pytest.approx(np.fft.fftshift(np.fft.fftfreq(size, abs(step))), abs=1e-14)
    assert found.values[size // 2] == 0
    assert found.label == "frequency (MHz)"
    assert nyquist(InputAxis(size, 3.0, step, "time", "us")) == 1.0


def test_a_tone_stands_at_its_own_frequency() -> None:
    axis = InputAxis(50, 7.0, 0.02, "time", "ms")
    tone = np.cos(2 * np.pi * 12.0 * axis.values)  # 12 kHz: 12 cycles in the millisecond that the axis lasts
    power = np.abs(np.fft.fftshift(np.fft.fft(tone))) ** 2
    found = frequencies(axis)
    assert set(np.round(found.values[np.argsort(power)[-2:]], 9)) == {-12.0, 12.0}
    assert (found.unit, nyquist(axis)) == ("kHz", 25.0)


@pytest.mark.parametrize(
    ("unit", "said"),
    [("us", "MHz"), ("s", "Hz"), ("ns", "GHz"), ("MHz", "us"), ("nm", "1/nm"), ("m/s", "1/(m/s)"), ("", "cycles per input")],
)
def test_a_reciprocal_unit_is_renamed_only_where_that_is_exact(unit: str, said: str) -> None:
    assert reciprocal(unit) == said


def test_a_spectrum_has_times_as_its_frequencies() -> None:
    back = frequencies(frequencies(InputAxis(16, 0.0, 0.25, "time", "us")))
    assert (back.quantity, back.unit, back.step) == ("time", "us", 0.25)


def test_an_axis_is_read_from_text() -> None:
    assert parsed("0:0.008:us", 256) == InputAxis(256, 0.0, 0.008, "time", "us")
    assert parsed("1.5 : 0.1 : nm : distance", 4) == InputAxis(4, 1.5, 0.1, "distance", "nm")
    assert parsed("0:2", 4) == InputAxis(4, 0.0, 2.0, "input", "")
    assert parsed("0:1:Hz", 4).quantity == "frequency"


@pytest.mark.parametrize("text", ["", "0", "a:b", "0:1:us:time:more", "0:0:us", "0:inf", "nan:1"])
def test_text_that_names_no_axis_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="axis: expected"):
        parsed(text, 8)


def test_a_part_of_an_axis_keeps_its_places() -> None:
    axis = InputAxis(128, 1.0, 0.5, "time", "s")
    assert np.array_equal(axis.part(64, 128).values, axis.values[64:])
    assert axis.extent == (0.75, 64.75)
    with pytest.raises(UsageError, match="0 <= start < stop <= 128, got 64 and 129"):
        axis.part(64, 129)
    with pytest.raises(UsageError, match="at least 1 point"):
        index(0)
