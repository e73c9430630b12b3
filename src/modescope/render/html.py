"""One self-contained HTML page: tables and notes, no script, no request."""

from html import escape
from typing import assert_never

from modescope.blocks import Block, Note, Table
from modescope.render._plain import cell, plain
from modescope.report import Report

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Modescope</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 100rem; padding: 0 1rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding: .5rem 0; }}
th, td {{ padding: .2rem .8rem; text-align: left; white-space: nowrap; }}
tr {{ border-bottom: 1px solid color-mix(in srgb, currentColor 15%, transparent); }}
td.number {{ text-align: right; }}
td:last-child:not(.number) {{ white-space: normal; min-width: 18rem; }}
p {{ max-width: 50rem; }}
</style>
{body}
</html>
"""


def render(report: Report, /) -> str:
    """A page that opens from disk under a policy that allows no script and no request; every text is escaped."""
    return PAGE.format(body="\n".join(_element(block) for block in report.blocks))


def _element(block: Block) -> str:
    match block:
        case Table():
            head = "".join(f'<th scope="col">{escape(plain(name))}</th>' for name in block.columns)
            body = "\n".join(
                "<tr>"
                + "".join(f"<td{'' if isinstance(v, str) else ' class=number'}>{escape(cell(v))}</td>" for v in row)
                + "</tr>"
                for row in block.rows
            )
            caption = f"<caption>{escape(plain(block.title))}</caption>" if block.title else ""
            return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
        case Note():
            return f"<p>{escape(plain(block.text))}</p>"
        case _:
            assert_never(block)
