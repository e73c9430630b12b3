"""Smoothness operators: what counts as rough along the neuron index, as the eigenvalues and modes of `A = D' D`.

Every operator knows its spectrum in closed form where there is one, the groups of equal eigenvalues exactly, and modes in one
canonical order and sign:

- DCT-II, first entries positive: differences without wrapping, whose spectrum is simple;
- the real Fourier basis const, cos 1, sin 1, cos 2, ..., Nyquist: circulant D, whose harmonics are pairs of equal eigenvalues;
- otherwise the basis that `gauge.canonical` takes from the DCT-II.

References:
    Amey, Keeley, Choudhury & Kuprov (2021), doi:10.1073/pnas.2016917118, for the criterion and the second Fourier derivative.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import idct, irfft
from scipy.linalg import circulant

from modescope.descrambling.finite import real, squarable
from modescope.descrambling.gauge import Groups, canonical, groups
from modescope.errors import UsageError
from modescope.svd import Values

SAME = 1e-10  # gap of the singular values of D, relative to the largest, below which they are equal where D is decomposed
SUMS = 1e-12  # the same for sums of two cosines, which are known to rounding
NEURONS = 1 << 14  # of a grid: its modes take 2 GB


@dataclass(frozen=True, eq=False)
class Smoothness:
    """One choice of D, decomposed.

    Attributes:
        name: What it is called in results.
        a: (m,) eigenvalues of `A = D' D`, ascending.
        modes: (m, m) columns V with `A = V diag(a) V'`.
        ties: Half-open groups of two and more equal eigenvalues.
        matrix: Gives D, (rows, m).
        note: What must be said of it, or empty.
        transform: `V x` for an (m, k) array by a fast transform; None where there is none.
    """

    name: str
    a: Values
    modes: Values
    ties: Groups
    matrix: Callable[[], Values]
    note: str = ""
    transform: Callable[[Values], Values] | None = None

    def __post_init__(self) -> None:
        for array in (self.a, self.modes):
            array.flags.writeable = False

    @property
    def size(self) -> int:
        """Number m of neurons it acts on."""
        return self.a.size

    @property
    def nullity(self) -> int:
        """Number of modes that cost nothing."""
        return int(np.count_nonzero(self.a == 0))

    def compose(self, coefficients: Values, /) -> Values:
        """`V x`: the signal along the neuron index with the given coefficients in the modes.

        Args:
            coefficients: (m, k).
        """
        return self.modes @ coefficients if self.transform is None else self.transform(coefficients)


def forward_difference(m: int, /) -> Smoothness:
    """Differences of neighbours, (m - 1, m): the default. Modes are the DCT-II, `a_k = 4 sin(pi k / 2 m)^2`, no two equal.

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    _size(m)
    a = 4 * np.sin(np.pi * np.arange(m) / (2 * m)) ** 2
    return Smoothness("forward difference", a, _cosines(m), (), partial(_forward, m), transform=_dct)


def second_difference(m: int, /) -> Smoothness:
    """Second differences of interior neurons, (m - 2, m); constant and linear signals cost nothing.

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    _size(m)
    note = "constant and linear signals both cost nothing, so the order of the first two components is a convention"
    return _decomposed("second difference", _second(m), note)


def periodic_difference(m: int, /) -> Smoothness:
    """Differences of neighbours on a ring, (m, m): real Fourier modes, `a_k = 4 sin(pi k / m)^2`, harmonics in equal pairs.

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    k = _harmonics(m)
    return _circulant("periodic difference", m, k, 4 * np.sin(np.pi * k / m) ** 2, partial(_periodic, m), WRAPS)


