"""Every number of every measure, from its `Quantity`, and every option, from the signature and docstring of `analyze`."""

from dataclasses import asdict, fields
from types import ModuleType
from typing import get_type_hints

from modescope.measures import measures, options
from modescope.quantity import quantities
from reference_pages import UndocumentedError
from reference_pages._markdown import code, entries, first_line, paragraphs, prose, sections, table


def page() -> str:
    return "\n\n".join(_measure(name, module) for name, module in measures().items()) + "\n"


def undocumented(name: str, measure: ModuleType) -> list[str]:
    """What a reader would miss of one measure: numbers without a `Quantity`, empty fields of one, options without a sentence."""
    hints, known = get_type_hints(measure.Result), quantities(measure.Result)
    numbers = [item.name for item in fields(measure.Result) if hints[item.name] is not str]
    missing = [f"{name}.{number} has no quantity" for number in numbers if number not in known]
    missing += [
        f"{name}.{key}: {part} is empty" for key, q in known.items() for part, text in asdict(q).items() if not text.strip()
    ]
    said = entries(sections(measure.analyze.__doc__).get("Args", ""))
    missing += [f"option {name}.{option} is not explained in analyze" for option in options(measure) if not said.get(option)]
    return missing + [f"{name} has no docstring"] * (not first_line(measure))


def _measure(name: str, measure: ModuleType) -> str:
    missing = undocumented(name, measure)
    if missing:
        raise UndocumentedError("reference of measures: " + "; ".join(missing) + ".")
    said = sections(measure.analyze.__doc__)
    parts = [f"(measure-{name})=\n## {name}", prose(first_line(measure)), paragraphs(said[""]).partition("\n\n")[2]]
    parts += [_number(name, key, asdict(quantity)) for key, quantity in quantities(measure.Result).items()]
    parts.append(f"### Status of {name}\n\n" + paragraphs(said.get("Returns", "")))
    mine, explained = options(measure), entries(said.get("Args", ""))
    if mine:
        rows = [(code(f"{name}.{key}"), code(repr(default)), prose(explained[key])) for key, default in mine.items()]
        parts.append(f"### Options of {name}\n\n" + table(("option", "default", "meaning"), rows))
    return "\n\n".join(part for part in parts if part)


def _number(measure: str, name: str, said: dict[str, str]) -> str:
    rows = [
        ("formula", code(said["formula"])),
        ("unit", code(said["unit"])),
        ("range", prose(said["range"])),
        ("null when", prose(said["void"])),
        ("source", prose(said["source"])),
    ]
    return f"({measure}.{name})=\n### {measure}.{name}\n\n{prose(said['meaning'])}\n\n" + table(("", ""), rows)
