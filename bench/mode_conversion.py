"""Modes of a trained weight, and modes to begin with, against the SVD of a dense weight of that size."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from _measure import Ratio, Size, least
from _processor import spent
from torch import nn

from modescope.matrix import Array
from modescope.modes.conversion import to_modes
from modescope.modes.initialisation import spectral

SIDES = {Size.SMOKE: (32,), Size.DEFAULT: (1024, 2048), Size.LARGE: (1024, 4096)}


def rows(size: Size, /) -> Iterator[Ratio]:
    """A conversion and a draw of modes against an SVD in float64 with its vectors, in processor time."""
    for n in SIDES[size]:
        p = n // 16
        torch.manual_seed(0)
        layer = nn.Linear(n, n)
        works = partial(_svd, layer.weight.detach().numpy()), partial(to_modes, nn.Sequential(layer), p), partial(_begin, n, p)
        svd, ours, begun = least(*map(spent, works), rounds=2 if size is not Size.SMOKE and n < 2048 else 1)
        yield Ratio(f"to_modes of nn.Linear({n}, {n}), {p} modes", "SVD of its weight", 1.25, ours / svd, ours, svd)
        yield Ratio(f"spectral start, {p} modes, {n}x{n}", "SVD of a dense draw", 0.2, begun / svd, begun, svd)


def _svd(weight: Array) -> None:
    np.linalg.svd(weight.astype(np.float64), full_matrices=False)


def _begin(n: int, p: int) -> None:
    spectral(n, n, p, np.random.default_rng(0))
