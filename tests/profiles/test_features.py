"""Images made for modes: how good they are, that they are judged by what they climbed, and that nothing else of them depends on."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import Interrupted, UsageError
from modescope.profiles import climbing
from modescope.profiles.features import Feature, combined, visualise
from modescope.profiles.linear_optimum import on_box, slopes
from profiles_features_cases import Looked, chain, digits, looked, scores, small, state

HOW = {
    "centre": lambda s: s[(..., *(size // 2 for size in s.shape[2:]))],
    "mean": lambda s: s.flatten(2).mean(2),
    "max": lambda s: s.flatten(2).amax(2),
    "min": lambda s: s.flatten(2).amin(2),
    "rms": lambda s: s.flatten(2).square().mean(2).sqrt(),
}


def pictures(features: tuple[Feature, ...]) -> np.ndarray:
    return np.stack([one.image for one in features])


# How good they are


@pytest.mark.parametrize(("channels", "seed", "steps", "least"), [(1, 1, 128, 0.93), (3, 0, 128, 0.93), (1, 0, 512, 0.96)])
def test_a_first_layer_comes_close_to_the_best_there_is(channels: int, seed: int, steps: int, least: float) -> None:
    """With its values as published, where the best is not tiny beside the worst: a sigmoid leaves a share of that one."""
    found = looked(chain(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3), seed=seed), channels, 9, 9)
    count = found.bases["0"].s.size
    features = found.features("0", range(count), steps=steps)
    assert len(features) == 2 * count
    slope = slopes(found.bases["0"], found.model[0], found.shape)
    for one in features:
        best, worst = (float(on_box(slope, sign=sign).values[one.mode]) for sign in (one.sign, -one.sign))
        middle = (best + worst) / 2
        assert least <= one.share <= 1
        assert one.share == pytest.approx((one.score - middle) / (best - middle), abs=1e-9)
        if abs(worst) < 3 * abs(best):
            assert one.score / best >= least


def test_the_share_counts_what_normalisation_does_and_is_missing_where_no_line_leads_to_the_layer() -> None:
    found = looked(small(3), 3, 7, 9)
    mean, spread = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in ([0.1, 0.5, 0.9], [0.2, 0.3, 0.9]))
    (one,) = found.features(
        "0", [2], signs=[-1], normalise=lambda x: (x - mean) / spread, span=(0.0, 2.0), objective="mean", steps=60
    )
    slope = slopes(found.bases["0"], found.model[0], found.shape, objective="mean")[2]
    ends = np.stack([((end - mean) / spread).expand(3, 7, 9).numpy() for end in (0.0, 2.0)])
    best, worst = (slope * ends).min(axis=0).sum(), (slope * ends).max(axis=0).sum()
    assert one.share == pytest.approx((one.score - (best + worst) / 2) / (best - (best + worst) / 2), abs=1e-9)
    assert 0 < one.share < 1
    for site, objective in (("2", "centre"), ("5", "centre"), ("0", "max"), ("0", "rms")):
        assert {one.share for one in found.features(site, [0], objective=objective, steps=2)} == {None}


@pytest.mark.parametrize(("site", "objective"), [("0", "centre"), ("2", "centre"), ("6", "centre"), ("8", "centre"), ("2", "mean")])
def test_features_of_digits_beat_images_that_are_random_or_real(site: str, objective: str) -> None:
    found, images, labels = digits()
    with torch.no_grad():
        assert (found.model(images).argmax(1) == labels).float().mean() > 0.9
    features = found.features(site, range(3), objective=objective)
    random = torch.rand(1000, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    among, real = (scores(found, site, some, HOW[objective]) for some in (random, images))
    ahead = []
    for one in features:
        assert one.sign * one.score > one.sign * one.before
        assert one.sign * one.score > (one.sign * among[:, one.mode]).max()
        ahead.append(one.sign * one.score > (one.sign * real[:, one.mode]).max())
    assert np.mean(ahead) >= (0.6 if objective == "mean" else 1.0)


def test_moved_images_of_digits_still_beat_random_ones() -> None:
    found, _, _ = digits()
    features = found.features("2", range(3), transforms="auto", objective="mean")
    among = scores(found, "2", torch.rand(1000, 1, 8, 8, generator=torch.Generator().manual_seed(1)), HOW["mean"])
    assert all(one.sign * one.score > (one.sign * among[:, one.mode]).max() for one in features)
    assert {one.transforms for one in features} == {"pad 1, jitter 1"}


# That they are judged by what they climbed


@pytest.mark.parametrize("site", ["0", "2", "5"])
@pytest.mark.parametrize("objective", ["centre", "mean", "max", "rms"])
def test_a_score_is_the_aggregated_signal_of_the_unmoved_image(site: str, objective: str) -> None:
    found = looked(small(), 1, 7, 9)
    for one in found.features(site, [0, 3], objective=objective, transforms="auto", steps=5):
        how = HOW["min" if (objective, one.sign) == ("max", -1) else objective]
        expected = scores(found, site, torch.tensor(one.image.copy())[None], how)[0, one.mode]
        assert one.score == pytest.approx(expected, rel=1e-10)
        assert one.history[0] == (0, one.before)
        assert one.history[-1] == (5, one.score)
        assert one.sigma == found.bases[site].s[one.mode]
        assert one.objective == ("unit" if site == "5" and objective != "rms" else objective)


def test_the_first_score_is_that_of_the_image_before_any_step() -> None:
    found = looked(small(), 1, 7, 9)
    few, many = (found.features("2", [1], steps=steps)[0] for steps in (1, 40))
    assert few.before == many.before
    assert few.history[1][1] == pytest.approx(many.history[1][1], abs=1e-12)
    assert [step for step, _ in many.history] == sorted({round(k * 40 / 32) for k in range(33)})


def test_a_batch_norm_that_is_folded_in_counts_in_the_score() -> None:
    model = chain(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        model[1].running_var.copy_(torch.tensor([0.3, 2.0, 1.0, 5.0]))
        model[1].running_mean.copy_(torch.tensor([1.0, -1.0, 0.5, 0.0]))
    model.eval()
    found = looked(model, 1, 6, 6, bn="fold")
    (one,) = found.features("0", [0], signs=[1], steps=20)
    with torch.no_grad():
        both = torch.stack([torch.tensor(one.image.copy()), torch.zeros(1, 6, 6, dtype=torch.float64)])
        there, nothing = model[1](model[0](both))[:, :, 2, 2].numpy()
    assert one.score == pytest.approx((there - nothing) @ found.bases["0"].directions()[:, 0], rel=1e-10)
    assert one.share is not None


def test_a_combination_honours_the_weights_of_all_its_layers() -> None:
    found = looked(small(), 1, 7, 9)
    given = {"survey": found.survey, "bases": found.bases, "shape": found.shape, "transforms": "none", "steps": 40}
    weights = {"0": {1: 1.5, 2: -0.5}, "5": {0: 2.0}}
    (one,) = combined(found.model, weights, **given)
    image = torch.tensor(one.image.copy())[None]
    expected = sum(
        weight * scores(found, site, image, HOW["centre"])[0, mode] for site, own in weights.items() for mode, weight in own.items()
    )
    assert one.score == pytest.approx(expected, rel=1e-10)
    assert (one.layer, one.mode, one.sigma, one.sign) == ("0 + 5", None, None, 1)
    assert [(term.site, term.mode, term.weight) for term in one.terms] == [("0", 1, 1.5), ("0", 2, -0.5), ("5", 0, 2.0)]
    (other,) = combined(found.model, {"0": {1: 100.0}, "5": {0: 0.001}}, **given)
    at = [scores(found, "0", torch.tensor(f.image.copy())[None], HOW["centre"])[0, 1] for f in (one, other)]
    assert at[1] > at[0]


def test_a_combination_of_one_mode_is_that_mode() -> None:
    found = looked(small(), 1, 7, 9)
    (one,) = combined(found.model, {"2": {3: 1.0}}, survey=found.survey, bases=found.bases, shape=found.shape, steps=9)
    (same,) = found.features("2", [3], signs=[1], steps=9, transforms="auto")
    assert np.array_equal(one.image, same.image)
    assert (one.mode, one.sigma) == (3, same.sigma)


def test_a_negative_weight_of_the_largest_position_drives_the_smallest_down() -> None:
    found = looked(small(), 1, 7, 9)
    given = {"survey": found.survey, "bases": found.bases, "shape": found.shape, "transforms": "none", "steps": 9}
    (one,) = combined(found.model, {"2": {0: -2.0}}, objective="max", **given)
    assert one.score == pytest.approx(-2 * scores(found, "2", torch.tensor(one.image.copy())[None], HOW["min"])[0, 0], rel=1e-10)
    with pytest.raises(UsageError, match="the same number for both"):
        combined(found.model, {"2": {0: -2.0}}, objective="rms", **given)


# That they depend on nothing else


@pytest.mark.parametrize("transforms", ["auto", "none"])
@pytest.mark.parametrize("variants", [1, 2])
def test_images_are_the_same_alone_and_together(transforms: str, variants: int) -> None:
    found = looked(small(), 1, 7, 9)
    options = {"transforms": transforms, "variants": variants, "steps": 12}
    together = found.features("2", [0, 1, 4], **options)
    some = found.features("2", [0, 1, 4], batch=2, **options)
    alone = [one for mode in (0, 1, 4) for sign in (1, -1) for one in found.features("2", [mode], signs=[sign], batch=1, **options)]
    for other in (some, alone):
        assert [(one.mode, one.sign, one.variant) for one in other] == [(one.mode, one.sign, one.variant) for one in together]
        assert np.abs(pictures(tuple(other)) - pictures(together)).max() < 1e-9
        assert [one.score for one in other] == pytest.approx([one.score for one in together], rel=1e-9)


def test_what_fits_in_memory_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(small(), 1, 7, 9)
    sizes = []
    monkeypatch.setattr(climbing, "run", lambda model, batch, run=climbing.run: (sizes.append(len(batch)), run(model, batch)))
    whole = found.features("2", range(6), steps=2)
    assert max(sizes) == 12
    outputs = 8 * (1 * 7 * 9 + 5 * 7 * 9)  # bytes of the image and of the first ReLU, which both are kept for gradients
    monkeypatch.setattr(climbing, "MEMORY", 6 * outputs)
    sizes.clear()
    parts = found.features("2", range(6), steps=2)
    assert 2 <= max(sizes) <= 6
    assert np.abs(pictures(parts) - pictures(whole)).max() < 1e-9


def test_the_seed_decides_and_neither_global_randomness_nor_the_sign_of_another() -> None:
    found = looked(small(), 1, 7, 9)
    torch.manual_seed(5)
    first = found.features("2", [0, 1], steps=6, transforms="auto", seed=3)
    torch.manual_seed(6)
    again = found.features("2", [0, 1], steps=6, transforms="auto", seed=3)
    other = found.features("2", [0, 1], steps=6, transforms="auto", seed=4)
    assert np.array_equal(pictures(first), pictures(again))
    assert all(np.abs(a.image - b.image).max() > 1e-3 for a, b in zip(first, other, strict=True))
    starts = pictures(found.features("2", [0, 1], steps=1, seed=3))
    assert len({one.tobytes() for one in starts}) == 4


@pytest.mark.parametrize("shape", [(1, 7, 9), (1, 8, 5), (1, 9, 9)])
@pytest.mark.parametrize("parametrisation", ["fft", "pixel"])
def test_images_have_the_size_and_the_range_that_were_asked_for(shape: tuple[int, ...], parametrisation: str) -> None:
    found = looked(small() if shape[1:] == (7, 9) else chain(nn.Conv2d(1, 4, 3)), *shape)
    features = found.features("0", [0], span=(-2.0, 5.0), steps=60, parametrisation=parametrisation, transforms="auto")
    assert pictures(features).min() < 0
    assert pictures(features).max() > 3
    for one in features:
        assert one.image.shape == shape
        assert one.image.dtype == np.float64
        assert one.image.min() >= -2
        assert one.image.max() <= 5
        assert one.parametrisation == parametrisation
        assert not one.image.flags.writeable


def test_an_activation_in_place_changes_nothing() -> None:
    plain, changed = (looked(small(inplace=inplace), 1, 7, 9) for inplace in (False, True))
    for site in ("0", "2"):
        both = [pictures(one.features(site, [0, 1], steps=8)) for one in (plain, changed)]
        assert np.array_equal(*both)
    weights = {"0": {0: 1.0}, "2": {1: 1.0}}
    given = {"weights": weights, "shape": (1, 7, 9), "steps": 8, "objective": "rms", "variants": 2}
    both = [
        pictures(
            combined(
                one.model,
                given["weights"],
                survey=one.survey,
                bases=one.bases,
                **{k: v for k, v in given.items() if k != "weights"},
            )
        )
        for one in (plain, changed)
    ]
    assert np.array_equal(*both)


def test_variants_are_kept_apart_at_a_price() -> None:
    found, _, _ = digits()

    def alike(diversity: float) -> tuple[float, float]:
        features = found.features("8", [0], signs=[1], variants=3, diversity=diversity)
        assert [one.variant for one in features] == [0, 1, 2]
        with torch.no_grad():
            y = found.model(torch.tensor(pictures(features)).float()) - found.model[8].bias
        square = (torch.nn.functional.normalize(y, dim=1) @ torch.nn.functional.normalize(y, dim=1).T) ** 2
        return float((square.sum() - 3) / 6), min(one.score for one in features)  # of one position, a Gram matrix is y y'

    (apart, lower), (free, upper) = alike(1.0), alike(0.0)
    assert free > 0.9
    assert apart < 0.5
    assert 0.5 * upper < lower < upper


# That the network is given back, whatever happens


def test_the_network_is_given_back_and_no_gradient_reaches_it() -> None:
    model = small(inplace=True).train()
    model.insert(1, nn.BatchNorm2d(5).double())
    model[0].weight.requires_grad_(False)
    model.register_forward_hook(lambda *_: None)
    found = looked(model, 1, 7, 9)
    before = state(model)
    found.features("3", [0], steps=4, transforms="auto")
    assert state(model) == before
    with pytest.raises(RuntimeError, match="mine"):
        found.features("3", [0], normalise=lambda _: (_ for _ in ()).throw(RuntimeError("mine")))
    with pytest.raises(UsageError, match="expected images that the network runs on"):
        found.features("3", [0], shape=(2, 7, 9))
    with pytest.raises(Interrupted):
        found.features("3", [0], normalise=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert state(model) == before


def test_the_network_runs_no_further_than_the_layer() -> None:
    class Later(nn.Module):
        broken = False

        def forward(self, x: Any) -> Any:
            if self.broken:
                raise AssertionError("it ran")
            return x

    class Guarded(nn.Module):
        """Catches what goes wrong inside, and goes on."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.later = small(), Later()

        def forward(self, x: Any) -> Any:
            try:
                y = self.first(x)
            except Exception:
                y = x
            return self.later(y)

    found = looked(Guarded().double(), 1, 7, 9)
    found.model.later.broken = True
    assert len(found.features("first.2", [0], steps=3)) == 2


