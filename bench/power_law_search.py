"""The exact search for the start of a power-law tail, against trying every value and against the `powerlaw` package."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from _measure import NotMeasuredError, Ratio, Size, clocked, compare, least
from _peers import Peer, peers

from modescope.laws import power_law

PEER = "powerlaw 2.0.0"


def rows(size: Size, /) -> Iterator[Ratio]:
    """Pure Pareto values, where every start fits and the search is the hardest; then sizes the package can do."""
    n = 256 if size is Size.SMOKE else 4096
    yield _against_every_start(n)
    try:
        with peers(size) as peer:
            for n in (512, 2048):
                yield _against_package(peer, n)
    except NotMeasuredError as reason:
        yield Ratio("tail search n <= 2048", PEER, 0.02, remark=f"not measured: {reason}")


def _pareto(n: int) -> power_law.Values:
    return power_law.sample(n, 2.5, 1.0, np.random.default_rng(0))


def _against_every_start(n: int) -> Ratio:
    values = _pareto(n)
    ours, theirs = (clocked(partial(job, values)) for job in (power_law.fit, _every_start))
    same = power_law.fit(values).index == _every_start(values)
    remark = f"pure Pareto, the worst case; {'same' if same else 'ANOTHER'} start"
    return compare(f"tail search n = {n}", "a loop over every start", ours, theirs, limit=0.25, rounds=3, remark=remark)


def _every_start(values: power_law.Values) -> int:
    """Index of the best start in ascending order, by one vectorised pass over the tail of each."""
    x = np.sort(values)
    y = np.log(x)
    best, found = np.inf, 0
    for i in range(x.size - 1):
        t = y[i:] - y[i]
        size = t.size
        above = np.arange(size, 0, -1) / size
        fitted = np.exp(-t * (size / t.sum()))
        distance = max(np.abs(above - fitted).max(), np.abs(above - 1 / size - fitted).max())
        if distance < best - 1e-14:
            best, found = distance, i
    return found


def _against_package(peer: Peer, n: int) -> Ratio:
    values = _pareto(n)
    name = f"tail search n = {n}"
    ours, theirs = least(
        clocked(partial(power_law.fit, values, two_sided=False)),
        lambda: peer.seconds("powerlaw_fit", values=values.tolist()),
        rounds=2,
    )
    theirs_xmin = peer.ask("powerlaw_fit", values=values.tolist())["xmin"]
    xmin = power_law.fit(values, two_sided=False).xmin
    remark = "same start" if xmin is not None and np.isclose(xmin, theirs_xmin) else "another start: it limits alpha to [0, 3]"
    return Ratio(name, PEER, 0.02, ours / theirs, ours, theirs, remark=remark)
