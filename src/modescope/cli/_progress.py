"""Progress on stderr: a bar with the time left by work where a person watches, else a line per tenth."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import TaskID

    from modescope.scanning import Progress

MOMENT = 2.0  # seconds of a task after which lines begin to tell of it

SOON = 5.0  # seconds between two lines


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
def counted(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A callback for steps: what they are, how many are done, and of all where that is known; None when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[what]}"), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task("", total=None, what="")
            yield lambda what, done, total: bars.update(task, completed=done, total=total, what=what)
    else:
        yield _parts()


def _parts() -> Callable[[str, int, int | None], None]:
    started = said = monotonic()

    def update(what: str, done: int, total: int | None) -> None:
        nonlocal said
        now = monotonic()
        if total and done < total and now - said >= SOON:
            said = now
            print(f"{done} of {total} {what}, {now - started:.0f} s", file=sys.stderr)

    return update


@contextmanager
def tasks(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A callback for work of several kinds: what is done, how much of it, and of all where that is known; None when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            known: dict[str, TaskID] = {}

            def update(name: str, done: int, total: int | None) -> None:
                if name not in known or (total is not None and done < (bars.tasks[known[name]].completed or 0)):
                    known[name] = bars.add_task(name, total=total)
                bars.update(known[name], completed=done, total=total)

            yield update
    else:
        yield _tasks()


def _tasks() -> Callable[[str, int, int | None], None]:
    """A line per tenth of what takes longer than a moment; a task begins where the one before it ends."""
    now: dict[str, Any] = {"name": None, "seen": monotonic()}

    def update(name: str, done: int, total: int | None) -> None:
        if name != now["name"] or done < now["done"]:
            now.update(name=name, started=now["seen"], tenth=0)
        now.update(done=done, seen=monotonic())
        tenth, taken = (int(10 * done / total) if total else 0), now["seen"] - now["started"]
        if total and tenth > now["tenth"] and done < total:
            now["tenth"] = tenth
            if taken >= MOMENT:
                print(f"{name}: {10 * tenth}%, about {taken * (total - done) / done:.0f} s left", file=sys.stderr)

    return update
