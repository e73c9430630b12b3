"""Take the pictures of the page that the documentation shows, with the network that ships: python docs/screenshots.py."""

import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import modescope as ms
from modescope.factories import weighted
from modescope.modes.reading.result import Reading

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from page_cases import browser  # noqa: E402 - it lies among the tests
from web_cases import running  # noqa: E402

WIDTH, HEIGHT = 1200, 800


def main() -> None:
    """Every picture; a person looks at them before they are committed."""
    with browser() as chromium, TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for path in ms.demo_history():
            copy(path, folder / path.name.replace("model", "digits"))
        with chdir(folder):  # so that the pictures show names, and no path of this machine
            ms.report("digits.safetensors").save("report.html")
            ms.compare(*_history(Path())).report().save("compare.html")
            ms.graph("digits.safetensors").report().save("graph.html")
            _band_pass().save("descramble.html")
            _profiled().save("profile.html")
            _in_modes().save("modes.html")
        page = (folder / "report.html").as_uri()
        _taken(chromium, page, "overview", height=760)
        _taken(chromium, f"{page}#layer=8.weight", "layer", height=1330)
        _taken(chromium, f"{page}#layer=3.weight", "layer-dark", height=1330, color_scheme="dark")
        _taken(chromium, f"{(folder / 'compare.html').as_uri()}#layer=8.weight", "compare", height=1600)
        _taken(chromium, (folder / "graph.html").as_uri(), "graph", height=1100, card="Spectral graph")
        for name, section in (("descramble", "The weights before and after"), ("descramble-spectrum", "Two-dimensional spectrum")):
            _taken(chromium, (folder / "descramble.html").as_uri(), name, height=3000, section=section)
        _taken(chromium, f"{(folder / 'profile.html').as_uri()}#layer=8", "profile", height=3000, section="Mode 0")
        _taken(chromium, (folder / "modes.html").as_uri(), "modes", height=900)
        with _served(folder) as address:
            _taken(chromium, address, "runs", height=560)
            _taken(chromium, address, "training", height=1330, click="digits training")


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    with chdir(folder):
        store = ms.Store("runs/history")
        for epoch, path in zip((0, 1, 2, 4, 8, 16, 40), _history(Path()), strict=True):
            store.append(ms.scan(path), run="digits training", step=epoch)
        ms.scan("epoch-00.safetensors", twin=True).save("runs/untrained")
        ms.scan("digits.safetensors", twin=True).save("runs/digits")
    with running("runs", cwd=folder) as server:
        yield f"{server.url}/?token={server.token}"


def _band_pass() -> ms.Descrambling:
    """The layer of the how-to: a band of frequencies comes through, its outputs are mixed at random."""
    rng = np.random.default_rng(0)
    at = 2 * np.pi * np.arange(128) / 128
    band = np.array([wave(k * at) for k in range(8, 13) for wave in (np.cos, np.sin)])
    weight = rng.standard_normal((48, 10)) @ band + 0.05 * rng.standard_normal((48, 128))
    inputs = rng.standard_normal((2000, 128))
    return ms.descramble(weight, inputs=inputs, axis="0:0.008:us", readings=("fourier",), controls=())


def _profiled() -> ms.NetworkProfile:
    """The network that ships, on all digits; the settings of the how-to but for the number of images."""
    from sklearn.datasets import load_digits
    from torch import nn

    first = [nn.Conv2d(1, 32, 5, padding=2, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
    second = [nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(1024, 64), nn.ReLU(), nn.Linear(64, 10))
    weighted(network, "digits.safetensors")
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)
    return ms.profile(network, images, labels=labels, untrained="epoch-00.safetensors", shown=1, truncation=False)


def _in_modes() -> Reading:
    """A network in modes on the digits that ship, beside itself before training."""
    from copy import deepcopy

    import torch

    from modescope.modes.modules.mlp import ModeMLP

    task = ms.modes.tasks.digits()
    network = ModeMLP([64, 100, 100, 10], "auto", generator=torch.Generator().manual_seed(0))
    untrained = deepcopy(network)
    ms.modes.fit(network, task, epochs=30, halve_every=10)
    return ms.modes.read(network, task, untrained=untrained)


def _history(folder: Path) -> list[Path]:
    """The checkpoints of the training in order."""
    return [*sorted(folder.glob("epoch-*.safetensors")), folder / "digits.safetensors"]


def _taken(
    chromium: Any,
    address: str,
    name: str,
    *,
    height: int = HEIGHT,
    click: str = "",
    card: str = "",
    section: str = "",
    **options: Any,
) -> None:
    context = chromium.new_context(viewport={"width": WIDTH, "height": height}, **options)
    page = context.new_page()
    page.goto(address)
    if click:
        page.get_by_role("link", name=click).click()
    page.wait_for_timeout(2500)  # charts are drawn one after the other
    shown = page.locator("figure.card", has=page.get_by_role("heading", name=card)) if card else page
    shown = page.get_by_role("region", name=section) if section else shown
    shown.screenshot(path=DOCS / "images" / f"{name}.png")
    context.close()


if __name__ == "__main__":
    main()
