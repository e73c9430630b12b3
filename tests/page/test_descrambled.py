"""The page of a descrambled layer in a real browser: all of it is drawn, names are text, and nothing is wider than the window."""

from collections.abc import Iterator
from typing import Any

import pytest

from descrambling_cases import HOSTILE_LAYER, planted
from modescope.descrambling.page import report
from modescope.render._plain import plain
from page_cases import Watched, browser, opened, until, written

PIXEL = """([title, x, y]) => {
    const card = [...document.querySelectorAll(".card")].find((one) => one.textContent.startsWith(title));
    const canvas = card.querySelector("canvas");
    const found = new Set();
    const pen = canvas.getContext("2d");
    const wide = canvas.width * (x[1] - x[0]);
    const data = pen.getImageData(canvas.width * x[0], canvas.height * y[0], wide, canvas.height * (y[1] - y[0])).data;
    for (let i = 0; i < data.length; i += 4) found.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    return [...found];
}"""
FOUND, PREDICTED = "27,98,165", "196,80,12"  # colours of what was measured and of a law, on light ground


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(report(planted()), tmp_path_factory.mktemp("descrambled") / "page.html")


def drawn(page: Watched) -> int:
    """Number of charts, when every one is drawn."""
    charts = page.locator("[data-drawn]")
    cards = page.locator(".card").count()
    height = page.evaluate("document.documentElement.scrollHeight")
    for y in range(0, height, 1200):
        page.evaluate("y => scrollTo(0, y)", y)
        page.wait_for_timeout(60)
    until(lambda: charts.count() == cards)
    return int(charts.count())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_every_picture_is_drawn_and_nothing_is_wider_than_the_window(chromium: Any, address: str, width: int, scheme: str) -> None:
    with opened(chromium, address, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        assert drawn(page) >= 20
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("h1").inner_text().startswith(plain(HOSTILE_LAYER)[:10])
        assert page.faults == []
        assert page.requests == [address]


def test_the_ridge_lies_over_the_spectrum_found_on_the_right_predicted_on_the_left(chromium: Any, address: str) -> None:
    with opened(chromium, address, color_scheme="light") as page:
        drawn(page)
        title = "2-D spectrum of P W"
        left, right = (page.evaluate(PIXEL, [title, x, [0.15, 0.8]]) for x in ([0.2, 0.42], [0.45, 0.68]))
        assert (FOUND in right, PREDICTED in right) == (True, False)
        assert (FOUND in left, PREDICTED in left) == (False, True)
        before = page.evaluate(PIXEL, ["2-D spectrum of W", [0.2, 0.68], [0.15, 0.8]])
        assert FOUND not in before
        assert PREDICTED not in before
