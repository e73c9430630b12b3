"""HDF5 files (`.h5`, `.hdf5`) and `.keras` archives: the weights of Keras models, and any other named arrays of numbers.

Names are those of Keras without what says nothing: `conv1/conv1_3/kernel:0` is `conv1.kernel`, and the numbered
`layers/conv2d/vars/0` of Keras 3 is `conv2d.kernel`, by the class of its layer. The order is that of the layers where the file
lists them, otherwise that in which its groups were written. Keras stores kernels (*k, in, out); they are given as (out, in, *k),
the order of every other format, recurrent ones as (out, in), and dense ones (in, out) as they are. Links out of the file are
refused, and no description of a model is run.
"""

import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modescope.checkpoints import _hdf5_library, _keras, _zip
from modescope.checkpoints._hdf5_library import LONGEST_TEXT, MEMBER
from modescope.checkpoints._json import parse_object
from modescope.checkpoints._mapped import mapped
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Array, Skip, Tensor

MAGIC = b"\x89HDF\r\n\x1a\n"
STARTS = (0, 512, 1024, 2048)  # where a file may begin, after a block of its user


def claims(source: Any, head: bytes, /) -> int:
    """2 for HDF5 and for a zip file that holds Keras weights, 1 for the suffix."""
    if not isinstance(source, Path):
        return 0
    if any(head[start : start + len(MAGIC)] == MAGIC for start in STARTS) or MEMBER in _zip.names(source, head):
        return 2
    return int(source.suffix.lower() in {".h5", ".hdf5", ".keras"} and not source.is_dir())


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every array of numbers; one that lies in the file as it is, is mapped there.

    Raises:
        UsageError: h5py is not installed.
        UnsafeError: A part of the file stands in another file.
        UnreadableError: The file is damaged, or promises more numbers than it holds.
    """
    start = _start(source)
    found = _hdf5_library.headers(source)
    description = _description(source, found["description"])
    keras = bool(found["places"] or found["names"] or description)
    known = _keras.classes(description)
    places = {name: place for place, name in enumerate(found["places"])}
    shapes: dict[tuple[str, ...], dict[str, tuple[int, ...]]] = {}
    for array in found["arrays"]:
        shapes.setdefault(tuple(array["path"][:-1]), {})[array["path"][-1]] = tuple(array["shape"])
    for array in sorted(found["arrays"], key=lambda array: (places.get("/".join(array["path"]), len(places)), array["place"])):
        path = tuple(array["path"])
        group, shape = path[:-1], tuple(array["shape"])
        meant = (
            _keras.variable(path, shapes[group], found["names"].get("/".join(group), ""), known)
            if keras
            else _keras.Variable(".".join(path), "as stored", {})
        )
        if meant.unusable:
            yield Skip(meant.name, shape, meant.unusable)
            continue
        dtype, offset = np.dtype(array["dtype"]), array["offset"]
        read = (
            partial(_hdf5_library.unpacked, source, "/".join(path), shape, array["dtype"])
            if offset is None
            else partial(mapped, source, meant.name, dtype, shape, start + offset)
        )
        turned = meant.axes != "as stored"
        seen = _turned(np.broadcast_to(np.int8(0), shape), meant.axes).shape if turned else shape
        yield Tensor(meant.name, seen, dtype.name, partial(_read, read, meant.axes) if turned else read, meant.declared)
    for name, shape, reason in found["skips"]:
        yield Skip(name, tuple(shape), reason)


def metadata(source: Path, /) -> Mapping[str, str]:
    """The version of Keras and its backend, where the file tells them."""
    found: Mapping[str, str] = _hdf5_library.headers(source)["metadata"]
    return found


def _read(read: partial[Array], axes: _keras.Axes, /) -> Array:
    return _turned(read(), axes)


def _turned(array: Array, axes: _keras.Axes) -> Array:
    """A kernel in the order of the other formats, (out, in / groups, *k), or (in, out, *k) for a transposed convolution."""
    match axes:
        case "as stored":
            return array
        case "turned":
            return array.T
        case "convolution" | "transposed":  # stored (*k, in, out), or (*k, out, in)
            return np.moveaxis(array, (-1, -2), (0, 1))
        case "depthwise":  # stored (*k, in, multiplier): one filter after another for each channel
            moved = np.moveaxis(array, (-2, -1), (0, 1))
            return moved.reshape(moved.shape[0] * moved.shape[1], 1, *moved.shape[2:])


def _start(path: Path) -> int:
    """First byte of the weights: after what stands before them in a `.keras` archive, which must store them plain."""
    if not zipfile.is_zipfile(path):
        return 0
    member = next((member for member in _zip.members(path) if member.filename == MEMBER), None)
    if member is None or member.compress_type != zipfile.ZIP_STORED:
        raise UnreadableError(
            f"{path}: expected {shown(MEMBER)} stored in the archive, got none, or packed. Save it again with Keras."
        )
    with path.open("rb") as file:
        return _zip.data_offset(file, path, member)


def _description(path: Path, text: str) -> dict[str, Any]:
    """The model's description, from the file or from the archive around it, read as data; empty where there is none."""
    data = text.encode(errors="replace")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if "config.json" in archive.namelist():
                    with archive.open("config.json") as member:
                        data = member.read(LONGEST_TEXT)
    except _zip.DAMAGE as error:
        raise _zip.damaged(path, error) from error
    return parse_object(data, f"{path}: description of the model") if data else {}