@pytest.mark.parametrize("batch", [2, None])
def test_an_interruption_gives_what_there_is(batch: int | None) -> None:
    found = looked(small(), 1, 7, 9)
    whole = found.features("2", range(3), steps=10)

    def stopping(after: int) -> Any:
        calls = SimpleNamespace(count=0)

        def told(*_: Any) -> None:
            calls.count += 1
            if calls.count == after:
                raise KeyboardInterrupt

        return told

    part = found.features("2", range(3), steps=10, batch=batch, progress=stopping(14 if batch else 4))
    assert len(part) == (4 if batch else 6)
    done = [one for one in part if one.status == "ok"]
    assert len(done) == (2 if batch else 0)
    assert all(np.abs(one.image - full.image).max() < 1e-9 for one, full in zip(done, whole, strict=False))
    for one, full in zip(part[len(done) :], whole[len(done) :], strict=False):
        assert one.status == "interrupted after 4 of 10 steps"
        assert one.steps == 4
        assert dict(one.history)[4] == one.score == pytest.approx(dict(full.history)[4], rel=1e-9)


def test_an_interruption_between_two_batches_is_told() -> None:
    found = looked(small(), 1, 7, 9)

    def normalise(x: Any) -> Any:
        if len(x) == 1 and normalise.armed:  # the second batch has one image left
            raise KeyboardInterrupt
        normalise.armed = len(x) == 2
        return x

    normalise.armed = False
    with pytest.raises(KeyboardInterrupt):
        found.features("2", [0], signs=[1], batch=1, normalise=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    part = found.features("2", [0, 1, 2], signs=[1], batch=2, steps=3, normalise=normalise)
    assert [one.mode for one in part] == [0, 1]
    assert part[-1].status == "interrupted after this one"


def test_progress_counts_images_up_to_all_of_them() -> None:
    found = looked(small(), 1, 7, 9)
    told: list[tuple[str, int, int | None]] = []
    found.features("2", range(3), steps=4, batch=4, variants=2, progress=lambda *what: told.append(what))
    assert {(name, total) for name, _, total in told} == {("features of 2", 12)}
    done = [count for _, count, _ in told]
    assert done == sorted(done)
    assert done[-1] == 12
    assert len(done) == 3 * 4


# Other networks and bad input


def test_networks_of_one_and_three_axes_and_of_none_are_seen_too() -> None:
    line = looked(chain(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 3)), 2, 20)
    space = looked(chain(nn.Conv3d(1, 4, 2), nn.ReLU(), nn.Conv3d(4, 3, 2)), 1, 5, 6, 7)
    flat = looked(chain(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), 6)
    for found, said in (
        (line, "1 axes of positions and was moved, but neither"),
        (space, "3 axes"),
        (flat, "0 axes of positions and was not moved"),
    ):
        for one in found.features("2", [0], transforms="auto", steps=60):
            assert one.image.shape == found.shape
            assert one.sign * one.score > one.sign * one.before
            assert said in one.status
            assert (one.transforms == "none") == (found is flat)
    assert flat.features("2", [0], steps=1)[0].parametrisation == "pixel"


