"""A scan that finds nothing in memory of the one before."""

import time
from pathlib import Path

from _measure import Clock

from modescope.laws import marchenko_pastur
from modescope.measures import null
from modescope.scanning import scan


def fresh_scan(path: Path, workers: int) -> Clock:
    """A clock of a whole scan; what a process draws once for a shape is drawn again in each."""

    def run() -> float:
        null._gaussian_alphas.cache_clear()
        marchenko_pastur._mean_between.cache_clear()
        start = time.perf_counter()
        scan(path, workers=workers)
        return time.perf_counter() - start

    return run
