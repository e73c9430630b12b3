"""The closed-form descrambler against the published optimiser, and against the one eigendecomposition that it needs."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import Ratio, Size, clocked, compare

from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.operators import Smoothness, forward_difference, fourier_second
from modescope.descrambling.optimiser import optimised
from modescope.matrix import Array

EXCESS = 1e-3  # at which a search is first stopped
CHECKED = 25  # iterations between two looks at it


def rows(size: Size, /) -> Iterator[Ratio]:
    """Time at an excess of 1e-3, time and excess of a long search, the same for steep data, and the eigensolver alone."""
    widths = (16,) if size is Size.SMOKE else (16, 64, 256)
    most = 50 if size is Size.SMOKE else 2000
    for m in widths:
        weight, second = _white(m)
        for smoothness in (forward_difference(m), fourier_second(m)):
            yield _to_excess(smoothness, weight, second, most)
            if m <= 64:
                yield _to_the_end(f"m = {m}, white inputs", smoothness, weight, second, most)
    m = widths[min(1, len(widths) - 1)]
    weight, second = _steep(m)
    yield _to_the_end(f"m = {m}, data that fall by 1e6", fourier_second(m), weight, second, most)
    for m in (32,) if size is Size.SMOKE else (64, 256, 1024):
        weight, second = _white(m)
        yield compare(
            f"closed form, m = {m}",
            "eigh of the second moment",
            clocked(partial(smoothest, second, forward_difference(m), weight=weight)),
            clocked(partial(np.linalg.eigh, second)),
            limit=1.5,
            rounds={64: 200, 256: 40}.get(m, 4),
            remark="checks, signs and ties by a weight of 2 m inputs, the rotation and its values included",
            if_missed="0.1 ms of checks and signs" if m <= 64 else "the signs read a product with the weight, 4 m^3 operations",
        )


def _white(m: int) -> tuple[Array, Array]:
    """A Gaussian weight on 20 m white samples of 2 m inputs, the benign case."""
    random = np.random.default_rng(m)
    weight = random.standard_normal((m, 2 * m))
    hidden = random.standard_normal((20 * m, 2 * m)) @ weight.T
    return weight, hidden.T @ hidden / (20 * m)


def _steep(m: int) -> tuple[Array, Array]:
    """A Gaussian weight and hidden data whose power falls by 1e6, as behind a trained layer."""
    random = np.random.default_rng(m)
    basis = np.linalg.qr(random.standard_normal((m, m)))[0]
    return random.standard_normal((m, 2 * m)), (basis * np.geomspace(1, 1e-6, m)) @ basis.T


def _to_excess(smoothness: Smoothness, weight: Array, second: Array, most: int) -> Ratio:
    """The optimiser stopped as soon as it comes within 1e-3 of the minimum, or at the end of its patience."""
    seen = optimised(second, smoothness, iterations=most, checkpoints=range(CHECKED, most + 1, CHECKED)).checkpoints
    near = [point for point in seen if point.excess is not None and point.excess <= EXCESS]
    iterations = near[0].iteration if near else most
    reached = near[0].excess if near else seen[-1].excess
    return compare(
        f"closed form, m = {smoothness.size}, {smoothness.name}",
        f"the optimiser {'at an excess of 1e-3' if near else f'after {most} iterations'}",
        clocked(partial(smoothest, second, smoothness, weight=weight)),
        clocked(partial(optimised, second, smoothness, iterations=iterations)),
        limit=0.1,
        rounds=1,
        remark=f"{iterations} iterations, excess {reached or 0:.1e}",
    )


def _to_the_end(name: str, smoothness: Smoothness, weight: Array, second: Array, most: int) -> Ratio:
    """The optimiser as far as it comes: to rounding, or to the end of its patience."""
    found = optimised(second, smoothness, iterations=most)
    return compare(
        f"closed form, {name}, {smoothness.name}",
        "the optimiser, converged" if found.converged else f"the optimiser after {found.iterations} iterations",
        clocked(partial(smoothest, second, smoothness, weight=weight)),
        clocked(partial(optimised, second, smoothness, iterations=most)),
        limit=0.01,
        rounds=1,
        remark=f"{found.iterations} iterations, excess {found.excess or 0:.1e}",
    )
