"""The page in a real browser, from disk: what a person can do with it, and what it never does."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import modescope as ms
from modescope.blocks import Axis, Curve, Edge, Graph, Heatmap, Mark, Node, Note, Section, Series, Table
from modescope.render._plain import plain
from modescope.render.html import frame, render
from modescope.reporting import network, report
from modescope.reports import Report
from page_cases import Watched, browser, opened, until, written
from report_cases import HOSTILE, every_block, long, overview, tail, wide

LINKS = "td a"
SHOWN = "main:not([hidden])"
FOCUSED = "document.activeElement.matches('td a') && document.activeElement.innerText"  # a heading may read alike


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    made = {"demo": report(ms.demo_path()), "every": every_block(), "wide": wide(1000), "long": long(10_000)}
    return {name: written(one, folder / f"{name}.html") for name, one in made.items()}


@pytest.fixture
def demo(chromium: Any, pages: dict[str, str]) -> Iterator[Watched]:
    with opened(chromium, pages["demo"]) as page:
        yield page
        assert page.faults == []
        assert page.requests == [pages["demo"]]


@pytest.fixture
def every(chromium: Any, pages: dict[str, str]) -> Iterator[Watched]:
    with opened(chromium, pages["every"]) as page:
        yield page
        assert page.faults == []
        assert page.requests == [pages["every"]]


def drawn(page: Watched, count: int) -> None:
    """Wait until so many charts are drawn, scrolling to each as a reader would."""
    for index in range(count):
        chart = page.locator(f"{SHOWN} .drawing").nth(index)
        chart.scroll_into_view_if_needed()
        until(partial(chart.get_attribute, "data-drawn"))


def headed(page: Any, title: str) -> None:
    """Wait for the view of a section."""
    until(lambda: page.locator(f"{SHOWN} h2").first.inner_text() == title)


def first_cells(page: Watched) -> list[str]:
    found: list[str] = page.locator(f"{SHOWN} .overview tbody tr:not(.spacer) td:first-child").all_inner_texts()
    return found


def test_the_shipped_network_opens_with_a_strip_and_a_table_and_asks_for_nothing(demo: Watched) -> None:
    assert demo.locator("h1").inner_text() == ms.demo_path().name
    assert demo.locator(".strip canvas").count() == 2
    assert first_cells(demo) == [row.name for row in ms.scan(ms.demo_path())]


def test_the_page_of_the_shipped_network_is_small() -> None:
    assert len(render(report(ms.demo_path())).encode()) < 1_200_000


def test_a_layer_opens_with_its_charts_drawn_and_the_address_names_it(demo: Watched) -> None:
    demo.locator(LINKS).first.click()
    headed(demo, "0.weight")
    assert demo.evaluate("location.hash") == "#layer=0.weight"
    assert demo.evaluate("document.activeElement.tagName") == "H2"
    drawn(demo, 3)
    painted = demo.evaluate(
        """[...document.querySelectorAll('main:not([hidden]) .drawing canvas')].map(canvas =>
            new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)"""
    )
    assert all(colours > 20 for colours in painted)


def test_a_cell_of_the_strip_opens_its_layer(demo: Watched) -> None:
    box = demo.locator(".cells canvas").bounding_box()
    demo.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    assert "8.weight" in demo.locator(".strip .readout").inner_text()
    demo.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + 20)
    headed(demo, "8.weight")


def test_the_chosen_column_colours_the_strip(every: Watched) -> None:
    every.locator(".strip select").select_option(label="alpha")
    assert every.locator(".strip .legend").inner_text().split() == ["2", "2.74", "no", "value"]


def test_a_deep_link_opens_its_layer_and_the_back_button_leads_to_the_overview(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["demo"] + "#layer=3.weight") as page:
        headed(page, "3.weight")
        page.keyboard.press("]")
        headed(page, "8.weight")
        page.go_back()
        headed(page, "3.weight")
        page.keyboard.press("Escape")
        page.locator(f"{SHOWN} .overview").wait_for()
        assert page.faults == []


def test_an_address_of_nothing_is_told(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["demo"] + "#layer=%E0%A4%A") as page:
        assert "no section" in page.locator(".note.error").inner_text()
        assert page.faults == []


def test_the_page_can_be_walked_by_keyboard_alone(demo: Watched) -> None:
    for _ in range(40):
        demo.keyboard.press("Tab")
        if demo.evaluate("document.activeElement.matches('td a')"):
            break
    assert demo.evaluate("document.activeElement.innerText") == "0.weight"
    demo.keyboard.press("ArrowDown")
    demo.keyboard.press("ArrowDown")
    assert demo.evaluate("document.activeElement.innerText") == "3.weight"
    demo.keyboard.press("Enter")
    headed(demo, "3.weight")
    demo.keyboard.press("[")
    headed(demo, "10.weight")
    demo.keyboard.press("Escape")
    until(lambda: demo.evaluate(f"({FOCUSED}) === '10.weight'"))


def test_a_click_on_a_heading_sorts_and_missing_numbers_come_last_both_ways(every: Watched) -> None:
    heading = every.get_by_role("button", name="alpha")
    heading.click()
    assert every.locator("th", has=heading).get_attribute("aria-sort") == "ascending"
    up = [cells.split("\t")[5] for cells in every.locator(".overview tbody tr").all_inner_texts()]
    heading.click()
    assert every.locator("th", has=heading).get_attribute("aria-sort") == "descending"
    down = [cells.split("\t")[5] for cells in every.locator(".overview tbody tr").all_inner_texts()]
    assert up[:3] == ["2", "2.37", "2.74"]
    assert down[:3] == up[:3][::-1]
    assert up[3] == down[3]


FILTERS: tuple[tuple[str, set[str]], ...] = (
    ("conv2", {"conv2.weight"}),
    ("alpha > 2.1", {"conv2.weight", "fc"}),
    ("alpha > 2.1, norm < 5", {"fc"}),
    ("sig >= 3", {"head.weight"}),
    ("kind = conv", set()),
    ("shape = 64×32", {"conv1.weight"}),
    ("SHORT tail and norm>2", {"head.weight"}),
)


def test_the_filter_keeps_what_holds(every: Watched) -> None:
    for typed, kept in FILTERS:
        every.locator("input[type=search]").first.fill(typed)
        until(lambda wanted=kept: {name.split()[0] for name in first_cells(every)} == wanted)
        assert every.locator(".filter [role=status]").inner_text() == f"{len(kept)} of 4 rows"


def test_a_condition_on_an_unknown_column_is_told(every: Watched) -> None:
    every.locator("input[type=search]").first.fill("beta > 2")
    assert "beta" in every.locator(".filter .fault").inner_text()
    assert len(first_cells(every)) == 4


def test_hostile_names_stay_text_everywhere(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["every"]) as page:
        assert page.locator("[onerror], #page b, #page img[src=x]").count() == 0
        page.locator(LINKS).nth(2).click()
        headed(page, plain(f"fc {HOSTILE}"))
        drawn(page, 2)
        assert page.locator("[onerror], #page b, #page img[src=x]").count() == 0
        text = page.locator("body").inner_text()
        assert "\x1b" not in text
        assert "\u202e" not in text
        address = page.evaluate("location.hash")
        assert page.faults == []
    with opened(chromium, pages["every"] + address) as page:
        headed(page, plain(f"fc {HOSTILE}"))


BROKEN = [
    {"type": "curve", "title": "No axes", "series": 3},
    {"type": "dance", "title": "Unknown"},
    {"type": "table", "title": "No rows", "columns": ["a"]},
    {"type": "histogram", "title": "No counts", "x": {"label": "x"}, "y": {"label": "y"}, "edges": [0, 1], "counts": None},
    None,
]


def test_a_broken_block_is_an_error_card_and_the_page_lives(chromium: Any, tmp_path: Path) -> None:
    text = render(Report((Note("before"), Note("PLACE"), Note("after")), {}, "rows"))
    place = '{"type":"note","text":"PLACE"}'
    assert place in text
    path = tmp_path / "broken.html"
    path.write_text(text.replace(place, ",".join(map(json.dumps, BROKEN))), encoding="utf-8")
    with opened(chromium, path.as_uri()) as page:
        page.get_by_text("before").wait_for()
        until(lambda: page.locator(".note.error").count() == len(BROKEN))
        assert page.get_by_text("after").is_visible()


@pytest.mark.parametrize("damage", [('"modescope.report/1"', '"modescope.report/2"'), ('"blocks":[', '"blocks":{')])
def test_a_newer_or_damaged_report_is_told_in_the_page(chromium: Any, tmp_path: Path, damage: tuple[str, str]) -> None:
    path = tmp_path / "damaged.html"
    path.write_text(render(every_block()).replace(*damage, 1), encoding="utf-8")
    with opened(chromium, path.as_uri()) as page:
        assert "cannot be read" in page.locator(".note.error").inner_text()


@pytest.mark.parametrize(("kind", "starts"), [("PNG", b"\x89PNG\r\n\x1a\n"), ("SVG", b"<svg"), ("CSV", b"series,name,eigenvalue")])
def test_a_chart_is_saved_as(chromium: Any, pages: dict[str, str], kind: str, starts: bytes) -> None:
    with opened(chromium, pages["every"] + "#layer=conv1.weight") as page:
        with page.expect_download() as download:
            page.get_by_role("button", name=f"{kind} of Tail").click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(starts)
        assert download.value.suggested_filename == f"Tail.{kind.lower()}"
        if kind == "CSV":
            assert len(content.splitlines()) == 1 + 3 * 20
        assert page.faults == []


HOSTILE_CHARTS = Report(
    (
        Curve(
            HOSTILE, Axis(HOSTILE), Axis(HOSTILE), (Series(HOSTILE, (1, 2), (1, 2), texts=(HOSTILE, "")),), (Mark(1.5, HOSTILE),)
        ),
        Heatmap(HOSTILE, Axis(HOSTILE), Axis("y"), ((1, 2), (3, 4)), (0, 2), (0, 2), x_names=(HOSTILE, "b")),
        Graph(HOSTILE, (Node("a", HOSTILE), Node("b", HOSTILE, 1, 2.0)), (Edge("a", "b", 1.0, text=HOSTILE),), HOSTILE),
    ),
    {},
    "rows",
)


def test_a_saved_svg_is_well_formed_and_names_in_it_are_text(chromium: Any, tmp_path: Path) -> None:
    with opened(chromium, written(HOSTILE_CHARTS, tmp_path / "hostile.html")) as page:
        drawn(page, 3)
        for index in range(3):
            with page.expect_download() as download:
                page.get_by_role("button", name="SVG of").nth(index).click()
            root = ElementTree.fromstring(Path(download.value.path()).read_text())
            tags = {element.tag.rpartition("}")[2] for element in root.iter()}
            assert not tags & {"img", "b", "script", "foreignObject"}
            assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
            assert plain(HOSTILE)[:20] in "".join(root.itertext())
        assert page.faults == []


def test_the_report_in_the_page_is_saved_and_opens_again(every: Watched, tmp_path: Path) -> None:
    with every.expect_download() as download:
        every.get_by_role("button", name="Save JSON").click()
    download.value.save_as(tmp_path / "saved.json")
    from modescope.reports.form import load_report

    assert load_report(tmp_path / "saved.json") == every_block()


def test_a_table_is_saved_whole_and_no_cell_is_a_formula(chromium: Any, tmp_path: Path) -> None:
    made = Report((Table("t", ("name", "number"), (("=1+1", 1.5), ('a "b", c', None))),), {}, "rows")
    with opened(chromium, written(made, tmp_path / "t.html")) as page:
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV of t").click()
        assert Path(download.value.path()).read_text() == 'name,number\n\'=1+1,1.5\n"a ""b"", c",\n'


@pytest.mark.parametrize("kind", ["Spectral neurons", "Overlaps"])
def test_every_chart_has_its_numbers_in_a_table_behind_it(every: Watched, kind: str) -> None:
    card = every.locator("figure", has=every.get_by_role("heading", name=kind, exact=True))
    card.locator("summary", has_text="Numbers").click()
    until(lambda: card.locator("tbody tr").count() == {"Spectral neurons": 32, "Overlaps": 6}[kind])


def test_the_slider_opens_edges_that_are_not_significant(every: Watched) -> None:
    slider = every.get_by_role("slider")
    assert every.locator(".slider span").inner_text() == "8 significant edges"
    slider.focus()
    every.keyboard.press("End")
    assert every.locator(".slider span").inner_text() == "8 significant edges and 24 others (p up to 1)"


def test_a_node_opens_its_layer_from_the_drawing_and_from_the_list(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["every"]) as page:
        drawn(page, 1)
        box = page.locator(".drawing").first.bounding_box()
        page.mouse.dblclick(box["x"] + 14, box["y"] + 20 + (box["height"] - 72) / 8)
        headed(page, "conv1.weight")
        page.keyboard.press("Escape")
        page.locator("summary", has_text="Nodes").click()
        page.locator(".nodes a", has_text="mode 2 of head.weight").click()
        headed(page, "head.weight")
        assert page.faults == []


def test_code_is_shown_to_be_copied_where_there_is_no_clipboard(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["every"]) as page:
        page.evaluate("document.execCommand = () => false; Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.get_by_role("button", name="Copy as Python").first.click()
        assert page.locator("pre.code").inner_text().startswith("import modescope as ms")


def ground(page: Watched) -> int:
    """Brightness of the ground, 0 to 765."""
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_dark_follows_the_system_and_the_button_overrules_it(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["every"], color_scheme="dark") as page:
        assert ground(page) < 150
        button = page.get_by_role("button", name="Theme")
        button.click()
        assert button.inner_text() == "Theme: light"
        assert ground(page) > 600
        page.reload()
        assert ground(page) > 600  # remembered
        page.get_by_role("button", name="Theme").click()
        assert ground(page) < 150
        assert page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "#layer=conv1.weight"])
def test_axe_finds_no_serious_fault(chromium: Any, pages: dict[str, str], scheme: str, address: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(chromium, pages["every"] + address, color_scheme=scheme) as page:
        drawn(page, 2)
        page.locator(f"{SHOWN} summary", has_text="Numbers").first.click()
        found = axe.run(page.page).response["violations"]
        assert [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")] == []


def test_nothing_is_wider_than_a_narrow_window(chromium: Any, pages: dict[str, str]) -> None:
    for address in ("", "#layer=conv1.weight"):
        with opened(chromium, pages["every"] + address, viewport={"width": 400, "height": 800}) as page:
            drawn(page, 2)
            assert page.evaluate("document.documentElement.scrollWidth") <= 400


DEEP = tuple(
    f"encoder.layer.{block}.{part}.weight"
    for block in range(5)
    for part in ("attention.output.dense", "attention.self.query", "attention.self.value", "output.dense")
)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network whose names are long, with more columns and a note as a real one has."""
    table = overview((*DEEP, "embeddings.position_embeddings.weight"))
    columns = (
        *table.columns[:-1],
        "stable rank",
        "change, Frobenius",
        "MP fit",
        "rank of change",
        "written modes",
        "crossings",
        "note",
    )
    note = "threshold by 19 permutation twins (theory: 103 signal modes); tail: exploratory"
    rows = tuple((*row[:-1], 12.34, 0.04062, 3.169, 384, 0, 0, note) for row in table.rows)
    about = (*table.about, *[""] * 6)
    made = Report((replace(table, columns=columns, rows=rows, about=about),), {}, "rows")
    return written(made, tmp_path_factory.mktemp("deep") / "deep.html")


