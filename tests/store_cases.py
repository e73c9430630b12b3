"""Scans for stores: one is measured, the others are it with planted numbers and names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cases import tensors
from modescope.result import Row, Scan
from modescope.scanning import scan
from modescope.store import Store


@cache
def measured() -> Scan:
    """Four good matrices and a bad one, with vectors."""
    return scan(tensors(), vectors=2)


def planted(numbers: Mapping[str, float | None]) -> Scan:
    """A scan with one matrix per name, whose alpha is as given."""
    row = replace(measured().rows[0], u=None, vh=None)
    return replace(measured(), rows=tuple(_row(row, name, alpha) for name, alpha in numbers.items()), skipped=())


def filled(folder: Path, appends: Sequence[tuple[str, int | None, Mapping[str, float | None]]]) -> Store:
    """A store after these appends: run, step, alpha by name."""
    store = Store(folder)
    for run, step, numbers in appends:
        store.append(planted(numbers), run=run, step=step)
    return store


def same(a: Scan, b: Scan) -> bool:
    """Whether two scans agree in everything, bit by bit."""
    plain = all(getattr(a, name) == getattr(b, name) for name in ("source", "options", "meta", "complete", "skipped"))
    return plain and len(a) == len(b) and all(_same(*pair) for pair in zip(a, b, strict=True))


def everything(store: Store) -> Any:
    """What a store answers, in an order of its own."""
    sql = """SELECT run, step, name, "tail.alpha", {}::VARCHAR FROM {} ORDER BY ALL"""
    views = [store.query(sql.format(column, view)) for view, column in (("rows", "time"), ("latest", "time"))]
    spectra = store.query("""SELECT * FROM spectra ORDER BY ALL""")
    return (*views, spectra, store.runs())


def parts(store: Store) -> list[Path]:
    """Its part files, hidden ones included."""
    return sorted((store.folder / "parts").iterdir())


def _row(row: Row, name: str, alpha: float | None) -> Row:
    return replace(row, name=name, measures={**row.measures, "tail": replace(row.measures["tail"], alpha=alpha)})


def _same(a: Row, b: Row) -> bool:
    arrays = [(getattr(a, name), getattr(b, name)) for name in ("s", "u", "vh", "twin")]
    return a.to_dict() == b.to_dict() and all(
        (x is None and y is None) or (x is not None and y is not None and x.dtype == y.dtype and np.array_equal(x, y))
        for x, y in arrays
    )