def test_every_call_of_a_shared_layer_has_features_of_its_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return self.conv(torch.relu(self.conv(x)))

    torch.manual_seed(0)
    found = looked(Twice().double(), 1, 7, 7)
    (first,), (second,) = (found.features(f"conv@{call}", [0], signs=[1], steps=60) for call in (0, 1))
    assert first.share is not None
    assert second.share is None
    with torch.no_grad():
        output = found.model(torch.tensor(second.image.copy())[None]) - found.model.conv.bias[:, None, None]
    assert second.score == pytest.approx(float(output[0, 0, 3, 3]) * found.bases["conv@1"].u[0, 0], rel=1e-10)


def test_modes_of_groups_are_seen_in_the_channels_of_their_group() -> None:
    found = looked(chain(nn.Conv2d(4, 6, 3, groups=2)), 4, 6, 6)
    modes = found.bases["0"]
    middle = 0.5
    for one in found.features("0", range(modes.s.size), steps=60):
        away = np.abs(one.image - middle).reshape(2, -1).max(axis=1)
        assert away[modes.group[one.mode]] > 0.4
        assert away[1 - modes.group[one.mode]] < 0.2
        assert one.share > 0.8


def test_half_precision_and_natural_colours_run() -> None:
    found = looked(small(3).bfloat16(), 3, 7, 9)
    for one in found.features("2", [0], steps=8, natural=True, transforms="auto"):
        assert np.isfinite(one.image).all()
        assert one.sign * one.score > one.sign * one.before
    plain, natural = (looked(small(3), 3, 7, 9).features("0", [0], steps=1, natural=one)[0].image for one in (False, True))
    assert np.corrcoef(natural.reshape(3, -1))[0, 1] > 0.5 > abs(np.corrcoef(plain.reshape(3, -1))[0, 1])


