"""First and second moments of samples that need not be in memory at once, in float64.

Samples are rows: `samples` is (N, n). What is kept of them is their count, their mean and the scatter about it, so that a large
mean costs no digits, and parts that were taken apart merge to what the whole would have given.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError

Values = NDArray[np.float64]
Array = NDArray[Any]

LARGE = 1e150  # mean whose square float64 holds, with room for a count
ENTRIES = 1 << 16  # of samples that are held in float64 at once, so that they stay near the processor


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of samples of n numbers.

    Attributes:
        count: N, at least 1.
        mean: (n,) mean, in units of the samples.
        scatter: (n, n) sum over the samples of `(x - mean) (x - mean)^T`, symmetric.
    """

    count: int
    mean: Values
    scatter: Values

    def __post_init__(self) -> None:
        mean, scatter = np.array(self.mean, np.float64), np.array(self.scatter, np.float64)
        n = mean.size
        if self.count < 1 or mean.shape != (n,) or n == 0 or scatter.shape != (n, n):
            raise UsageError(
                f"moments: expected a count of at least 1, a mean (n,) and a scatter (n, n), got {self.count}, {mean.shape} and "
                f"{scatter.shape}; take them from samples by `of`."
            )
        for name, array in (("mean", mean), ("scatter", scatter)):
            if bad := _bad(array):
                raise UsageError(f"moments: expected a finite {name} of shape {array.shape}, got {bad} non-finite entries.")
            if name == "mean" and np.abs(array).max() > LARGE:
                raise UsageError(
                    f"moments: expected a mean {array.shape} whose squares float64 can hold, got {np.abs(array).max():.1e}."
                )
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def second(self) -> Values:
        """(n, n) uncentred second moment `E[x x^T]`."""
        return self.scatter / self.count + np.outer(self.mean, self.mean)

    @property
    def covariance(self) -> Values:
        """(n, n) centred second moment, divided by the count."""
        return self.scatter / self.count


def of(samples: Array, /) -> Moments:
    """Moments of samples that are in memory.

    Args:
        samples: (N, n), one sample per row, of any real dtype; bfloat16 and the like through ml_dtypes. Few rows at a time are cast
            to float64.

    Returns:
        `Moments`. Constant samples have a scatter of exactly 0.

    Raises:
        UsageError: It is no matrix with a row and a column, is not real, holds non-finite entries, or its squares overflow float64.
    """
    return streamed((samples,))


def streamed(chunks: Iterable[Array], /) -> Moments:
    """Moments of samples that come in chunks, of which one is held at a time.

    Memory is a few (n, n) matrices beside the chunk. How the samples are cut changes the result by rounding only.

    Args:
        chunks: Matrices (N_i, n) as `of` takes them, of any heights; those without rows are passed over.

    Returns:
        `Moments` of all rows together.

    Raises:
        UsageError: As `of`; chunks differ in n, or there is no row at all.
    """
    running = Running()
    for i, chunk in enumerate(chunks):
        running.add(chunk, f"chunk {i}")
    return running.value()


def merged(parts: Iterable[Moments], /) -> Moments:
    """Moments of all samples together from those of disjoint parts, in whatever order and grouping.

    Args:
        parts: Moments over the same n numbers.

    Returns:
        `Moments`, as if the samples had been stacked.

    Raises:
        UsageError: There are no parts, or they differ in n.

    References:
        Chan, Golub & LeVeque (1983), doi:10.1080/00031305.1983.10483115.
    """
    running = Running()
    for i, part in enumerate(parts):
        running.merge(part, f"part {i}")
    return running.value()


class Running:
    """Moments of what was added so far; the one mutable thing here, for whoever is handed samples and cannot give an iterator."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def add(self, samples: Array, name: str = "samples") -> None:
        """Take more samples in; `name` stands for them in errors."""
        samples = _matrix(samples, name)
        rows = max(ENTRIES // samples.shape[1], 4 * samples.shape[1])  # to merge costs as much as one row for every column
        for start in range(0, samples.shape[0], rows):
            self._merge(*_block(samples[start : start + rows], name, samples.shape), name)

    def merge(self, part: Moments, name: str = "part") -> None:
        """Take the samples behind other moments in."""
        self._merge(part.count, part.mean, part.scatter, name)

    def value(self) -> Moments:
        """Moments of everything so far.

        Raises:
            UsageError: Nothing was added.
        """
        if not self._count:
            raise UsageError("moments: expected at least one sample, got none; pass (N, n) arrays with rows.")
        return Moments(self._count, self._mean, self._scatter)

    def _merge(self, count: int, mean: Values, scatter: Values, name: str) -> None:
        if not self._count:
            self._count, self._mean, self._scatter = count, mean.copy(), scatter.copy()
            return
        if mean.size != self._mean.size:
            raise UsageError(f"moments: expected samples of {self._mean.size} numbers as before, got {mean.size} in {name}.")
        total = self._count + count
        apart = mean - self._mean
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told where the moments are made
            self._scatter += scatter
            self._scatter += np.outer(apart, apart) * (self._count * (count / total))  # Chan et al., equation 2.1b
        self._mean += apart * (count / total)
        self._count = total


def _matrix(samples: Array, name: str) -> Array:
    try:
        samples = np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise UsageError(f"moments: expected {name} as a real matrix (N, n), got {type(samples).__name__}: {error}") from error
    if samples.ndim != 2 or samples.shape[1] == 0:
        remedy = "a single sample is samples[None]" if samples.ndim == 1 else "one sample per row"
        raise UsageError(f"moments: expected {name} of shape (N, n) with n at least 1, got {samples.shape}; {remedy}.")
    if samples.dtype.kind not in "biufV" or samples.dtype.type is np.void:  # ml_dtypes are of kind V, and raw bytes are too
        raise UsageError(f"moments: expected {name} of shape {samples.shape} to be real numbers, got {samples.dtype}.")
    return samples


def _block(samples: Array, name: str, whole: tuple[int, ...]) -> tuple[int, Values, Values]:
    block: Values = samples.astype(np.float64)
    first = block[0].copy()
    with np.errstate(invalid="ignore", over="ignore"):
        block -= first  # so that what does not vary scatters by exactly 0
        shift = block.mean(axis=0)
        block -= shift
        scatter: Values = block.T @ block
    if bad := _bad(scatter):
        wrong = _bad(samples.astype(np.float64))
        told = f"{wrong} non-finite entries in {samples.shape[0]} rows" if wrong else "entries whose squares overflow float64"
        raise UsageError(
            f"moments: expected finite {name} of shape {whole}, got {told}; {bad} of their second moments are not finite."
        )
    return samples.shape[0], first + shift, scatter


def _bad(array: Values) -> int:
    return array.size - int(np.count_nonzero(np.isfinite(array)))
