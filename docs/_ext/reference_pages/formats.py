"""Every checkpoint format: what it is, how it is recognised, what it gives."""

from modescope.registry import modules
from reference_pages import UndocumentedError
from reference_pages._markdown import code, entries, first_line, paragraphs, prose, sections, table


def page() -> str:
    found = modules("modescope.checkpoints")
    for name, module in found.items():
        if not (first_line(module) and first_line(module.claims) and first_line(module.tensors)):
            raise UndocumentedError(f"reference of formats: {name}, its claims or its tensors have no docstring.")
    rows = [
        (f"[{name}](#format-{name})", prose(first_line(module)), prose(first_line(module.claims))) for name, module in found.items()
    ]
    parts = [table(("format", "what it is", "evidence"), rows)]
    for name, module in found.items():
        said = sections(module.tensors.__doc__)
        refused = entries(said.get("Raises", ""))
        parts.append(f"(format-{name})=\n## {name}\n\n{prose(first_line(module))}\n\n{paragraphs(said[''])}")
        if refused:
            parts.append(table(("refused with", "when"), [(code(error), prose(why)) for error, why in refused.items()]))
        if "References" in said:
            parts.append(paragraphs(said["References"]))
    return "\n\n".join(parts) + "\n"
