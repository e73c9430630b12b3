"""What the given folders hold at the moment: every run under a key, listed again and again, read only when it is asked for.

A key that a request brings is looked up in the list and never becomes part of a path. What cannot be read is an entry with its
reason, so that one damaged file costs its own line.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from modescope.blocks import Note
from modescope.errors import ModescopeError, UnreadableError
from modescope.reporting import network
from modescope.reports import Report
from modescope.reports.form import load_report
from modescope.result import SCHEMA, Scan
from modescope.runs import load_run
from modescope.store import Recorded, Store
from modescope.web import summaries
from modescope.web.folders import Place, address, current, fault, places
from modescope.web.summaries import INTERRUPTED, PICTURED, UNFINISHED, Summary, of_numbers
from modescope.web.through_training import through_training

TRIES = 3  # a writer replaces two files one after the other


@dataclass(frozen=True)
class Entry:
    """A scan, a saved report, or something that cannot be read.

    Attributes:
        key: Its address.
        place: Where it lies.
        name: How a person calls it.
        state: Differs whenever what can be read may differ.
        fault: Why it cannot be read, or empty.
        recorded: What its store says of it, or None.
        summary: One line about it where its store gave one, or None.
    """

    key: str
    place: Place
    name: str
    state: object
    fault: str = ""
    recorded: Recorded | None = None
    summary: Summary | None = field(default=None, compare=False)

    @property
    def changed(self) -> datetime | None:
        """When it was last written to."""
        if self.recorded is not None:
            last = self.recorded.last
            return last if last.tzinfo else last.replace(tzinfo=UTC)
        times = [nanoseconds for _, nanoseconds, _ in self.place.mark]
        return datetime.fromtimestamp(max(times) / 1e9, UTC) if times else None


@dataclass(frozen=True)
class Listing:
    """Everything that was found at one time.

    Attributes:
        version: Counts the listings that differed from the one before.
        entries: By key.
        news: In which version a key last changed, came or went.
    """

    version: int = 0
    entries: Mapping[str, Entry] = field(default_factory=dict)
    news: Mapping[str, int] = field(default_factory=dict)

    def since(self, version: int) -> list[str]:
        """Keys of what changed, came or went after a version."""
        return [key for key, at in self.news.items() if at > version]


class Library:
    """The given folders; safe to be used by several threads."""

    def __init__(self, folders: Sequence[tuple[Path, str]]) -> None:
        """Take folders and what a person calls them; nothing is read before `refresh`."""
        self.folders = tuple(folders)
        self.listing = Listing()
        self._summaries: dict[str, tuple[object, Summary]] = {}
        self._stores: dict[str, tuple[object, list[Entry]]] = {}
        self._lock = Lock()

    def refresh(self) -> Listing:
        """List the folders again."""
        with self._lock:
            found: dict[str, Entry] = {}
            stores: dict[str, tuple[object, list[Entry]]] = {}
            for index, (folder, label) in enumerate(self.folders):
                for place in places(folder, index, label):
                    if place.kind == "store" and not place.fault:
                        known = self._stores.get(place.key)
                        if known is None or known[0] != place.mark:
                            known = place.mark, _stored(place, index, folder)
                        stores[place.key] = known
                        found |= {entry.key: entry for entry in known[1]}
                    else:
                        name = place.path.stem if place.kind == "report" else place.path.name
                        text = os.fsencode(name).decode("utf-8", "replace") or place.where
                        found[place.key] = Entry(place.key, place, text, place.mark, place.fault)
            before = self.listing
            changed = {key for key, entry in found.items() if key not in before.entries or before.entries[key].state != entry.state}
            changed |= set(before.entries) - set(found)
            version = before.version + bool(changed)
            self.listing = Listing(version, found, {**before.news, **dict.fromkeys(changed, version)} if changed else before.news)
            if changed:
                self._summaries = {key: kept for key, kept in self._summaries.items() if key in found}
            self._stores = stores
            return self.listing

    def find(self, key: str) -> Entry | None:
        """The entry under a key as it is now, None where there is none."""
        entry = self.listing.entries.get(key)
        if entry is None or current(entry.place) != entry.place.mark:
            entry = self.refresh().entries.get(key)
        return entry

    def summary(self, entry: Entry) -> Summary:
        """One line about an entry, read once per state; its note says why there is none."""
        if entry.fault or entry.summary is not None:
            return entry.summary or Summary(note=entry.fault, broken=True)
        kept = self._summaries.get(entry.key)
        if kept is None or kept[0] != entry.state:
            kept = self._summaries[entry.key] = (entry.state, _summary(entry))
        return kept[1]


def report(entry: Entry) -> Report:
    """What a person sees of an entry.

    Raises:
        UnreadableError: It is damaged, or is no longer there.
    """
    _check(entry)
    if entry.place.kind == "report":
        return load_report(entry.place.path)
    found = scan(entry)
    shown = replace(network(found), title=entry.name)  # the name of its checkpoint may be that of many
    if not found.complete:
        shown = replace(shown, blocks=(Note(f"This scan is {UNFINISHED}.", level="caution"), *shown.blocks))
    if entry.recorded is None or len(entry.recorded.steps) < 2:
        return shown
    training = through_training(Store(entry.place.path, create=False), entry.name)
    return replace(shown, blocks=(*shown.blocks[:1], *training, *shown.blocks[1:]))


def document(entry: Entry) -> Mapping[str, Any]:
    """The document of an entry's scan.

    Raises:
        UnreadableError: It is damaged, no longer there, or a report of something else than a scan.
    """
    if entry.place.kind != "report":
        return scan(entry).to_dict()
    found = report(entry).document
    if found.get("schema") != SCHEMA:
        raise UnreadableError(f"{entry.place.where}: expected the report of a scan, got one of {found.get('schema')!r}.")
    return found


def scan(entry: Entry) -> Scan:
    """The scan of an entry, as far as it is.

    Raises:
        UnreadableError: It is damaged, or is no longer there.
    """
    _check(entry)
    if entry.recorded is not None:
        return Store(entry.place.path, create=False).scan(entry.name)
    for _ in range(TRIES):
        mark = current(entry.place)
        try:
            return _run(entry.place.path)
        except UnreadableError:
            if current(entry.place) == mark:
                raise
    raise UnreadableError(f"{entry.place.where}: changes faster than it can be read. Try again.")


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split())
    match error:
        case ModescopeError():
            return text
        case OSError():
            return f"cannot be read: {error.strerror or text}"
        case MemoryError():
            return "not enough memory"
        case _:
            return f"damaged, or a fault of Modescope: {type(error).__name__}: {text}"


def _check(entry: Entry) -> None:
    """Look at the files once more, just before they are read."""
    mark = current(entry.place)
    said = entry.fault or fault(mark) or ("" if mark else "no longer there")
    if said:
        raise UnreadableError(said if entry.place.where in said else f"{entry.place.where}: {said}.")


def _run(folder: Path) -> Scan:
    """A run folder in whatever state."""
    if not folder.is_dir():
        raise UnreadableError(f"{folder.name}: no longer there.")
    return load_run(folder)


def _stored(place: Place, index: int, folder: Path) -> list[Entry]:
    """The runs of a store."""
    try:
        store = Store(place.path, create=False)
        runs = store.runs()
        numbers = _numbers(store, len(runs))
        below = os.path.relpath(place.path, folder)
        found = []
        for run in runs:
            key = address(index, below, run.run)
            line = of_numbers(run.matrices, run.failed, run.signal, numbers.get(run.run, ()))
            line = line if run.complete else replace(line, note=INTERRUPTED)
            found.append(Entry(key, place, run.run, (run.last, run.steps, run.matrices, run.failed), "", run, line))
    except Exception as error:  # whatever it is, it costs this store and not the list
        return [Entry(place.key, place, place.path.name, place.mark, reason(error))]
    return found


def _numbers(store: Store, count: int) -> dict[str, list[tuple[str, float | None, float | None]]]:
    """Of the last step of every run: name, signal modes and tail exponent of its matrices, without names where none is pictured."""
    names = "concat(name, ' ', \"view\")" if count <= PICTURED else "''"
    asked = f"""SELECT run, list({names}), list("bulk.outliers"), list("tail.alpha") FROM latest GROUP BY run"""
    return {run: list(zip(*lists, strict=True)) for run, *lists in store.query(asked).rows}


def _summary(entry: Entry) -> Summary:
    try:
        _check(entry)
        if entry.place.kind == "run":
            return summaries.of_folder(entry.place.path)
        shown = load_report(entry.place.path)
        told = shown.document
        return summaries.of_document(told) if told.get("schema") == SCHEMA else Summary(note=shown.title)
    except Exception as error:  # whatever it is, it costs this line and not the list
        return Summary(note=reason(error), broken=True)
