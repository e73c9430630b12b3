"""JSON lines: a first line with everything but the rows, then one line per row."""

import json

from modescope.reports import Report


def render(report: Report, /) -> str:
    """Lines for streaming tools; each is a JSON object."""
    head = {key: value for key, value in report.document.items() if key != report.items}
    items = report.document.get(report.items, ())
    lines = [head, *(items if isinstance(items, list | tuple) else ())]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