def test_the_usual_overview_fits_a_window_and_a_narrow_one_fades_where_it_is_cut(chromium: Any, deep: str) -> None:
    cut = "document.querySelector('.scroll').dataset.cut"
    with opened(chromium, deep) as page:
        page.locator(LINKS).first.wait_for()
        assert page.evaluate(
            f"[document.querySelector('.scroll').scrollWidth <= document.querySelector('.scroll').clientWidth, {cut}]"
        ) == [
            True,
            "",
        ]
    with opened(chromium, deep, viewport={"width": 400, "height": 800}) as page:
        until(lambda: page.evaluate(cut) == "right")
        assert "gradient" in page.evaluate("getComputedStyle(document.querySelector('.scroll')).maskImage")
        page.evaluate("document.querySelector('.scroll').scrollLeft = 100")
        until(lambda: page.evaluate(cut) == "left right")
        page.evaluate("document.querySelector('.scroll').scrollLeft = 10000")
        until(lambda: page.evaluate(cut) == "left")


LINES_OF_A_NAME = """link => {
    const text = [...link.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
    const lines = new Map();
    for (const node of text) {
        const range = document.createRange();
        for (let at = 0; at < node.length; at += 1) {
            range.setStart(node, at);
            range.setEnd(node, at + 1);
            const top = Math.round(range.getBoundingClientRect().top);
            lines.set(top, (lines.get(top) ?? '') + node.data[at]);
        }
    }
    return [...lines.values()];
}"""


