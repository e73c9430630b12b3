"""Small random movements of an image before each step, so that a picture cannot rest on single pixels."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

FLAT = 2  # axes of an image that can be turned and scaled


@dataclass(frozen=True)
class Movement:
    """How far images are moved, in this order: pad, jitter, scale, turn, jitter again, cut back to their size.

    Attributes:
        pad: Positions of middle grey on every side.
        jitter: Positions of the range of a shift.
        scale: Largest relative change of size.
        rotation: Largest angle, in whole degrees.
        zeros: Further draws of no rotation, beside those of every whole angle.
        second: Range of the second shift.
    """

    pad: int
    jitter: int
    scale: float = 0.0
    rotation: int = 0
    zeros: int = 0
    second: int = 0

    def __str__(self) -> str:
        said = [f"pad {self.pad}", f"jitter {self.jitter}"]
        said += [f"scale {1 - self.scale:g} to {1 + self.scale:g}"] if self.scale else []
        said += [f"rotation within {self.rotation} degrees"] if self.rotation else []
        return ", ".join([*said, *([f"jitter {self.second}"] if self.second else [])])


@dataclass(frozen=True)
class Draw:
    """One movement: how far along each axis, by which factor, by which angle in degrees, and how far again."""

    shift: tuple[int, ...]
    scale: float
    angle: float
    second: tuple[int, ...]


SIZES = (
    (16, Movement(1, 1), 128),
    (48, Movement(4, 2, 0.05, 5, second=1), 256),
    (144, Movement(6, 4, 0.08, 8, second=2), 512),
    (None, Movement(12, 8, 0.1, 10, zeros=5, second=4), 512),
)
"""Largest side up to which a movement is taken, and the number of steps that goes with it."""


def movement(sizes: tuple[int, ...], /) -> Movement:
    """What fits images of this size; only images with two axes are turned and scaled.

    Args:
        sizes: (height, width), or as many axes as there are.

    References:
        Olah, Mordvintsev & Schubert (2017), doi:10.23915/distill.00007, whose amounts are those of the largest size.
    """
    found = next(one for most, one, _ in SIZES if most is None or max(sizes) <= most)
    return found if len(sizes) == FLAT else replace(found, scale=0.0, rotation=0, zeros=0)


def steps(sizes: tuple[int, ...], /) -> int:
    """Number of steps that images of this size are given."""
    return next(count for most, _, count in SIZES if most is None or max(sizes, default=1) <= most)


def draw(movement: Movement, axes: int, generator: np.random.Generator, /) -> Draw:
    """One movement of those that are allowed; all of them are equally likely."""
    shift = generator.integers(0, movement.jitter + 1, axes)
    factor = 1 + movement.scale * float(generator.uniform(-1, 1))
    angles = [*range(-movement.rotation, movement.rotation + 1), *[0] * movement.zeros]
    angle = angles[int(generator.integers(len(angles)))]
    second = generator.integers(0, movement.second + 1, axes)
    return Draw(tuple(shift.tolist()), factor, float(angle), tuple(second.tolist()))


def moved(images: Any, movement: Movement, draw: Draw, fill: float, /) -> Any:
    """Images after one movement, differentiable.

    Args:
        images: Tensor (N, channels, *sizes).
        movement: What `draw` was drawn from.
        draw: The movement; one for all of them.
        fill: What comes in from outside.

    Returns:
        Tensor of the same shape.
    """
    from torch.nn import functional

    sizes = images.shape[2:]
    padded = functional.pad(images, [movement.pad] * (2 * len(sizes)), value=fill)
    found = _cut(padded, draw.shift, tuple(size - movement.jitter for size in padded.shape[2:]))
    if len(sizes) == FLAT and (draw.scale != 1 or draw.angle):
        found = _turned(found, draw.scale, draw.angle, fill)
    found = _cut(found, draw.second, tuple(size - movement.second for size in found.shape[2:]))
    return _cut(found, tuple((have - want) // 2 for have, want in zip(found.shape[2:], sizes, strict=True)), tuple(sizes))


def _cut(images: Any, start: tuple[int, ...], sizes: tuple[int, ...]) -> Any:
    for axis, (first, size) in enumerate(zip(start, sizes, strict=True), start=2):
        images = images.narrow(axis, first, size)
    return images


def _turned(images: Any, scale: float, angle: float, fill: float) -> Any:
    """Enlarged and turned around the middle; angles are those of the picture, whatever its sides."""
    import torch
    from torch.nn import functional

    height, width = images.shape[2:]
    cos, sin = np.cos(np.radians(angle)) / scale, np.sin(np.radians(angle)) / scale
    # grid_sample measures both axes from -1 to 1, so that a turn of a picture that is no square has their ratio in it
    matrix = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    theta = torch.tensor([matrix], dtype=images.dtype, device=images.device).expand(len(images), -1, -1)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images - fill, grid, align_corners=False) + fill
