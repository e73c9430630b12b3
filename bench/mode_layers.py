"""Training steps and inference of mode layers against dense ones, beside what multiply-adds predict, and against forming W."""

from collections.abc import Iterator
from functools import partial

import torch
from _measure import Ratio, Size
from _mode_turns import inference, predicted, ratio, step, turns
from torch import Tensor, nn
from torch.nn import functional

from modescope.modes.modules.convolution import ModeConv2d
from modescope.modes.modules.linear import ModeLinear
from modescope.modes.modules.parametrised import parametrize_modes

BATCH = 256
WIDTHS = (256, 512, 1024, 2048, 4096)
PARTS = (64, 16, 4, 2)  # N / p
PREDICTED_FROM, WITHIN = 1024, 1.5  # the width from which time should follow multiply-adds, and how closely
FORMED = {Size.SMOKE: (16,), Size.DEFAULT: (1024, 2048), Size.LARGE: (1024, 2048, 4096)}
CONVOLUTIONS = ((64, 56, 4), (256, 14, 8))  # channels in and out, side, batch
THIN = "with few modes, calls, activations moved all the same, and the slow gradient of a thin xi_out weigh more"
CALLS = "for one sample, calls and short rows cost more than their multiply-adds"
WINDOWS = "few filters leave vector units idle, and the input is unfolded all the same"


def rows(size: Size, /) -> Iterator[Ratio]:
    """Dense and mode layers of one width take turns, for each width."""
    torch.manual_seed(0)
    small = size is Size.SMOKE
    batch = 8 if small else BATCH
    for n in (16,) if small else WIDTHS:
        yield from _linear(n, batch, bare=small or n >= PREDICTED_FROM, rounds=1 if small else 21 if n < 4096 else 7)
    for n in FORMED[size]:
        yield from _formed(n, batch, rounds=1 if small else 7, parametrised=n == FORMED[size][0])
    for n, side, images in ((4, 6, 2),) if small else CONVOLUTIONS:
        yield from _convolution(n, side, images, rounds=1 if small else 15)


def _linear(n: int, batch: int, rounds: int, *, bare: bool) -> Iterator[Ratio]:
    counts = {p: ModeLinear(n, n, p, init="iid") for p in _modes(n)}
    dense, x, one = nn.Linear(n, n), torch.randn(batch, n), torch.randn(1, n)
    compared = list(counts)[:3:2] if bare else []
    plain = {f"bare {p}": nn.Sequential(nn.Linear(n, p, bias=False), nn.Linear(p, n)) for p in compared}
    layers = {"dense": dense, **{f"{p}": layer for p, layer in counts.items()}}
    for words, works, missed in (
        (f"training step, batch {batch}", {name: step(layer, x) for name, layer in {**layers, **plain}.items()}, THIN),
        (f"inference, batch {batch}", {name: inference(layer, x) for name, layer in layers.items()}, THIN),
        ("inference, batch 1", {name: inference(layer, one, 4 if n > 1024 else 64) for name, layer in layers.items()}, CALLS),
    ):
        times = turns(works, rounds)
        for p, layer in counts.items():
            share = layer.cost.factored(p) / layer.cost.dense
            limit = WITHIN * share if n >= PREDICTED_FROM else None
            name = f"{words}, ModeLinear({n}, {n}, {p})"
            yield predicted(ratio(name, "nn.Linear", times[f"{p}"], times["dense"], limit=limit, if_missed=missed), share)
            if f"bare {p}" in times:
                yield ratio(name, "two nn.Linear through p, without strengths", times[f"{p}"], times[f"bare {p}"], limit=1.15)


def _formed(n: int, batch: int, rounds: int, *, parametrised: bool) -> Iterator[Ratio]:
    """The same factors, with W formed at each step as the authors' code and a parametrised module do."""
    x = torch.randn(batch, n)
    for p in _modes(n)[1:3]:
        modes, formed = ModeLinear(n, n, p, init="iid"), ModeLinear(n, n, p, init="iid")
        peers = {"W formed from the same factors": step(formed, x, call=partial(_through_weight, formed))}
        if parametrised:  # to make it takes an SVD
            peers["nn.Linear by parametrize_modes"] = step(parametrize_modes(nn.Linear(n, n), p), x)
        times = turns({"ours": step(modes, x), **peers}, rounds)
        for against in peers:
            name = f"training step, batch {batch}, ModeLinear({n}, {n}, {p})"
            yield ratio(name, against, times["ours"], times[against], limit=1.0)


def _convolution(n: int, side: int, images: int, rounds: int) -> Iterator[Ratio]:
    counts = {p: ModeConv2d(n, n, 3, p, padding=1, init="iid") for p in (n // 4, n // 2)}
    dense, x = nn.Conv2d(n, n, 3, padding=1), torch.randn(images, n, side, side)
    layers = {"dense": dense, **{f"{p}": layer for p, layer in counts.items()}}
    for words, works in (
        ("training step", {name: step(layer, x) for name, layer in layers.items()}),
        ("inference", {name: inference(layer, x) for name, layer in layers.items()}),
    ):
        times = turns(works, rounds)
        for p, layer in counts.items():
            share = layer.cost.factored(p) / layer.cost.dense
            name = f"{words}, batch {images} of {side}x{side}, ModeConv2d({n}, {n}, 3, {p})"
            found = ratio(name, "nn.Conv2d", times[f"{p}"], times["dense"], limit=WITHIN * share, if_missed=WINDOWS)
            yield predicted(found, share)


def _modes(n: int) -> list[int]:
    return sorted({max(n // part, 1) for part in PARTS})


def _through_weight(layer: ModeLinear, x: Tensor) -> Tensor:
    return functional.linear(x, layer.weight, layer.bias)
