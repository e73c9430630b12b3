"""WeightWatcher's columns beside ours, with every difference, from the mapping that computes them."""

from modescope.weightwatcher import COLUMNS
from reference_pages import UndocumentedError
from reference_pages._markdown import code, prose, table


def page() -> str:
    for name, column in COLUMNS.items():
        if not column.formula:
            raise UndocumentedError(f"WeightWatcher's column {name} has no formula.")
    rows = [
        (code(name), code(column.formula.replace("`", "'")), code(column.field), prose(column.remark))
        for name, column in COLUMNS.items()
    ]
    return table(("column", "computed here", "our own", "difference"), rows) + "\n"
