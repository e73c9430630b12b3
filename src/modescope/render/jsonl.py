"""JSON lines: a first line with everything but the rows, then one line per row."""

import json

from modescope.reports import Report


def render(report: Report, /) -> str:
    """Lines for streaming tools; each is a JSON object."""
    head = {key: value for key, value in report.document.items() if key != report.items}
    lines = [head, *report.document[report.items]]
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