@pytest.mark.parametrize("width", [1280, 400])
def test_a_long_name_breaks_after_its_dots(chromium: Any, deep: str, width: int) -> None:
    with opened(chromium, deep, viewport={"width": width, "height": 800}) as page:
        for index, name in enumerate(DEEP[:4]):
            lines = page.locator(LINKS).nth(index).evaluate(LINES_OF_A_NAME)
            assert "".join(lines) == name
            assert len(lines) > 1
            assert all(line.endswith(".") for line in lines[:-1])


def painted_names(page: Watched) -> list[str]:
    """Texts that the strip paints when it is drawn again."""
    page.evaluate(
        """() => {
            const paint = CanvasRenderingContext2D.prototype.fillText;
            window.texts = [];
            CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
                window.texts.push([text, this.measureText(text).width]);
                return paint.call(this, text, ...rest);
            };
        }"""
    )
    box = page.locator(".cells canvas").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    until(lambda: page.locator(".readout").inner_text().startswith(DEEP[0]))
    return [text for text, _ in page.evaluate("window.texts")]


def test_names_under_small_pictures_tell_the_layers_apart(chromium: Any, deep: str) -> None:
    with opened(chromium, deep) as page:
        names = painted_names(page)
        assert len(set(names)) == len(DEEP) + 1
        for name, whole in zip(names, DEEP, strict=False):
            assert whole.split(".")[2] in re.split(r"[\u2026.]", name)
            assert "weight" not in name


