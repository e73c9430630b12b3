"""The drawing of a graph in a real browser: a click lights a path, the slider opens weaker edges, ten thousand are few strokes."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from graph_cases import HOSTILE_LAYER, large, planted
from modescope.blocks import Graph
from modescope.render._plain import plain
from modescope.reports import Report
from modescope.spectral_graph.page import report
from page_cases import Watched, browser, opened, until, written
from report_cases import graph, layered

LEFT, RIGHT, TOP, BOTTOM = 24, 40, 36, 52  # margins of a drawing without an axis under level headings
LANE = 0.6  # distance of lanes in columns
TOPMOST = ".loom canvas:last-child"
WATCH = """() => {
    const pens = CanvasRenderingContext2D.prototype;
    window.painted = {bezierCurveTo: [], stroke: [], arc: [], fillText: []};
    for (const name of Object.keys(window.painted)) {
        const paint = pens[name];
        pens[name] = function (...told) { window.painted[name].push(told); return paint.apply(this, told); };
    }
}"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def made() -> Report:
    return report(planted())


@pytest.fixture(scope="module")
def drawn(made: Report) -> Graph:
    return next(block for block in made.blocks if isinstance(block, Graph))


@pytest.fixture(scope="module")
def address(made: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(made, tmp_path_factory.mktemp("graph") / "graph.html")


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Watched]:
    """The planted graph, untangled, where every node stands at a place that is known."""
    with opened(chromium, address) as watched:
        watched.evaluate(WATCH)
        ready(watched)
        scale(watched, "order")
        yield watched
        assert watched.faults == []
        assert watched.requests == [address]


def ready(page: Watched) -> None:
    page.locator(".loom").scroll_into_view_if_needed()
    page.locator(".loom[data-drawn]").wait_for()


def scale(page: Watched, value: str) -> None:
    page.locator(".card .bar select").select_option(value)


def painted(page: Watched, name: str) -> list[list[Any]]:
    """What was painted since the last look."""
    found: list[list[Any]] = page.evaluate("name => window.painted[name].splice(0)", name)
    return found


def places(page: Watched, drawn: Graph) -> dict[str, tuple[float, float]]:
    """Where the nodes are in the window, counted by hand from their column, lane and rank."""
    stands = sorted({(node.column, node.lane) for node in drawn.nodes})
    at = [0.0]
    for before, after in itertools.pairwise(stands):
        at.append(at[-1] + (LANE if before[0] == after[0] else 1))
    page.locator(TOPMOST).scroll_into_view_if_needed()
    box = page.locator(TOPMOST).bounding_box()
    found = {}
    for node in drawn.nodes:
        place = (node.column, node.lane)
        size = sum((other.column, other.lane) == place for other in drawn.nodes)
        x = LEFT + at[stands.index(place)] / at[-1] * (box["width"] - LEFT - RIGHT)
        y = TOP + ((node.rank or 0) + 0.5) / size * (box["height"] - TOP - BOTTOM)
        found[node.key] = (box["x"] + x, box["y"] + y)
    return found


def through(drawn: Graph, key: str) -> set[tuple[str, str]]:
    """Significant edges that lead to a node or from it, walked one by one."""
    edges = [(edge.source, edge.target) for edge in drawn.edges if edge.significant]
    found: set[tuple[str, str]] = set()
    for near, far in ((1, 0), (0, 1)):
        ends = {key}
        for _ in edges:
            mine = {edge for edge in edges if edge[near] in ends}
            found |= mine
            ends |= {edge[far] for edge in mine}
    return found


def lit(page: Watched) -> bool:
    return "lit" in (page.locator(".loom").get_attribute("class") or "").split()


def chosen(page: Watched) -> str:
    text: str = page.locator("figure .readout").inner_text()
    return text


def test_a_click_on_a_node_lights_its_path_through_all_layers_and_a_second_one_clears_it(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)
    for key in ("1.0", "3.4", "0.0"):
        count = len(through(drawn, key))
        assert count >= 2
        page.mouse.click(*at[key])
        until(lambda key=key, count=count: f"path of {count} edges" in chosen(page))
        assert lit(page)
        page.mouse.click(*at[key])
        until(lambda: not lit(page))


def test_only_the_lit_path_is_painted_again(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)["1.0"]
    page.mouse.move(*at)
    until(lambda: page.locator(".tip").count())
    painted(page, "bezierCurveTo")
    page.mouse.click(*at)
    until(lambda: lit(page))
    assert len(painted(page, "bezierCurveTo")) == len(through(drawn, "1.0")) < 9


