"""A real browser for the tests of the page: started once per module, every page watched for faults and requests."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modescope.render.html import render
from modescope.reports import Report

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Watched:
    """A page and what went wrong in it."""

    page: Any
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium; without one the tests are skipped and say so."""
    found = os.environ.get("MODESCOPE_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser found: none of {', '.join(NAMES)} on the path, MODESCOPE_CHROMIUM not set")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Watched]:
    """A page at an address, in a window of its own."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 800}} | options))
    watched = Watched(context.new_page())
    watched.page.set_default_timeout(8000)
    watched.page.on("console", lambda message: watched.faults.append(f"{message.type}: {message.text}"))
    watched.page.on("pageerror", lambda error: watched.faults.append(str(error)))
    watched.page.on("dialog", lambda dialog: (watched.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    watched.page.on("request", lambda request: watched.requests.append(request.url))
    watched.page.goto(url)
    yield watched
    context.close()


def until(holds: Callable[[], object]) -> None:
    """Wait until something is true of a page, which draws in its own time."""
    end = time.monotonic() + 8
    while not holds():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)


def written(report: Report, path: Path) -> str:
    """The address of a report's page."""
    path.write_text(render(report), encoding="utf-8")
    return path.as_uri()
