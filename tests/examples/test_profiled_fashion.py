"""What `examples/profiled_fashion.py` claims, with its own settings and seeds where there is time."""

from functools import cache

import pytest
import torch

import real
from example_cases import example
from profiles_examples_cases import (
    check_accuracy_of_cut_networks,
    check_images_that_were_made,
    check_separation_of_classes,
    check_spectra_beside_noise,
    check_that_what_is_not_claimed_of_overlap_is_so,
)

fashion = example("profiled_fashion")

pytestmark = pytest.mark.real
SEEDS = pytest.mark.parametrize("seed", range(5))


@cache
def found(seed):
    real.path("dataset-fashion-mnist")
    fresh = fashion.data("t10k", fashion.TESTED)
    return fashion.look(seed, *fashion.trained(seed), fresh, fresh)


def test_pictures_are_the_first_of_the_set_with_their_labels():
    real.path("dataset-fashion-mnist")
    (pictures, labels), (few, own) = fashion.data("t10k", 300), fashion.data("t10k", 20)
    assert pictures.shape == (300, 1, 28, 28)
    assert (float(pictures.min()), float(pictures.max())) == (0, 1)
    assert torch.equal(pictures[:20], few)
    assert torch.equal(labels[:20], own)
    bright = [float(pictures[labels == label].mean()) for label in range(10)]
    assert fashion.CLASSES[min(range(10), key=bright.__getitem__)] == "sandal"  # the least of cloth


@pytest.mark.full
@SEEDS
def test_strong_modes_carry_what_the_network_knows(seed):
    check_accuracy_of_cut_networks(found(seed), fashion.MARGINS)


@pytest.mark.full
@SEEDS
def test_classes_are_further_apart_in_the_last_layer_than_in_the_first(seed):
    one = found(seed)
    check_separation_of_classes(one)
    check_that_what_is_not_claimed_of_overlap_is_so(one)


@pytest.mark.full
def test_separation_in_the_first_layer_is_that_of_brightness_whatever_the_weights():
    assert found(0).layers[0].eta == pytest.approx(found(1).layers[0].eta, abs=0.01)


@pytest.mark.full
@SEEDS
def test_training_alone_makes_modes_stand_out_of_noise(seed):
    check_spectra_beside_noise(found(seed))


@pytest.mark.full
@SEEDS
def test_made_images_drive_modes_further_than_random_ones_and_the_data(seed):
    check_images_that_were_made(found(seed))