def test_a_click_on_an_edge_lights_what_leads_to_it_and_from_it(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)
    edge = next(edge for edge in drawn.edges if edge.source == "1.3")  # alone in the middle of its way
    (x1, y1), (x2, y2) = at[edge.source], at[edge.target]
    page.mouse.click((x1 + x2) / 2, (y1 + y2) / 2)
    until(lambda: lit(page))
    count = len(through(drawn, edge.source) | through(drawn, edge.target))
    assert f"path of {count} edges" in chosen(page)
    assert f"mode 3 of block.up.weight → mode 4 of {plain(HOSTILE_LAYER)}" in chosen(page)


def test_escape_and_the_button_and_the_ground_clear_the_path(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)["1.0"]
    for clear in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.get_by_role("button", name="Clear").click(),
        lambda: page.mouse.click(at[0] - 60, at[1] + 300),
    ):
        page.mouse.click(*at)
        until(lambda: lit(page))
        clear()
        until(lambda: not lit(page))


def test_the_tooltip_of_an_edge_names_both_ends_its_weight_its_p_and_its_law(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)
    edge = next(edge for edge in drawn.edges if edge.source == "1.3")
    (x1, y1), (x2, y2) = at[edge.source], at[edge.target]
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    until(lambda: page.locator(".tip").count())
    ends, weight, law = page.locator(".tip > div").all_inner_texts()
    assert ends == f"mode 3 of block.up.weight → mode 4 of {plain(HOSTILE_LAYER)}"
    assert re.fullmatch(r"weight 0\.\d+, p [\d.]+×10⁻[⁰¹²³⁴⁵⁶⁷⁸⁹]+", weight)
    assert law == edge.text == "p from Beta(1/2, 31/2)"
    page.mouse.move(*at["1.0"])
    until(lambda: page.locator(".tip > div").first.inner_text() == "mode 0 of block.up.weight")
    assert page.locator(".tip > div").all_inner_texts()[1].startswith("singular value ")


def test_the_slider_opens_weaker_edges(page: Watched, drawn: Graph) -> None:
    scale(page, "value")
    painted(page, "bezierCurveTo")
    scale(page, "order")
    until(lambda: len(page.evaluate("window.painted.bezierCurveTo")) >= 9)
    assert len(painted(page, "bezierCurveTo")) == 9
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    until(lambda: len(page.evaluate("window.painted.bezierCurveTo")) == len(drawn.edges))
    text = page.locator(".slider span").inner_text()
    assert text.startswith(f"9 significant edges and {len(drawn.edges) - 9} others (p up to 0.00")


def test_a_node_opens_its_layer_by_a_double_click_by_the_readout_and_from_the_list(page: Watched, drawn: Graph) -> None:
    def back() -> None:
        until(lambda: page.locator("main.view h2").first.inner_text() == "block.up.weight")
        page.keyboard.press("Escape")
        page.locator(".overview").wait_for()

    at = places(page, drawn)["1.0"]
    page.mouse.dblclick(*at)
    back()
    page.mouse.click(*places(page, drawn)["1.0"])
    page.get_by_role("link", name="Open its layer").click()
    back()
    page.keyboard.press("Escape")
    until(lambda: not lit(page))
    page.locator("summary", has_text="Nodes").click()
    page.locator(".nodes a", has_text="mode 0 of block.up.weight").click()
    back()


def test_the_list_lights_a_path_by_keyboard(page: Watched, drawn: Graph) -> None:
    page.locator("summary", has_text="Nodes").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Path of mode 0 of head.weight").focus()
    page.keyboard.press("Enter")
    until(lambda: lit(page))
    head = next(node.key for node in drawn.nodes if node.text == "mode 0 of head.weight")
    assert f"path of {len(through(drawn, head))} edges" in chosen(page)


def test_nodes_stand_at_their_values_on_a_named_axis_or_untangled(page: Watched) -> None:
    options = page.locator(".card .bar option").all_inner_texts()
    assert set(options) == {"singular value", "singular value, logarithmic", "untangled"}
    painted(page, "fillText")
    painted(page, "arc")
    scale(page, "value")
    until(lambda: any(text[0] == "singular value" for text in page.evaluate("window.painted.fillText")))
    even = {round(arc[1], 1) for arc in painted(page, "arc")}
    scale(page, "log")
    until(lambda: page.evaluate("window.painted.arc").__len__())
    assert {round(arc[1], 1) for arc in painted(page, "arc")} != even
    painted(page, "fillText")
    scale(page, "order")
    until(lambda: page.evaluate("window.painted.fillText").__len__())
    assert "singular value" not in [text[0] for text in painted(page, "fillText")]


