"""What lies in a folder: run folders, stores and saved reports, found by listing it; links are not followed.

Of a file nothing is read here beyond the bytes that tell ours from others of the same name, and those once per state of it.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import Literal

from modescope.reports import form
from modescope.runs import ARRAYS, JOURNAL, MANIFEST
from modescope.store import MANIFEST as STORE
from modescope.store.parts import FOLDER as PARTS

HEAD = 4096  # bytes of a file in which it says what it is
CHUNK = 1 << 22
IGNORED = ("__pycache__", "node_modules")

Mark = tuple[tuple[str, int, int], ...]
"""State of what was found: name, time of change in nanoseconds, and size of each of its files."""


@dataclass(frozen=True)
class Place:
    """Something of ours.

    Attributes:
        key: Its address; says nothing of the path, and is only ever looked up.
        kind: What it is; "folder" is one that could not be listed.
        path: The folder, or the file of a saved report.
        where: The same as a person would write it, below the folder that was given.
        mark: In which state it was found.
        fault: Why it cannot be read, or empty.
    """

    key: str
    kind: Literal["run", "store", "report", "folder"]
    path: Path
    where: str
    mark: Mark
    fault: str = ""


def places(folder: Path, index: int, label: str) -> Iterator[Place]:
    """Everything of ours in a folder and below it; hidden folders are left out.

    Args:
        folder: Where to look.
        index: The folder's number among those that are served; it makes the keys of two folders differ.
        label: How a person calls it.
    """
    made = partial(_place, folder, index, label)
    waiting = [""]
    while waiting:
        below = waiting.pop()
        here = str(folder / below) if below else str(folder)
        try:
            with os.scandir(here) as found:
                names = {entry.name: entry for entry in found if not entry.name.startswith(".")}
        except OSError as error:
            yield made(below, "folder", (), f"cannot be listed ({error.strerror or error})")
            continue
        if STORE in names and (_is_folder(names.get(PARTS)) or _says(here, STORE, b'"modescope.store/')):
            yield made(below, "store", _store_mark(here))
            continue
        if {MANIFEST, JOURNAL} & set(names) and _is_run(here, set(names)):
            yield made(below, "run", _mark(here, sorted({MANIFEST, ARRAYS, JOURNAL} & set(names))))
        for name, entry in names.items():
            inner = f"{below}/{name}" if below else name
            if _is_folder(entry):
                if name not in IGNORED:
                    waiting.append(inner)
            elif name.endswith((".json", ".html")) and name != MANIFEST and _is_report(here, name):
                yield made(inner, "report", _mark(here, [name]))


def current(place: Place) -> Mark:
    """The state in which a place is now; empty where it is gone."""
    match place.kind:
        case "store":
            return _store_mark(str(place.path))
        case "report":
            return _mark(str(place.path.parent), [place.path.name])
        case _:
            return _mark(str(place.path), sorted({MANIFEST, ARRAYS, JOURNAL}))


def fault(mark: Mark) -> str:
    """Why files in this state are not read, or empty; a link may lead out of the folder that was given."""
    for name, _, size in mark:
        if size == LINK:
            return f"{name} is a link, which is not followed"
        if size == STRANGE:
            return f"{name} is no file"
    return ""


def address(index: int, below: str, run: str = "") -> str:
    """The key of a place, or of a run in it: the same as long as it stays where it is."""
    return hashlib.sha256(b"\0".join((str(index).encode(), os.fsencode(below), run.encode("utf-8", "replace")))).hexdigest()[:16]


LINK, STRANGE = -1, -2  # in place of a size


def _place(
    folder: Path, index: int, label: str, below: str, kind: Literal["run", "store", "report", "folder"], mark: Mark, said: str = ""
) -> Place:
    where = f"{label.rstrip('/')}/{below}" if below else label
    path = folder / below if below else folder
    return Place(address(index, below), kind, path, os.fsencode(where).decode("utf-8", "replace"), mark, said or fault(mark))


def _mark(here: str, names: list[str]) -> Mark:
    return tuple(state for name in names if (state := _state(f"{here}/{name}", name)) is not None)


def _store_mark(here: str) -> Mark:
    if (parts := _state(f"{here}/{PARTS}", PARTS)) is not None and parts[2] == LINK:
        return (parts,)
    try:
        names = sorted(name for name in os.listdir(f"{here}/{PARTS}") if not name.startswith("."))  # noqa: PTH208 - as text, quick
    except OSError:
        names = []
    return _mark(here, [STORE, *(f"{PARTS}/{name}" for name in names)])


def _state(path: str, name: str) -> tuple[str, int, int] | None:
    """Time and size of one file, without following it where it is a link."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    size = found.st_size if S_ISREG(found.st_mode) else LINK if S_ISLNK(found.st_mode) else STRANGE
    return name, found.st_mtime_ns, size


def _is_folder(entry: os.DirEntry[str] | None) -> bool:
    return entry is not None and entry.is_dir(follow_symlinks=False)


def _is_run(here: str, names: set[str]) -> bool:
    """Other programs call files `manifest.json`, too: it must come with arrays, or say whose it is."""
    return (
        {MANIFEST, ARRAYS} <= names
        or (MANIFEST in names and _says(here, MANIFEST, b'"modescope.'))
        or (JOURNAL in names and _says(here, JOURNAL, b'{"key"'))
    )


def _is_report(here: str, name: str) -> bool:
    if name.endswith(".json"):
        return _says(here, name, b'"modescope.report/')
    state = _state(f"{here}/{name}", name)
    return state is not None and state[2] >= 0 and _contains(f"{here}/{name}", state)


def _says(here: str, name: str, words: bytes) -> bool:
    state = _state(f"{here}/{name}", name)
    return state is not None and state[2] > 0 and _begins(f"{here}/{name}", state, words)


@lru_cache(maxsize=65536)
def _begins(path: str, state: tuple[str, int, int], words: bytes) -> bool:  # noqa: ARG001 - another state is another answer
    try:
        with Path(path).open("rb") as file:
            return words in file.read(HEAD)
    except OSError:
        return False


@lru_cache(maxsize=65536)
def _contains(path: str, state: tuple[str, int, int]) -> bool:  # noqa: ARG001 - another state is another answer
    """Whether a page holds a saved report; any other page is none of ours."""
    words, before = form.OPEN.encode(), b""
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                if words in before + chunk:
                    return True
                before = chunk[-len(words) :]
    except OSError:
        pass
    return False
