"""Corrections for the number of edges tested: which of many small p-values remain significant in a whole network."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from modescope.svd import Values


class Correction(Protocol):
    """A function from p-values to the largest one that is significant."""

    def __call__(self, log_p: Values, tests: int, level: float, /) -> float:
        """Natural logarithm of the largest significant p-value, minus infinity where there is none.

        Args:
            log_p: Natural logarithms of the smallest p-values; all others are known to exceed `level`.
            tests: How many were tested in all.
            level: Family-wise error rate, or false discovery rate.
        """


def bonferroni(_log_p: Values, tests: int, level: float, /) -> float:
    """Every p-value at most `level / tests`: no false edge in the network with probability 1 - level, whatever depends on what."""
    return math.log(level / max(tests, 1))


def benjamini_hochberg(log_p: Values, tests: int, level: float, /) -> float:
    """At most a share `level` of the edges is false on average, for independent tests (Benjamini & Hochberg 1995).

    Overlaps are negatively correlated through the sums of rows, for which the guarantee is not proven.
    """
    return _step_up(log_p, math.log(level) - math.log(max(tests, 1)))


def benjamini_yekutieli(log_p: Values, tests: int, level: float, /) -> float:
    """The same under any dependence (Benjamini & Yekutieli 2001): the level is divided by 1 + 1/2 + ... + 1/tests."""
    count = max(tests, 1)
    harmonic = math.fsum(1 / i for i in range(1, count + 1)) if count < 1 << 16 else math.log(count) + np.euler_gamma + 0.5 / count
    return _step_up(log_p, math.log(level) - math.log(count) - math.log(harmonic))


def none(_log_p: Values, _tests: int, level: float, /) -> float:
    """Every p-value at most `level`, as if a single edge had been tested: for looking, not for claims."""
    return math.log(level)


def _step_up(log_p: Values, first: float) -> float:
    ordered = np.sort(log_p)
    passing = np.flatnonzero(ordered <= first + np.log(np.arange(1, ordered.size + 1)))
    return first + math.log(passing[-1] + 1) if passing.size else -math.inf


CORRECTIONS: Mapping[str, Correction] = MappingProxyType(
    {"bonferroni": bonferroni, "bh": benjamini_hochberg, "by": benjamini_yekutieli, "none": none}
)
