"""Capturing what passes the layers of a network against running it plainly: what it costs a forward pass to be watched."""

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from _measure import Clock, Ratio, Size, compare

from modescope.activations import WHAT, Stack, Summed, capture, tapped

BATCH = 256
FRESH = "kept arrays lie in fresh pages, which this system may be slow to give"
PASSES = 4  # under one capture, as over a set of data


class LetGo:
    """A sink that looks at nothing, so that the watching alone is measured."""

    def add(self, tensor: Any, /) -> None:
        """Let it go."""

    def value(self) -> None:
        """Nothing."""


def rows(size: Size, /) -> Iterator[Ratio]:
    """A multilayer perceptron, a small convolutional network with activations in place, and blocks of attention."""
    import torch

    torch.manual_seed(0)
    small = size is Size.SMOKE
    batch, rounds = (16, 1) if small else (BATCH, 15)
    for name, model, x in (
        _perceptron(torch, 32 if small else 512, batch),
        _convolutions(torch, 4 if small else 16, batch),
        _attention(torch, 16 if small else 192, max(batch // 8, 2)),
    ):
        model.eval()
        hidden = [name for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))][:-1]
        every, middle = "all hidden layers", "one hidden layer"
        plain = _clocked(_plain(torch, model, x))
        handed = _clocked(_handed(model, hidden, x))
        yield compare(f"handing on the outputs of {every}, {name}", "a plain forward pass", handed, plain, limit=1.2, rounds=rounds)
        for words, layers, kinds, sink, limit, remark in (
            (f"watching {every}", hidden, WHAT, LetGo, 1.2, ""),
            (f"keeping the input of {middle}", hidden[1:2], ("input",), Stack, 1.2, ""),
            (f"keeping input, pre- and postactivation of {middle}", hidden[1:2], WHAT, Stack, None, "three copies"),
            (f"keeping all of {every}", hidden, WHAT, Stack, None, "a copy of every activation, most of them twice"),
            (f"moments of the input of {middle}", hidden[1:2], ("input",), Summed, None, "products in float64"),
            (f"moments of all of {every}", hidden, WHAT, Summed, None, "products in float64"),
        ):
            watched = _clocked(_watched(model, layers, kinds, sink, x))
            yield compare(
                f"{words}, {name}",
                "a plain forward pass",
                watched,
                plain,
                limit=limit,
                rounds=min(rounds, 5) if sink is Summed else rounds,
                remark=remark,
                if_missed="" if sink is LetGo else FRESH,
            )


def _perceptron(torch: Any, width: int, batch: int) -> tuple[str, Any, Any]:
    nn = torch.nn
    sides = (256, width, width, width)
    hidden = [part for n, m in pairwise(sides) for part in (nn.Linear(n, m), nn.ReLU())]
    return f"MLP of 3 x {width}", nn.Sequential(*hidden, nn.Linear(width, 10)), torch.randn(batch, 256)


def _convolutions(torch: Any, channels: int, batch: int) -> tuple[str, Any, Any]:
    nn = torch.nn
    sides = (3, channels, 2 * channels, 2 * channels)
    hidden = [
        part
        for n, m in pairwise(sides)
        for part in (nn.Conv2d(n, m, 3, padding=1, stride=m // n if n > 3 else 1), nn.ReLU(inplace=True))
    ]
    model = nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * channels, 10))
    return f"CNN of {channels}, {2 * channels}, {2 * channels}", model, torch.randn(batch, 3, 32, 32)


def _attention(torch: Any, width: int, batch: int) -> tuple[str, Any, Any]:
    nn = torch.nn
    blocks = [nn.TransformerEncoderLayer(width, 4, 4 * width, activation="gelu", batch_first=True) for _ in range(2)]
    return f"2 encoder blocks of {width}", nn.Sequential(*blocks, nn.Linear(width, 10)), torch.randn(batch, 65, width)


def _handed(model: Any, layers: list[str], x: Any) -> Callable[[], None]:
    def run() -> None:
        with tapped(model, dict.fromkeys(layers, lambda _call: None)):
            for _ in range(PASSES):
                model(x)

    return run


def _watched(model: Any, layers: list[str], kinds: tuple[str, ...], sink: Any, x: Any) -> Callable[[], None]:
    def run() -> None:
        with capture(model, layers, what=kinds, into=sink):
            for _ in range(PASSES):
                model(x)

    return run


def _plain(torch: Any, model: Any, x: Any) -> Callable[[], None]:
    def run() -> None:
        with torch.no_grad():
            for _ in range(PASSES):
                model(x)

    return run


def _clocked(work: Callable[[], None]) -> Clock:
    """Time of the processor, which a busy machine does not stretch: a pass is short, and copies are the kernel's work too."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run