def test_without_room_for_names_the_readout_says_them(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["wide"], viewport={"width": 390, "height": 800}) as page:
        box = page.locator(".cells canvas").bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        until(lambda: page.locator(".readout").inner_text().startswith("blocks.0.q.0:"))


TEXTS = """[...document.querySelectorAll('text')].map(text => {
    const box = text.getBoundingClientRect();
    return [text.textContent, box.left, box.top, box.right, box.bottom];
})"""
Box = tuple[str, float, float, float, float]


def texts_of(chromium: Any, curve: Curve, folder: Path) -> list[Box]:
    """What a drawing says and where: the texts of its saved picture."""
    with opened(chromium, written(Report((curve,), {}, "rows"), folder / "curve.html")) as page:
        drawn(page, 1)
        with page.expect_download() as download:
            page.get_by_role("button", name="SVG of").click()
        saved = folder / "curve.svg"
        download.value.save_as(saved)
        page.goto(saved.as_uri())
        found: list[Box] = [tuple(box) for box in page.evaluate(TEXTS)]
        return found


def strands(count: int) -> Curve:
    series = tuple(Series(f"strand {k}", (0, 1, 2, 3), (1.0 + k, 2.5, None, 0.5 * k)) for k in range(count))
    return Curve("Strands", Axis("checkpoint"), Axis("value"), series, caption="Told.")


