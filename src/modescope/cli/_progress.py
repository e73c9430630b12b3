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


@contextmanager
def counted(*, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A callback for data that are read in parts: how many are done, and of all where that is known; None when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("parts of the data"), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task("", total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
    else:
        yield _parts()


def _parts() -> Callable[[int, int | None], None]:
    started, said = monotonic(), [0]

    def update(done: int, total: int | None) -> None:
        tenth = int(10 * done / total) if total else 0
        if total and tenth > said[0] and done < total:
            said[0] = tenth
            left = (monotonic() - started) * (total - done) / done
            print(f"{10 * tenth}% of the data, about {left:.0f} s left", file=sys.stderr)

    return update
