"""Signals and selection of a data set against the plain forward pass, and against one image at a time; memory by images."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _measure import Clock, NotMeasuredError, Ratio, Size, compare

from modescope.profiles.aggregates import AGGREGATES
from modescope.profiles.algebra import ClassProfiles, ProfilesByClass
from modescope.profiles.images import Images, images
from modescope.profiles.passing import bases, passes
from modescope.profiles.selection import contributing
from modescope.profiles.survey import survey

CHILD = Path(__file__).parent / "_profile_peak_memory.py"
BATCH = 64
SLOW = "first layers and 1 x 1 convolutions have as many modes as outputs: to project them costs what they cost"
MEMORY = 256  # images, and four times as many


def rows(size: Size, /) -> Iterator[Ratio]:
    """A small, a VGG-like and a residual network, by the way in which positions become one number."""
    import torch

    small = size is Size.SMOKE
    rounds = 1 if small else 7
    for name, (model, data) in networks(small=small).items():
        held = images(data, np.arange(len(data)) % 4, batch=2 if small else BATCH)
        found = survey(model, held.first())
        known = bases(model, found)
        plain = _clocked(_plain(torch, model, held))
        for aggregate in AGGREGATES:
            ours = _clocked(lambda model=model, held=held, f=found, k=known, by=aggregate: _passed(model, held, f, k, by))
            yield compare(
                f"signals and selection of {len(data)} images by {aggregate}, {name}",
                "the plain forward pass",
                ours,
                plain,
                limit=1.5,
                rounds=rounds,
                if_missed=SLOW,
            )
        ours = _clocked(lambda model=model, held=held, f=found, k=known: _passed(model, held, f, k, "mean"))
        peer = _clocked(_one_by_one(torch, model, data, found, known))
        yield compare(
            f"signals and selection of {len(data)} images by mean, {name}",
            "the peer's formula, one image at a time",
            ours,
            peer,
            limit=1.0,
            rounds=rounds,
        )
    few = 64 if small else MEMORY
    name, against = f"peak memory, profiles of {4 * few} images", f"profiles of {few} images"
    try:
        many, base = _held(4 * few), _held(few)
        yield Ratio(name, against, 1.1, many / base, many, base, remark="in bytes, all of the process")
    except NotMeasuredError as reason:
        yield Ratio(name, against, 1.1, remark=f"not measured: {reason}")


def networks(*, small: bool) -> dict[str, tuple[Any, Any]]:
    """Networks and images for them."""
    import torch

    torch.manual_seed(0)
    n = 1 if small else 4
    side, count = (8, 4) if small else (32, 256)
    return {
        "small CNN": (_stack(torch, (1, 4 * n, 8 * n, 8 * n), pool=1), torch.randn(count, 1, side, side)),
        "VGG-like": (_stack(torch, (3, 8 * n, 8 * n, 16 * n, 16 * n, 32 * n, 32 * n), pool=2), torch.randn(count, 3, side, side)),
        "ResNet-like": (_residual(torch, 8 * n), torch.randn(count, 3, side, side)),
    }


def profiled(model: Any, held: Images, aggregate: str) -> ProfilesByClass | None:
    """Profiles from the beginning: survey, modes, one pass."""
    found = survey(model, held.first())
    return _passed(model, held, found, bases(model, found), aggregate)


def _passed(model: Any, held: Images, found: Any, known: Any, aggregate: str) -> ProfilesByClass:
    running = ClassProfiles(held.labels, classes=held.classes)
    for passed in passes(model, held, found, known, aggregate_by=aggregate):
        running.add(passed, {name: contributing(a) for name, a in passed.signals.items()})
    return running.value()


def _plain(torch: Any, model: Any, held: Images) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            for batch in held.batches():
                model(batch)

    return run


def _one_by_one(torch: Any, model: Any, data: Any, found: Any, known: Any) -> Callable[[], None]:
    """Hooks, one image, its mean signals in each layer, sorted, the shortest prefix above the share, as dictionaries."""
    directions = {site.name: torch.as_tensor(known[site.name].directions().T.copy(), dtype=torch.float32) for site in found.sites}
    biases = {site.name: torch.as_tensor(known[site.name].bias, dtype=torch.float32) for site in found.sites}

    def run() -> None:
        outputs: dict[str, Any] = {}
        handles = [
            site.module.register_forward_hook(lambda _m, _a, out, name=site.name: outputs.__setitem__(name, out.clone()))
            for site in found.sites
        ]
        try:
            with torch.no_grad():
                for i in range(len(data)):
                    model(data[i : i + 1])
                    for name, output in outputs.items():
                        flat = output[0].reshape(output.shape[1], -1) - biases[name][:, None]
                        signal = (directions[name] @ flat).mean(dim=1).abs()
                        values, order = torch.sort(signal, descending=True)
                        sums = torch.cumsum(values, dim=0)
                        kept = int((sums / sums[-1] <= 0.1).sum())
                        _weights = {
                            int(mode): float(value / sums[kept]) for mode, value in zip(order[: kept + 1], values, strict=False)
                        }
        finally:
            for handle in handles:
                handle.remove()

    return run


def _stack(torch: Any, sides: tuple[int, ...], *, pool: int) -> Any:
    nn, parts = torch.nn, []
    for i, (n, m) in enumerate(pairwise(sides)):
        parts += [nn.Conv2d(n, m, 3, padding=1), nn.ReLU(inplace=True)]
        parts += [nn.MaxPool2d(2)] if i % pool == pool - 1 and i < 3 * pool - 1 else []
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * sides[-1], 32), nn.ReLU(), nn.Linear(32, 10)
    ).eval()


def _residual(torch: Any, width: int) -> Any:
    nn = torch.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, n: int, m: int) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(n, m, 3, m // n, 1, bias=False), nn.BatchNorm2d(m)
            self.conv2, self.bn2 = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
            self.down = nn.Conv2d(n, m, 1, 2, bias=False) if m > n else nn.Identity()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + self.down(x))

    stem = (nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    blocks = (Block(width, width), Block(width, 2 * width), Block(2 * width, 4 * width))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)).eval()


def _held(count: int) -> int:
    """Bytes at the peak of profiles of so many images in a fresh process."""
    done = subprocess.run([sys.executable, str(CHILD), str(count)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    found: dict[str, int] = json.loads(done.stdout)
    return found["peak"]


def _clocked(work: Callable[[], object]) -> Clock:
    """Time of the processor, which a busy machine does not stretch."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run
