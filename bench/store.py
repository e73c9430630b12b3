"""The latest value of every measure of 1,000 runs with 100 layers each, asked of a store, against 0.2 s; and appends to it."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from _measure import Ratio, Size, clocked, least

import modescope as ms
from modescope.store import Store

LIMIT = 0.2  # seconds
LAYERS, VALUES = 100, 64
RUNS = {Size.SMOKE: 3, Size.DEFAULT: 1000, Size.LARGE: 1000}


def rows(size: Size, /) -> Iterator[Ratio]:
    """A store filled by as many appends, as training runs do, then asked; it is what the appends left, not compacted for this."""
    runs, scan = RUNS[size], _scan()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        start = perf_counter()
        costs = [_append(store, scan, f"run {i}", i % 7) for i in range(runs)]
        filled = perf_counter() - start
        ours, one = least(
            clocked(partial(_latest, store, runs)),
            clocked(partial(store.scan, "run 0")),
            rounds=1 if size is Size.SMOKE else 5,
        )
        parts = len(list(Path(folder, "parts").iterdir()))
        said = f"{runs} runs, {LAYERS} layers, {parts} files"
        yield Ratio("store: latest value of every measure", f"{LIMIT} s", 1.0, ours / LIMIT, ours, LIMIT, remark=said)
        yield Ratio("store: one scan rebuilt", f"{LIMIT} s", None, one / LIMIT, one, LIMIT)
        typical = float(np.median(costs))
        said = f"median of {runs}; the mean, with the merges, is {filled / runs / typical:.1f} of it"
        yield Ratio(f"store: append of {LAYERS} layers", f"{LIMIT} s", None, typical / LIMIT, typical, LIMIT, remark=said)


def _scan() -> ms.Scan:
    rng = np.random.default_rng(0)
    scan = ms.scan({"a.weight": rng.standard_normal((VALUES, 80))})
    return replace(scan, rows=tuple(replace(scan.rows[0], name=f"layer.{i}.weight") for i in range(LAYERS)))


def _append(store: Store, scan: ms.Scan, run: str, step: int) -> float:
    return clocked(partial(store.append, scan, run=run, step=step))()


def _latest(store: Store, runs: int) -> Mapping[str, Any]:
    found = store.arrays("SELECT run, step, name, COLUMNS('[.]') FROM latest")
    assert len(found["run"]) == runs * LAYERS
    assert len(found) > 50
    return found
