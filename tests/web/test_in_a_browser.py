"""The page as the server gives it, in a real browser: opened with the token, live while a store is written, and side by side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import modescope as ms
from page_cases import Watched, browser, opened, until
from web_cases import Running, measured, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    ms.scan(ms.demo_path(), twin=True).save(made / "digits")
    ms.scan(ms.demo_history()[0], twin=True).save(made / "untrained")
    ms.Store(made / "history").append(measured(), run="training", step=1)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    with running(folder, cwd=folder) as started:
        yield started


@pytest.fixture
def index(chromium: Any, server: Running) -> Iterator[Watched]:
    with opened(chromium, f"{server.url}/?token={server.token}") as page:
        page.get_by_role("link", name="digits").wait_for()
        yield page


def titled(page: Watched, text: str) -> None:
    page.get_by_role("heading", name=text, exact=True).first.wait_for()


def test_the_token_leaves_the_address_and_nothing_else_is_asked(index: Watched, server: Running) -> None:
    assert "token" not in index.url
    assert index.faults == []
    assert all(request.startswith(f"{server.url}/") for request in index.requests)


def test_a_run_opens_with_its_layers_and_leads_back(index: Watched) -> None:
    index.get_by_role("link", name="digits").click()
    index.get_by_role("link", name="8.weight").first.click()
    titled(index, "8.weight")
    assert "run=" in index.url
    assert index.url.endswith("&layer=8.weight")
    index.locator("[data-drawn]").first.wait_for()
    index.go_back()
    index.go_back()
    index.get_by_role("link", name="untrained").wait_for()
    assert index.faults == []


def test_a_deep_link_opens_a_layer_of_a_run(index: Watched, chromium: Any) -> None:
    index.get_by_role("link", name="digits").click()
    index.get_by_role("link", name="3.weight").first.click()
    titled(index, "3.weight")
    index.reload()
    titled(index, "3.weight")


def test_runs_are_chosen_and_compared(index: Watched) -> None:
    for name in ("digits", "untrained"):
        index.get_by_role("row").filter(has=index.get_by_role("link", name=name, exact=True)).get_by_role("checkbox").check()
    index.get_by_role("button", name="Compare").click()
    titled(index, "Along the network")
    assert "compare=" in index.url
    assert index.faults == []


def test_the_list_and_an_open_run_follow_a_store_that_is_written(
    index: Watched, chromium: Any, folder: Path, server: Running
) -> None:
    store = ms.Store(folder / "history")
    index.get_by_role("link", name="training").click()
    titled(index, "training")
    assert index.get_by_role("heading", name="Through training").count() == 0
    store.append(measured(), run="training", step=2)
    titled(index, "Through training")  # a second step makes a history, and nobody touched the page
    index.go_back()
    index.get_by_role("link", name="digits").wait_for()
    store.append(measured(), run="another", step=1)
    index.get_by_role("link", name="another").wait_for()
    assert index.faults == []


def test_a_stranger_without_the_token_sees_no_run(chromium: Any, server: Running) -> None:
    with opened(chromium, f"{server.url}/") as page:
        until(lambda: page.locator("body").inner_text())
        assert page.get_by_role("link", name="digits").count() == 0
