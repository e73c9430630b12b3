"""The documents that `--json` writes, from the schemas that ship in the package and the classes they are made of."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from modescope.inspection import Inspection
from modescope.matrix import Matrix, Skip, Tensor
from modescope.measures import measures
from modescope.quantity import Quantity
from modescope.reports import Report
from modescope.result import Row, Scan
from reference_pages import UndocumentedError
from reference_pages._markdown import code, entries, prose, sections, table

MEASURES = "matrices[].measures"  # below it the numbers follow, which have a page of their own

# Where a schema leaves a field to its name, the attribute of the class that it was made from explains it.
CLASSES: dict[str, dict[str, type]] = {
    "modescope.scan/1": {"": Scan, "matrices[]": Row, "skipped[]": Skip},
    "modescope.inspect/1": {"": Inspection, "tensors[]": Tensor, "matrices[]": Matrix, "skipped[]": Skip, "unsafe[]": Skip},
    "modescope.report/1": {"": Report},
    "modescope.measures/1": {"measures[].numbers[]": Quantity},
}

# What one word means wherever it stands; a schema's own description comes first, then the attribute.
COMMON = {
    "schema": "Name and number of the schema that the document follows.",
    "version": "Version of Modescope that made the numbers.",
    "path": "As given; null for a live object.",
    "format": "Checkpoint format.",
    "sha256": "Of a file what `sha256sum` prints; of a row the hash of the numbers that were read. Null where it was not taken.",
    "tensors": "Number of tensors.",
    "metadata": "What the writer of the file says of it, as text; untrusted.",
    "parameters": "Number of entries of all tensors.",
    "bytes": "Size as stored.",
    "name": "Of the tensor.",
    "shape": "As stored.",
    "dtype": "As stored.",
    "reason": "Why it is not analysed.",
    "summary": "Counts, and means and medians over the rows where a number means something.",
    "valid": "Rows with numbers.",
    "failed": "Rows without numbers.",
    "skipped": "Tensors left out.",
    "kind": "Layer kind.",
    "numbers": "By name.",
    "matrices": "One row each, in the order of the checkpoint.",
    "values": "All singular values, descending.",
    "measures": "By name.",
    "options": "Options and their values.",
}


def page() -> str:
    return "\n\n".join(_schema(schema) for schema in schemas().values()) + "\n"


def schemas() -> dict[str, dict[str, Any]]:
    """Every published schema by its file name."""
    found = sorted(files("modescope").joinpath("schemas").iterdir(), key=lambda item: item.name)
    return {item.name: json.loads(item.read_text(encoding="utf-8")) for item in found if item.name.endswith(".json")}


def _schema(schema: dict[str, Any]) -> str:
    title = schema["title"]
    rows = [(code(path), kind, said) for path, kind, said in _walk(schema, "", CLASSES.get(title, {}))]
    return f"## {title}\n\n{prose(schema.get('description', ''))}\n\n" + table(("field", "type", "meaning"), rows)


def _walk(node: dict[str, Any], path: str, classes: dict[str, type]) -> Iterator[tuple[str, str, str]]:
    attributes = entries(sections(getattr(classes.get(path), "__doc__", "")).get("Attributes", ""))
    for name, part in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        if path == MEASURES:
            yield here, "object", f"[The numbers of {name}](#measure-{name})." if name in measures() else ""
            continue
        kind = part.get("type", "")
        kinds = [kind] if isinstance(kind, str) else list(kind)
        constant = code(json.dumps(part["const"])) if "const" in part else ""
        said = part.get("description") or attributes.get(name) or COMMON.get(name)
        if not said:
            raise UndocumentedError(f"schema: {here} has no description; say in the schema what it is.")
        yield here, constant or " or ".join(kinds), prose(said)
        if part.get("type") == "array":
            yield from _walk(part.get("items", {}), f"{here}[]", classes)
        else:
            yield from _walk(part, here, classes)
