"""The time until a page of a thousand matrices can be worked with, in a new window of headless Chromium, against two seconds."""

import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from _measure import NotMeasuredError, Ratio, Size

from modescope.reporting import report

LIMIT = 2.0  # seconds
ROUNDS = 5
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
AGAINST = f"{LIMIT:g} s"


def rows(size: Size, /) -> Iterator[Ratio]:
    """From the address to a table that has been sorted by a click, every matrix with its section in the page."""
    count = 20 if size is Size.SMOKE else 1000
    name = f"page of {count:,} matrices, opened and sorted"
    with TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        try:
            chromium = _chromium()
            report(_network(count)).save(page)
            seconds = _least(chromium, page.as_uri(), 1 if size is Size.SMOKE else ROUNDS)
        except NotMeasuredError as reason:
            yield Ratio(name, AGAINST, 1.0, remark=f"not measured: {reason}")
            return
        megabytes = page.stat().st_size / 1e6
    yield Ratio(name, AGAINST, 1.0, seconds / LIMIT, seconds, LIMIT, remark=f"a file of {megabytes:.1f} MB")


def _network(count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"blocks.{i}.weight": random.standard_normal((64, 48), dtype=np.float32) for i in range(count)}


def _chromium() -> str:
    found = os.environ.get("MODESCOPE_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        raise NotMeasuredError(f"no browser found: none of {', '.join(NAMES)} on the path")
    return found


def _least(chromium: str, address: str, rounds: int) -> float:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        best = min((_opened(browser, address) for _ in range(rounds)), default=math.inf)
        browser.close()
    return best


def _opened(browser: Any, address: str) -> float:
    context = browser.new_context()
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.get_by_role("button", name="norm").first.click()
    page.locator("[aria-sort='ascending'], [aria-sort='descending']").first.wait_for()
    taken = time.perf_counter() - begun
    context.close()
    return taken
