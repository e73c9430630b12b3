"""Markdown from plain text: tables whose cells cannot break out, code that stays code, identifiers that become links."""

import re
from collections.abc import Iterable, Sequence

HEADINGS = ("Args", "Attributes", "Raises", "References", "Returns", "Yields")
SPECIAL = re.compile(r"([\\*_\[\]<>{}$#|])")
BAR = re.compile(r"(?<!\\)\|")
IDENTIFIER = re.compile(r"doi:(10\.[^\s,;]*[^\s,;.)])|arXiv:(\d{4}\.\d{4,5})")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A pipe table; cells are Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(BAR.sub(r"\|", cell) for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """A code span, or nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def prose(text: str) -> str:
    """Plain text as Markdown: its code spans stay, everything else that Markdown would read as markup is escaped."""
    parts = text.split("`")
    parts[::2] = [IDENTIFIER.sub(_link, SPECIAL.sub(r"\\\1", part)) for part in parts[::2]]
    return "`".join(parts)


def first_line(thing: object) -> str:
    """The first line of a docstring, which is its summary."""
    return (thing.__doc__ or "").strip().partition("\n")[0]


def sections(docstring: str | None) -> dict[str, str]:
    """The parts of a Google-style docstring: "" is the text before the first heading, then "Args", "Returns" and so on."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in (docstring or "").expandtabs().splitlines():
        if line.strip().removesuffix(":") in HEADINGS:
            name = line.strip()[:-1]
            found[name] = []
        else:
            found[name].append(line)
    return {key: "\n".join(lines).strip("\n") for key, lines in found.items()}


def entries(section: str) -> dict[str, str]:
    """What an Args section says of each name, continuation lines joined."""
    found: dict[str, str] = {}
    indent = min((len(line) - len(line.lstrip()) for line in section.splitlines() if line.strip()), default=0)
    name = ""
    for line in section.splitlines():
        text = line.strip()
        if text and len(line) - len(line.lstrip()) == indent and ":" in text:
            name, _, text = text.partition(":")
        if name:
            found[name] = f"{found.get(name, '')} {text.strip()}".strip()
    return found


def paragraphs(text: str) -> str:
    """The paragraphs of a docstring as Markdown, each on one line."""
    return "\n\n".join(prose(" ".join(part.split())) for part in text.split("\n\n") if part.strip())


def _link(match: re.Match[str]) -> str:
    doi, arxiv = match.groups()
    return f"[{match[0]}](https://{f'doi.org/{doi}' if doi else f'arxiv.org/abs/{arxiv}'})"
