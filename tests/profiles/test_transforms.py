"""Movements of images: what stays, what is shifted, turned and scaled by how much, and where it is drawn from."""

from collections import Counter

import numpy as np
import pytest
import torch

from modescope.profiles.transforms import Draw, Movement, draw, moved, movement, steps

SIZES = [(6,), (8, 8), (5, 9), (4, 5, 6)]
STILL = Movement(0, 0)


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_jitter_shows_the_picture_shifted_with_the_fill_from_outside(sizes: tuple[int, ...]) -> None:
    images = pictures(2, 3, *sizes)
    how = Movement(2, 2, second=1)
    surrounded = np.full((2, 3, *(size + 4 for size in sizes)), 0.5)
    surrounded[(..., *(slice(2, 2 + size) for size in sizes))] = images
    axes = len(sizes)
    for shift in ((0,) * axes, (2,) * axes, tuple(range(axes))[::-1]):
        for second in ((0,) * axes, (1,) * axes):
            found = moved(images, how, Draw(shift, 1.0, 0.0, second), 0.5)
            # two positions more than the size are cut after the first shift, one after the second, and the rest evenly
            rest = (2 * 2 - 2 - 1) // 2
            window = (slice(a + b + rest, a + b + rest + size) for a, b, size in zip(shift, second, sizes, strict=True))
            assert np.array_equal(found, surrounded[(..., *window)])


@pytest.mark.parametrize("sizes", SIZES)
def test_no_movement_is_the_identity_and_every_movement_keeps_the_shape(sizes: tuple[int, ...]) -> None:
    images = pictures(2, 1, *sizes)
    generator = np.random.default_rng(0)
    assert torch.equal(moved(images, STILL, draw(STILL, len(sizes), generator), 0.5), images)
    for size in (8, 28, 64, 224):
        how = movement((*sizes[:-1], size))
        for _ in range(5):
            assert moved(images, how, draw(how, len(sizes), generator), 0.5).shape == images.shape


def test_a_quarter_turn_of_a_square_is_that_of_its_pixels() -> None:
    images = pictures(1, 2, 7, 7)
    found = moved(images, STILL, Draw((0, 0), 1.0, 90.0, (0, 0)), 0.5)
    assert min((found - torch.rot90(images, turn, (2, 3))).abs().max() for turn in (1, -1)) < 1e-12


def test_a_quarter_turn_of_what_is_no_square_keeps_distances() -> None:
    images = torch.full((1, 1, 5, 11), 0.5, dtype=torch.float64)
    images[0, 0, 2, 5], images[0, 0, 0, 5], images[0, 0, 2, 7], images[0, 0, 2, 9] = 1.0, 0.9, 0.7, 0.2
    found = moved(images, STILL, Draw((0, 0), 1.0, 90.0, (0, 0)), 0.5)[0, 0]
    assert found[2, 5] == pytest.approx(1.0)
    assert sorted((float(found[2, 3]), float(found[2, 7]))) == pytest.approx([0.5, 0.9])  # from two above to two beside
    assert sorted((float(found[0, 5]), float(found[4, 5]))) == pytest.approx([0.5, 0.7])  # from two beside to two above or below
    assert 0.2 not in found.numpy().round(6)  # it left the picture, and the fill came in


def test_a_scale_above_one_enlarges_around_the_middle() -> None:
    images = pictures(1, 1, 9, 9)
    found = moved(images, STILL, Draw((0, 0), 2.0, 0.0, (0, 0)), 0.5)
    assert torch.allclose(found[0, 0, ::2, ::2], images[0, 0, 2:7, 2:7], atol=1e-12)
    small = moved(images, STILL, Draw((0, 0), 0.5, 0.0, (0, 0)), 0.25)
    assert torch.allclose(small[0, 0, 2:7, 2:7], images[0, 0, ::2, ::2], atol=1e-12)
    assert small[0, 0, 0, 0] == 0.25


def test_draws_are_whole_shifts_and_angles_of_the_range_and_a_scale_within_it() -> None:
    how = Movement(12, 8, 0.1, 10, zeros=5, second=4)
    generator = np.random.default_rng(0)
    draws = [draw(how, 2, generator) for _ in range(4000)]
    assert {shift for one in draws for shift in one.shift} == set(range(9))
    assert {shift for one in draws for shift in one.second} == set(range(5))
    angles = Counter(one.angle for one in draws)
    assert set(angles) == set(range(-10, 11))
    assert angles[0] / 4000 == pytest.approx(6 / 26, abs=4 * np.sqrt(6 / 26 * 20 / 26 / 4000))
    scales = [one.scale for one in draws]
    assert 0.9 <= min(scales) < 0.902
    assert 1.098 < max(scales) <= 1.1


def test_draws_depend_on_the_generator_alone() -> None:
    how = movement((28, 28))
    first, second, other = ([draw(how, 2, np.random.default_rng(seed)) for _ in range(1)] for seed in (1, 1, 2))
    assert first == second != other


@pytest.mark.parametrize(
    ("sizes", "said", "count"),
    [
        ((8, 8), "pad 1, jitter 1", 128),
        ((28, 28), "pad 4, jitter 2, scale 0.95 to 1.05, rotation within 5 degrees, jitter 1", 256),
        ((20, 64), "pad 6, jitter 4, scale 0.92 to 1.08, rotation within 8 degrees, jitter 2", 512),
        ((224, 224), "pad 12, jitter 8, scale 0.9 to 1.1, rotation within 10 degrees, jitter 4", 512),
        ((32,), "pad 4, jitter 2, jitter 1", 256),
    ],
)
def test_a_movement_goes_by_the_size(sizes: tuple[int, ...], said: str, count: int) -> None:
    assert (str(movement(sizes)), steps(sizes)) == (said, count)
    how = movement(sizes)
    assert 2 * how.pad >= how.jitter + how.second, "there must be enough left to cut back to the size"


def test_gradients_pass_a_movement() -> None:
    images = pictures(1, 1, 8, 8).requires_grad_()
    (slope,) = torch.autograd.grad(moved(images, STILL, Draw((0, 0), 1.1, 5.0, (0, 0)), 0.5).sum(), images)
    assert (slope != 0).any()
    assert slope.isfinite().all()
