"""Images as functions of free numbers, which an optimiser may change without leaving the range of images."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modescope.errors import UsageError
from modescope.svd import Values

SPREAD = 0.01  # standard deviation of the free numbers at the start
DAMPING = 4.0  # what the recipe divides the inverse transform by

COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
DECORRELATED = COLOURS / np.linalg.norm(COLOURS, axis=0).max()
"""Red, green and blue by colours that are uncorrelated in natural images.

References:
    Olah, Mordvintsev & Schubert (2017), doi:10.23915/distill.00007, and the code of Lucid.
"""


@dataclass(frozen=True)
class Parametrisation:
    """Free numbers of an image and what they mean.

    Attributes:
        name: As users give it.
        start: Shape of the free numbers of an image (channels, *sizes).
        logits: From free numbers (N, ...) and the shape of an image to tensors (N, channels, *sizes) without bounds.
    """

    name: str
    start: Callable[[tuple[int, ...]], tuple[int, ...]]
    logits: Callable[[Any, tuple[int, ...]], Any]


def drawn(form: Parametrisation, shape: tuple[int, ...], generator: np.random.Generator, /) -> Values:
    """Free numbers of one image at the start, close to 0: it is close to the middle of its range."""
    found: Values = SPREAD * generator.standard_normal(form.start(shape))
    return found


def image(form: Parametrisation, free: Any, shape: tuple[int, ...], span: tuple[float, float], /, *, natural: bool = False) -> Any:
    """Images (N, channels, *sizes) inside a range.

    Args:
        form: What the free numbers are.
        free: Tensor (N, ...).
        shape: (channels, *sizes).
        span: Ends of the range; both are approached and not reached.
        natural: The three channels are those of natural images: red, green, blue.
    """
    import torch

    logits = form.logits(free, shape)
    if natural:
        colours = torch.as_tensor(DECORRELATED, dtype=logits.dtype, device=logits.device)
        logits = torch.einsum("nc...,dc->nd...", logits, colours)
    return span[0] + (span[1] - span[0]) * torch.sigmoid(logits)


def parametrisation(name: str, shape: tuple[int, ...], /) -> Parametrisation:
    """One of `PARAMETRISATIONS`; what has no axes of positions has no frequencies, and is given by its values.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in PARAMETRISATIONS:
        raise UsageError(f"parametrisation: expected one of {', '.join(PARAMETRISATIONS)}, got {name!r}.")
    return PARAMETRISATIONS[name] if len(shape) > 1 else PIXEL


def _frequencies(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-1], shape[-1] // 2 + 1, 2)


def _from_frequencies(free: Any, shape: tuple[int, ...]) -> Any:
    """Inverse transform of coefficients that weigh less the higher their frequency; the sizes are given, as odd ones are lost."""
    import torch

    sizes = shape[1:]
    axes = [np.fft.fftfreq(size) for size in sizes[:-1]] + [np.fft.rfftfreq(sizes[-1])]
    squares = np.zeros(())
    for axis in axes:
        squares = squares[..., None] + axis**2
    scale = torch.as_tensor(1 / np.maximum(np.sqrt(squares), 1 / max(sizes)), dtype=free.dtype, device=free.device)
    coefficients = torch.view_as_complex(free.contiguous()) * scale
    return torch.fft.irfftn(coefficients, s=sizes, dim=tuple(range(2, 2 + len(sizes))), norm="ortho") / DAMPING


def _same(free: Any, shape: tuple[int, ...]) -> Any:
    assert math.prod(free.shape[1:]) == math.prod(shape)
    return free


FFT = Parametrisation("fft", _frequencies, _from_frequencies)
PIXEL = Parametrisation("pixel", lambda shape: shape, _same)
PARAMETRISATIONS: Mapping[str, Parametrisation] = {form.name: form for form in (FFT, PIXEL)}