def central_difference(m: int, /) -> Smoothness:
    """Central differences on a ring over m, (m, m), for comparison only: `a_k = sin(2 pi k / m)^2 / m^2` folds.

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    k = _harmonics(m)
    folded = np.minimum(2 * k % m, -2 * k % m)  # sin(2 pi k / m)^2 = sin(pi folded / m)^2, and ascends with it
    note = (
        "central differences do not order by frequency: the fastest alternation costs as little as the slowest wave, so the "
        "result is not smooth; use the forward difference"
    )
    return _circulant("central difference", m, folded, np.sin(np.pi * folded / m) ** 2 / m**2, partial(_central, m), note)


def fourier_first(m: int, /) -> Smoothness:
    """The exact derivative of periodic signals, (m, m): real Fourier modes, `a_k = k^2`; that of the Nyquist mode is zero.

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    k = _harmonics(m)
    k[2 * k == m] = 0
    note = WRAPS if m % 2 else f"{WRAPS}; the constant and the alternating signal both cost nothing"
    return _circulant("Fourier first derivative", m, k, k.astype(np.float64) ** 2, partial(_spectral, m, 1), note)


def fourier_second(m: int, /) -> Smoothness:
    """The exact second derivative of periodic signals, (m, m): real Fourier modes, `a_k = k^4`; the one of Amey et al. (2021).

    Args:
        m: Neurons, at least 1.

    Raises:
        UsageError: m is below 1.
    """
    k = _harmonics(m)
    return _circulant("Fourier second derivative", m, k, k.astype(np.float64) ** 4, partial(_spectral, m, 2), WRAPS)


def diagonal(values: ArrayLike, /) -> Smoothness:
    """A price per neuron, (m, m): the modes are the neurons themselves, so that rows of P are plain principal components.

    Args:
        values: (m,) entries of D; their squares are the eigenvalues, and a mode belongs to the neuron it was given for.

    Raises:
        UsageError: They are not finite numbers in one row.
    """
    d = _finite(values, "the diagonal", 1)
    order = np.argsort(np.abs(d), kind="stable")
    a = d[order] ** 2
    ties = _equal(a)
    note = "all signals cost the same: every rotation is optimal" if ties == ((0, a.size),) and a.size > 1 else ""
    return Smoothness("diagonal", a, np.eye(d.size)[:, order], ties, partial(np.diag, d), note)


def grid(rows: int, columns: int, /) -> Smoothness:
    """Differences of neighbours on a grid, neuron `i * columns + j` at row i and column j: products of DCT-II modes.

    Args:
        rows: At least 1.
        columns: At least 1.

    Raises:
        UsageError: One of them is below 1, or they are more than 16,384 neurons.
    """
    _size(rows)
    _size(columns)
    if rows * columns > NEURONS:
        raise UsageError(f"grid: expected at most {NEURONS:,} neurons, got {rows} x {columns}.")
    down, across = (4 * np.sin(np.pi * np.arange(n) / (2 * n)) ** 2 for n in (rows, columns))
    sums = (down[:, None] + across).ravel()
    # Sums that are equal on paper differ by rounding: the order inside a group is that of the two indices.
    level = np.zeros(sums.size, dtype=np.int64)
    by_size = np.argsort(sums, kind="stable")
    level[by_size[1:]] = np.cumsum(np.diff(sums[by_size]) > SUMS * sums.max(initial=0.0))
    order = np.argsort(level, kind="stable")
    modes: Values = np.asarray(np.kron(_cosines(rows), _cosines(columns))[:, order], dtype=np.float64)
    ties = _equal(level[order])
    a = sums[order]
    for start, stop in ties:
        a[start:stop] = a[start]
    note = "modes of the grid that cost the same are ordered by convention" if ties else ""
    return Smoothness(
        f"grid {rows} x {columns}", a, modes, ties, partial(_grid, rows, columns), note, partial(_dct_grid, (rows, columns), order)
    )


def of_matrix(d: ArrayLike, /, *, name: str = "given matrix", note: str = "") -> Smoothness:
    """An operator of your own.

    Args:
        d: (rows, m) any number of rows; it acts on signals along the neuron index.
        name: What it is called in results.
        note: What must be said of it.

    Raises:
        UsageError: It is no finite matrix with at least one column.
    """
    found = _decomposed(name, _finite(d, "D", 2), note)
    if note or not found.ties:
        return found
    null = f"{found.nullity} modes cost nothing" if found.nullity > 1 else ""
    tied = "modes that cost the same are ordered by convention"
    return Smoothness(found.name, found.a, found.modes, found.ties, found.matrix, f"{null}; {tied}" if null else tied)


