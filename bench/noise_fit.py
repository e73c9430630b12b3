"""The fit of the noise with its outliers, against the eigenvalues it reads and against WeightWatcher's fit."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import NotMeasuredError, Ratio, Size, clocked, compare
from _peers import peers

from modescope.laws import marchenko_pastur, noise
from modescope.matrix import Array
from modescope.svd.gram import gram

NAME, PEER = "noise fit with edge test", "WeightWatcher 0.7.7 mp_fit"


def rows(size: Size, /) -> Iterator[Ratio]:
    """One layer of noise with fifteen spikes, so that the fit iterates."""
    n, m = (64, 32) if size is Size.SMOKE else (1024, 512)
    a = _spiked(n, m)
    values = gram(a).s ** 2
    ours = clocked(partial(_fit, values, n))
    remark = f"{noise.fit(values, n, level=0.01).outliers} outliers found, 15 planted; shapes not seen before"
    eigenvalues = clocked(partial(gram, a))
    yield compare(f"{NAME} {n}x{m}", "eigenvalues of the same layer", ours, eigenvalues, limit=0.1, rounds=10, remark=remark)
    try:
        with peers(size) as peer:
            ask = partial(peer.seconds, "weightwatcher_mp_fit", eigenvalues=values.tolist(), n=n, m=m)
            yield compare(f"{NAME} {n}x{m}", PEER, ours, ask, limit=0.01, rounds=2)
    except NotMeasuredError as reason:
        yield Ratio(f"{NAME} {n}x{m}", PEER, 0.01, remark=f"not measured: {reason}")


def _fit(values: noise.Values, n: int) -> noise.Noise:
    marchenko_pastur._mean_between.cache_clear()  # a layer of a new shape pays for its angles
    return noise.fit(values, n, level=0.01)


def _spiked(n: int, m: int) -> Array:
    random = np.random.default_rng(0)
    u, v = (np.linalg.qr(random.standard_normal((side, 15)))[0] for side in (n, m))
    strengths = np.linspace(1.5, 6.0, 15) * (n * m) ** 0.25
    spiked: Array = (random.standard_normal((n, m)) + (u * strengths) @ v.T).astype(np.float32)
    return spiked
