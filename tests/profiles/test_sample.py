"""A sample of images is uniform, and the same however images come in batches."""

import numpy as np
import pytest

from modescope.profiles.passing import Passed
from modescope.profiles.sample import Sample, Sampling


def sampled(count: int, batch: int, size: int, seed: int = 0) -> Sample:
    taken = Sampling(size, seed=seed)
    numbers = np.arange(count, dtype=np.float64)
    for start in range(0, count, batch):
        part = numbers[start : start + batch, None]
        taken.add(Passed(start, (part[:, 0] % 3).astype(np.int64), {"a": part, "b": np.hstack([part, -part])}, {}, None, None))
    return taken.value()


def test_it_does_not_depend_on_the_batches_and_keeps_images_labels_and_signals_together() -> None:
    whole, pieces, single = sampled(300, 300, 40), sampled(300, 7, 40), sampled(300, 1, 40)
    assert whole.images.tolist() == pieces.images.tolist() == single.images.tolist()
    assert np.all(np.diff(whole.images) > 0)
    assert whole.labels is not None
    assert whole.labels.tolist() == (whole.images % 3).tolist()
    assert whole.signals["a"][:, 0].tolist() == whole.images.tolist()
    assert whole.signals["b"][:, 1].tolist() == (-whole.images).tolist()


def test_a_small_data_set_is_kept_whole_and_a_large_one_to_the_size() -> None:
    assert sampled(30, 7, 40).images.tolist() == list(range(30))
    assert sampled(41, 7, 40).images.size == 40


def test_every_image_is_as_likely_as_any_other() -> None:
    draws = 400
    counts = sum(np.bincount(sampled(50, 9, 10, seed).images, minlength=50) for seed in range(draws))
    expected, deviation = draws * 0.2, np.sqrt(draws * 0.2 * 0.8)
    assert np.abs(counts - expected).max() < 4.5 * deviation
    assert np.abs(counts[:10].mean() - expected) < 4 * deviation / np.sqrt(10)


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="no batch"):
        Sampling().value()
