"""Exemplars are the ends of a full stable sort, and their pictures are those of the data set."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.profiles.basis import Basis
from modescope.profiles.exemplars import Crops, Exemplars, Extremes, crops, pixels
from modescope.profiles.images import Images, images
from modescope.profiles.passing import bases, passes
from modescope.profiles.receptive import fields
from modescope.profiles.survey import Survey, survey
from profiles_exemplars_cases import batches

RNG = np.random.default_rng(5)


def found(signals: np.ndarray, size: int, m: int, places: np.ndarray | None = None) -> Extremes:
    collected = Exemplars({"a": signals.shape[1]}, m)
    for passed in batches(signals, size, places):
        collected.add(passed)
    return collected.value()["a"]


@pytest.mark.parametrize("size", [1, 7, 64, 300])
@pytest.mark.parametrize("shades", [3, 40, 10**6], ids=["many ties", "some ties", "no ties"])
def test_exemplars_are_the_ends_of_a_full_stable_sort(size: int, shades: int) -> None:
    signals = RNG.integers(-shades, shades, (211, 13)) / 7
    places = RNG.integers(0, 50, signals.shape)
    ends = found(signals, size, 9, places)
    for end, keys in ((ends.top, -signals), (ends.bottom, signals)):
        order = np.argsort(keys, axis=0, kind="stable")[:9]
        np.testing.assert_array_equal(end.indices, order.T)
        np.testing.assert_array_equal(end.scores, np.take_along_axis(signals, order, axis=0).T)
        np.testing.assert_array_equal(end.places, np.take_along_axis(places, order, axis=0).T)


def test_the_other_sign_of_a_mode_swaps_its_ends() -> None:
    signals = RNG.integers(-5, 5, (60, 4)).astype(np.float64)
    one, other = found(signals, 16, 6), found(-signals, 16, 6)
    np.testing.assert_array_equal(one.top.indices, other.bottom.indices)
    np.testing.assert_array_equal(one.bottom.scores, -other.top.scores)


def test_fewer_images_than_are_kept_are_all_there() -> None:
    signals = RNG.standard_normal((4, 3))
    ends = found(signals, 3, 9)
    assert ends.top.indices.shape == (3, 4)
    np.testing.assert_array_equal(ends.top.indices, ends.bottom.indices[:, ::-1])
    assert ends.top.places is None
    with pytest.raises(UsageError, match="at least 1"):
        Exemplars({"a": 3}, 0)


@cache
def network() -> tuple[nn.Module, np.ndarray]:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(45, 3))
    return model, RNG.uniform(-2, 5, (30, 3, 10, 10)).astype(np.float32)


def profiled(data: Images, aggregate_by: str) -> tuple[Survey, dict[str, Basis], dict[str, Extremes]]:
    model, _ = network()
    looked = survey(model, data.first())
    modes = bases(model, looked)
    collected = Exemplars({name: one.s.size for name, one in modes.items()}, 3)
    for passed in passes(model, data, looked, modes, aggregate_by=aggregate_by):
        collected.add(passed)
    return looked, modes, dict(collected.value())


def cropped(data: Images, aggregate_by: str, side: int = 96) -> tuple[dict[str, Extremes], Crops]:
    looked, _, ends = profiled(data, aggregate_by)
    return ends, crops(data, ends, modes=2, fields=fields(network()[0], looked, data.first()), side=side)


def test_pictures_are_those_images_from_black_to_white_over_the_span_of_the_data() -> None:
    _, x = network()
    ends, made = cropped(images(x, batch=7), "mean")
    shown = {int(i) for one in ends.values() for end in one.ends.values() for i in end.indices[:2].ravel()}
    assert set(made.pictures) == shown
    scaled = (x - x.min()) / (x.max() - x.min()) * 255
    for index, picture in made.pictures.items():
        assert np.abs(picture - np.moveaxis(scaled[index], 0, -1)).max() <= 0.51
    assert f"{x.min():.4g}" in made.note
    assert {shot.crop is None for shots in made.shots.values() for shot in shots} == {True}


def test_the_crop_alone_makes_the_signal() -> None:
    model, x = network()
    data = images(x, batch=8)
    modes = profiled(data, "max")[1]
    ends, made = cropped(data, "max")
    for mode in range(2):
        for name, end in ends["2"].ends.items():
            assert end.places is not None
            for shot, place in zip(made.shots["2", mode, name], end.places[mode], strict=True):
                assert shot.box is not None
                assert shot.crop is not None
                (a, b), (c, d) = shot.box
                np.testing.assert_array_equal(shot.crop, made.pictures[shot.index][a:b, c:d])
                alone = np.full_like(x[shot.index], 7.5)
                alone[:, a:b, c:d] = x[shot.index, :, a:b, c:d]
                with torch.no_grad():
                    output = model[:3](torch.from_numpy(alone)[None]).double().numpy()[0].reshape(5, -1)[:, place]
                signal = modes["2"].directions()[:, mode] @ (output - modes["2"].bias)
                assert signal == pytest.approx(shot.score, abs=1e-5)
    assert made.shots["4", 0, "top"][0].box is None  # one output for the whole image: no position made it


def test_shots_are_in_the_order_of_their_scores_with_their_images() -> None:
    ends, made = cropped(images(network()[1]), "rms")
    for (site, mode, name), shots in made.shots.items():
        end = ends[site].ends[name]
        assert [shot.index for shot in shots] == end.indices[mode].tolist()
        assert [shot.score for shot in shots] == end.scores[mode].tolist()
    assert set(made.shots) == {(site, mode, name) for site in ends for mode in range(2) for name in ("top", "bottom")}


def test_data_sets_that_know_how_they_look_are_shown_so() -> None:
    _, x = network()
    data = Images(lambda: (x[i : i + 8] for i in range(0, 30, 8)), 30, shown=lambda batch: np.clip(batch / 2, 0, 1))
    _, made = cropped(data, "mean")
    for index, picture in made.pictures.items():
        assert np.abs(picture - np.moveaxis(np.clip(x[index] / 2, 0, 1), 0, -1) * 255).max() <= 0.51
    assert made.note == "as the data set shows its images"


def test_large_pictures_are_reduced_by_means_of_blocks() -> None:
    x = network()[1].copy()
    x[:, :, :4] = 5
    _, made = cropped(images(x), "mean", side=5)
    whole = cropped(images(x), "mean")[1]
    for index, picture in made.pictures.items():
        assert picture.shape == (5, 5, 3)
        blocks = whole.pictures[index].reshape(5, 2, 5, 2, 3).mean(axis=(1, 3))
        assert np.abs(picture - blocks).max() <= 1


@pytest.mark.parametrize(("shape", "seen"), [((1, 6, 4), (6, 4)), ((3, 6, 4), (6, 4, 3)), ((5, 6, 4), (6, 4)), ((6, 4), (6, 4))])
def test_channels_become_what_people_can_see(shape: tuple[int, ...], seen: tuple[int, ...]) -> None:
    assert pixels(np.zeros(shape), 0, 1).shape == seen


@pytest.mark.parametrize("shape", [(12,), (2, 30), (1, 3, 8, 8)])
def test_images_of_any_number_of_axes_have_a_picture(shape: tuple[int, ...]) -> None:
    x = RNG.uniform(0, 1, (12, *shape)).astype(np.float32)
    ends = {"a": found(x.reshape(12, -1)[:, :3], 5, 2)}
    made = crops(images(x), ends, modes={"a": [2]})
    assert set(made.shots) == {("a", 2, "top"), ("a", 2, "bottom")}
    assert all(picture.ndim == 2 for picture in made.pictures.values())


def test_another_data_set_and_modes_that_are_not_there_are_refused() -> None:
    x = RNG.uniform(0, 1, (12, 4)).astype(np.float32)
    ends = {"a": found(x[:, :3], 5, 12)}
    with pytest.raises(UsageError, match="image 11"):
        crops(images(x[:5]), ends)
    with pytest.raises(UsageError, match="0 to 2"):
        crops(images(x), ends, modes={"a": [3]})


def test_progress_is_told_the_images_of_the_second_pass() -> None:
    x = RNG.uniform(0, 1, (12, 4)).astype(np.float32)
    told: list[tuple[str, int, int | None]] = []
    crops(images(x, batch=5), {"a": found(x, 5, 2)}, progress=lambda *one: told.append(one))
    assert told == [("pictures", 5, 12), ("pictures", 10, 12), ("pictures", 12, 12)]
