"""The published schema of saved reports is the one that the block types imply, and saved reports follow it."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest

import modescope as ms
from modescope.blocks import Block
from modescope.reporting import report
from modescope.reports import Report
from modescope.reports.form import SCHEMA, plain
from report_cases import every_block

PATH = Path(ms.__file__).parent / "schemas" / "report-1.json"
SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def of_type(hint: Any) -> dict[str, Any]:
    origin, inner = get_origin(hint), get_args(hint)
    if hint == Block:
        return {"$ref": "#/$defs/block"}
    if origin is tuple and inner[-1] is Ellipsis:
        return {"type": "array", "items": of_type(inner[0])}
    if origin is tuple:
        return {"type": "array", "prefixItems": [of_type(item) for item in inner], "minItems": len(inner), "maxItems": len(inner)}
    if origin is UnionType:
        return {"type": [SIMPLE[item] for item in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if is_dataclass(hint) and isinstance(hint, type):
        return {"$ref": f"#/$defs/{hint.__name__.lower()}"}
    return {"type": "string", "contentEncoding": "base64"} if hint is bytes else {"type": SIMPLE[hint]}


def of_noun(kind: type, defs: dict[str, Any]) -> None:
    hints = get_type_hints(kind)
    tag = {"type": {"const": kind.__name__.lower()}} if kind in get_args(Block) else {}
    defs[kind.__name__.lower()] = {
        "type": "object",
        "properties": tag | {name: of_type(hint) for name, hint in hints.items()},
        "required": [*tag, *(item.name for item in fields(kind) if item.default is MISSING)],
        "additionalProperties": False,
    }
    for hint in hints.values():
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type) and inner.__name__.lower() not in defs:
                of_noun(inner, defs)


def implied() -> Mapping[str, Any]:
    defs: dict[str, Any] = {"block": {"oneOf": [{"$ref": f"#/$defs/{kind.__name__.lower()}"} for kind in get_args(Block)]}}
    for kind in get_args(Block):
        of_noun(kind, defs)
    properties: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        **{name: {"type": "string"} for name in ("version", "title", "code")},
        "blocks": {"type": "array", "items": {"$ref": "#/$defs/block"}},
        "items": {"type": "string"},
        "document": {"type": "object"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:modescope:schema:report:1",
        "title": SCHEMA,
        "description": "A saved report: blocks of pure data beside their document. A field left out has its default.",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "$defs": defs,
    }


def test_the_published_schema_is_the_one_the_blocks_imply() -> None:
    assert json.loads(PATH.read_text(encoding="utf-8")) == implied()


@pytest.mark.parametrize("made", [every_block(), report(ms.demo_path()), Report((), {}, "rows")], ids=["every", "digits", "empty"])
def test_saved_reports_follow_the_schema(made: Report) -> None:
    schema = json.loads(PATH.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(plain(made))), schema, cls=jsonschema.Draft202012Validator)
