"""Torch files (`.pt`, `.pth`, `.bin`, `.ckpt`), read without running anything in them."""

import re
import threading
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from modescope.checkpoints import _torch_arrays, _zip
from modescope.checkpoints._names import shown
from modescope.checkpoints._state import flatten
from modescope.errors import UnreadableError, UnsafeError
from modescope.matrix import Array, Skip, Tensor

SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt"})
# How torch.save began before it wrote zip files: protocol 2, then the integer 0x1950a86a20f9469cfc6c.
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE = re.compile(rb"\x80[\x02-\x05][^\x00]")
SAFETENSORS = re.compile(rb"....\0\0\0\0\{", re.DOTALL)  # a header length may begin with the same two bytes
_loading = threading.Lock()


def claims(source: Any, head: bytes, /) -> int:
    """2 for torch's zip archive and for any pickle (which may be refused), 1 for the suffix."""
    if not isinstance(source, Path):
        return 0
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in _zip.names(source, head)):
        return 2
    if PICKLE.match(head) and not SAFETENSORS.match(head):
        return 2
    return int(source.suffix.lower() in SUFFIXES and not source.is_dir())


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every tensor of the model in the file; other parts of a training state are skipped with a reason.

    The numbers of a zip archive stay on disk until they are read; the older format has to be loaded as a whole.

    Raises:
        UnsafeError: The file holds objects whose loading would run code, or a program.
        UnreadableError: The file is damaged, or torch is not installed.
    """
    _check(source)
    seen: dict[Any, Tensor] = {}
    skips: list[Skip] = []
    for item in flatten(_root(source), _torch_arrays.is_torch_tensor, str(source)):
        if isinstance(item, Skip):
            skips.append(item if item.name else replace(item, name=source.stem))
            continue
        name, shape = item.name or source.stem, _torch_arrays.shape_of(item.value)
        reason = _torch_arrays.why_unreadable(item.value) or _why_expanded(item.value)
        if reason is not None:
            skips.append(Skip(name, shape, reason))
            continue
        key = _torch_arrays.storage_key(item.value)
        if key in seen:
            seen[key] = replace(seen[key], aliases=(*seen[key].aliases, name))
        else:
            stored = _torch_arrays.stored_name(item.value)
            seen[key] = Tensor(name, shape, stored, partial(_read, source, name, item.keys, shape, stored))
    yield from seen.values()
    yield from skips


def _why_expanded(tensor: Any) -> str | None:
    wanted, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
    return f"repeats {stored:,} stored bytes as {wanted:,}: not the numbers of a weight" if wanted > stored else None


def _read(path: Path, name: str, keys: tuple[Any, ...], shape: tuple[int, ...], stored: str, /) -> Array:
    try:
        value = _root(path)
        for key in keys:
            value = value[key]
        array = _torch_arrays.as_array(value)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise _changed(path, name) from error
    if array.shape != shape or array.dtype.name != stored:
        raise _changed(path, name)
    return array


def _changed(path: Path, name: str) -> UnreadableError:
    return UnreadableError(f"{path}: tensor {shown(name)}: the file changed since it was opened. Open it again.")


def _root(path: Path) -> Any:
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    with _loading:  # threads that read in parallel share one load
        return _load(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _load(path: Path, _changed_ns: int, _size: int, /) -> Any:
    """What torch.save wrote; an archive is mapped, so keeping it costs no weight memory."""
    try:
        import torch
    except ImportError as error:
        raise UnreadableError(
            f"{path}: expected torch to be installed to read this file. Run: pip install 'modescope[torch]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own old classes, which the file's reader cannot change
            if path.suffix.lower() == ".safetensors":  # torch believes this suffix, whatever the bytes say, but not of an open file
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a parser fed with damage: whatever it raises says that the file is not what it should be
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> UnsafeError | UnreadableError:
    text = str(error)
    found = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"Unsupported (?:global|class|operand|type)\W+([\w.]*)", text)
    if found is not None:
        return UnsafeError(
            f"{path}: expected only tensors, got a pickle that calls {shown(found[1] or 'other code')}; loading runs code. "
            "Save only the weights: torch.save(model.state_dict(), ...), or use safetensors."
        )
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__).strip()
    return UnreadableError(
        f"{path}: expected a file written by torch.save, got damage ({shown(first)}). Download or save it again."
    )


def _check(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(LEGACY))
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if head.startswith(_zip.MAGIC):
        _check_archive(path)
    elif PICKLE.match(head) and head != LEGACY:
        raise UnsafeError(
            f"{path}: expected a file written by torch.save, got a plain pickle; loading it would run code. "
            "Save its arrays with numpy.savez or as safetensors."
        )
    elif head != LEGACY:
        raise UnreadableError(f"{path}: expected a file written by torch.save, got other bytes. Download or save it again.")


def _check_archive(path: Path) -> None:
    members = _zip.members(path)
    inside = {member.filename.partition("/")[2] for member in members}
    if any(name == "constants.pkl" or name.startswith("code/") for name in inside):
        raise UnsafeError(
            f"{path}: expected tensors alone, got a TorchScript archive, which is a program. "
            "Save its weights: torch.save(dict(module.state_dict()), ...)."
        )
    packed = next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None)
    if packed is not None:
        raise UnreadableError(
            f"{path}: expected an archive as torch.save writes it, got {shown(packed.filename)} compressed. Save it again."
        )
    with path.open("rb") as file:
        for member in members:
            _zip.data_offset(file, path, member)
