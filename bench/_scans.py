"""A scan that finds nothing in memory of the one before."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _measure import Clock

from modescope.laws import marchenko_pastur
from modescope.measures import null
from modescope.scanning import scan


def fresh(work: Callable[[], Any]) -> Clock:
    """A clock of a function that scans; what a process draws once for a shape is drawn again in each."""

    def run() -> float:
        null._gaussian_alphas.cache_clear()
        marchenko_pastur._mean_between.cache_clear()
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def fresh_scan(path: Path, workers: int) -> Clock:
    """A clock of a whole scan; see `fresh`."""
    return fresh(lambda: scan(path, workers=workers))
