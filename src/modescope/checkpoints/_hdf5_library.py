"""What the HDF5 library says of a file, asked in a process of its own: damaged files make that library crash or run for ever."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from modescope.checkpoints import _zip
from modescope.checkpoints._dtypes import PLAIN
from modescope.checkpoints._mapped import byte_count
from modescope.checkpoints._names import shown
from modescope.errors import ModescopeError, UnreadableError, UnsafeError, UsageError
from modescope.matrix import Array

MEMBER = "model.weights.h5"  # of a `.keras` archive
PATIENCE = 120.0  # seconds; a sound file takes one
SLOWEST = 2_000_000  # bytes of numbers a second that a disk and a filter give at the least
ROOM = 4 << 30  # bytes of memory for a file without its numbers; those of one dataset come on top
DEEPEST = 64
LONGEST_TEXT = 50_000_000  # bytes of a model's description
LONGEST_LIST = 1_000_000  # names of layers and weights that attributes list, all together
REFUSED = 65  # exit status of a process whose answer is an error
RATIOS = {1: 1032, 2: 1, 3: 1, 32000: 88}  # filters by number, and how far each can shrink: deflate, shuffle, fletcher32, lzf
_CHILD = "from modescope.checkpoints._hdf5_library import main; main()"
_ERRORS = {error.__name__: error for error in (UnreadableError, UnsafeError, UsageError)}
# What h5py raises for damage, whatever it stumbles over.
_DAMAGE = (
    *_zip.DAMAGE,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    SystemError,
)


def headers(path: Path, /) -> Mapping[str, Any]:
    """Everything in a file but the numbers.

    Returns:
        "arrays": the datasets, each with its "path", "shape", "dtype" (with byte order), "place" of its header in the file and
        "offset" of its numbers, None where they are in pieces or packed; "skips": name, shape and reason of everything else;
        "places": names in the order of the layers, where the file lists them; "names": name of the layer by its group;
        "description": the model's, as decoded from JSON; "metadata".

    Raises:
        UsageError: h5py is not installed.
        UnsafeError: A part of the file stands in another file.
        UnreadableError: The file is damaged, or promises more numbers than it holds.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return _headers(path, state.st_mtime_ns, state.st_size)


def unpacked(path: Path, name: str, shape: tuple[int, ...], dtype: str, /) -> Array:
    """The numbers of one dataset that is in pieces or packed.

    Raises:
        UnsafeError: The file changed since it was opened, and its numbers stand in another file now.
        UnreadableError: The file is damaged, changed since it was opened, or takes too long.
    """
    known = np.dtype(dtype)
    patience = PATIENCE + (byte_count(shape, known.itemsize) or 0) / SLOWEST
    late = (
        f"tensor {shown(name)}: expected its numbers within {patience:g} s, got none: too slow. "
        "Copy the file to a faster disk, or save it without compression."
    )
    data = _asked(path, {"name": name, "shape": shape, "dtype": dtype}, patience, late)
    array = np.frombuffer(data, known).reshape(shape)
    return array if array.dtype.isnative else array.astype(known.newbyteorder("="))


@lru_cache(maxsize=4)
def _headers(path: Path, _changed_ns: int, _size: int, /) -> Mapping[str, Any]:
    late = f"expected an HDF5 file, got one that takes more than {PATIENCE:g} s to look at: its disk is too slow, or it is damaged."
    found: Mapping[str, Any] = json.loads(_asked(path, {}, PATIENCE, late))
    return found


def _asked(path: Path, wanted: Mapping[str, Any], patience: float, late: str) -> bytes:
    """What a fresh process found; its crash is an answer as well.

    Args:
        path: The file.
        wanted: "name", "shape" and "dtype" of the dataset to read, or nothing for the headers.
        patience: Seconds it may take.
        late: What to say when it takes longer.
    """
    command = [sys.executable, "-P", "-c", _CHILD, str(path.absolute())]
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # threads would take room, and have nothing to do
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=patience, check=False, input=json.dumps(wanted).encode(), env=alone
        )
    except subprocess.TimeoutExpired as error:
        raise UnreadableError(f"{path}: {late}") from error
    if done.returncode == REFUSED:
        refused = json.loads(done.stdout)
        raise _ERRORS[refused["error"]](refused["text"].replace(str(path.absolute()), str(path)))
    if done.returncode:
        raise UnreadableError(
            f"{path}: expected an HDF5 file, got one that crashes the library ({done.returncode}). Download or save it again."
        )
    return done.stdout