def test_between_checkpoints_the_axis_names_nothing(chromium: Any, tmp_path: Path) -> None:
    found = texts_of(chromium, strands(3), tmp_path)
    foot = max(box[2] for box in found if box[0] == "1")  # the line of numbers under the drawing
    assert [box[0] for box in found if abs(box[2] - foot) < 3] == ["0", "1", "2", "3"]


def test_more_series_than_a_legend_can_name_are_counted(chromium: Any, tmp_path: Path) -> None:
    assert {f"strand {k}" for k in range(8)} <= {box[0] for box in texts_of(chromium, strands(8), tmp_path)}
    assert not [box[0] for box in texts_of(chromium, strands(9), tmp_path) if box[0].startswith("strand")]
    with opened(chromium, (tmp_path / "curve.html").as_uri()) as page:
        assert page.locator("figcaption").inner_text().startswith("Told. 9 series")


def test_a_series_without_numbers_keeps_its_colour_and_is_not_in_the_legend(chromium: Any, tmp_path: Path) -> None:
    one, two, three = strands(3).series
    empty = replace(two, y=(None,) * 4)
    found = [box[0] for box in texts_of(chromium, replace(strands(3), series=(one, empty, three)), tmp_path)]
    assert [text for text in found if text.startswith("strand")] == ["strand 0", "strand 2"]
    third = "#8c6d00"
    assert third in (tmp_path / "curve.svg").read_text()


