"""Every layer kind: what it is, how it is recognised, the matrices it makes by default and on request."""

from modescope.registry import modules
from reference_pages import UndocumentedError
from reference_pages._markdown import code, first_line, prose, table


def page() -> str:
    rows = []
    for name, module in modules("modescope.layers").items():
        cells = (first_line(module), first_line(module.claims), first_line(module.views))
        if not all(cells):
            raise UndocumentedError(f"reference of layer kinds: {name}, its claims or its views have no docstring.")
        rows.append((code(name), *map(prose, cells), ", ".join(map(code, sorted(getattr(module, "requested", {}))))))
    return table(("kind", "what it is", "evidence", "matrices by default", "`--view` on request"), rows) + "\n"
