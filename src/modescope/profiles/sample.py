"""Signals of a random sample of the images, for pictures of how they are distributed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.profiles.images import Labels
from modescope.profiles.passing import Passed
from modescope.seeds import generator

SIZE = 2048


@dataclass(frozen=True, eq=False)
class Sample:
    """Images in the order of the data set, with their signals.

    Attributes:
        images: (n,) their indices.
        labels: (n,) their classes, or None.
        signals: (n, r) by site, float32.
    """

    images: NDArray[np.int64]
    labels: Labels | None
    signals: dict[str, NDArray[np.float32]]


class Sampling:
    """A uniform sample without replacement, which does not depend on how images come in batches; memory of `size` images."""

    def __init__(self, size: int = SIZE, *, seed: int = 0) -> None:
        self._size, self._random = size, generator(seed, "sample of images")
        self._priority = np.empty(0)
        self._kept: Sample | None = None

    def add(self, passed: Passed) -> None:
        """Take a batch in: an image stays while its random number is one of the smallest."""
        count = len(next(iter(passed.signals.values())))
        priority = np.concatenate([self._priority, self._random.random(count)])
        here = Sample(
            np.arange(passed.start, passed.start + count),
            passed.labels,
            {name: values.astype(np.float32) for name, values in passed.signals.items()},
        )
        whole = here if self._kept is None else _joined(self._kept, here)
        if priority.size > self._size:
            best = np.sort(np.argpartition(priority, self._size - 1)[: self._size])
            whole, priority = _rows(whole, best), priority[best]
        self._kept, self._priority = whole, priority

    def value(self) -> Sample:
        """The sample.

        Raises:
            ValueError: No batch was taken in.
        """
        if self._kept is None:
            raise ValueError("sample: no batch was taken in.")
        return self._kept


def _joined(a: Sample, b: Sample) -> Sample:
    labels = None if a.labels is None or b.labels is None else np.concatenate([a.labels, b.labels])
    signals = {name: np.concatenate([a.signals[name], b.signals[name]]) for name in a.signals}
    return Sample(np.concatenate([a.images, b.images]), labels, signals)


def _rows(a: Sample, rows: NDArray[np.intp]) -> Sample:
    labels = None if a.labels is None else a.labels[rows]
    return Sample(a.images[rows], labels, {name: values[rows] for name, values in a.signals.items()})