def test_names_of_points_overprint_neither_each_other_nor_the_axis_and_the_first_stays(chromium: Any, tmp_path: Path) -> None:
    x = tuple(range(300))
    y = tuple(11.0 * (k + 1) ** -0.4 for k in x)
    texts = tuple(f"mode {k}" if k < 6 or k == 299 else "" for k in x)
    curve = Curve("Modes", Axis("mode"), Axis("value", log=True), (Series("s", x, y, drawn="points", texts=texts),))
    found = texts_of(chromium, curve, tmp_path)
    labels = [box for box in found if box[0].startswith("mode ")]
    assert {"mode 0", "mode 299"} <= {box[0] for box in labels}
    for label in labels:
        for other in found:
            apart = label[3] <= other[1] or other[3] <= label[1] or label[4] <= other[2] + 2 or other[4] <= label[2] + 2
            assert apart or other == label


def test_a_thousand_layers_are_walked_by_pointer_and_by_keyboard(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["wide"]) as page:
        box = page.locator(".cells canvas").bounding_box()
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        headed(page, "blocks.0.q.0")
        page.keyboard.press("Escape")
        until(lambda: page.evaluate(f"({FOCUSED}) === 'blocks.0.q.0'"))
        page.keyboard.press("End")
        until(lambda: page.evaluate(f"({FOCUSED}) === 'blocks.166.out.999'"))
        page.keyboard.press("Enter")
        headed(page, "blocks.166.out.999")
        assert page.faults == []


def test_ten_thousand_rows_scroll_with_few_of_them_drawn(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["long"]) as page:
        table = page.locator("table")
        assert table.get_attribute("aria-rowcount") == "10001"
        for share in (0.2, 0.5, 1.0):
            page.evaluate(f"(s => s.scrollTop = s.scrollHeight * {share})(document.querySelector('.scroll'))")
            page.wait_for_timeout(60)
            assert table.locator("tr").count() < 200
        assert page.locator("tr[aria-rowindex='10001'] td").first.inner_text() == "row 9999"
        page.get_by_role("button", name="number").click()
        page.evaluate("document.querySelector('.scroll').scrollTop = 0")
        page.wait_for_selector("tr[aria-rowindex='2']")
        assert page.locator("tr[aria-rowindex='2'] td").nth(1).inner_text() == "0"
        assert page.faults == []