def test_a_network_that_changes_its_input_in_place_is_seen_as_any_other() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = small()

        def forward(self, x: Any) -> Any:
            return self.rest(x.sub_(0.5))

    found = looked(Centred(), 1, 7, 9)
    assert found.features("rest.0", [0], signs=[1], steps=128)[0].share > 0.9


def test_what_no_gradient_reaches_is_told() -> None:
    class Rounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = small()

        def forward(self, x: Any) -> Any:
            return self.rest(x.round())

    one = looked(Rounded(), 1, 7, 9).features("rest.2", [0], steps=3)[0]
    assert one.status == "no gradient reached the image, which is as it started"
    found = looked(small(), 1, 7, 9)
    assert found.features("2", [0], normalise=lambda x: x.detach(), steps=2)[0].status == one.status
    for tensor in found.model.parameters():
        tensor.requires_grad_(False)
    with pytest.raises(UsageError, match="no gradient comes back"):
        found.features("2", [0], normalise=lambda x: x.detach(), steps=2)
    unbiased = looked(chain(nn.Conv2d(1, 2, 3, bias=False)), 1, 7, 9)
    black = unbiased.features("0", [0], objective="rms", normalise=lambda x: x * 0, steps=2)[0]  # a root has no slope at 0
    assert black.status == "the gradient was not finite at some step, which was left out"
    assert np.isfinite(black.image).all()