def main() -> None:
    """Answer on standard output: the headers of a file in JSON, or the numbers of one dataset as they are in memory."""
    path, wanted = Path(sys.argv[1]), json.load(sys.stdin)
    shape = tuple(wanted.get("shape", ()))
    size = byte_count(shape, np.dtype(wanted["dtype"]).itemsize) if wanted else 0
    _limit_memory(ROOM + 5 * (size or 0))  # the numbers, and where they are one chunk, the buffers through which it is unpacked
    try:
        with _opened(path) as file:
            if wanted:
                sys.stdout.buffer.write(_numbers(path, file, wanted["name"], shape, wanted["dtype"]))
            else:
                sys.stdout.write(json.dumps(_described(path, file)))
    except ModescopeError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "text": str(error)}))
        sys.exit(REFUSED)


def _limit_memory(size: int) -> None:
    """Let this process take no more than `size` bytes, where the system can tell it so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):  # macOS knows the limit and refuses to set it
        resource.setrlimit(resource.RLIMIT_AS, (size if most == resource.RLIM_INFINITY else min(size, most), most))


def _numbers(path: Path, file: Any, name: str, shape: tuple[int, ...], dtype: str) -> memoryview:
    """The bytes of one dataset, which must still be what its header said."""
    import h5py

    item = file
    for part in name.split("/"):  # a link may lead out of the file by now: no other kind is followed
        hard = isinstance(item, h5py.Group) and isinstance(item.get(part, getlink=True), h5py.HardLink)
        item = item[part] if hard else None
    same = isinstance(item, h5py.Dataset) and (item.shape, item.dtype.str) == (shape, dtype)
    if not same or _why_unreadable(path, name, item):
        raise UnreadableError(f"{path}: tensor {shown(name)}: the file changed since it was opened. Open it again.")
    return np.asarray(item[()]).reshape(-1).view(np.uint8).data


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, or the one inside a `.keras` archive; whatever h5py raises for damage comes out as one sentence."""
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"{path}: expected h5py to be installed to read this file. Run: pip install 'modescope[hdf5]'") from error
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, archive.open(MEMBER) as member, h5py.File(member, "r") as opened:
                yield opened
        else:
            with h5py.File(path, "r", locking=False) as opened:
                yield opened
    except _DAMAGE as error:
        said = shown(next(iter(str(error).splitlines()), type(error).__name__))
        raise UnreadableError(f"{path}: expected an HDF5 file, got damage ({said}). Download or save it again.") from error


def _described(path: Path, file: Any) -> dict[str, Any]:
    arrays: list[dict[str, Any]] = []
    skips: list[tuple[str, tuple[int, ...], str]] = []
    seen = {_place(file): "/"}
    _walk(path, file, (), arrays, skips, seen)
    walked = set(seen.values())
    top = ("model_weights",) if "model_weights" in walked else ()
    groups = [file, *(file[name] for name in top)]
    return {
        "arrays": arrays,
        "skips": skips,
        "places": _places(path, file, top, walked),
        "names": {
            group: _text(file[group].attrs, "name")
            for group in {"/".join(array["path"][:-1]) for array in arrays if array["path"][-2:-1] == ("vars",)}
        },
        "description": _text(file.attrs, "model_config"),
        "metadata": {
            key: text
            for key in ("keras_version", "backend")
            if (text := next(filter(None, (_text(group.attrs, key) for group in groups)), ""))
        },
    }


def _places(path: Path, file: Any, top: tuple[str, ...], walked: set[str]) -> list[str]:
    """Names of arrays in the order of the layers; only groups that were walked through are asked for theirs."""
    layers = _list(path, file["/".join(top) or "/"].attrs, "layer_names", LONGEST_LIST)
    room = LONGEST_LIST - len(layers)
    places: dict[str, None] = {}
    for layer in dict.fromkeys(layers):  # one that is listed again and again is asked once
        name = "/".join((*top, layer))
        if name in walked:
            weights = _list(path, file[name].attrs, "weight_names", room)
            room -= len(weights)
            places.update(dict.fromkeys(f"{name}/{weight}" for weight in weights))
    return list(places)


