"""The page as text: what is in it, what its policy allows, and that it opens again."""

import base64
import hashlib
import importlib.util
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from modescope.blocks import Note, Table
from modescope.render._plain import plain
from modescope.render.html import frame, policy, render, served
from modescope.reports import Report
from modescope.reports.form import OPEN, dumps, load_report
from report_cases import HOSTILE, every_block, wide

ROOT = Path(__file__).parents[2]


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag in self.CDATA_CONTENT_ELEMENTS:
            self.texts.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            self.texts[self.cdata_elem][-1] += data


def test_the_saved_form_in_the_page_opens_again(tmp_path: Path) -> None:
    every_block().save(tmp_path / "page.html")
    assert load_report(tmp_path / "page.html") == every_block()


def test_the_saved_form_in_the_page_holds_no_character_that_html_reads() -> None:
    text = render(every_block()).partition(OPEN)[2].partition("</script>")[0]
    assert not set("<>&\u2028\u2029\u202e\x1b") & set(text)


def test_no_report_adds_an_element_to_the_page_or_an_attribute() -> None:
    hostile = Report(
        (Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), about=(HOSTILE,)), Note(HOSTILE)), {HOSTILE: HOSTILE}, HOSTILE, HOSTILE, HOSTILE
    )
    tame = Report((Table("t", ("t",), (("t",),), about=("t",)), Note("t")), {"t": "t"}, "t", "t", "t")
    assert Elements(render(hostile)).found == Elements(render(tame)).found


def test_the_policy_allows_the_script_and_the_style_of_the_page_and_nothing_else() -> None:
    for page, given in ((render(every_block()), policy()), (served("x"), policy(served=True))):
        elements = Elements(page)
        allowed = next(
            attributes["content"] for _, attributes in elements.found if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert allowed == given
        hashes = {kind: _hash(elements.texts[kind][-1]) for kind in ("script", "style")}
        assert f"script-src 'sha256-{hashes['script']}';" in given
        assert f"style-src 'sha256-{hashes['style']}';" in given
        assert "unsafe" not in given
        assert given.startswith("default-src 'none'")
    assert "connect-src" not in policy()
    assert "connect-src 'self'" in policy(served=True)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_page_refers_to_nothing_outside() -> None:
    elements = Elements(render(every_block()))
    told = [
        value
        for _, attributes in elements.found
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action")
    ]
    assert told == ["data:,"]
    assert not re.search(r"@import|url\(", elements.texts["style"][0])


def test_the_page_of_a_server_says_so_and_holds_no_report() -> None:
    page = served("A <b>title</b>")
    assert '<script type="application/json" id="server">{}</script>' in page
    assert OPEN not in page
    assert "<title>A &lt;b&gt;title&lt;/b&gt;</title>" in page


def test_the_frame_holds_the_whole_page_and_may_not_reach_the_notebook() -> None:
    elements = Elements(frame(every_block())).found
    assert [tag for tag, _ in elements] == ["iframe"]
    assert elements[0][1]["srcdoc"] == render(every_block())
    assert set((elements[0][1]["sandbox"] or "").split()) == {"allow-scripts", "allow-downloads"}


def test_names_are_visible_without_scripts() -> None:
    fallback = unescape(render(every_block()).partition("<noscript>")[2].partition("</noscript>")[0])
    assert plain(f"fc {HOSTILE}") in fallback


def test_a_page_is_its_script_and_the_saved_form() -> None:
    assert len(render(wide(1000))) < len(served("x")) + len(dumps(wide(1000))) * 1.5


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("page_script", ROOT / "scripts/page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_built_page_is_that_of_its_sources() -> None:
    assert not _script().stale(ROOT / "web", ROOT / "src/modescope/data/page")


@pytest.mark.parametrize("changed", ["web/src/words.ts", "web/package-lock.json", "built/page.css", "built/page.js"])
def test_a_change_of_the_sources_or_of_the_built_page_alone_is_stale(tmp_path: Path, changed: str) -> None:
    script = _script()
    shutil.copytree(ROOT / "web", tmp_path / "web", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(ROOT / "src/modescope/data/page", tmp_path / "built")
    assert not script.stale(tmp_path / "web", tmp_path / "built")
    path = tmp_path / changed
    path.write_bytes(path.read_bytes() + b"\n")
    assert script.stale(tmp_path / "web", tmp_path / "built")
    script.stamp(tmp_path / "web", tmp_path / "built")
    assert not script.stale(tmp_path / "web", tmp_path / "built")


def test_the_licences_of_what_is_bundled_are_beside_it() -> None:
    text = (ROOT / "src/modescope/data/page/page.LICENSES.txt").read_text(encoding="utf-8")
    for name in ("echarts", "zrender", "preact", "tslib"):
        assert re.search(rf"^{name} [\d.]+, ", text, re.MULTILINE)
