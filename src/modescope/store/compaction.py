"""Compaction: many small parts become a large one, in one step, while others write and read.

The merged part appears beside those it holds the lines of, and then these are removed; in between, and after a kill there, every
line is in two files, which readers see once. The next compaction removes what the killed one left. One compactor works at a time.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from modescope.errors import UsageError
from modescope.store.parts import FOLDER, SUFFIX, alone, level, listed, place, sweep
from modescope.store.queries import blame, connected, line, texts

MANY = 64  # parts of one level that are merged by an append
LARGE = 256 << 20  # bytes from which a part is left as it is
GROUP = 1 << 30  # bytes of the parts that are merged into one
LINES = 8192  # in a row group: what a reader of the spectra of one scan has to decode


def compact(folder: Path) -> None:
    """Merge all parts below the limit of size; returns at once where another process is at it.

    Raises:
        UnreadableError: A part is damaged; it is named, and nothing is merged with it.
        UsageError: The store cannot be written.
    """
    _work(folder, _small)


def tidy(folder: Path) -> None:
    """Merge the parts of every level that has many: each line is merged again only when there are 64 times as many.

    Raises:
        UnreadableError: As for `compact`.
        UsageError: As for `compact`.
    """
    if len(listed(folder)) >= MANY:  # every append asks
        _work(folder, _crowded)


def _work(folder: Path, choose: Callable[[Sequence[str]], list[list[str]]]) -> None:
    try:
        with alone(folder) as mine:
            if not mine or not any(choose(listed(folder))):
                return
            sweep(folder)
            _remove_covered(listed(folder))
            for chosen in choose(listed(folder)):
                for group in _groups(chosen):
                    _merge(folder, group)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be compacted ({error.strerror or error}).") from error


def _small(parts: Sequence[str]) -> list[list[str]]:
    return [[part for part in parts if Path(part).stat().st_size < LARGE]]


def _crowded(parts: Sequence[str]) -> list[list[str]]:
    (small,) = _small(parts)
    levels = [[part for part in small if level(part) == n] for n in sorted({*map(level, small)})]
    return [found for found in levels if len(found) >= MANY]


def _groups(parts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The parts in order, in groups that are not too large to be one part."""
    group: list[str] = []
    total = 0
    for part in parts:
        size = Path(part).stat().st_size
        if group and total + size > GROUP:
            yield tuple(group)
            group, total = [], 0
        group.append(part)
        total += size
    yield tuple(group)


def _merge(folder: Path, group: Sequence[str]) -> None:
    """One part with the lines of all; an append that is in several of them is taken from one."""
    if len(group) < 2:
        return
    named = hashlib.sha256("\n".join(Path(part).name for part in group).encode()).hexdigest()[:24]
    target = folder / FOLDER / f"{max(map(level, group)) + 1}-{named}{SUFFIX}"
    place(target, lambda hidden: _write(group, hidden))
    for part in group:
        Path(part).unlink(missing_ok=True)


def _write(group: Sequence[str], target: Path) -> None:
    connection = connected(locked=False)
    from duckdb import Error

    files = f"read_parquet([{texts(group)}], union_by_name = true, filename = 'file')"
    once = f"SELECT append, max(file) AS file FROM {files} WHERE place = 0 GROUP BY append"
    try:
        connection.execute("SET threads = 1")  # beside a training run
        connection.execute(
            f"COPY (SELECT * EXCLUDE file FROM {files} SEMI JOIN ({once}) USING (append, file)) "
            f"TO {texts([str(target)])} (FORMAT parquet, ROW_GROUP_SIZE {LINES})"
        )
    except Error as error:
        blame(group)
        raise UsageError(f"{target.parent}: cannot be compacted ({line(error)}).") from error
    finally:
        connection.close()


def _remove_covered(parts: Sequence[str]) -> None:
    """Remove parts whose appends are all in a part of a higher level: a compactor was killed before it came to them."""
    if not any(map(level, parts)):
        return
    connection = connected(parts)
    from duckdb import Error

    try:
        files = f"read_parquet([{texts(parts)}], union_by_name = true, filename = 'file')"
        found = connection.execute(f"SELECT file, append FROM {files} WHERE place = 0").fetchall()
    except Error as error:
        blame(parts)
        raise UsageError(f"store: cannot be compacted ({line(error)}).") from error
    finally:
        connection.close()
    held: dict[str, set[str]] = {part: set() for part in parts}
    for part, append in found:
        held[part].add(append)
    above: set[str] = set()
    for n in sorted(set(map(level, parts)), reverse=True):
        here = [part for part in parts if level(part) == n]
        for part in here:
            if held[part] and held[part] <= above:
                Path(part).unlink(missing_ok=True)
        above.update(*(held[part] for part in here))
