"""Results in a notebook: a real kernel runs the cells, and what they show is a frame that cannot reach the notebook."""

import html
import json
import re

import nbformat
import pytest
from nbclient import NotebookClient

from modescope.reports.form import CLOSE, OPEN, loads

CELLS = (
    "import modescope as ms\nscan = ms.scan(ms.demo_path(), twin=True)\nscan",
    "ms.report(scan)",
    "ms.inspect(ms.demo_path())",
)


@pytest.fixture(scope="module")
def shown() -> list[str]:
    """The HTML that each cell shows."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=60).execute()
    return [cell.outputs[-1]["data"]["text/html"] for cell in notebook.cells]


@pytest.mark.slow
def test_every_result_is_shown_in_a_sandboxed_frame(shown: list[str]) -> None:
    for page in shown:
        (frame,) = re.findall(r"<iframe[^>]*>", page)
        sandbox = re.search(r'sandbox="([^"]*)"', frame)
        assert sandbox is not None
        assert "allow-same-origin" not in sandbox[1]
        assert "<script" not in page  # only inside the frame, where it is quoted


@pytest.mark.slow
def test_the_frame_holds_the_whole_report(shown: list[str]) -> None:
    for page in shown[:2]:
        inside = html.unescape(re.search(r'srcdoc="([^"]*)"', page)[1])  # type: ignore[index]
        text = inside.partition(OPEN)[2].partition(CLOSE)[0]
        report = loads(text, "cell")
        assert "8.weight" in json.dumps(report.document)
        assert report.blocks[0].links[3] == "layer=8.weight"  # type: ignore[union-attr]
