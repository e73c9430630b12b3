"""The page of a server in a real browser: the list, a run, a comparison, live changes, and a server that fails."""

import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from modescope.blocks import Note, Section, Table
from modescope.render.html import policy, served
from modescope.reports import Report
from modescope.reports.form import dumps
from page_cases import Watched, browser, opened, until
from report_cases import every_block

RUNS = ("a/1", "b&2", "c")  # identifiers are no file names: they may hold anything


def note(text: str) -> Report:
    return Report((Note(text), Section("Deep", (Note("inside"),), "layer=x", folded=True)), {}, "rows", text)


def index() -> Report:
    rows = tuple((f"run {name}", number) for number, name in enumerate(RUNS))
    return Report((Table("Runs", ("run", "matrices"), rows, links=tuple(f"run={name}" for name in RUNS)),), {}, "rows", "Runs")


@dataclass
class Place:
    """A small server that answers what it is told to, and keeps what it was asked."""

    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    listeners: list["queue.Queue[str | None]"] = field(default_factory=list)
    url: str = ""

    def tell(self, *changed: str) -> None:
        for listener in self.listeners:
            listener.put(json.dumps({"changed": list(changed)}))


@pytest.fixture
def place() -> Iterator[Place]:
    known = Place({"/api/index": (200, dumps(index())), "/api/runs/c": (200, dumps(every_block()))})
    known.answers |= {"/api/runs/a%2F1": (200, dumps(note("first"))), "/api/runs/b%262": (200, dumps(note("second")))}
    known.answers |= {"/api/compare?run=a%2F1&run=b%262": (200, dumps(note("both")))}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.path)
            if self.path == "/api/events":
                self.events()
                return
            found = (
                (200, served("Modescope")) if self.path == "/" else known.answers.get(self.path, (404, '{"error": "no such run"}'))
            )
            self.answer(*found)

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/html; charset=utf-8" if text.startswith("<!doctype") else "application/json")
            self.send_header("content-security-policy", policy(served=True))
            self.end_headers()
            self.wfile.write(text.encode())

        def events(self) -> None:
            listener: queue.Queue[str | None] = queue.Queue()
            known.listeners.append(listener)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            while (data := listener.get()) is not None:
                self.wfile.write(f"event: changed\ndata: {data}\n\n".encode())
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A browser that leaves is no fault."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}/"
    yield known
    for listener in known.listeners:
        listener.put(None)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Any, place: Place) -> Iterator[Watched]:
    with opened(chromium, place.url) as page:
        page.locator("td a").first.wait_for()
        yield page
        assert page.faults == []


def test_a_row_of_the_list_opens_its_run_whatever_its_name(page: Watched, place: Place) -> None:
    page.locator("td a").first.click()
    page.get_by_text("first").first.wait_for()
    assert page.evaluate("location.hash") == "#run=a%2F1"
    assert "/api/runs/a%2F1" in place.asked
    page.get_by_role("link", name="All runs").click()
    page.locator("td a").first.wait_for()


def test_a_run_keeps_its_name_beside_one_without_end(chromium: Any, place: Place) -> None:
    endless = "y" * 300
    note = "damaged: expected a saved report, got nothing; the file was not finished when it was read"
    columns = ("run", "kind", "signal modes", "median alpha", "step", "steps", "matrices", "failed", "last change", "where", "note")
    rows = tuple(
        (name, "saved report", 4, 9.5, 1, 1, 4, 0, "2026-11-21 08:24:22", f"sv/{name}", note) for name in ("digits", endless)
    )
    table = Table("Runs", columns, rows, links=("run=a", "run=b"))
    place.answers["/api/index"] = (200, dumps(Report((table,), {}, "rows", "Runs")))
    with opened(chromium, place.url) as page:
        page.locator("td a").first.wait_for()
        short, tall = (page.locator("tbody tr").nth(index).bounding_box()["height"] for index in (0, 1))
        assert page.locator("td a").first.evaluate("a => a.getClientRects().length") == 1
        assert tall < short + 60
        assert page.locator(".scroll").get_attribute("data-cut") == ""
        assert page.locator("tbody tr").nth(1).locator("td").nth(1).get_attribute("title") == endless
        assert page.faults == []


