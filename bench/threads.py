"""Two threads over the layers of a network against one, one BLAS thread each."""

import os
from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import Ratio, Size, clocked, least, processors

from modescope.scanning import scan

NAME, AGAINST = "two threads over 12 layers", "one thread"


def rows(size: Size, /) -> Iterator[Ratio]:
    """Layers of two shapes, values and all measures."""
    if processors() < 2:
        yield Ratio(NAME, AGAINST, 1.7, at_least=True, remark="not measured: one processor")
        return
    side = 32 if size is Size.SMOKE else 768
    random = np.random.default_rng(0)
    shapes = [(side, side), (4 * side, side)] * 6
    layers = {f"layer.{i}.weight": random.standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)}
    one, two = least(*(clocked(partial(scan, layers, workers=workers)) for workers in (1, 2)), rounds=3)
    busy = f"the load average was {os.getloadavg()[0]:.1f}: what else ran took from it" if hasattr(os, "getloadavg") else ""
    yield Ratio(NAME, AGAINST, 1.7, one / two, two, one, at_least=True, remark="speed-up", if_missed=busy)
