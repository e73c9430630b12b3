"""Part files: the files of a store that hold lines, each put in place whole, under a name that no other writer takes.

A file appears in one step (written under a hidden name, synced, renamed) and never changes afterwards. So a reader needs no lock,
and a writer that was killed leaves at most a hidden file, which readers pass over.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER, SUFFIX = "parts", ".parquet"
LOCK = ".lock"
ABANDONED = 3600.0  # seconds after which a hidden file has no living writer


def listed(folder: Path) -> tuple[str, ...]:
    """Absolute paths of all parts, sorted.

    A folder is read until two readings in a row agree. While a compactor replaces files, one reading may miss both the old files,
    gone before it came to them, and the new one, put in place behind it.
    """
    before = _names(folder / FOLDER)
    while (after := _names(folder / FOLDER)) != before:
        before = after
    home = os.path.abspath(folder / FOLDER)  # noqa: PTH100 - links are kept as they are
    return tuple(os.path.join(home, name) for name in before)  # noqa: PTH118 - text for SQL


def place(target: Path, write: Callable[[Path], None]) -> None:
    """Write a file in one step: whoever looks sees nothing or all of it, also after a crash of the machine.

    Args:
        target: Where it goes.
        write: Fills the path it is given.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{os.getpid()}-{secrets.token_hex(4)}-{target.name}")
    try:
        write(hidden)
        _sync(hidden)
        hidden.replace(target)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    if sys.platform != "win32":  # folders cannot be opened there
        _sync(target.parent)


def sweep(folder: Path) -> None:
    """Remove what killed writers left long ago."""
    for path in (folder / FOLDER).glob(".*"):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
        except FileNotFoundError:  # its writer was alive after all, or somebody else swept
            continue


def level(part: str) -> int:
    """How often the lines of a part were merged: the number its name begins with, 0 as they were appended."""
    first = Path(part).name.partition("-")[0]
    return int(first) if first.isdecimal() else 0


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether no other process holds the store's lock; it is held inside, and the system frees it when a process is killed."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX) and not name.startswith("."))  # noqa: PTH208
    except FileNotFoundError:
        return []


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
