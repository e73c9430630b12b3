"""Null twins: matrices with the same entries as one of ours and no structure, and the edge of the noise they call for.

The largest eigenvalue of a twin over the variance of its own noise is what that of the matrix would be were there nothing but
noise. Where the theory of the edge holds for the entries the twins stay below it; where they are heavy-tailed, sparse or a few are
huge they do not, and the edge of the matrix is raised to what twins pass at the same level. The ratio cancels the energy that
signal adds to a twin; huge entries beside strong modes are therefore judged too mildly. The level is approximate: of networks of
17 or 32 matrices of t-distributed entries, 3 degrees of freedom, 1 in 400 showed a mode at .01; with 2.5 degrees 1 in 85.
"""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from modescope.laws import noise, wishart
from modescope.laws.spiked import threshold
from modescope.outliers import Live, live_entries
from modescope.seeds import generator
from modescope.spectrum import Spectrum
from modescope.svd import Values
from modescope.svd.gram import gram

Entries32 = NDArray[np.float32]
Kind = Callable[[Entries32, np.random.Generator], Iterator[Entries32]]

DRAWS = 19
OWN_FIT = 256  # values up to which the noise of every twin is fitted
FEW_IN = 0.25  # level beyond which the widening for few values stays as it is there: at 0.5 it would be 0 / 0
EXTREME = 0.6  # of the strength at which a single entry becomes a spike
KURTOSIS = 0.4  # times the cube root of the short side: the edge moves by a quarter of its own width
STEPS = 60  # of Lanczos, at most
PIECE = 1 << 16  # entries of a riffle moved at a time
EXHAUSTED = 1e-5  # relative size of a further step that is rounding: the vectors so far span all there is
CONVERGED = 3e-3  # residual over value: the value itself is then right to the square of that over the gap, some 1e-5 to 1e-4


def needs_calibration(part: Live) -> bool:
    """Whether the entries themselves may pass the theoretical edge without any structure.

    An entry is a rank-1 matrix by itself: it is seen as an outlier where it exceeds `std (n m)**(1/4)`, as any spike is. And excess
    kurtosis shifts the edge by about `kurtosis * m**(-1/3)` of its width, however small the single entries. Both limits were found
    by simulation: below them matrices of independent entries show outliers as often as Gaussian ones do.
    """
    visible = threshold(part.n, part.m, part.std)
    return part.extreme > EXTREME * visible or part.kurtosis > KURTOSIS * math.cbrt(part.m)


def permuted(a: Entries32, random: np.random.Generator) -> Iterator[Entries32]:
    """Twins with the entries in random places, which keep the distribution of the entries alone.

    The first is a uniform permutation. Drawing one costs more than all the rest, so the others are the first, riffled: cut to a
    random width, read by columns and turned by a random offset. Each is a uniform permutation, too, as the first is.
    """
    base = a.ravel()
    random.shuffle(base)
    yield base.reshape(a.shape)
    while True:
        yield _riffle(base, random).reshape(a.shape)


def flipped(a: Entries32, random: np.random.Generator) -> Iterator[Entries32]:
    """Twins with random signs, which keep every modulus: the scales of rows, columns and entries (Hong, Sheng & Dobriban 2020)."""
    while True:
        yield a * (2 * random.integers(0, 2, a.shape, np.int8) - 1)


def permuted_in_rows(a: Entries32, random: np.random.Generator) -> Iterator[Entries32]:
    """Twins with the entries in random places of their row, which keep the scale of every row."""
    while True:
        yield random.permuted(a, axis=1)


def inflation(spectrum: Spectrum, part: Live, kind: Kind, *, draws: int, seed: int, level: float) -> float:
    """Factor on the edge of a matrix, at least 1, so that noise like its twins passes the edge with probability `level`.

    A level such as .01 for a whole network is far beyond what a few twins show by themselves. Their logarithms are therefore taken
    for draws of a Gumbel law, and its quantile is widened as for the next of `draws + 1` normal values. Drawn once for a spectrum
    and shared by all who ask with the same arguments.

    Args:
        spectrum: Of a matrix that is formed; it is read again, and never written to.
        part: Its live part.
        kind: `permuted`, `flipped` or `permuted_in_rows`.
        draws: Number of twins, at least 1; of one alone the value itself is taken.
        seed: Enters with the names of tensor, view and kind.
        level: Of the edge.
    """
    with _guard:
        known = _known.setdefault(spectrum, _Known())
    key = (kind.__name__, draws, seed, level)
    with known.lock:
        if key not in known.factors:
            values = largest(spectrum, part, kind, draws=draws, seed=seed, level=level)
            known.factors[key] = max(1.0, extrapolated(values, level) / noise.edge(part.n, part.m, 1.0, level=level))
        return known.factors[key]


def largest(spectrum: Spectrum, part: Live, kind: Kind, *, draws: int, seed: int, level: float) -> list[float]:
    """Largest eigenvalue of each twin over the variance of its noise, fitted to it as to the matrix itself; infinite without noise.

    Above `OWN_FIT` values the variance hardly varies from twin to twin, and that of the first serves all.
    """
    matrix = spectrum.matrix
    random = generator(seed, matrix.tensor, matrix.view, kind.__name__)
    twins = kind(_standardised(spectrum, part), random)
    found, variance = [], 0.0
    for draw in range(draws):
        if draw == 0 or part.m <= OWN_FIT:
            s = gram(next(twins)).s
            if draw == 0 and kind is permuted:
                with _guard:
                    _known.setdefault(spectrum, _Known()).first[seed] = s
            values = s**2
            variance = noise.fit(values, part.n, level=level).sigma ** 2
            top = float(values[0])
        else:
            top = _largest(next(twins), random)
        found.append(top / variance if variance > 0 else math.inf)  # so sparse that a twin has no bulk
    return found


