"""Docstrings on Markdown pages: their few marks are Markdown's, autodoc's are reStructuredText's, and types have public names."""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import modescope

DIRECTIVE = re.compile(r"^```\{(auto\w+)\} (\S+)\n((?::.*\n)*)```$", re.MULTILINE)
ARRAY = re.compile(r"(~?)numpy\.ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[[^\]]*\]\]")
BEFORE_NAPOLEON = 400


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _as_restructuredtext)
    app.connect("autodoc-process-docstring", _marks, priority=BEFORE_NAPOLEON)
    app.connect("autodoc-process-docstring", _short_types, priority=2 * BEFORE_NAPOLEON)
    app.connect("autodoc-process-signature", _short_signature)
    app.connect("missing-reference", _by_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _as_restructuredtext(_app: Sphinx, _page: str, source: list[str]) -> None:
    """What an auto directive generates is reStructuredText, so it must be read as such also on a Markdown page."""

    def directive(match: re.Match[str]) -> str:
        name, target, options = match.groups()
        body = "".join(f"   {line}\n" for line in options.splitlines())
        return f"```{{eval-rst}}\n.. {name}:: {target}\n{body}```"

    source[0] = DIRECTIVE.sub(directive, source[0])


def _marks(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """`code` becomes ``code``; a star or a bar outside of it is itself. A span may cross the end of a line."""
    text = "\n".join(lines)
    parts = re.split(r"(?<!`)`(?!`)", text)
    if len(parts) % 2 == 0:
        raise ValueError(f"{_name}: a code span of the docstring is not closed.")
    parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
    lines[:] = "``".join(parts).splitlines()


def _short_types(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    lines[:] = [_short(line) for line in lines]


def _short_signature(
    _app: Sphinx, _what: str, _name: str, _object: object, _options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    if signature == "(*args, **kwargs)":  # of a protocol, which nobody calls
        return "", returned
    return signature and _short(signature).replace("<factory>", "..."), returned and _short(returned)


def _short(text: str) -> str:
    """An array is an array, whatever its hint expands to."""
    return ARRAY.sub(r"\1numpy.ndarray", text)


def _by_public_name(app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement) -> nodes.Element | None:
    """A hint says `modescope.matrix.Matrix`, the page `modescope.Matrix`."""
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in modescope.__all__:
        return None
    domain = env.get_domain("py")
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], f"modescope.{name}", node, text)
