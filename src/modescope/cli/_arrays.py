"""Arrays in NumPy files: large ones a few rows at a time, small ones whole; objects, which would run code, are refused."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from modescope.errors import UnreadableError, UnsafeError, UsageError

WHOLE = 1 << 26  # bytes of an array up to which it is read whole
PIECE = 1 << 23  # bytes of a larger one that are read at once


class Rows:
    """Rows of an array in an archive, a few at a time; it may be gone through again."""

    def __init__(self, path: Path, member: str) -> None:
        """The array must not be in Fortran order, whose rows are not together."""
        self._path, self._member = path, member
        with _read(path), zipfile.ZipFile(path) as archive, archive.open(member) as file:
            self.shape, self.fortran, self.dtype = _header(file)
        self.bytes: int = self.dtype.itemsize * math.prod(self.shape)
        self._rows: int = max(PIECE * self.shape[0] // max(self.bytes, 1), 1) if self.shape else 1

    def __len__(self) -> int:
        return len(range(0, self.shape[0], self._rows))

    def __iter__(self) -> Iterator[Any]:
        with _read(self._path), zipfile.ZipFile(self._path) as archive, archive.open(self._member) as file:
            _header(file)
            for start in range(0, self.shape[0], self._rows):
                shape = (min(self._rows, self.shape[0] - start), *self.shape[1:])
                wanted = math.prod(shape) * self.dtype.itemsize
                found = file.read(wanted)
                if len(found) != wanted:
                    raise UnreadableError(f"{self._path}: {self._member} ends before its {self.shape[0]:,} rows do.")
                yield np.frombuffer(found, self.dtype).reshape(shape)


def samples(path: Path, key: str | None) -> Any:
    """The array of a file: in memory, mapped, or in rows that are read as they are needed.

    Raises:
        UsageError: The key does not fit the file.
        UnreadableError: It is missing, damaged, or of another kind.
        UnsafeError: It holds Python objects.
    """
    member = _member(path, key)
    if member is not None:
        rows = Rows(path, member)
        if rows.bytes > WHOLE and len(rows.shape) > 1 and not rows.fortran:
            return rows
        with _read(path), np.load(path, allow_pickle=False) as archive:
            return archive[member.removesuffix(".npy")]
    with _read(path):
        if path.stat().st_size <= WHOLE:
            return array(path)
        return np.load(path, mmap_mode="r", allow_pickle=False)


def array(path: Path) -> Any:
    """The one array of an .npy file.

    Raises:
        UnreadableError: As `samples`.
        UnsafeError: As `samples`.
    """
    with _read(path), path.open("rb") as file:  # NumPy leaves the file open where it is damaged
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
    raise UnreadableError(f"{path}: expected one array as .npy, got an archive.")


def named(path: Path) -> dict[str, Any]:
    """Every array of an archive by its name, or the one of an .npy file under an empty name.

    Raises:
        UnreadableError: As `samples`.
        UnsafeError: As `samples`.
    """
    with _read(path), path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        return {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}


def moments(path: Path) -> Any:
    """Moments that were saved as `count`, `mean` and `scatter`.

    Raises:
        UsageError: The file holds something else.
        UnreadableError: As `samples`.
        UnsafeError: As `samples`.
    """
    with _read(path), path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        names = [] if isinstance(found, np.ndarray) else list(found.files)
        if set(names) >= {"count", "mean", "scatter"}:
            return {name: found[name] for name in ("count", "mean", "scatter")}
    raise UsageError(
        f"{path}: expected moments as .npz with the arrays count, mean and scatter, got {_listed(names) or 'an array'}."
    )


def _member(path: Path, key: str | None) -> str | None:
    """The member of an archive, or None where the file is an array."""
    with _read(path):
        if not zipfile.is_zipfile(path):
            if path.suffix == ".npz":
                raise zipfile.BadZipFile
            if key is not None:
                raise UsageError(f"--data-key: {path} holds one array without a name; leave the key out.")
            return None
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    if key is None and len(names) != 1:
        raise UsageError(f"{path}: holds {len(names)} arrays: {_listed(names)}; say which one by --data-key.")
    if key is not None and key not in names:
        raise UsageError(f"{path}: holds no array {key!r}; expected one of {_listed(names)}.")
    return f"{names[0] if key is None else key}.npy"


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    version = npy.read_magic(file)
    shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
    if dtype.hasobject:
        raise ValueError("Object arrays")
    return shape, fortran, dtype


@contextmanager
def _read(path: Path) -> Iterator[None]:
    """What goes wrong with a file, in one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnreadableError(f"{path}: no such file; expected an array as .npy or .npz.") from error
    except UsageError:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if str(error).startswith("Object arrays") or "objects in dtype" in str(error):
            raise UnsafeError(f"{path}: holds Python objects, which run code when they are read; save plain numbers.") from error
        raise UnreadableError(f"{path}: expected a .npy or .npz file of numbers, got another or a damaged one.") from error


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (", ..." if len(names) > 8 else "")