def combined(terms: Sequence[tuple[float, Smoothness]], /) -> Smoothness:
    """A weighted sum of criteria over the same data: `A = sum_j weight_j D_j' D_j`.

    Args:
        terms: Weights, positive, and the operators.

    Raises:
        UsageError: There are none, they act on different numbers of neurons, or a weight is not positive and finite.
    """
    sizes = sorted({operator.size for _, operator in terms})
    if len(sizes) != 1:
        raise UsageError(f"combined: expected operators on one number of neurons, got {sizes or 'none'}. Make them for one m.")
    if not all(0 < weight < np.inf for weight, _ in terms):
        raise UsageError(f"combined: expected weights positive and finite, got {[weight for weight, _ in terms]}.")
    name = " + ".join(f"{weight:g} {operator.name}" for weight, operator in terms)
    return of_matrix(np.vstack([np.sqrt(weight) * operator.matrix() for weight, operator in terms]), name=name)


WRAPS = "the neuron index is taken as a ring, and modes of one harmonic cost the same: their phase is a convention"

OPERATORS: Mapping[str, Callable[[int], Smoothness]] = MappingProxyType(
    {
        "forward": forward_difference,
        "second": second_difference,
        "periodic": periodic_difference,
        "central": central_difference,
        "fourier-first": fourier_first,
        "fourier-second": fourier_second,
    }
)


def _size(m: int) -> None:
    if m < 1:
        raise UsageError(f"smoothness: expected at least 1 neuron, got {m}.")


def _finite(values: ArrayLike, what: str, dimensions: int) -> Values:
    """A copy in float64, of that many dimensions and without empty last one."""
    found = real(values, f"smoothness, {what}").copy()
    shape = ("(m,)", "(rows, m)")[dimensions - 1]
    if found.ndim != dimensions or found.shape[-1] == 0:
        raise UsageError(f"smoothness: expected {what} of shape {shape}, got {found.shape}.")
    bad = int(np.count_nonzero(~np.isfinite(found)))
    if bad:
        raise UsageError(f"smoothness: expected {what} to be finite, got {bad} of {found.size} entries that are not.")
    squarable(float(np.abs(found).max(initial=0.0)), f"smoothness, {what} {found.shape}")
    found.flags.writeable = False
    return found


