"""Neurons in order: the search against SciPy's heuristics in time and in length, its distance from the bound, and exact paths."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import Ratio, Size, clocked, compare
from scipy.optimize import quadratic_assignment

from modescope.descrambling import operators
from modescope.descrambling.permutations import enumerated, held_karp, smoothest_order
from modescope.svd import Values


def rows(size: Size, /) -> Iterator[Ratio]:
    """Time and length against SciPy, the gap to the bound at the width of a layer, and Held-Karp against all orders."""
    small = size is Size.SMOKE
    m = 16 if small else 64
    second, smoothness = _tuned(m), operators.forward_difference(m)
    d = smoothness.matrix()
    a = d.T @ d
    yield compare(
        f"smoothest order of {m} neurons, all heuristics and bounds",
        "SciPy's FAQ and 2-opt",
        clocked(partial(smoothest_order, second, smoothness)),
        clocked(partial(_by_scipy, a, second)),
        limit=1.0,
        rounds=1 if small else 3,
        remark="changes of a path cost a few edges, those of an assignment a row each",
    )
    found = smoothest_order(second, smoothness)
    theirs = _by_scipy(a, second)
    yield Ratio(
        f"smoothness of that order of {m} neurons",
        "the better of SciPy's two",
        limit=1.0 + 1e-9,
        value=found.value / theirs,
        ours=found.value,
        theirs=theirs,
        remark="values of the criterion, not times",
    )
    width = {Size.SMOKE: 24, Size.DEFAULT: 256, Size.LARGE: 1024}[size]
    wide = smoothest_order(_tuned(width), operators.forward_difference(width))
    yield Ratio(
        f"smoothness of the order of {width} neurons",
        "lower bound by trees",
        limit=1.02,
        value=wide.value / wide.bound,
        ours=wide.value,
        theirs=wide.bound,
        remark=f"values, not times; by {wide.origin}; the bound by rotations is {wide.rotation / wide.bound:.3g} of this one",
    )
    few = 6 if small else 9
    b, shape = _tuned(few), operators.periodic_difference(few).matrix()
    lengths = np.maximum(np.diag(b)[:, None] + np.diag(b) - 2 * b, 0)
    yield compare(
        f"exact round trip of {few} neurons, Held-Karp",
        "all orders, vectorised",
        clocked(partial(held_karp, lengths)),
        clocked(partial(enumerated, shape.T @ shape, b)),
        limit=1.0,
        rounds=1 if small else 3,
    )


def _tuned(m: int) -> Values:
    """Second moment of neurons that respond to places along a line, mixed and with noise."""
    random = np.random.default_rng(m)
    centres = random.random(m)[:, None]
    signals = np.exp(-((np.linspace(0, 1, 200) - centres) ** 2) / 0.02) + 0.3 * random.standard_normal((m, 200))
    return np.asarray(signals @ signals.T, dtype=np.float64)


def _by_scipy(a: Values, b: Values) -> float:
    generator = np.random.default_rng(0)
    found = [
        quadratic_assignment(a, b, method="faq", options={"P0": "randomized", "rng": generator}).fun,
        quadratic_assignment(a, b, method="2opt", options={"rng": generator}).fun,
    ]
    return float(min(found))
