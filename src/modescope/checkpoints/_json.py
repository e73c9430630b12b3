"""JSON from an untrusted file: one object, read as data, or a sentence that says what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError

LARGEST = 100_000_000


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object a file holds.

    Raises:
        UnreadableError: The file cannot be read, is larger than 100 MB, or is not one JSON object without repeated keys.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if len(data) > LARGEST:
        raise UnreadableError(f"{path}: expected at most {LARGEST:,} bytes of JSON, got more. Is this the right file?")
    return parse_object(data, str(path))


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in some bytes.

    Args:
        data: UTF-8 text.
        what: What the bytes are, for the error.

    Raises:
        UnreadableError: Not UTF-8, not JSON, not an object, a key that stands twice or is no valid Unicode, or nested too deeply.
    """
    try:
        found = json.loads(data.decode(), object_pairs_hook=_without_repeats)
    except UnicodeError as error:
        raise UnreadableError(f"{what}: expected UTF-8 text, got other bytes. Download or save it again.") from error
    except RecursionError as error:
        raise UnreadableError(f"{what}: expected plain JSON, got one nested too deeply to read.") from error
    except ValueError as error:
        raise UnreadableError(f"{what}: expected valid JSON, got damage: {error}. Download or save it again.") from error
    if not isinstance(found, dict):
        raise UnreadableError(f"{what}: expected a JSON object, got {_kind(found)}.")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} stands twice")
        key.encode()  # half of a surrogate pair is no text and could not be printed
        found[key] = value
    return found


def _kind(value: Any) -> str:
    return {list: "a list", str: "a string", bool: "a truth value", type(None): "null"}.get(type(value), "a number")
