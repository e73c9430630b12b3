"""The page of a profiled network in a real browser: all of it is drawn, names are text, and nothing is wider than the window."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from modescope.profiles.page import report
from page_cases import Watched, browser, opened, until, written
from profiles_page_cases import HOSTILE, LAYERS, digits, odd


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(report(digits()), tmp_path_factory.mktemp("profiled") / "page.html")


def drawn(page: Watched) -> tuple[int, int]:
    """Numbers of charts and of pictures, when every one is drawn."""
    height = page.evaluate("document.documentElement.scrollHeight")
    for y in range(0, height, 1000):
        page.evaluate("y => scrollTo(0, y)", y)
        page.wait_for_timeout(60)
    charts, pictures, cards = (page.locator(one) for one in (".card [data-drawn]:visible", ".card img:visible", ".card:visible"))
    until(lambda: charts.count() + pictures.count() == cards.count())
    until(lambda: page.evaluate("[...document.querySelectorAll('.card img')].every((one) => one.naturalWidth > 0)"))
    return int(charts.count()), int(pictures.count())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_the_overview_is_drawn_and_nothing_is_wider_than_the_window(chromium: Any, address: str, width: int, scheme: str) -> None:
    with opened(chromium, address, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        assert drawn(page) == (3 + 1 + 1 + len(LAYERS), 0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.faults == []
        assert page.requests == [address]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
def test_a_layer_opens_with_its_pictures_each_with_words_and_a_download(
    chromium: Any, address: str, width: int, scheme: str
) -> None:
    with opened(chromium, f"{address}#layer=2", viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        charts, pictures = drawn(page)
        assert (charts, pictures) == (2 + 3, 2 * 3)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        words = page.evaluate("[...document.querySelectorAll('.card img')].map((one) => one.alt)")
        assert all("mode" in said for said in words)
        with page.expect_download() as saved:
            page.get_by_role("button", name="PNG of Largest signals of mode 0").click()
        assert saved.value.suggested_filename == "Largest-signals-of-mode-0.png"
        assert saved.value.path().read_bytes().startswith(b"\x89PNG")
        assert page.faults == []


def test_a_click_in_the_overview_leads_to_a_layer(chromium: Any, address: str) -> None:
    with opened(chromium, address) as page:
        page.get_by_role("link", name="11", exact=True).first.click()
        until(lambda: page.get_by_role("heading", name="Mean signals of the classes").count())
        assert page.url.endswith("#layer=11")
        assert page.faults == []


def test_names_of_layers_and_classes_that_are_markup_stay_text(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    url = written(report(odd()), tmp_path_factory.mktemp("odd") / "page.html")
    for place in ("", f"#layer={quote(HOSTILE.replace('.', ''))}"):
        with opened(chromium, f"{url}{place}") as page:
            drawn(page)
            assert page.locator("img[src='x']").count() == 0
            assert page.faults == []
            assert len(page.requests) == 1
