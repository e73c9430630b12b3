"""The saved form of a report: versioned JSON that opens again without the model, field by field checked against the blocks."""

import base64
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from modescope.blocks import Block
from modescope.errors import UnreadableError
from modescope.reports import Report
from modescope.version import __version__

SCHEMA = "modescope.report/1"
OPEN = '<script type="application/json" id="report">'  # how the saved form begins inside a page
CLOSE = "</script>"
HEAD = 64  # bytes in which the saved form names its schema
ATOMS = {str, int, float, bool, type(None)}  # what JSON has itself
TYPES = {block.__name__.lower(): block for block in get_args(Block)}


def plain(report: Report) -> dict[str, Any]:
    """The report as plain JSON data under the schema `modescope.report/1`; fields that have their default are left out."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "title": report.title,
        "code": report.code,
        "blocks": [_plain(block) for block in report.blocks],
        "items": report.items,
        "document": report.document,
    }


def dumps(report: Report) -> str:
    """The saved form as text, on one line."""
    return json.dumps(plain(report), allow_nan=False, separators=(",", ":"))


def is_report(path: Path) -> bool:
    """Whether a file is a page or says that it is a saved report; it may be damaged."""
    if path.suffix not in (".html", ".json") or not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".html" or b'"modescope.report/' in file.read(HEAD)


def load_report(path: str | Path) -> Report:
    """Open a saved report, `.json` or a page, without the model it was made from.

    Raises:
        UnreadableError: No such file, no report, a report of a newer version, or one that was damaged.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{path}: expected a saved report, got a file that is no text.") from error
    if text.lstrip().startswith("<"):
        _, opened, text = text.partition(OPEN)
        text, closed, _ = text.partition(CLOSE)
        if not opened or not closed:
            raise UnreadableError(f"{path}: expected a page of Modescope, got a page without a report in it.")
    return loads(text, str(path))


def loads(text: str, where: str) -> Report:
    """Read the saved form.

    Args:
        text: As `dumps` wrote it.
        where: The file, for errors.

    Raises:
        UnreadableError: No report, a report of a newer version, or one that was damaged.
    """
    try:
        data = json.loads(text, parse_constant=_refused, parse_float=_finite, parse_int=_whole)
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableError(f"{where}: expected a saved report, got no valid JSON ({error}).") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise UnreadableError(f"{where}: expected schema {SCHEMA}, got {schema!r}. A newer Modescope may open it.")
    try:
        blocks = tuple(_block(block) for block in data["blocks"])
        return Report(
            blocks,
            _typed(data["document"], dict),
            _typed(data["items"], str),
            _typed(data["title"], str),
            _typed(data["code"], str),
        )
    except KeyError as error:
        raise UnreadableError(f"{where}: damaged report, no {error.args[0]!r}.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableError(f"{where}: damaged report, {str(error).rstrip('.')}.") from error


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _wrong(text, float)


def _whole(text: str) -> int:
    value = int(text)
    _finite(text)  # a whole number that no float can hold is none that anybody measured
    return value


def _plain(value: Any) -> Any:
    if type(value) in ATOMS:
        return value
    if type(value) is tuple:
        return [item if type(item) in ATOMS else _plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        kind = {"type": type(value).__name__.lower()} if type(value) in TYPES.values() else {}
        told = {item.name: (getattr(value, item.name), item.default) for item in fields(value)}
        return kind | {name: _plain(own) for name, (own, default) in told.items() if default is MISSING or own != default}
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _block(data: Any) -> Block:
    name = data.get("type") if isinstance(data, dict) else None
    if name not in TYPES:
        raise ValueError(f"no block of type {str(name)[:40]!r}")
    block: Block = _noun({key: value for key, value in data.items() if key != "type"}, TYPES[name])
    return block


def _noun(data: Any, kind: type) -> Any:
    """A dataclass from its fields; a field too many, too few or of another type is an error."""
    if not isinstance(data, Mapping):
        raise TypeError(f"expected a {kind.__name__}, got {type(data).__name__}")
    hints = _hints(kind)
    unknown = set(data) - set(hints)
    if unknown:
        raise ValueError(f"a {kind.__name__} has no {sorted(unknown)[0][:40]!r}")
    return kind(**{name: _typed(value, hints[name]) for name, value in data.items()})


def _typed(value: Any, hint: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint == Block:
        return _block(value)
    if origin is tuple and isinstance(value, list):
        if inner[-1] is Ellipsis:
            return tuple(_typed(item, inner[0]) for item in value)
        if len(value) == len(inner):
            return tuple(map(_typed, value, inner))
    elif origin is types.UnionType:
        if value is None or type(value) in inner:
            return value if type(value) in inner or type(None) in inner else _wrong(value, hint)
        if type(value) is int and float in inner:
            return value
    elif origin is Literal:
        if value in inner:
            return value
    elif is_dataclass(hint) and isinstance(hint, type):
        return _noun(value, hint)
    elif hint is bytes and isinstance(value, str):
        return base64.b64decode(value, validate=True)
    elif type(value) is hint or (hint is float and type(value) is int):
        return value
    return _wrong(value, hint)


def _wrong(value: Any, hint: Any) -> Any:
    raise TypeError(f"expected {getattr(hint, '__name__', None) or hint}, got {str(value)[:40]!r}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