def test_every_layer_has_its_heading_and_no_name_is_markup(page: Watched, drawn: Graph) -> None:
    painted(page, "fillText")
    scale(page, "value")
    until(lambda: page.evaluate("window.painted.fillText").__len__())
    told = [text[0] for text in painted(page, "fillText")]
    assert {"embed", "block.up", "block.gate", "head"} <= set(told)
    assert not [text for text in told if "\x1b" in text or "\u202e" in text]
    page.locator("summary", has_text="Nodes").click()
    page.locator("summary", has_text="Numbers").click()
    scale(page, "order")
    painted(page, "fillText")
    page.mouse.click(*places(page, drawn)["3.0"])
    until(lambda: plain(HOSTILE_LAYER) in chosen(page))
    assert [text[0] for text in painted(page, "fillText") if text[0].startswith("mode")] == ["mode 0"] * 4
    assert page.locator("[onerror], #page b, #page img[src=x]").count() == 0


def test_the_drawing_is_zoomed_dragged_and_seen_whole_again(page: Watched, drawn: Graph) -> None:
    at = places(page, drawn)["1.0"]
    button = page.get_by_role("button", name="Whole")
    assert button.is_disabled()
    page.mouse.move(*at)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    until(button.is_enabled)
    page.mouse.click(*at)  # what was under the pointer still is
    until(lambda: "mode 0 of block.up.weight" in chosen(page))
    page.mouse.down()
    page.mouse.move(at[0] + 90, at[1] + 12, steps=3)
    page.mouse.up()
    assert lit(page)  # a drag is no click
    page.mouse.click(at[0] + 90, at[1] + 12)
    until(lambda: not lit(page))
    button.click()
    until(button.is_disabled)
    page.mouse.click(*at)
    until(lambda: "mode 0 of block.up.weight" in chosen(page))


def test_the_wheel_alone_scrolls_the_page(page: Watched, drawn: Graph) -> None:
    page.mouse.move(*places(page, drawn)["1.0"])
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 200)
    until(lambda: page.evaluate("scrollY") > before)
    assert page.get_by_role("button", name="Whole").is_disabled()


