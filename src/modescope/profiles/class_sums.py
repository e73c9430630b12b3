"""Running statistics of signals by class, with bootstrap replicates and permuted labels drawn in the same pass.

No signal is kept. Images are resampled within each class: the counts of a replicate are multinomial, and as the size of every
class is known from the labels, they are drawn one image after the other from their conditional binomial laws. Labels are permuted
in the same way, by handing every image one of the labels that are left. So both are exact, neither depends on how images are cut
into batches, and memory depends on classes and modes alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.profiles.basis import Indices
from modescope.profiles.images import Labels
from modescope.profiles.passing import Passed
from modescope.seeds import generator
from modescope.svd import Values

Counts = NDArray[np.int64]
Choose = Callable[[Values], NDArray[np.bool_]]
"""From signals (n, r) to the modes that matter for each image, (n, r)."""

LIMIT = 512 * 2**20  # bytes of replicates
FEWEST = 40  # replicates of which 2.5 % are still one


@dataclass(frozen=True, eq=False)
class Replicates:
    """What K drawings of the images gave for every class; images of a drawing that belong to a class are as many as in the data.

    Attributes:
        counts: (C,) images of each class.
        origin: (r,) what was taken off all signals, so that no digits are lost.
        sums: (C, K, r) sums of signals less their origin, or (C, K, 3 r): then behind them how many images chose the mode, and the
            sum of the signs with which they did.
    """

    counts: Counts
    origin: Values
    sums: Values

    def __len__(self) -> int:
        return int(self.sums.shape[1])

    def means(self) -> Values:
        """(K, C, r) mean signals."""
        return self._mean(0) + self.origin

    def shares(self) -> Values:
        """(K, C, r) share of the images of a class that chose a mode."""
        return self._mean(1)

    def leanings(self) -> Values:
        """(K, C, r) mean over the images of a class of the sign with which they chose a mode, 0 where they did not."""
        return self._mean(2)

    def _mean(self, part: int) -> Values:
        r = self.origin.size
        sums = self.sums[:, :, part * r : (part + 1) * r]
        found: Values = np.moveaxis(sums / np.maximum(self.counts, 1)[:, None, None], 1, 0)
        return found


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """Signals of one site by class.

    Attributes:
        site: Its name.
        modes: (r,) the modes that were followed, ascending, counted from 0.
        counts: (C,) images of each class; there may be none of some.
        mean: (C, r) mean signals, 0 for a class without images.
        scatter: (C, r) sums of squares about the mean of the class.
        resampled: Means of the bootstrap within classes.
        spread: (B,) variance of the signals in each replicate of the bootstrap, summed over modes.
        permuted: Means of classes that the labels would make in another order.
        chosen: (C, r) how many images of a class chose a mode, or None where nothing chooses.
        leaning: (C, r) sum of the signs with which they did, or None.
        note: What could not be done as asked, or empty.
    """

    site: str
    modes: Indices
    counts: Counts
    mean: Values
    scatter: Values
    resampled: Replicates
    spread: Values
    permuted: Replicates
    chosen: Counts | None = None
    leaning: Counts | None = None
    note: str = ""

    @property
    def total(self) -> Values:
        """(r,) mean over all images."""
        found: Values = self.counts @ self.mean / self.counts.sum()
        return found

    @property
    def variance(self) -> Values:
        """(r,) population variance over all images."""
        apart = self.mean - self.total
        found: Values = (self.scatter.sum(axis=0) + self.counts @ np.square(apart)) / self.counts.sum()
        return found

    @property
    def mean_square(self) -> Values:
        """(r,) mean of the square over all images."""
        return self.variance + np.square(self.total)

    @property
    def error(self) -> Values:
        """(C, r) standard error of the mean of a class; NaN where it has fewer than two images."""
        n = self.counts[:, None].astype(np.float64)
        found: Values = np.sqrt(self.scatter / np.where(n < 2, np.nan, n * (n - 1)))
        return found


class ClassSums:
    """Statistics by class of every site, from batches in the order of the data set."""

    def __init__(
        self,
        labels: Labels,
        modes: Mapping[str, Indices],
        *,
        classes: int | None = None,
        resamples: int = 200,
        permutations: int = 20,
        choose: Choose | None = None,
        seed: int = 0,
    ) -> None:
        """Prepare for a pass.

        Args:
            labels: (N,) class of every image of the data set, counted from 0.
            modes: By the name of a site, indices of the modes that are followed, ascending, as `selection.ranked` keeps them.
            classes: C, by default as many as the largest label needs.
            resamples: B, replicates of the bootstrap within classes.
            permutations: P, drawings of permuted labels.
            choose: Which of them matter for an image, as `selection.contributing` says; for the membership rule `fraction` only.
            seed: Of all draws.

        Raises:
            UsageError: There are no labels or no modes, or labels do not fit; numbers of replicates are negative.
        """
        labels = np.asarray(labels)
        if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iu" or labels.min() < 0:
            raise UsageError(f"labels: expected (N,) integers counted from 0, got {labels.dtype} of shape {labels.shape}.")
        most = int(labels.max()) + 1
        classes = most if classes is None else classes
        if most > classes:
            raise UsageError(f"labels: expected classes below {classes}, got {most - 1}.")
        followed = {name: np.asarray(given, dtype=np.intp) for name, given in modes.items()}
        for name, given in followed.items() or (("none", np.zeros(0, np.intp)),):
            if given.ndim != 1 or not given.size or given[0] < 0 or (np.diff(given) < 1).any():
                raise UsageError(f"layer {name!r}: expected indices of at least one mode, ascending, got {given.tolist()}.")
        if min(resamples, permutations) < 0:
            raise UsageError(
                f"expected numbers of replicates of at least 0, got {resamples} resamples, {permutations} permutations."
            )
        width = sum(given.size for given in followed.values()) * (1 if choose is None else 3)
        resamples, permutations, self._note = _fitting(resamples, permutations, 8 * classes * width)
        self._labels = labels.astype(np.int64)
        self._draws = _Draws(self._labels, classes, resamples, permutations, seed)
        self._modes, self._choose = followed, choose
        self._origin: dict[str, Values] = {}
        self._sums = _Sums(width, classes, resamples, permutations)
        self._squares = np.zeros((len(followed), resamples))
        self._seen = 0

    def add(self, passed: Passed) -> None:
        """Take the next batch in.

        Raises:
            UsageError: It is not the next one, or there are more images than labels.
        """
        count = len(next(iter(passed.signals.values())))
        if passed.start != self._seen or self._seen + count > self._labels.size:
            raise UsageError(
                f"labels: expected the images from {self._seen} on of {self._labels.size}, got {count} from {passed.start} on."
            )
        labels = self._labels[self._seen : self._seen + count]
        weights, others = self._draws.resampled(labels), self._draws.permuted(count)
        columns: list[Array] = []
        for place, name in enumerate(self._modes):
            kept, shifted = self._kept(name, passed.signals[name])
            self._squares[place] += np.square(shifted).sum(axis=1) @ weights
            columns.append(shifted)
            if self._choose is not None:
                chosen = self._choose(kept)
                columns += [chosen, chosen * np.sign(kept)]
        self._sums.add(np.hstack(columns), labels, weights, others)
        self._seen += count

    def value(self) -> dict[str, ClassStatistics]:
        """Statistics by site, once every image was seen.

        Raises:
            UsageError: Images are missing.
        """
        if self._seen < self._labels.size:
            raise UsageError(f"labels: expected {self._labels.size} images, one for each label, got {self._seen}.")
        found, start = {}, 0
        for place, (name, modes) in enumerate(self._modes.items()):
            stop = start + modes.size * (1 if self._choose is None else 3)
            found[name] = self._statistics(name, slice(start, stop), self._squares[place])
            start = stop
        return found

    def _kept(self, name: str, signals: Values) -> tuple[Values, Values]:
        """Signals of the modes that are followed, and the same less those of the first image, whatever the batches.

        So what never varies sums to exactly 0, and a large mean costs no digits.
        """
        modes = self._modes[name]
        if signals.shape[1] <= modes[-1]:
            raise UsageError(f"layer {name!r}: expected at least {modes[-1] + 1} modes, got {signals.shape[1]}.")
        kept = np.asarray(signals[:, modes], dtype=np.float64)
        return kept, kept - self._origin.setdefault(name, kept[0].copy())

    def _statistics(self, name: str, columns: slice, squares: Values) -> ClassStatistics:
        counts, origin = self._draws.counts, self._origin[name]
        r, total = origin.size, counts.sum()
        sums, resampled, permuted = self._sums.of(columns)
        mean = np.where(counts[:, None] > 0, origin + sums[:, :r] / np.maximum(counts, 1)[:, None], 0)
        centre = resampled[:, :, :r].sum(axis=0) / total
        picked: dict[str, Counts] = {}
        if self._choose is not None:
            picked = {"chosen": sums[:, r : 2 * r].astype(np.int64), "leaning": sums[:, 2 * r :].astype(np.int64)}
        return ClassStatistics(
            site=name,
            modes=self._modes[name],
            counts=counts,
            mean=mean,
            scatter=self._sums.scatter[:, columns][:, :r],
            resampled=Replicates(counts, origin, resampled),
            spread=np.maximum(squares / total - np.square(centre).sum(axis=1), 0),
            permuted=Replicates(counts, origin, permuted),
            note=self._note,
            **picked,
        )


class _Draws:
    """Which images are drawn how often, and which labels they get, one image after the other."""

    def __init__(self, labels: Labels, classes: int, resamples: int, permutations: int, seed: int) -> None:
        self.counts: Counts = np.bincount(labels, minlength=classes).astype(np.int64)
        self._bootstrap = generator(seed, "profiles", "bootstrap within classes")
        self._unseen = self.counts.copy()
        self._undrawn = np.repeat(self.counts[:, None], resamples, axis=1)
        self._permutation = generator(seed, "profiles", "permuted labels")
        self._labels_left = np.repeat(self.counts[None], permutations, axis=0)

    def resampled(self, labels: Labels) -> Values:
        """(n, B) how often each replicate draws each of the next images."""
        found = np.zeros((labels.size, self._undrawn.shape[1]))
        if not self._undrawn.shape[1]:
            return found
        for row, label in zip(found, labels.tolist(), strict=True):
            drawn = self._bootstrap.binomial(self._undrawn[label], 1 / self._unseen[label])
            self._undrawn[label] -= drawn
            self._unseen[label] -= 1
            row[:] = drawn
        return found

    def permuted(self, count: int) -> Labels:
        """(n, P) labels that the next images get."""
        permutations = np.arange(len(self._labels_left))
        found = np.zeros((count, permutations.size), np.int64)
        if not permutations.size:
            return found
        left = self._labels_left[0].sum() - np.arange(count)
        tickets = self._permutation.integers(0, left[:, None], size=found.shape)
        for row, ticket in zip(found, tickets, strict=True):
            row[:] = (ticket[:, None] >= self._labels_left.cumsum(axis=1)).sum(axis=1)
            self._labels_left[permutations, row] -= 1
        return found


class _Sums:
    """Sums of columns by class, by class and replicate, and by class of permuted labels."""

    def __init__(self, width: int, classes: int, resamples: int, permutations: int) -> None:
        self._counts = np.zeros(classes, np.int64)
        self._sums = np.zeros((classes, width))
        self.scatter = np.zeros((classes, width))
        self._resampled = np.zeros((classes, resamples, width))
        self._permuted = np.zeros((permutations * classes, width))

    def of(self, columns: slice) -> tuple[Values, Values, Values]:
        """(C, q), (C, B, q) and (C, P, q) of some of the columns."""
        permuted = self._permuted.reshape(-1, self._counts.size, self._permuted.shape[1])
        return self._sums[:, columns], self._resampled[:, :, columns], np.moveaxis(permuted[:, :, columns], 0, 1)

    def add(self, columns: Values, labels: Labels, weights: Values, others: Labels) -> None:
        for label in np.unique(labels).tolist():
            rows = np.flatnonzero(labels == label)
            block = columns[rows]
            self._scatter(label, block)
            self._sums[label] += block.sum(axis=0)
            self._counts[label] += rows.size
            self._resampled[label] += weights[rows].T @ block
        self._permute(columns, others)

    def _scatter(self, label: int, block: Values) -> None:
        """Merge the scatter about the mean of a class (Chan, Golub & LeVeque 1983, equation 2.1)."""
        before, more = int(self._counts[label]), len(block)
        mean = block.mean(axis=0)
        self.scatter[label] += np.square(block - mean).sum(axis=0)
        if before:
            apart = mean - self._sums[label] / before
            self.scatter[label] += np.square(apart) * (before * (more / (before + more)))

    def _permute(self, columns: Values, others: Labels) -> None:
        permutations = others.shape[1]
        if not permutations:
            return
        place = others + np.arange(permutations) * self._counts.size
        touched, row = np.unique(place, return_inverse=True)
        image = np.repeat(np.arange(len(columns)), permutations)
        gathers = csr_matrix((np.ones(place.size), (row.ravel(), image)), shape=(touched.size, len(columns)))
        self._permuted[touched] += gathers @ columns


def _fitting(resamples: int, permutations: int, size: int) -> tuple[int, int, str]:
    """As many replicates of `size` bytes as the limit holds, and what was left out."""
    room = LIMIT // size
    if resamples + permutations <= room:
        return resamples, permutations, ""
    null = min(permutations, room // 2)
    again = min(resamples, room - null)
    if again < min(FEWEST, resamples):
        again = 0
    note = (
        f"expected {resamples} resamples and {permutations} permutations, which would take "
        f"{(resamples + permutations) * size / 2**20:.0f} MB; {again} and {null} were drawn to stay below {LIMIT / 2**20:.0f} MB."
    )
    return again, null, note
