"""Two-dimensional Fourier transform of a descrambled weight: how concentrated it is, and where its ridge must lie.

One convention: the transform is unitary, so that powers sum to the squared Frobenius norm, and zero frequency lies at place
`(m // 2, n // 2)` counted from 0. A bin is one cycle per m hidden, or n input, indices.

Along the hidden index the frequencies are made by the criterion and say nothing about the network: a mode gets the place that its
variance has among all. Only the input frequencies are found. `ridge` gives the curve that this sorting alone draws.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.descrambling.families import sinusoid
from modescope.descrambling.finite import finite_matrix
from modescope.descrambling.ranks import as_high
from modescope.descrambling.separable import projected
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from modescope.seeds import generator

Values = NDArray[np.float64]
Complex = NDArray[np.complex128]
Whole = NDArray[np.int64]

DRAWS = 99  # random rotations; the smallest p-value they can give is .01
SETTLED = 1e-8  # gain of R^2 at which the frequency of a mode is found
FLAT = 1e-8  # of its length, below which what a mode has beside its mean is rounding
SEARCHED = 4  # points from which a frequency can lie between those of the grid
EMPTY = 1e-24  # of the largest power, below which a row is rounding


@dataclass(frozen=True, eq=False)
class Concentration:
    """How much of the power of a weight lies in few cells of its Fourier transform, before and after descrambling.

    Attributes:
        cells: Number of cells that count, the strongest ones.
        raw: Share of the power of the weight as stored.
        descrambled: Share of the descrambled weight.
        null: Shares of the same weight after random rotations, ascending.
        p: Probability that a random rotation concentrates as much as the descrambler.
        untrained: Share of a descrambled untrained weight, or None where none was given.
        status: What may be said.
    """

    cells: int
    raw: float
    descrambled: float
    null: Values
    p: float
    untrained: float | None
    status: str


@dataclass(frozen=True, eq=False)
class Ridge:
    """Where the rows of a descrambled weight lie in its Fourier transform.

    Attributes:
        row: (k,) rows of `V^T P W` with any power, in order.
        output: (k,) bin of the hidden index that the criterion gives to each.
        frequency: (k,) mean bin of the input index, without sign, weighted by power.
        spread: (k,) standard deviation around it.
        power: (k,) squared norm of the row.
        status: "ok", or what must be said.
    """

    row: Whole
    output: Values
    frequency: Values
    spread: Values
    power: Values
    status: str = "ok"


def transform(weight: ArrayLike, /) -> Complex:
    """(m, n) unitary transform with zero frequency at `(m // 2, n // 2)`.

    Raises:
        UsageError: The weight is no finite real matrix.
    """
    centred: Complex = np.fft.fftshift(np.fft.fft2(finite_matrix(weight, "weight"), norm="ortho"))
    return centred


def bins(size: int, /) -> Whole:
    """(size,) signed bins of an axis of the transform; 0 lies at `size // 2`."""
    return np.arange(size) - size // 2


def mirrored(magnitude: Values, /) -> Values:
    """The sum of a centred transform's magnitude and its mirror image in hidden frequency, as Amey et al. draw it.

    The magnitude of a real weight is the same at (k, l) and (-k, -l), so that this is also its mirror image in input frequency.

    References:
        Amey et al. (2021), Fig. 2, doi:10.1073/pnas.2016917118.
    """
    rows = magnitude.shape[0]
    opposite = (2 * (rows // 2) - np.arange(rows)) % rows  # the Nyquist bin of an even axis is its own mirror image
    summed: Values = magnitude + magnitude[opposite]
    return summed


def top_share(weight: ArrayLike, /, *, cells: int | None = None) -> float:
    """Share of the power in the strongest cells of the transform.

    Args:
        weight: (m, n).
        cells: How many; by default 2 m, the cells of one sinusoid per row.

    Raises:
        UsageError: The weight is no finite real matrix, or zero, or `cells` does not lie between 1 and m n.
    """
    matrix = finite_matrix(weight, "weight")
    return _share(matrix, _cells(matrix, cells))


def concentration(
    weight: ArrayLike,
    descrambled: ArrayLike,
    /,
    *,
    untrained: ArrayLike | None = None,
    cells: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Concentration:
    """Compare the concentration of a weight, of its descrambled view, of random rotations of it and of an untrained control.

    Args:
        weight: (m, n) as stored.
        descrambled: (m, n) `P W`.
        untrained: (m, n) `P W` of weights before training, by the same criterion and data.
        cells: Number of strongest cells; by default 2 m.
        draws: Random rotations, at least 1.
        seed: Of these draws.

    Raises:
        UsageError: A matrix is not finite or of another shape, or an option is out of range.
    """
    raw = finite_matrix(weight, "weight")
    view = _like(raw, descrambled, "descrambled weight")
    control = None if untrained is None else _like(raw, untrained, "untrained weight")
    if draws < 1:
        raise UsageError(f"concentration: expected draws of 1 or more, got {draws}.")
    count = _cells(raw, cells)
    rng = generator(seed, "concentration")
    core = np.asarray(np.linalg.qr(raw, mode="r"))  # (k, n): a random rotation of the weight is a random frame times this
    null = np.sort([_share(frame(rng, core.shape[0], raw.shape[0]).T @ core, count) for _ in range(draws)])
    reached = _share(view, count)
    p = as_high(null, reached)
    beside = None if control is None else _share(control, count)
    return Concentration(count, _share(raw, count), reached, null, p, beside, _said(reached, null, p, beside))


def ridge(modes: ArrayLike, basis: ArrayLike, /) -> Ridge:
    """The curve along which the rows of `V^T P W` lie in the transform of `P W`.

    Args:
        modes: (m, n) `V^T P W`.
        basis: (m, m) V, modes of the smoothness operator in columns.

    Raises:
        UsageError: A matrix is not finite, or the basis does not fit.
    """
    rows = finite_matrix(modes, "V^T P W")
    operator = finite_matrix(basis, "modes of the operator")
    if operator.shape != (rows.shape[0], rows.shape[0]):
        raise UsageError(f"modes of the operator: expected shape {(rows.shape[0],) * 2}, got {operator.shape}.")
    power = _one_sided(rows)
    total = power.sum(1)
    row = np.flatnonzero(total > EMPTY * total.max())
    at = np.arange(power.shape[1])
    share = power[row] / total[row, None]
    mean = share @ at
    spread = np.sqrt(np.maximum((share * (at - mean[:, None]) ** 2).sum(1), 0.0))
    missing = rows.shape[0] - row.size
    status = "ok" if not missing else f"{missing} of {rows.shape[0]} rows have no power and no frequency"
    return Ridge(row, output_bins(operator)[row], mean, spread, total[row], status)


def sorted_gains(gain: ArrayLike, /, *, rows: int, power: ArrayLike | None = None) -> Values:
    """Input frequencies of the rows of `V^T P W` for a circular convolution: those of its strongest outputs first.

    Args:
        gain: (n,) modulus of the convolution's transfer function in the order of `numpy.fft.fft`.
        rows: Number of rows, at most n.
        power: (n,) power spectrum of the inputs in the same order; by default white.

    Returns:
        (rows,) bins without sign, by descending `gain**2 * power`; of equal ones the lower frequency first.

    Raises:
        UsageError: Shapes do not fit, or values are not finite or negative.
    """
    g = finite_matrix(np.atleast_2d(gain), "gain")[0]
    s = np.ones(g.size) if power is None else finite_matrix(np.atleast_2d(power), "power")[0]
    if s.shape != g.shape or not 1 <= rows <= g.size or (s < 0).any():
        raise UsageError(
            f"sorted_gains: expected as many powers, none negative, as gains and at most as many rows, got {g.size} gains, "
            f"{s.size} powers and {rows} rows."
        )
    frequency = np.abs(np.fft.fftfreq(g.size, 1 / g.size))
    order = np.lexsort((frequency, -(g**2) * s))
    strongest: Values = frequency[order[:rows]]
    return strongest


def output_bins(basis: ArrayLike, /) -> Values:
    """(m,) bin of the sinusoid that fits each column of the operator's modes best; 0 for a constant.

    A half bin is a half wave: mode k of a forward difference lies at k / 2, a pair of a periodic one at a whole bin.

    Raises:
        UsageError: The basis is not finite.
    """
    columns = finite_matrix(basis, "modes of the operator")
    size = columns.shape[0]
    rows = (columns - columns.mean(0)).T
    length = np.linalg.norm(rows, axis=1)
    wave = np.flatnonzero(length > FLAT * np.linalg.norm(columns, axis=0))
    found = np.zeros(columns.shape[1])
    if wave.size and size > 1:
        kind = sinusoid()
        theta, _ = projected(
            kind.columns, kind.grid(size), rows[wave] / length[wave, None], searched=size >= SEARCHED, settled=SETTLED
        )
        found[wave] = theta[:, 0] * size
    return found


def band_share(weight: ArrayLike, /, *, highest: int, lowest: int = 0) -> float:
    """Share of the squared norm at input frequencies from bin `lowest` to bin `highest`, of both signs; no rotation changes it.

    Raises:
        UsageError: The weight is no finite real matrix, or zero, or `0 <= lowest <= highest` does not hold.
    """
    if not 0 <= lowest <= highest:
        raise UsageError(f"band_share: expected 0 <= lowest <= highest, got {lowest} and {highest}.")
    power = _one_sided(finite_matrix(weight, "weight")).sum(0)
    total = float(power.sum())
    if total == 0:
        raise UsageError("band_share: expected a weight other than zero: it has no power to share.")
    return float(power[lowest : highest + 1].sum()) / total


def _one_sided(rows: Values) -> Values:
    """(rows, n // 2 + 1) power at both signs of every frequency together."""
    power: Values = np.abs(np.fft.rfft(rows, axis=1, norm="ortho")) ** 2
    power[:, 1 : (rows.shape[1] + 1) // 2] *= 2
    return power


def _cells(matrix: Values, cells: int | None) -> int:
    if not matrix.any():
        raise UsageError("weight: expected one other than zero: it has no power to share.")
    count = min(2 * matrix.shape[0], matrix.size) if cells is None else cells
    if not 1 <= count <= matrix.size:
        raise UsageError(f"cells: expected between 1 and {matrix.size}, all cells of the transform, got {count}.")
    return count


def _share(matrix: Values, cells: int) -> float:
    power = np.abs(np.fft.fft2(matrix, norm="ortho")).ravel() ** 2
    return float(np.partition(power, power.size - cells)[power.size - cells :].sum() / power.sum())


def _like(raw: Values, given: ArrayLike, what: str) -> Values:
    matrix = finite_matrix(given, what)
    if matrix.shape != raw.shape:
        raise UsageError(f"{what}: expected shape {raw.shape}, that of the weight, got {matrix.shape}.")
    if not matrix.any():
        raise UsageError(f"{what}: expected one other than zero: it has no power to share.")
    return matrix


def _said(reached: float, null: Values, p: float, untrained: float | None) -> str:
    least, most = float(null[0]), float(null[-1])
    random = f"random rotations of the same weight reach {least:.2f} to {most:.2f}"
    if p > 0.05:
        return f"not more concentrated than by a random rotation: {reached:.2f}, and {random} (p = {p:.2g})"
    beside = (
        "that is the work of the criterion until an untrained control is seen to reach less"
        if untrained is None
        else f"of that the criterion alone does a part: an untrained weight, descrambled alike, reaches {untrained:.2f}"
    )
    return f"{reached:.2f} of the power, where {random} (p = {p:.2g}); {beside}"
