"""The result as one JSON document under its published schema."""

import json

from modescope.reports import Report


def render(report: Report, /) -> str:
    """Indented JSON; a missing number is null, and NaN or Infinity would be an error."""
    return json.dumps(report.document, indent=1, allow_nan=False) + "\n"
