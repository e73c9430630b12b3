"""Pages of networks in modes in a real browser: what layers cost and how sure that is comes first, all is drawn, names are text."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from torch import nn

from modescope.modes.compression import compress
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading import read
from modescope.modes.reading.evaluating import Sample
from modescope.modes.tasks import of_arrays
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import Grow
from modescope.modes.training.trials import Trials
from modescope.reports import Report
from page_cases import Watched, browser, opened, until, written

HOSTILE = "<img src=x onerror=alert(1)>"

SHOWN = "!one.checkVisibility() || one.querySelector('[data-drawn], img, table')"  # of a card


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@cache
def reading() -> Report:
    drawn = torch.Generator().manual_seed(0)
    net = nn.Sequential()
    net.add_module("first", ModeLinear(12, 14, 10, generator=drawn))
    net.add_module(HOSTILE, ModeLinear(14, 3, 3, generator=drawn))
    rng = np.random.default_rng(0)
    data = Sample(rng.standard_normal((150, 12)).astype(np.float32), rng.integers(0, 3, 150), source=HOSTILE)
    return read(net, data, untrained=copy.deepcopy(net), draws=3, null=80, resamples=10).report()


@cache
def training() -> Report:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((120, 12)), rng.integers(0, 3, 120)
    task = of_arrays(x[:80], y[:80], x[80:], y[80:], name=HOSTILE)
    fits = tuple(fit(ModeMLP([12, 14, 3], [4, None]), task, epochs=4, seed=seed, grow=Grow(1, every=2)) for seed in (0, 1))
    return Trials(fits, (fit(ModeMLP([12, 14, 3], [None, None]), task, epochs=4),)).report()


@cache
def compression() -> Report:
    rng = np.random.default_rng(0)
    return compress({f"{HOSTILE}.weight": rng.standard_normal((40, 60)), "norm": np.ones(9)}, modes=5).report()


PAGES = {"reading": reading, "training": training, "compression": compression}
FIRST = {
    "reading": "of the same layers if they were dense",
    "training": "Dense minus modes",
    "compression": "parameters",
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("modes")
    return {name: written(made(), folder / f"{name}.html") for name, made in PAGES.items()}


def drawn(page: Watched) -> None:
    """Scroll through the page, until every chart that is open is there."""
    for y in range(0, page.evaluate("document.documentElement.scrollHeight"), 900):
        page.evaluate("y => scrollTo(0, y)", y)
        page.wait_for_timeout(50)
    until(lambda: page.evaluate(f"[...document.querySelectorAll('.card')].every((one) => {SHOWN})"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_what_matters_is_seen_without_scrolling_and_nothing_is_wider_than_the_window(
    chromium: Any, addresses: dict[str, str], name: str, width: int, scheme: str
) -> None:
    with opened(chromium, addresses[name], viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        first = page.get_by_text(FIRST[name]).first.bounding_box()
        assert first["y"] + first["height"] < 900
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("img[src='x']").count() == 0
        assert page.faults == []
        assert page.requests == [addresses[name]]


def test_a_click_in_the_overview_opens_a_layer_with_its_importance_and_removal(chromium: Any, addresses: dict[str, str]) -> None:
    with opened(chromium, addresses["reading"]) as page:
        page.get_by_role("link", name="first", exact=True).first.click()
        until(lambda: page.get_by_role("heading", name="Sorted omega").count())
        until(lambda: page.get_by_role("heading", name="Modes taken out").count())
        assert page.url.endswith("#layer=first")
        assert page.faults == []


def test_a_layer_whose_name_is_markup_opens_as_text(chromium: Any, addresses: dict[str, str]) -> None:
    with opened(chromium, f"{addresses['reading']}#layer={quote(HOSTILE)}") as page:
        until(lambda: page.get_by_role("heading", name=HOSTILE).count())
        drawn(page)
        assert page.locator("img[src='x']").count() == 0
        assert page.faults == []
