"""The report itself as versioned JSON, which opens again without the checkpoint."""

from modescope.reports import Report
from modescope.reports.form import dumps

SUFFIX = ".json"


def render(report: Report, /) -> str:
    """The saved form on one line."""
    return dumps(report) + "\n"