def _harmonics(m: int) -> NDArray[np.int64]:
    _size(m)
    return np.arange(m // 2 + 1)


def _cosines(m: int) -> Values:
    """(m, m) orthonormal DCT-II modes as columns; angles are reduced as integers, so that large m lose no digit."""
    i, k = np.arange(m)[:, None], np.arange(m)
    modes = np.sqrt(2 / m) * np.cos(np.pi / (2 * m) * ((2 * i + 1) * k % (4 * m)))
    modes[:, 0] = 1 / np.sqrt(m)
    return np.asarray(modes, dtype=np.float64)


def _circulant(name: str, m: int, level: NDArray[np.int64], a: Values, matrix: Callable[[], Values], note: str) -> Smoothness:
    """An operator on a ring from what every harmonic costs; `level` orders harmonics, and those of one level are tied."""
    columns = np.concatenate([[0], np.repeat(np.arange(1, m // 2 + 1), 2)])[:m]  # harmonic of const, cos 1, sin 1, ..., Nyquist
    order = np.argsort(level[columns], kind="stable")
    angles = 2 * np.pi / m * (np.arange(m)[:, None] * columns % m)
    sine = np.arange(m) % 2 == 0
    modes = np.sqrt(2 / m) * np.where(sine, np.sin(angles), np.cos(angles))
    modes[:, 0] = 1 / np.sqrt(m)
    if m % 2 == 0:
        modes[:, -1] = (1 - 2 * (np.arange(m) % 2)) / np.sqrt(m)
    harmonic = columns[order]
    return Smoothness(name, a[harmonic], modes[:, order], _equal(level[harmonic]), matrix, note, partial(_fourier, order))


def _decomposed(name: str, d: Values, note: str) -> Smoothness:
    """Modes by the singular values of D itself, not of A: squares would lose the smooth end of the spectrum."""
    m = d.shape[1]
    factor = np.linalg.qr(d, mode="r") if d.shape[0] > m else d
    _, found, vh = np.linalg.svd(factor, full_matrices=True)
    s = np.zeros(m)
    s[: found.size] = found
    s, modes = s[::-1].copy(), vh[::-1].T.copy()
    s[s <= SAME * s[-1]] = 0
    ties, frame, start = groups(s, relative=SAME), _cosines(m), 0
    for begin, end in (*ties, (m, m)):
        for single in range(start, begin):
            modes[:, single : single + 1] *= canonical(modes[:, single : single + 1], frame)
        if end > begin:
            modes[:, begin:end] = modes[:, begin:end] @ canonical(modes[:, begin:end], frame)
            s[begin:end] = s[begin:end].mean()
        start = end
    return Smoothness(name, s**2, modes, ties, partial(np.asarray, d), note)


def _equal(sorted_values: NDArray[np.int64] | Values) -> Groups:
    """Groups of values that are exactly equal."""
    cuts = np.flatnonzero(np.diff(sorted_values)) + 1
    return tuple((start, stop) for start, stop in pairwise([0, *map(int, cuts), sorted_values.size]) if stop - start > 1)


def _dct(coefficients: Values) -> Values:
    return np.asarray(idct(coefficients, type=2, norm="ortho", axis=0), dtype=np.float64)


def _dct_grid(shape: tuple[int, int], order: NDArray[np.int64], coefficients: Values) -> Values:
    plain = np.empty_like(coefficients, dtype=np.float64)
    plain[order] = coefficients
    down = idct(plain.reshape(*shape, -1), type=2, norm="ortho", axis=0)
    return np.asarray(idct(down, type=2, norm="ortho", axis=1), dtype=np.float64).reshape(coefficients.shape)


def _fourier(order: NDArray[np.int64], coefficients: Values) -> Values:
    plain = np.empty_like(coefficients, dtype=np.float64)
    plain[order] = coefficients
    m = plain.shape[0]
    waves = np.zeros((m // 2 + 1, *plain.shape[1:]), dtype=np.complex128)
    waves[0] = np.sqrt(m) * plain[0]
    waves[1 : (m + 1) // 2] = np.sqrt(m / 2) * (plain[1 : m - 1 + m % 2 : 2] - 1j * plain[2::2])
    if m % 2 == 0:
        waves[-1] = np.sqrt(m) * plain[-1]
    return np.asarray(irfft(waves, n=m, axis=0), dtype=np.float64)


def _forward(m: int) -> Values:
    return np.diff(np.eye(m), axis=0)


def _second(m: int) -> Values:
    return np.diff(np.eye(m), n=2, axis=0) if m > 2 else np.zeros((0, m))


def _periodic(m: int) -> Values:
    return np.roll(np.eye(m), 1, axis=1) - np.eye(m)


def _central(m: int) -> Values:
    return np.asarray((np.roll(np.eye(m), 1, axis=1) - np.roll(np.eye(m), -1, axis=1)) / (2 * m), dtype=np.float64)


def _spectral(m: int, order: int) -> Values:
    """The derivative of that order of the trigonometric polynomial through m points on a ring of length 2 pi."""
    k = np.fft.fftfreq(m, 1 / m)
    if m % 2 == 0 and order % 2:
        k[m // 2] = 0
    return np.asarray(circulant(np.fft.ifft((1j * k) ** order).real), dtype=np.float64)


def _grid(rows: int, columns: int) -> Values:
    return np.vstack([np.kron(_forward(rows), np.eye(columns)), np.kron(np.eye(rows), _forward(columns))])