def test_modes_with_equal_singular_values_are_told() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 2)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.diag(torch.tensor([3.0, 2.0, 2.0, 1.0])).reshape(4, 1, 2, 2))
    statuses = [one.status for one in looked(model, 1, 5, 5).features("0", range(4), signs=[1], steps=1)]
    told = "modes 1 to 2 of 0 have equal singular values: others of their span do as well"
    assert statuses == ["ok", told, told, "ok"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modes": [6]}, "modes: expected numbers from 0 to 5 of layer '2', got 6"),
        ({"modes": [-1]}, "expected numbers from 0"),
        ({"modes": [True]}, "got True"),
        ({"site": "nothing"}, "expected a layer of the survey, '0', '2', '5'; got 'nothing'"),
        ({"signs": [2]}, "signs: expected 1, -1 or both"),
        ({"signs": []}, "signs: expected 1, -1 or both"),
        ({"signs": [-1], "objective": "rms"}, "the same number for both"),
        ({"objective": "median"}, "objective: expected one of centre, mean, max, rms, got 'median'"),
        ({"transforms": "many"}, "transforms: expected one of auto, none"),
        ({"parametrisation": "wave"}, "parametrisation: expected one of fft, pixel"),
        ({"span": (1.0, 1.0)}, "span: expected the least and the largest"),
        ({"span": (0.0, np.inf)}, "finite"),
        ({"shape": (1, 0, 9)}, "shape: expected"),
        ({"shape": ()}, "shape: expected"),
        ({"steps": 0}, "steps: expected a whole number, at least 1, got 0"),
        ({"variants": 0}, "variants: expected"),
        ({"batch": 0}, "batch: expected"),
        ({"seed": -1}, "seed: expected a whole number, at least 0"),
        ({"natural": True}, "natural: expected images of 3 channels"),
        ({"diversity": -1.0}, "diversity: expected"),
        ({"normalise": lambda x: x / 0}, "expected finite signals of a grey image"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_expected(options: dict[str, Any], said: str) -> None:
    found = looked(small(), 1, 7, 9)
    given = {"site": "2", "modes": [0]} | options
    with pytest.raises(UsageError) as error:
        found.features(given.pop("site"), given.pop("modes"), **given)
    assert said in str(error.value)


def test_no_modes_give_no_features_and_a_combination_needs_a_weight() -> None:
    found = looked(small(), 1, 7, 9)
    assert found.features("2", []) == ()
    given = {"survey": found.survey, "bases": found.bases, "shape": found.shape}
    for weights, said in (
        ({}, "expected a weight other than 0"),
        ({"2": {0: 0.0}}, "expected a weight other than 0"),
        ({"2": {0: np.nan}}, "expected finite numbers"),
        ({"9": {0: 1.0}}, "got none of '9'"),
        ({"2": {17: 1.0}}, "got 17"),
    ):
        with pytest.raises(UsageError, match=said):
            combined(found.model, weights, **given)
    assert isinstance(found, Looked)
    assert visualise(found.model, found.survey.sites[0], [0], survey=found.survey, basis=found.bases["0"], shape=(1, 7, 9), steps=1)
