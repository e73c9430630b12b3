"""One line about a scan: how many matrices, how many failed, its signal modes, its median tail exponent.

A document is read as it is, without its arrays; it comes from a file and may be anything.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from modescope.blocks import Numbers
from modescope.errors import UnreadableError
from modescope.result import SCHEMA
from modescope.runs import ARRAYS, JOURNAL, MANIFEST

INTERRUPTED = "interrupted before the rest"
UNFINISHED = "not finished: its rows are shown as they come"
LARGEST = 1 << 28  # bytes of a manifest or a journal
PICTURED = 500  # runs in a list with small pictures; a longer list has none
PROFILE = 64  # matrices in the small picture of a run


@dataclass(frozen=True)
class Summary:
    """What is said of a scan in a list of many.

    Attributes:
        matrices: How many there are.
        failed: How many of them have no numbers.
        modes: Signal modes of all of them, None where nothing could be counted.
        alpha: Median exponent of the tail, None where there is none.
        profile: Signal modes of one matrix after the other, by name, numbers in it in their order.
        note: What else a reader must know, or empty.
        broken: Nothing can be read; `note` says why.
    """

    matrices: int | None = None
    failed: int | None = None
    modes: int | None = None
    alpha: float | None = None
    profile: Numbers = ()
    note: str = ""
    broken: bool = False


def number(matrix: Any, measure: str, name: str) -> float | None:
    """One number of one matrix of a document; None where it is missing or no number."""
    value = matrix
    for part in ("measures", measure, name):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def of_document(document: Mapping[str, Any]) -> Summary:
    """The summary of a scan's document.

    Raises:
        UnreadableError: It is none.
    """
    matrices = document.get("matrices")
    if document.get("schema") != SCHEMA or not isinstance(matrices, list):
        raise UnreadableError(f"expected a document of schema {SCHEMA}, got {str(document.get('schema'))[:40]!r}.")
    said = "" if document.get("complete", True) else INTERRUPTED
    return of_matrices(matrices, said)


def of_matrices(matrices: Iterable[Any], note: str = "") -> Summary:
    """The summary of the matrices of a document."""
    listed = [matrix if isinstance(matrix, Mapping) else {} for matrix in matrices]
    numbers = [(_label(matrix), number(matrix, "bulk", "outliers"), number(matrix, "tail", "alpha")) for matrix in listed]
    counts = [int(count) for _, count, _ in numbers if count is not None]
    failed = sum(matrix.get("status") != "ok" for matrix in listed)
    return replace(of_numbers(len(listed), failed, sum(counts) if counts else None, numbers), note=note)


def of_numbers(
    matrices: int, failed: int, modes: int | None, numbers: Sequence[tuple[str, float | None, float | None]], /
) -> Summary:
    """The summary of a scan from its counts and, of every matrix, its name, signal modes and tail exponent."""
    alphas = [alpha for _, _, alpha in numbers if alpha is not None]
    profile = [count for _, count, _ in sorted(numbers, key=_place)]
    picture = tuple(profile[:: max(1, -(-len(profile) // PROFILE))])
    return Summary(matrices, failed, modes, median(alphas) if alphas else None, picture)


def of_folder(folder: Path) -> Summary:
    """The summary of a run folder, finished or still written.

    Raises:
        UnreadableError: Its manifest is damaged, or of another version.
    """
    path = folder / MANIFEST
    for part in (path, folder / JOURNAL):
        if part.exists() and part.stat().st_size > LARGEST:
            raise UnreadableError(f"{part}: {part.stat().st_size:,} bytes, more than a list reads ({LARGEST:,}).")
    running = _running(folder / JOURNAL)
    document: Any = {}
    if running is None or (None in running.values() and path.exists()):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UnreadableError(f"{path}: damaged ({error}).") from error
    if running is not None:
        earlier = dict(zip(document.get("keys", []), document.get("matrices", []), strict=False))
        rows = (row or earlier.get(key) for key, row in running.items())
        return of_matrices((row for row in rows if row is not None), UNFINISHED)
    _whole(folder / ARRAYS)
    try:
        summary = of_document(document if isinstance(document, dict) else {})
    except UnreadableError as error:
        raise UnreadableError(f"{path}: {error}") from error
    return summary


def _whole(path: Path) -> None:
    """See that a safetensors file is as long as its header says, without reading its numbers.

    Raises:
        UnreadableError: It is missing or cut off.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= path.stat().st_size else {}
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableError(f"{path}: damaged ({type(error).__name__}).") from error
    if 8 + size + end != path.stat().st_size:
        raise UnreadableError(f"{path}: damaged, {path.stat().st_size} bytes where its header says {8 + size + end}.")


def _running(path: Path) -> dict[str, Any] | None:
    """The matrices of the scan that a journal says has begun, by key; None for one that only the manifest has."""
    if not path.exists():
        return None
    rows: dict[str, Any] = {}
    keys: list[str] | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
                if "begins" in entry:
                    keys = []
                    continue
                if "key" in entry:
                    rows[entry["key"]] = entry["row"]
                if keys is not None and not entry.get("kept"):
                    keys.append(entry["key"] if "key" in entry else entry["again"])
            except (ValueError, KeyError, TypeError):  # a line that a writer has not ended yet
                continue
    return None if keys is None else {key: rows.get(key) for key in keys}


def _label(matrix: Mapping[str, Any]) -> str:
    return f"{matrix.get('name')} {matrix.get('view')}"


def _place(line: tuple[str, float | None, float | None]) -> list[tuple[int, str]]:
    """Where a matrix stands among others by its name: `h.2` before `h.10`."""
    return [(int(part), "") if part.isdecimal() and len(part) < 18 else (-1, part) for part in re.split(r"(\d+)", line[0])]
