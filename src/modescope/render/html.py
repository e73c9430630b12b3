"""One self-contained interactive page that opens from disk: the saved report with the script that draws it, no request."""

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from html import escape
from importlib.resources import files

from modescope.blocks import Block, Note, Table
from modescope.render._plain import cell, plain
from modescope.reports import Report
from modescope.reports.form import CLOSE, OPEN, dumps

SUFFIX = ".html"

# A report of a thousand layers is read as a page; what a reader without scripts gets is an excerpt of it.
ROWS = 1000
TEXT = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
SERVER = '<script type="application/json" id="server">{}</script>'
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
{data}
<style>{style}</style>
</head>
<body>
<div id="page"></div>
<noscript>
{fallback}
</noscript>
<script>{script}</script>
</body>
</html>
"""


def render(report: Report, /) -> str:
    """A page that opens from disk under a policy that allows its own script and style and no request.

    The saved form of the report is in it, so that `load_report` opens the page as well. Every text in it is data: the script
    draws it as text.
    """
    data = OPEN + dumps(report).translate(TEXT) + CLOSE
    return _page(_title(report.title), data, "\n".join(_fallback(report)), served=False)


def served(title: str) -> str:
    """The same page without a report: it asks the server that it came from."""
    return _page(_title(title), SERVER, "<p>This page needs JavaScript.</p>", served=True)


def frame(report: Report) -> str:
    """The page in a frame for notebooks, which keeps it from the notebook and the notebook from it."""
    return (
        '<iframe sandbox="allow-scripts allow-downloads" style="width:100%;height:44rem;border:0" loading="lazy" '
        f'title="{_title(report.title)}" srcdoc="{escape(render(report))}"></iframe>'
    )


def policy(*, served: bool = False) -> str:
    """The Content-Security-Policy under which the page works.

    Args:
        served: The page may ask the server that it came from.
    """
    script, style = _built()
    allowed = {
        "default-src": "'none'",
        "script-src": f"'sha256-{_hash(script)}'",
        "style-src": f"'sha256-{_hash(style)}'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    } | ({"connect-src": "'self'"} if served else {})
    return "; ".join(f"{kind} {sources}" for kind, sources in allowed.items())


def _page(title: str, data: str, fallback: str, *, served: bool) -> str:
    script, style = _built()
    return PAGE.format(policy=policy(served=served), title=title, data=data, style=style, fallback=fallback, script=script)


@cache
def _built() -> tuple[str, str]:
    """Script and style sheet as they were built."""
    home = files("modescope").joinpath("data", "page")
    script, style = (home.joinpath(name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    return script, style


@cache
def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _title(title: str) -> str:
    return escape(plain(title))


def _fallback(report: Report) -> Iterator[str]:
    """What a reader without scripts gets: the title, the first table and the notes beside it."""
    yield f"<h1>{_title(report.title)}</h1>"
    table = next((block for block in report.blocks if isinstance(block, Table)), None)
    if table is not None:
        yield _table(table)
    yield from (f"<p>{escape(plain(note.text))}</p>" for note in _notes(report.blocks))
    yield "<p>With JavaScript this page shows more.</p>"


def _notes(blocks: tuple[Block, ...]) -> Iterator[Note]:
    return (block for block in blocks if isinstance(block, Note))


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(plain(name))}</th>' for name in table.columns)
    lines = ("<tr>" + "".join(f"<td>{escape(cell(value))}</td>" for value in row) + "</tr>" for row in table.rows[:ROWS])
    caption = f"<caption>{escape(plain(table.title))}</caption>" if table.title else ""
    body = "\n".join(lines)
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
