"""Several trainings that differ in their seed, with the dense reference beside them: means with their spread."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from modescope.modes.training.result import Fit
from modescope.reports import Report

if TYPE_CHECKING:
    from pandas import DataFrame

FEW = 3  # runs from which a spread is told with any right


@dataclass(frozen=True)
class Spread:
    """A number over several runs.

    Attributes:
        runs: How many.
        mean: Their mean.
        std: Their standard deviation (divided by runs - 1); None of one run.
        stderr: Standard error of the mean, `std / sqrt(runs)`; None of one run. It is itself uncertain by a factor of about
            `1 / sqrt(2 (runs - 1))`: by a half at 3 runs.
    """

    runs: int
    mean: float
    std: float | None
    stderr: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of some numbers, at least one."""
        std = stdev(values) if len(values) > 1 else None
        return cls(len(values), fmean(values), std, None if std is None else std / math.sqrt(len(values)))


@dataclass(frozen=True, eq=False)
class Trials:
    """Trainings of one network by one recipe from several seeds.

    Attributes:
        fits: One for each seed, at least one.
        dense: Trainings of the dense network of the same shape, by the same recipe and seeds; empty where not asked for.
    """

    fits: tuple[Fit, ...]
    dense: tuple[Fit, ...] = ()

    @property
    def accuracy(self) -> Spread | None:
        """Share of test samples that are right; None of numbers, and where no epoch was finished."""
        return _spread(self.fits)

    @property
    def dense_accuracy(self) -> Spread | None:
        """Likewise of the dense network."""
        return _spread(self.dense)

    @property
    def gap(self) -> Spread | None:
        """Dense minus modes, seed by seed: the data are the same, and the seeds pair the order of samples and nothing else."""
        pairs = [(d.accuracy, m.accuracy) for d, m in zip(self.dense, self.fits, strict=False)]
        known = [d - m for d, m in pairs if d is not None and m is not None]
        return Spread.of(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.modes/1`, in its part `training`."""
        from modescope.modes.training.document import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """A row for every epoch of every training.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.modes.training.document import frame

        return frame(self)

    def report(self) -> Report:
        """Accuracy with its spread, learning curves, and modes by layer, as a page."""
        from modescope.modes.training.learning_curves import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write the report by the suffix of the file (`.html`, `.json`, `.csv`, ...).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def _spread(fits: Sequence[Fit]) -> Spread | None:
    known = [one.accuracy for one in fits]
    return Spread.of([one for one in known if one is not None]) if known and None not in known else None
