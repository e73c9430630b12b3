"""Run folders: a scan on disk, written row by row while it runs, opened without the checkpoint, continued after an interruption.

`journal.jsonl` begins with what is scanned and how, holds every finished row as one line, and outlives a killed process; a torn
last line is ignored. Rows of earlier options or another selection stay there and can be used again. A finished or interrupted scan
writes `manifest.json`, its document, and `arrays.safetensors`, its singular values and vectors under the index of their row; each
is replaced in one step.
"""

import base64
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Skip
from modescope.measures import measures
from modescope.result import SCHEMA, Row, Scan
from modescope.svd import Values

MANIFEST, ARRAYS, JOURNAL = "manifest.json", "arrays.safetensors", "journal.jsonl"
ARRAY_NAMES = ("s", "u", "vh", "twin")


class _OtherScanError(UnreadableError):
    """The arrays are not of this manifest."""


class Journal:
    """Finished rows of one run folder by their key, appended to as the run goes on.

    A key says what a row was computed from and how: hash, view, options, version. It alone decides whether a row may be used again.
    """

    def __init__(self, folder: Path, *, resume: bool) -> None:
        """Open a run folder.

        Args:
            folder: Created where it is missing.
            resume: Read what an earlier run left; otherwise the folder must not hold one.

        Raises:
            UsageError: There is an earlier run and `resume` is false.
            UnreadableError: The folder cannot be made or read.
        """
        self.path = folder / JOURNAL
        left = [name for name in (MANIFEST, ARRAYS, JOURNAL) if (folder / name).exists()]
        if left and not resume:
            raise UsageError(
                f"{folder}: holds an earlier run ({', '.join(left)}). Continue it with --resume, or name another folder."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.rows = {entry["key"]: entry["row"] for entry in _journalled(self.path) if "key" in entry}
            self.written = set(self.rows)
        except OSError as error:
            raise UnreadableError(f"{folder}: cannot be used as a run folder ({error.strerror or error}).") from error
        if (folder / MANIFEST).exists():
            self.rows |= _keyed(folder)

    def begin(self, source: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Write down what is scanned and how: the rows that follow belong to it."""
        self._append({"begins": {"source": dict(source), "options": dict(options)}})

    def add(self, key: str, row: Row) -> None:
        """Append one row and hand it to the system before returning; of a row that the folder holds already the key suffices."""
        if key in self.rows:
            self._append({"again": key})
        else:
            self._write(key, row)

    def _write(self, key: str, row: Row, **said: bool) -> None:
        arrays = {name: _packed(array) for name in ARRAY_NAMES if (array := getattr(row, name)) is not None}
        self._append({"key": key, "row": row.to_dict(), "arrays": arrays, **said})
        self.rows[key] = row
        self.written.add(key)

    def _append(self, entry: Mapping[str, Any]) -> None:
        torn = self.path.exists() and self.path.stat().st_size > 0 and not _ends_in_newline(self.path)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + json.dumps(entry, allow_nan=False) + "\n")

    def keep(self, keys: Collection[str]) -> None:
        """Write down the rows of earlier runs that the manifest will no longer hold: other options, another selection."""
        for key, row in self.rows.items():
            if key not in keys and key not in self.written:
                self._write(key, row, kept=True)

    def drop(self, keys: Collection[str]) -> None:
        """Take rows that the manifest now holds out of the journal; remove it where nothing is left."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8", errors="replace") as file:
            left = [line for line in file if line.endswith("\n") and (key := _key(line)) is not None and key not in keys]
        new = self.path.with_name(f".{JOURNAL}.{os.getpid()}")
        new.write_text("".join(left), encoding="utf-8")
        new.replace(self.path)
        if not left:
            self.path.unlink()


def save(scan: Scan, folder: Path, *, keys: tuple[str, ...] = ()) -> None:
    """Write manifest and arrays of a scan, each replaced in one step, so that a reader sees the old or the new one.

    Args:
        scan: What to save.
        folder: Created where it is missing.
        keys: Key of each row, for a later `--resume`.

    Raises:
        UsageError: The folder holds a run and no keys are given, that is, it is not this one's continuation.
    """
    from safetensors.numpy import save as pack

    if not keys and (folder / MANIFEST).exists():
        raise UsageError(f"{folder}: holds an earlier run. Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{i}.{name}": a for i, row in enumerate(scan.rows) for name in ARRAY_NAMES if (a := getattr(row, name)) is not None}
    manifest = {**scan.to_dict(), "meta": dict(scan.meta), "arrays": ARRAYS, "keys": list(keys)}
    # packed here: the library's own writer makes a file that nobody else may read
    packed = pack(arrays, metadata={"schema": SCHEMA, "rows": _marked(manifest)})
    for name, content in ((ARRAYS, packed), (MANIFEST, json.dumps(manifest, indent=1, allow_nan=False).encode())):
        new = folder / f".{name}.{os.getpid()}"
        new.write_bytes(content)
        new.replace(folder / name)


def _marked(manifest: Mapping[str, Any]) -> str:
    """Which matrices a manifest has, as a hash: arrays belong to rows by place, and a writer may be killed between the two."""
    rows = [[row["name"], row["view"], row["sha256"]] for row in manifest["matrices"]]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def is_run(path: Path) -> bool:
    """Whether a path is a run folder: finished, interrupted, killed, or still written."""
    return path.is_dir() and ((path / MANIFEST).is_file() or (path / JOURNAL).is_file())


def load_run(path: str | Path, /) -> Scan:
    """Open a saved scan; the checkpoint is not needed.

    Args:
        path: The run folder. Of a scan that still runs, or was killed, there are the finished rows, and `complete` is false.

    Raises:
        UnreadableError: It is no run folder, is damaged, or was written under another schema.
    """
    folder = Path(path)
    if (running := _running(folder)) is not None:
        return running
    manifest = _manifest(folder)
    return Scan(
        rows=tuple(_rows(folder, manifest)),
        skipped=tuple(Skip(skip["name"], tuple(skip["shape"]), skip["reason"]) for skip in manifest["skipped"]),
        source=manifest["source"],
        options=manifest["options"],
        meta=manifest.get("meta", {}),
        complete=manifest["complete"],
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema"]
    except FileNotFoundError as error:
        raise UnreadableError(f"{folder}: expected a run folder with {MANIFEST}, which is missing.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableError(f"{path}: damaged ({error}).") from error
    if schema != SCHEMA:
        raise UnreadableError(f"{path}: expected schema {SCHEMA}, got {schema!r}. It was written by another version of Modescope.")
    return dict(manifest)


def _rows(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Row]:
    from safetensors import SafetensorError, safe_open

    path = folder / ARRAYS
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("rows", rows := _marked(manifest)) != rows:
                raise _OtherScanError(f"{path}: of another scan than {MANIFEST}, as after a killed --resume; resume once more.")
            names = set(file.keys())
            for index, row in enumerate(manifest["matrices"]):
                yield rebuilt(row, {name: file.get_tensor(f"{index}.{name}") for name in ARRAY_NAMES if f"{index}.{name}" in names})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(f"{path}: damaged, or not of this manifest ({error}).") from error
    except OSError as error:
        said = "no permission" if path.exists() and not os.access(path, os.R_OK) else error.strerror or str(error)
        raise UnreadableError(f"{path}: cannot be read ({said}).") from error


def rebuilt(plain: Mapping[str, Any], arrays: Mapping[str, Values]) -> Row:
    """A row from its `to_dict` and its arrays by name, `s` at least; what this version has no measure or field for is left out."""
    known = measures()
    results = {name: _result(known[name].Result, numbers) for name, numbers in plain["measures"].items() if name in known}
    return Row(
        name=plain["name"],
        view=plain["view"],
        kind=plain["kind"],
        shape=(int(plain["shape"][0]), int(plain["shape"][1])),
        dtype=plain["dtype"],
        status=plain["status"],
        note=plain["note"] or "",
        aliases=tuple(plain["aliases"]),
        parts=tuple(plain["parts"]),
        measures=results,
        s=arrays["s"],
        u=arrays.get("u"),
        vh=arrays.get("vh"),
        twin=arrays.get("twin"),
        twin_kind=plain.get("twin") or "",
        engine=plain["engine"] or "",
        floor=plain["floor"],
        digest=plain["sha256"] or "",
    )


def _result(cls: type, numbers: Mapping[str, Any]) -> Any:
    names = {item.name for item in fields(cls)}
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in numbers.items() if key in names})


def _running(folder: Path) -> Scan | None:
    """The scan that a journal says has begun, as far as it is; None where it says nothing of one."""
    rows: dict[str, Row] = {}
    keys: dict[str, None] = {}  # in order
    begun: Mapping[str, Any] | None = None
    for entry in _journalled(folder / JOURNAL):
        if "begins" in entry:
            begun, keys = entry["begins"], {}
        elif "key" in entry:
            rows[entry["key"]] = entry["row"]
            if not entry["kept"]:
                keys[entry["key"]] = None
        else:
            keys[entry["again"]] = None
    if begun is None:
        return None
    if keys.keys() - rows.keys() and (folder / MANIFEST).exists():
        rows |= _keyed(folder)
    return Scan(tuple(rows[key] for key in keys if key in rows), (), begun["source"], begun["options"], complete=False)


def _keyed(folder: Path) -> dict[str, Row]:
    """The rows of the manifest by their keys; none where its arrays are of another scan, and all are computed again."""
    manifest = _manifest(folder)
    try:
        return dict(zip(manifest.get("keys", []), _rows(folder, manifest), strict=False))
    except _OtherScanError:
        return {}


def _journalled(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of the journal; a line that a killed writer tore is passed over, its matrix will be computed again."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
                if "key" in entry:
                    arrays = {name: _unpacked(array) for name, array in entry["arrays"].items()}
                    yield {"key": entry["key"], "row": rebuilt(entry["row"], arrays), "kept": entry.get("kept", False)}
                elif "again" in entry or {"source", "options"} <= entry["begins"].keys():
                    yield entry
            except (ValueError, KeyError, TypeError, AttributeError):
                continue


def _key(line: str) -> str | None:
    try:
        return str(json.loads(line)["key"])
    except (ValueError, KeyError, TypeError):
        return None


def _packed(array: Values) -> dict[str, Any]:
    return {"shape": list(array.shape), "float64": base64.b64encode(np.ascontiguousarray(array).data).decode("ascii")}


def _unpacked(packed: Mapping[str, Any]) -> Values:
    return np.frombuffer(base64.b64decode(packed["float64"], validate=True), dtype=np.float64).reshape(packed["shape"])


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