def test_pictures_and_numbers_are_saved_whole(page: Watched, drawn: Graph) -> None:
    contents = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"{kind} of Spectral graph").click()
        contents[kind] = Path(download.value.path()).read_bytes()
    assert contents["PNG"].startswith(b"\x89PNG\r\n\x1a\n")
    root = ElementTree.fromstring(contents["SVG"].decode())
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert set(tags) <= {"svg", "path", "rect", "text"}
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    curves = "".join(element.get("d", "") for element in root.iter()).count("C")
    assert curves == 9
    assert {"block.up", "block.gate", "head", "Spectral graph"} <= {element.text for element in root.iter()}
    assert len(contents["CSV"].decode().splitlines()) == 1 + len(drawn.edges)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(chromium: Any, address: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(chromium, address, color_scheme=scheme) as page:
        ready(page)
        page.locator("summary", has_text="Nodes").click()
        page.locator(".nodes .small").first.click()
        until(lambda: lit(page))
        found = axe.run(page.page).response["violations"]
        assert [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in ("serious", "critical")] == []
        assert page.faults == []


def test_ten_thousand_edges_are_few_strokes_and_lighting_one_paints_no_other(chromium: Any, tmp_path: Path) -> None:
    made = report(large(14_000))
    drawn = next(block for block in made.blocks if isinstance(block, Graph))
    with opened(chromium, written(made, tmp_path / "large.html")) as page:
        page.evaluate(WATCH)
        ready(page)
        page.get_by_role("slider").focus()
        page.keyboard.press("End")
        until(lambda: "others" in page.locator(".slider span").inner_text())
        page.wait_for_timeout(100)
        painted(page, "stroke")
        painted(page, "bezierCurveTo")
        scale(page, "order")
        until(lambda: len(page.evaluate("window.painted.bezierCurveTo")) >= len(drawn.edges))
        assert len(painted(page, "bezierCurveTo")) == len(drawn.edges) > 7_000
        assert len(painted(page, "stroke")) < 300
        page.locator("summary", has_text="Nodes").click()
        page.locator(".nodes .small").first.click()
        until(lambda: lit(page))
        words = re.search(r"path of ([\d,]+) edges", chosen(page))
        assert words is not None
        assert len(painted(page, "bezierCurveTo")) == int(words[1].replace(",", "")) < 1000
        for _ in range(20):  # hovering paints one edge at most, beside the path
            page.mouse.move(*(400 + 20 * _, 500 + 3 * _))
        assert page.faults == []


def test_many_layers_begin_with_those_that_have_room_and_are_seen_whole(chromium: Any, tmp_path: Path) -> None:
    url = written(report(large(400, layers=30, width=24)), tmp_path / "deep.html")
    with opened(chromium, url, viewport={"width": 400, "height": 800}) as page:
        page.evaluate(WATCH)
        ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        painted(page, "bezierCurveTo")
        scale(page, "order")
        until(lambda: page.evaluate("window.painted.bezierCurveTo").__len__())
        some = len(painted(page, "bezierCurveTo"))
        page.get_by_role("button", name="Whole").click()
        until(lambda: page.evaluate("window.painted.bezierCurveTo").__len__() > some)
        assert page.get_by_role("button", name="To the right").is_disabled()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert page.faults == []


def test_a_graph_without_heights_has_no_axis_and_names_its_nodes(chromium: Any, tmp_path: Path) -> None:
    with opened(chromium, written(Report((graph(),), {}, "rows"), tmp_path / "plain.html")) as page:
        page.evaluate(WATCH)
        ready(page)
        assert page.locator(".card .bar").count() == 0
        painted(page, "fillText")
        page.get_by_role("slider").focus()
        page.keyboard.press("End")
        page.locator(".loom").hover(position={"x": 14, "y": 20 + 208 / 8})
        until(lambda: page.locator(".tip").count())
        told = [text[0] for text in painted(page, "fillText")]
        assert {"mode 0 of conv1.weight", "mode 3 of conv2.weight"} <= set(told)
        assert page.faults == []


def test_a_value_of_zero_stands_below_a_logarithmic_axis(chromium: Any, tmp_path: Path) -> None:
    with opened(chromium, written(Report((layered(),), {}, "rows"), tmp_path / "zero.html")) as page:
        page.evaluate(WATCH)
        ready(page)
        painted(page, "arc")
        painted(page, "fillText")
        scale(page, "value")
        until(lambda: page.evaluate("window.painted.arc").__len__())
        painted(page, "arc")
        painted(page, "fillText")
        scale(page, "log")
        until(lambda: page.evaluate("window.painted.arc").__len__())
        heights = sorted({round(arc[1]) for arc in painted(page, "arc")})
        assert len(heights) == 4
        ticks = [text for text in painted(page, "fillText") if text[0] in ("0", "1", "2")]
        lowest = max(ticks, key=lambda text: text[2])
        assert lowest[0] == "0"
        assert round(lowest[2]) == heights[-1]
        assert page.faults == []


def test_on_paper_the_drawing_stays_and_the_controls_are_gone(page: Watched) -> None:
    page.emulate_media(media="print")
    assert page.locator(".loom").is_visible()
    until(lambda: not page.locator(".card .bar").is_visible())
    assert not page.locator(".slider").is_visible()


def test_headings_of_many_heads_tell_the_head_and_the_layer(chromium: Any, tmp_path: Path) -> None:
    heads = large(200, layers=24, width=16)
    names = [f"encoder.layer.{k % 2}.attention.self.{('query', 'key')[k // 2 % 2]}.weight head {k // 4}" for k in range(24)]
    told = dict(zip([column.name for column in heads.columns], names, strict=True))
    heads = replace(
        heads,
        columns=tuple(replace(column, name=told[column.name]) for column in heads.columns),
        connections=tuple(replace(one, source=told[one.source], target=told[one.target]) for one in heads.connections),
    )
    with opened(chromium, written(report(heads), tmp_path / "heads.html")) as page:
        page.evaluate(WATCH)
        ready(page)
        painted(page, "fillText")
        scale(page, "order")
        until(lambda: page.evaluate("window.painted.fillText").__len__())
        drawn = [text[0] for text in painted(page, "fillText") if "head" in text[0]]
    for k, name in enumerate(names):
        kind = name.split(".")[5]
        assert any(text.startswith(f"{k % 2}") and kind in text and text.endswith(f"head {k // 4}") for text in drawn), (
            name,
            drawn,
        )
