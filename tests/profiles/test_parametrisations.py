"""Free numbers of images: what they mean by a slow transform, for odd sizes and any number of axes, and the colours."""

import itertools
import math

import numpy as np
import pytest
import torch

from modescope.errors import UsageError
from modescope.profiles import parametrisations as forms

SHAPES = [(1, 8, 8), (3, 7, 9), (2, 5), (1, 3, 4, 5), (1, 9, 4)]


def slow(free: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The inverse real transform by its definition: coefficients that are not given are conjugates of those that are."""
    count = math.prod(sizes)
    found = np.zeros(sizes, complex)
    for k in itertools.product(*map(range, sizes)):
        if k[-1] <= sizes[-1] // 2:
            value = complex(*free[k])
            if k[-1] == 0 or 2 * k[-1] == sizes[-1]:  # on its own mirror: only the symmetric part has a real transform
                mirror = tuple(-one % size for one, size in zip(k, sizes, strict=True))
                value = (value + complex(*free[mirror]).conjugate()) / 2
        else:
            mirror = tuple(-one % size for one, size in zip(k, sizes, strict=True))
            value = complex(*free[mirror]).conjugate()
        signed = [one / size if 2 * one <= size else one / size - 1 for one, size in zip(k, sizes, strict=True)]
        value /= max(math.hypot(*signed), 1 / max(sizes))
        for p in itertools.product(*map(range, sizes)):
            angle = 2 * math.pi * sum(a * b / size for a, b, size in zip(k, p, sizes, strict=True))
            found[p] += value * complex(math.cos(angle), math.sin(angle))
    assert np.abs(found.imag).max() < 1e-9
    return found.real / math.sqrt(count) / 4


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_the_weighted_inverse_transform(shape: tuple[int, ...]) -> None:
    free = forms.drawn(forms.FFT, shape, np.random.default_rng(0))
    found = forms.FFT.logits(torch.tensor(free)[None], shape)[0]
    assert found.shape == shape
    for channel in range(shape[0]):
        assert np.allclose(found[channel], slow(free[channel], shape[1:]), atol=1e-12 * np.abs(free).max() * 100)


@pytest.mark.parametrize("name", ["fft", "pixel"])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_starts_near_the_middle_of_its_range(name: str, shape: tuple[int, ...]) -> None:
    form = forms.parametrisation(name, shape)
    free = torch.tensor(forms.drawn(form, shape, np.random.default_rng(0)))[None]
    found = forms.image(form, free, shape, (-1.0, 3.0))
    assert found.shape == (1, *shape)
    assert (found - 1).abs().max() < 0.2
    assert found.std() > 0


def test_an_image_never_leaves_its_range() -> None:
    free = torch.tensor([[[-1e4, 1e4, 0.0]]])
    assert forms.image(forms.PIXEL, free, (1, 3), (-2.0, 5.0)).tolist() == [[[-2.0, 5.0, 1.5]]]


def test_colours_are_those_of_the_published_matrix() -> None:
    published = [[0.5628, 0.1948, 0.0433], [0.5845, 0.0, -0.1082], [0.5845, -0.1948, 0.0649]]
    assert np.abs(forms.DECORRELATED - published).max() < 5e-5
    z = torch.tensor(np.random.default_rng(0).standard_normal((2, 3, 4, 5)))
    found = torch.logit(forms.image(forms.PIXEL, z, (3, 4, 5), (0.0, 1.0), natural=True))
    for n, y, x in itertools.product(range(2), range(4), range(5)):
        assert np.allclose(found[n, :, y, x], forms.DECORRELATED @ z[n, :, y, x].numpy())


def test_what_has_no_positions_has_no_frequencies() -> None:
    assert forms.parametrisation("fft", (12,)) is forms.PIXEL
    with pytest.raises(UsageError, match="expected one of fft, pixel, got 'wavelet'"):
        forms.parametrisation("wavelet", (1, 8, 8))
