"""What `examples/profiled_photographs.py` claims of two networks and the pictures that ship with scikit-image."""

import sys

import numpy as np
import pytest
import torch

import real
from example_cases import example
from modescope.blocks import Section

photographs = example("profiled_photographs")

COPIES = [3, pytest.param(photographs.DRAWS, marks=pytest.mark.full)]


@pytest.fixture
def detector():
    pytest.importorskip("skimage")
    real.path("facenet-pytorch")
    return photographs.detector


@pytest.mark.real
@pytest.mark.parametrize("copies", COPIES)
def test_the_first_output_mode_sees_the_only_face_and_that_of_shuffled_weights_does_not(detector, copies):
    model = detector(photographs.PNet)
    assert photographs.direction(model) > 0.98
    assert photographs.best(model)[0].face
    others = [photographs.best(photographs.shuffled(model, seed), 1)[0] for seed in range(copies)]
    assert sum(one.face for one in others) <= copies // 10


@pytest.mark.real
@pytest.mark.parametrize("copies", COPIES)
def test_faces_and_scraps_are_apart_behind_learnt_weights_only(detector, copies):
    model = detector(photographs.RNet)
    accuracy, layers = photographs.separated(model)
    assert accuracy >= 0.99
    assert layers[-1].name == "dense5_1"
    assert layers[-1].eta > 0.9
    assert all(layer.eta > 5 * layer.eta_permuted for layer in layers)
    wide = [layer for layer in layers[1:] if layer.rank >= 32]
    assert [layer.name for layer in wide] == ["conv2", "conv3", "dense4"]
    assert min(layer.ratio for layer in wide) > 1.5
    for seed in range(copies):
        right, others = photographs.separated(photographs.shuffled(model, seed))
        assert right < 0.8
        assert all(one.eta > other.eta for one, other in zip(layers[1:], others[1:], strict=True))
        assert all(other.ratio <= 1.2 for other in others if other.name in {layer.name for layer in wide})


def test_squares_show_the_photograph_where_they_say_and_no_window_twice():
    """One photograph, whose value says the row: the mean over a square is the row of its middle."""
    pytest.importorskip("skimage")
    pictures, places = photographs.squares()
    assert pictures.shape[1:] == (3, photographs.SIDE, photographs.SIDE)
    assert len(places) == len(set(places)) == len(pictures)
    assert photographs.SIDE - photographs.STEP == 12
    original = torch.tensor(photographs.library().astronaut()).movedim(-1, 0).float()
    for picture, place in zip(pictures, places, strict=True):
        if place.name == "astronaut":
            side = round(place.scale * photographs.SIDE)
            row, column = round(place.row), round(place.column)
            expected = photographs.scaled(original[:, row : row + side, column : column + side]).mean(dim=(1, 2))
            torch.testing.assert_close(picture.mean(dim=(1, 2)), expected, atol=0.03, rtol=0)


def test_shuffling_keeps_the_entries_and_leaves_the_network_as_it_was():
    model = photographs.PNet()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = photographs.shuffled(model, 0).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert np.array_equal(np.sort(copy[name].ravel()), np.sort(value.ravel()))
        assert torch.equal(copy[name], value) == (value.ndim == 1)


def test_without_scikit_image_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.delitem(sys.modules, "skimage.data", raising=False)
    with pytest.raises(ModuleNotFoundError, match="pip install scikit-image"):
        photographs.library()


@pytest.mark.real
@pytest.mark.full
def test_the_page_shows_what_positions_saw(detector):
    blocks = list(photographs.page(detector(photographs.PNet), features=0).blocks)
    for block in blocks:
        blocks += block.blocks if isinstance(block, Section) else ()
    assert any("what was seen" in getattr(block, "title", "") for block in blocks)