def _walk(
    path: Path, group: Any, parts: tuple[str, ...], arrays: list[dict[str, Any]], skips: list[Any], seen: dict[int, str]
) -> None:
    """Collect the datasets below a group; links are judged before they are followed."""
    import h5py

    for key in group:
        here = (*parts, key)
        name = "/".join(here)
        key.encode()  # a name that is no text could not be printed
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeError(f"{path}: expected everything in this file, got {shown(name)}, a link to {shown(link.filename)}.")
        if isinstance(link, h5py.SoftLink):
            skips.append((name, (), f"a link to {shown(link.path)} of the same file"))
            continue
        item = group[key]
        place = _place(item)
        if place in seen:
            skips.append((name, (), f"another name of {shown(seen[place])}"))
            continue
        seen[place] = name
        if isinstance(item, h5py.Dataset):
            reason = _why_unreadable(path, name, item)
            if reason:
                skips.append((name, tuple(item.shape or ()), reason))
            else:
                numbers = {"dtype": item.dtype.str, "place": place, "offset": item.id.get_offset()}
                arrays.append({"path": here, "shape": item.shape, **numbers})
        elif not isinstance(item, h5py.Group):
            skips.append((name, (), "a named type, not a tensor"))
        elif len(here) > DEEPEST:
            skips.append((name, (), f"nested more than {DEEPEST} deep: not looked at"))
        else:
            _walk(path, item, here, arrays, skips, seen)


def _place(item: Any) -> int:
    """Where the header of a group or a dataset lies in the file: the same under all its names."""
    import h5py

    return int(h5py.h5o.get_info(item.id).addr)


def _why_unreadable(path: Path, name: str, dataset: Any) -> str:
    """Why a dataset holds no numbers we know, or an empty text.

    Raises:
        UnsafeError: Its numbers stand in another file.
        UnreadableError: It promises more numbers than the file holds.
    """
    what = f"{path}: tensor {shown(name)}"
    if dataset.external:
        raise UnsafeError(f"{what}: expected numbers in this file, got {shown(dataset.external[0][0])}, a file beside it.")
    if dataset.is_virtual:
        outside = next((source.file_name for source in dataset.virtual_sources() if source.file_name != "."), None)
        if outside is not None:
            raise UnsafeError(f"{what}: expected numbers in this file, got a view of {shown(outside)}.")
        return "a view of other arrays of the file"
    if dataset.shape is None:
        return "empty: no entries"
    if dataset.dtype.name not in PLAIN:
        return f"entries of dtype {shown(dataset.dtype)}: not numbers of a weight"
    size = byte_count(tuple(dataset.shape), dataset.dtype.itemsize)
    if size is None:
        raise UnreadableError(f"{what}: expected a shape that fits into memory, got {shown(dataset.shape)}.")
    filters = dataset.id.get_create_plist()
    ratio = 1  # that of the strongest filter: packed numbers do not shrink again, so filters on top of each other add nothing
    for number in range(filters.get_nfilters()):
        code = filters.get_filter(number)[0]
        if code not in RATIOS:
            return f"packed by filter {code} of HDF5, which is not read: save it with gzip or without compression"
        ratio = max(ratio, RATIOS[code])
    stored = int(dataset.id.get_storage_size())
    if size and not stored:
        return "never written: the file holds its shape alone"
    most = ratio * min(stored, path.stat().st_size)
    if size > most:
        raise UnreadableError(
            f"{what}: expected at most {most:,} bytes, got {size:,} promised: the file is cut, lies, or is packed twice."
        )
    return ""


def _list(path: Path, attributes: Any, key: str, most: int) -> list[str]:
    """Names in an attribute, or in the numbered pieces that Keras cuts a long one into."""
    keys = [key] if key in attributes else []
    while keys[:1] != [key] and f"{key}{len(keys)}" in attributes:
        keys.append(f"{key}{len(keys)}")
    found: list[Any] = []
    for each in keys:
        found += np.ravel(attributes[each]).tolist()
        if len(found) > most:
            raise UnreadableError(f"{path}: expected at most {LONGEST_LIST:,} names of layers and weights, got more: damaged.")
    if not all(isinstance(item, str | bytes) for item in found):
        raise UnreadableError(f"{path}: expected names in the attribute {shown(key)}, got other values.")
    return [item if isinstance(item, str) else item.decode() for item in found]


def _text(attributes: Any, key: str) -> str:
    value = attributes.get(key, "")
    value = value.decode() if isinstance(value, bytes) else value
    return value[:LONGEST_TEXT] if isinstance(value, str) else ""