@dataclass(frozen=True, eq=False)
class Twin:
    """Singular values of one twin, descending, in units of the weights, and in words what its entries are."""

    s: Values
    kind: str


def twin(spectrum: Spectrum, part: Live, *, seed: int) -> Twin:
    """One twin for a picture: what the matrix would look like if its entries were all there is to it.

    Entries that may themselves pass the theoretical edge are permuted. The spectrum of all others is that of Gaussian entries of
    their variance, but that the largest value of bounded entries scatters somewhat less in small matrices; it is drawn without a
    matrix, some hundred times faster.

    Args:
        spectrum: Of a matrix that is formed; it is read again where its entries are permuted, and never written to.
        part: Its live part.
        seed: As for `inflation`, whose first permutation twin this is where entries are permuted.
    """
    if needs_calibration(part):
        return Twin(_shuffled(spectrum, part, seed), "centred entries, shuffled")
    random = generator(seed, spectrum.matrix.tensor, spectrum.matrix.view, "gaussian")
    return Twin(np.sqrt(wishart.sample(part.n, part.m, random)[::-1]) * part.std, "Gaussian, same variance")


def _shuffled(spectrum: Spectrum, part: Live, seed: int) -> Values:
    """Singular values of the first permutation twin, drawn once for a spectrum; the squares come from float32."""
    with _guard:
        known = _known.setdefault(spectrum, _Known())
    with known.lock:
        if seed not in known.first:
            random = generator(seed, spectrum.matrix.tensor, spectrum.matrix.view, permuted.__name__)
            known.first[seed] = gram(next(permuted(_standardised(spectrum, part), random))).s
        return known.first[seed] * part.std


def extrapolated(values: list[float], level: float) -> float:
    """What a further value exceeds with probability `level`, from a few; see `inflation`."""
    count = len(values)
    if count == 1 or math.inf in values:
        return max(values)
    logs = np.log(values)
    gumbel = (-math.log(-math.log1p(-level)) - np.euler_gamma) * math.sqrt(6) / math.pi
    few = min(level, FEW_IN)
    widening = stdtrit(count - 1, few) / ndtri(few) * math.sqrt(1 + 1 / count)
    with np.errstate(over="ignore"):  # of two or three values nothing is known so far out: no value passes infinity
        return float(np.exp(logs.mean() + gumbel * widening * logs.std(ddof=1)))


@dataclass(frozen=True)
class _Known:
    """What was drawn for one spectrum; whoever asks second waits for the first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    factors: dict[tuple[str, int, int, float], float] = field(default_factory=dict)
    first: dict[int, Values] = field(default_factory=dict)


_guard = threading.Lock()
_known: WeakKeyDictionary[Spectrum, _Known] = WeakKeyDictionary()


def _standardised(spectrum: Spectrum, part: Live) -> Entries32:
    """The live entries less their mean, or every twin would have the spike of the mean and hide it, over their deviation."""
    dense = live_entries(spectrum.matrix, part)
    dense -= dense.dtype.type(part.mean)
    dense /= part.std
    return np.ascontiguousarray(dense, dtype=np.float32)


def _riffle(flat: Entries32, random: np.random.Generator) -> Entries32:
    width = min(flat.size, int(math.sqrt(flat.size) * 2 ** random.uniform(-1, 1)) + 1)
    length = flat.size // width
    table = flat[: width * length].reshape(length, width)
    turn = int(random.integers(flat.size))
    # the columns are written where the turn takes them, some at a time: a whole copy of the entries less in memory
    turned, some = np.empty_like(flat), max(1, PIECE // length)
    for left in range(0, width, some):
        _put(turned, turn + left * length, table[:, left : left + some].T.ravel())
    _put(turned, turn + width * length, flat[width * length :])
    return turned


def _put(ring: Entries32, at: int, piece: Entries32) -> None:
    at %= ring.size
    first = min(piece.size, ring.size - at)
    ring[at : at + first] = piece[:first]
    ring[: piece.size - first] = piece[first:]


def _largest(a: Entries32, random: np.random.Generator) -> float:
    """Largest eigenvalue of `a.T @ a` by Lanczos steps from a random start, fully reorthogonalised."""
    b = a if a.shape[0] >= a.shape[1] else a.T
    steps = min(STEPS, b.shape[1])
    basis = np.zeros((steps + 1, b.shape[1]), np.float32)
    start = random.standard_normal(b.shape[1], np.float32)
    basis[0] = start / np.linalg.norm(start)
    diagonal, below = np.zeros(steps), np.zeros(steps)
    top = 0.0
    for j in range(steps):
        w = b.T @ (b @ basis[j])
        diagonal[j] = w @ basis[j]
        for _ in range(2):
            w -= (basis[: j + 1] @ w) @ basis[: j + 1]
        below[j] = np.linalg.norm(w)
        exhausted = below[j] <= EXHAUSTED * diagonal[: j + 1].max()
        if j % 5 == 4 or j == steps - 1 or exhausted:
            values, vectors = np.linalg.eigh(np.diag(diagonal[: j + 1]) + np.diag(below[:j], 1) + np.diag(below[:j], -1))
            top = float(values[-1])
            if exhausted or below[j] * abs(vectors[-1, -1]) < CONVERGED * top:
                break
        basis[j + 1] = w / below[j]
    return top