def test_a_section_of_a_run_has_an_address_of_its_own(chromium: Any, place: Place) -> None:
    with opened(chromium, f"{place.url}#run=c&layer=conv1.weight") as page:
        until(lambda: page.locator("h2").all_inner_texts()[-1:] == ["conv1.weight"])
        page.keyboard.press("Escape")
        page.get_by_role("link", name="conv2.weight").first.click()
        until(lambda: page.evaluate("location.hash") == "#run=c&layer=conv2.weight")
        page.go_back()
        page.go_back()
        until(lambda: page.locator("h2:visible").first.inner_text() == "conv1.weight")
        assert page.faults == []


def test_two_chosen_runs_are_compared(page: Watched, place: Place) -> None:
    button = page.locator(".control.strong")
    page.get_by_role("checkbox").nth(0).check()
    assert button.is_disabled()
    page.get_by_role("checkbox").nth(1).check()
    assert button.inner_text() == "Compare 2"
    button.click()
    page.get_by_text("both").first.wait_for()
    assert page.evaluate("location.hash") == "#compare=a%2F1,b%262"


def test_a_change_of_an_open_run_is_shown_and_of_another_is_not_asked_for(page: Watched, place: Place) -> None:
    page.locator("td a").first.click()
    page.get_by_text("first").first.wait_for()
    page.locator(".line.live").wait_for()
    place.answers["/api/runs/a%2F1"] = (200, dumps(note("later")))
    before = len(place.asked)
    place.tell("c")
    place.tell("a/1")
    page.get_by_text("later").first.wait_for()
    assert place.asked[before:] == ["/api/runs/a%2F1"]


def test_the_list_is_asked_for_again_at_every_change_and_keeps_what_was_typed(page: Watched, place: Place) -> None:
    page.locator(".line.live").wait_for()
    page.get_by_role("button", name="matrices").click()
    rows = (("run new", 9), ("run old", 1))
    place.answers["/api/index"] = (
        200,
        dumps(Report((Table("Runs", ("run", "matrices"), rows, links=("run=n", "run=o")),), {}, "rows")),
    )
    place.tell("n")
    page.get_by_text("run new").wait_for()
    assert page.locator("td a").all_inner_texts() == ["run old", "run new"]  # still sorted


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (500, '{"error": "the run is damaged"}', "the run is damaged"),
        (404, "<html>", "404"),
        (200, "{", "JSON"),
        (200, "{}", "schema"),
    ],
)
def test_a_failed_answer_is_a_card_and_can_be_asked_for_again(
    chromium: Any, place: Place, status: int, text: str, said: str
) -> None:
    good = place.answers["/api/index"]
    place.answers["/api/index"] = (status, text)
    with opened(chromium, place.url) as page:
        page.locator(".note.error").wait_for()
        assert said in page.locator(".note.error").inner_text()
        place.answers["/api/index"] = good
        page.get_by_role("button", name="Try again").click()
        page.locator("td a").first.wait_for()
        assert page.locator(".note.error").count() == 0


def test_a_lost_connection_is_told(page: Watched, place: Place) -> None:
    page.locator(".line.live").wait_for()
    page.route("**/api/events", lambda route: route.abort())
    for listener in place.listeners:
        listener.put(None)
    page.locator(".line.lost").wait_for()
    page.unroute("**/api/events")
    page.locator(".line.live").wait_for()
    page.faults.clear()  # the browser itself reports the lost request


def test_a_tab_that_nobody_sees_holds_no_connection_and_catches_up(page: Watched, place: Place) -> None:
    until(lambda: len(place.listeners) == 1)

    def shown(hidden: str) -> None:
        page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    shown("true")
    asked = place.asked.count("/api/index")
    place.tell("c")
    page.wait_for_timeout(300)
    assert place.asked.count("/api/index") == asked
    shown("false")
    until(lambda: len(place.listeners) == 2)
    until(lambda: place.asked.count("/api/index") > asked)
