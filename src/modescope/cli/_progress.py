"""Progress on stderr: a bar with the time left by work where a person watches, else a line per tenth."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modescope.scanning import Progress


@contextmanager
def progress(*, quiet: bool) -> "Iterator[Callable[[Progress], None] | None]":
    """A callback for `scan`; None when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _lines()


@contextmanager
def _bar() -> "Iterator[Callable[[Progress], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from modescope.render._plain import plain

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.fields[name]}", markup=False))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        by_work = bars.add_task("", total=1.0, name="")

        def update(now: "Progress") -> None:
            bars.update(
                by_work, completed=now.work, total=now.total_work, name=f"{now.done}/{now.total} {plain(now.row.name)[:60]}"
            )

        yield update


def _lines() -> "Callable[[Progress], None]":
    started, said = monotonic(), [0]

    def update(now: "Progress") -> None:
        tenth = int(10 * now.work / now.total_work) if now.total_work else 10
        if tenth > said[0] and now.done < now.total:
            said[0] = tenth
            left = (monotonic() - started) * (now.total_work - now.work) / now.work
            print(f"{10 * tenth}% of the work, {now.done}/{now.total} matrices, about {left:.0f} s left", file=sys.stderr)

    return update
