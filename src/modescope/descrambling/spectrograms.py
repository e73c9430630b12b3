"""Short-time spectra along the inputs of a layer, and the Gram matrices of its rows and columns."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy.signal import windows

from modescope.descrambling.axis import InputAxis, frequencies, index
from modescope.descrambling.finite import finite_matrix
from modescope.errors import UsageError

Values = NDArray[np.float64]

LEAST = 4  # points of the shortest window, which has three frequencies


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Power of each row of a weight over frequency and position.

    Attributes:
        power: (rows, frequencies, positions), not negative; the mean square of the windowed row, one-sided.
        frequency: (frequencies,) from zero up.
        position: (positions,) centres of the windows on the axis of the inputs.
        window: Points of a window.
        axis: Of the inputs.
        unit: Of the frequencies.
    """

    power: Values
    frequency: Values
    position: Values
    window: int
    axis: InputAxis
    unit: str

    @property
    def ridge(self) -> Values:
        """(rows, positions) mean frequency at every position, weighted by power; 0 where there is none."""
        total = self.power.sum(1)
        mean = np.einsum("rfp,f->rp", self.power, self.frequency)
        centroid: Values = np.divide(mean, total, out=np.zeros_like(mean), where=total > 0)
        return centroid


def spectrograms(
    weight: ArrayLike, /, *, axis: InputAxis | None = None, window: int | None = None, hop: int | None = None
) -> Spectrogram:
    """Short-time Fourier transform of every row under a Hann window: a row that is a chirp shows as a slanted ridge.

    Windows lie wholly on the axis: nothing is padded.

    Args:
        weight: (rows, n); `V^T P W` shows what the network reads, whatever basis it was stored in.
        axis: Of the n inputs; by default their index.
        window: Points of a window, at least 4; by default a quarter of the inputs.
        hop: Points from one window to the next; by default a quarter of the window.

    Raises:
        UsageError: The weight is not finite, or an option does not fit its inputs.
    """
    rows = finite_matrix(weight, "weight")
    n = rows.shape[1]
    axis = index(n) if axis is None else axis
    if axis.size != n:
        raise UsageError(f"axis: expected {n} points, one per input of the weight, got {axis.size}.")
    length = max(n // 4, LEAST) if window is None else window
    step = max(length // 4, 1) if hop is None else hop
    if not LEAST <= length <= n or step < 1:
        raise UsageError(f"spectrograms: expected a window of {LEAST} to {n} points and a hop of 1 or more, got {length}, {step}.")
    taper = windows.hann(length, sym=False)
    pieces = sliding_window_view(rows, length, axis=1)[:, ::step]
    power = np.abs(np.fft.rfft(pieces * taper, axis=2)) ** 2 / (length * (taper**2).sum())
    power[:, :, 1 : (length + 1) // 2] *= 2
    starts = np.arange(0, n - length + 1, step)
    return Spectrogram(
        power=np.ascontiguousarray(power.transpose(0, 2, 1)),
        frequency=np.arange(length // 2 + 1) / (length * abs(axis.step)),
        position=axis.start + axis.step * (starts + length / 2),
        window=length,
        axis=axis,
        unit=frequencies(axis).unit,
    )


def row_gram(weight: ArrayLike, /) -> Values:
    """(rows, rows) `W W^T`: how much the outputs of a layer share.

    Raises:
        UsageError: The weight is no finite real matrix.
    """
    rows = finite_matrix(weight, "weight")
    gram: Values = rows @ rows.T
    return gram


def column_gram(weight: ArrayLike, /) -> Values:
    """(columns, columns) `W^T W`: how much the inputs of a layer are treated alike; no rotation of its outputs changes it.

    Raises:
        UsageError: The weight is no finite real matrix.
    """
    rows = finite_matrix(weight, "weight")
    gram: Values = rows.T @ rows
    return gram


def cosines(gram: Values, /) -> Values:
    """A Gram matrix with its lengths taken out: cosines between -1 and 1, and 0 beside a vector that is zero."""
    length = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return np.clip(gram * scale[:, None] * scale, -1.0, 1.0)