def test_on_paper_tables_are_whole_charts_are_drawn_and_controls_are_gone(
    chromium: Any, pages: dict[str, str], tmp_path: Path
) -> None:
    with opened(chromium, pages["wide"], color_scheme="dark") as page:
        page.locator(LINKS).first.wait_for()
        page.emulate_media(media="print")
        until(lambda: page.evaluate("document.querySelectorAll('tbody tr').length === 1000"))
        assert not page.locator(".actions").is_visible()
        assert page.faults == []
    many = written(Report((tail(),) * 12, {}, "rows"), tmp_path / "many.html")
    with opened(chromium, many, viewport={"width": 800, "height": 200}) as page:
        assert page.locator("[data-drawn]").count() < 12
        page.emulate_media(media="print")
        until(lambda: page.locator("[data-drawn]").count() == 12)


def test_the_frame_for_notebooks_works_without_an_address_or_storage(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><body>{frame(every_block())}", encoding="utf-8")
    with opened(chromium, path.as_uri()) as page:
        inner = page.frame_locator("iframe")
        inner.locator(LINKS).nth(1).click()
        headed(inner, "conv2.weight")
        assert [one.evaluate("location.hash") for one in page.frames] == ["", ""]
        inner.get_by_role("button", name="Theme").click()
        inner.locator(f"{SHOWN} h2").press("Escape")
        inner.locator(f"{SHOWN} .overview").wait_for()
        assert page.faults == []


def test_an_unfolded_section_is_drawn_in_place_and_a_folded_one_is_offered(chromium: Any, tmp_path: Path) -> None:
    made = Report((Section("Open", (Note("seen"),)), Section("Shut", (Note("later"),), "about=shut", folded=True)), {}, "rows")
    with opened(chromium, written(made, tmp_path / "s.html")) as page:
        assert page.get_by_text("seen").is_visible()
        assert page.get_by_text("later").count() == 0
        page.get_by_role("link", name="Shut").click()
        page.get_by_text("later").wait_for()


def test_without_scripts_the_first_table_and_the_notes_are_there(chromium: Any, pages: dict[str, str]) -> None:
    with opened(chromium, pages["every"], java_script_enabled=False) as page:
        assert page.locator("noscript td").count() == 4 * 7
        assert plain(f"fc {HOSTILE}") in page.locator("noscript").inner_text()
        assert "conv2.weight is short" in page.locator("noscript").inner_text()


@pytest.mark.parametrize("least", [1.0, 13.696530224932078, 1e300])
@pytest.mark.parametrize("log", [False, True])
def test_values_that_differ_by_rounding_alone_are_drawn(chromium: Any, tmp_path: Path, least: float, log: bool) -> None:
    series = (Series("same", (0.0, 1.0, 2.0), (least, math.nextafter(least, math.inf), least)),)
    made = Report((Curve("Frozen", Axis("step"), Axis("value", log=log), series),), {}, "rows")
    with opened(chromium, written(made, tmp_path / "frozen.html")) as page:
        drawn(page, 1)
        assert page.faults == []


def test_a_name_that_is_a_word_of_the_language_is_a_name(chromium: Any, tmp_path: Path) -> None:
    names = ("__proto__", "constructor", "toString", "hasOwnProperty")
    series = tuple(Series(name, (0.0, 1.0), (1.0, 2.0)) for name in names)
    rows = tuple((name, 1.0) for name in names)
    blocks = (
        Table("", names[:2], rows, links=names, pictures=((1.0, 2.0),) * len(names)),
        Curve("Words", Axis("x"), Axis("y"), series),
    )
    with opened(chromium, written(Report(blocks, {}, "rows"), tmp_path / "words.html")) as page:
        drawn(page, 1)
        assert page.evaluate("Object.keys(Object.prototype)") == []
        assert page.faults == []


def test_half_a_surrogate_pair_in_a_name_costs_no_layer(chromium: Any, tmp_path: Path) -> None:
    name = "bad\ud800.weight"
    made = network(ms.scan({name: np.eye(20), "good": np.eye(20)}))
    with opened(chromium, written(made, tmp_path / "half.html")) as page:
        page.get_by_role("link", name="good").wait_for()
        page.locator(LINKS).first.click()
        until(lambda: page.locator("h2:visible").first.inner_text().startswith("bad"))
        assert page.faults == []
        page.reload()
        until(lambda: page.locator("h2:visible").first.inner_text().startswith("bad"))
