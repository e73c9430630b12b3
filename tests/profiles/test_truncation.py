"""Keeping some modes of a layer only: what it does to outputs, to accuracy, and to the network that was lent."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from modescope.errors import UsageError
from modescope.measures import bulk
from modescope.profiles import truncation
from modescope.profiles.images import Images, images
from modescope.profiles.operator_norms import operator_norms
from modescope.profiles.truncation import curve, interval, truncated, truncations
from modescope.profiles.validation import validations
from profiles_architectures import NETWORKS, made
from profiles_features_cases import chain, looked, state
from profiles_net_cases import digits_net

LAYERS = {
    "linear": (nn.Linear(6, 4), (6,)),
    "tall linear": (nn.Linear(3, 7), (3,)),
    "convolution": (nn.Conv2d(3, 5, 3, stride=2, padding=1), (3, 7, 6)),
    "one axis": (nn.Conv1d(3, 5, 3, dilation=2), (3, 9)),
    "three axes": (nn.Conv3d(2, 4, 2), (2, 3, 4, 3)),
    "groups": (nn.Conv2d(4, 6, (1, 3), groups=2), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 5, 5)),
    "transposed": (nn.ConvTranspose2d(4, 5, 3, stride=2), (4, 4, 3)),
    "transposed groups": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 4, 3)),
}


def looked_at(layer, shape):
    return looked(chain(deepcopy(layer)), *shape)


def some(rank):
    return np.arange(rank)[:: 2 if rank > 1 else 1][::-1]  # in no particular order


@pytest.mark.parametrize("kind", LAYERS)
def test_a_cut_layer_gives_the_projection_of_its_output_on_the_output_directions_that_are_kept(kind):
    layer, shape = LAYERS[kind]
    found = looked_at(layer, shape)
    basis = found.bases["0"]
    kept = some(basis.s.size)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = found.model(x).detach()
    with truncated(found.model, found.survey, found.bases, {"0": kept}):
        cut = found.model(x).detach()
    u = torch.tensor(basis.directions()[:, kept])
    bias = torch.tensor(basis.bias)
    axis = -1 if isinstance(layer, nn.Linear) else 1
    expected = ((whole.movedim(axis, -1) - bias) @ u @ u.T + bias).movedim(-1, axis)
    torch.testing.assert_close(cut, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(cut, whole, atol=1e-3)


def test_with_a_folded_batch_norm_it_is_the_normalised_output_that_is_projected():
    model = chain(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5)).eval()
    model[1].running_var.uniform_(0.5, 2)
    model[1].running_mean.normal_()
    found = looked(model, 2, 6, 6, bn="fold")
    assert found.bases["0"].norm == "1"
    kept = [0, 2, 3]
    x = torch.rand(2, 2, 6, 6, dtype=torch.float64)
    zero = model[1]((model[0].bias.detach()[None, :, None, None]).expand(1, 5, 1, 1)).detach()  # of an image of zeros
    whole = model(x).detach() - zero
    with truncated(model, found.survey, found.bases, {"0": kept}):
        cut = model(x).detach() - zero
    u = torch.tensor(found.bases["0"].directions()[:, kept])
    torch.testing.assert_close(cut, (whole.movedim(1, -1) @ u @ u.T).movedim(-1, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_network_is_given_back_bit_by_bit_with_the_same_parameters_in_the_same_memory(error):
    found = looked_at(*LAYERS["convolution"])
    before = state(found.model)
    weight = found.model[0].weight
    place, version = weight.data_ptr(), weight._version
    try:
        with truncated(found.model, found.survey, found.bases, {"0": [1]}):
            assert state(found.model) != before
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt):
        assert error is not None
    assert state(found.model) == before
    assert found.model[0].weight is weight
    assert (weight.data_ptr(), weight._version) == (place, version)


def test_what_keeps_all_modes_is_not_touched_and_what_keeps_none_gives_its_bias():
    found = looked_at(*LAYERS["convolution"])
    place = found.model[0].weight.data_ptr()
    rank = found.bases["0"].s.size
    with truncated(found.model, found.survey, found.bases, {"0": np.arange(rank)[::-1]}):
        assert found.model[0].weight.data_ptr() == place
    with truncated(found.model, found.survey, found.bases, {"0": []}):
        output = found.model(torch.rand(1, 3, 7, 6, dtype=torch.float64))
        assert torch.equal(output, found.model[0].bias[None, :, None, None].expand_as(output))


@pytest.mark.parametrize("modes", [[5], [-1], [0, 0], [0.5], [[0]], [True]])
def test_modes_that_are_not_there_or_there_twice_are_refused_before_anything_is_cut(modes):
    found = looked_at(*LAYERS["convolution"])
    before = state(found.model)
    with pytest.raises(UsageError, match="expected"), truncated(found.model, found.survey, found.bases, {"0": modes}):
        pass
    assert state(found.model) == before


def test_weights_that_are_computed_tied_or_folded_twice_are_left_out_with_the_reason():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.plain, self.a, self.b, self.normed = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight
            nn.utils.parametrizations.weight_norm(self.normed)
            self.twice, self.first, self.second = nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x):
            x = self.normed(self.b(self.a(self.plain(x))))[:, :, None]
            return self.second(self.twice(self.first(self.twice(x))))[:, :, 0]

    torch.manual_seed(0)
    found = looked(Net().eval(), 4, bn="fold")
    result = curve(found.model, images(np.ones((5, 4), np.float32)), found.survey, found.bases, shares=(0.5,), which=("top",))
    reasons = dict(result.left_out)
    assert reasons.keys() == {"a", "b", "normed", "twice"}
    assert "b.weight as well" in reasons["a"]
    assert "a.weight as well" in reasons["b"]
    assert "computed" in reasons["normed"]
    assert "several batch norms" in reasons["twice"]
    assert result.together == ("plain",)
    for name in (*reasons, "nowhere"):
        with pytest.raises(UsageError, match=name), truncated(found.model, found.survey, found.bases, {name: [0]}):
            pass


def test_a_layer_that_is_called_twice_is_cut_once_in_both_calls():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.shared(self.shared(x).relu()))

    torch.manual_seed(0)
    found = looked(Net().double(), 4)
    assert {*found.bases} == {"shared@0", "shared@1", "head"}
    result = curve(found.model, images(np.ones((5, 4))), found.survey, found.bases, shares=(0.5,), which=("top",))
    assert [point.layers for point in result.points] == [("shared",), ("head",)]
    assert result.together == ("shared",)


@pytest.fixture(scope="module")
def digits():
    net = digits_net()
    found = looked(net.model, 1, 8, 8)
    before = state(net.model)
    result = curve(
        net.model, images(net.images, net.labels), found.survey, found.bases, shares=(0.25, 0.5, 0.75, 1.0), layers=("5",), draws=3
    )
    assert state(net.model) == before
    return net, found, result


def at(result, which, share):
    return next(p for p in result.points if p.layers == result.together and (p.which, p.share) == (which, share))


def test_the_network_of_the_experiments_is_as_good_as_its_claims(digits):
    net, _, result = digits
    right = int((net.model(net.images).argmax(1) == net.labels).sum())
    assert result.status == "ok"
    assert (result.hits, result.images, result.against) == (right, 497, "labels")
    assert right / 497 >= 0.96


def test_accuracy_lives_in_the_top_half_of_the_modes_and_not_in_their_number(digits):
    _, _, result = digits
    assert result.together == ("0", "2", "5", "9")
    top = at(result, "top", 0.5).accuracy
    assert top >= at(result, "bottom", 0.5).accuracy + 0.5
    assert top > at(result, "random", 0.5).accuracy + 0.3
    assert at(result, "top", 0.75).accuracy >= result.hits / result.images - 0.03
    assert at(result, "bottom", 0.75).accuracy <= 0.3


def test_a_share_keeps_that_many_modes_of_each_layer_and_all_of_them_are_the_whole_network(digits):
    _, _, result = digits
    assert at(result, "top", 0.25).ranks == (9, 32, 32, 64)
    assert at(result, "top", 0.25).kept == (2, 8, 8, 16)
    assert at(result, "top", 0.75).kept == (7, 24, 24, 48)
    for which in ("top", "bottom", "random"):
        assert set(at(result, which, 1.0).hits) == {result.hits}
    assert len(set(at(result, "random", 0.5).hits)) == 3
    assert len(at(result, "top", 0.5).hits) == 1


@pytest.mark.parametrize(("which", "picked"), [("top", slice(0, 16)), ("bottom", slice(16, 32))])
def test_hits_are_those_of_a_network_with_cut_weights(digits, which, picked):
    net, _, result = digits
    model = deepcopy(net.model)
    u, s, vh = np.linalg.svd(model[5].weight.detach().double().flatten(1).numpy(), full_matrices=False)
    cut = (u[:, picked] * s[picked]) @ vh[picked]
    with torch.no_grad():
        model[5].weight.copy_(torch.tensor(cut).reshape(model[5].weight.shape))
    point = next(p for p in result.points if p.layers == ("5",) and (p.which, p.share) == (which, 0.5))
    assert point.hits == (int((model(net.images).argmax(1) == net.labels).sum()),)


def test_outliers_are_those_of_the_bulk_and_layers_without_a_verdict_stay_whole(digits):
    _, found, result = digits
    counts = {name: bulk.analyze(found.bases[name].spectrum, tests=5).outliers for name in ("2", "5", "9")}
    assert min(counts.values()) >= 2
    assert at(result, "outliers", None).kept == (9, *counts.values())
    assert "needed for a Marchenko-Pastur verdict" in dict(result.left_out)["0, outliers"]


def test_without_labels_answers_of_the_whole_network_are_what_is_right(digits):
    net, found, _ = digits
    result = curve(net.model, images(net.images[:50]), found.survey, found.bases, shares=(0.5,), which=("bottom",), layers=())
    assert (result.against, result.hits) == ("the whole network", 50)
    assert [point.layers for point in result.points] == [result.together]
    with truncated(
        net.model, found.survey, found.bases, {"0": range(5, 9), "2": range(16, 32), "5": range(16, 32), "9": range(32, 64)}
    ):
        same = net.model(net.images[:50]).argmax(1)
    assert result.points[0].hits == (int((same == net.model(net.images[:50]).argmax(1)).sum()),)


def test_neither_batches_nor_a_count_that_is_not_known_change_the_sample(digits):
    net, found, _ = digits

    def points(data, **more):
        given = {"shares": (0.5,), "which": ("top", "random"), "layers": (), "most": 60, **more}
        result = curve(net.model, data, found.survey, found.bases, **given)
        assert result.images == 60
        assert result.hits >= 54  # the labels are those of the sample
        return [point.hits for point in result.points]

    data = (net.images, net.labels)
    unknown = Images(lambda: iter(net.images.split(37)), None, net.labels.numpy())
    one = points(images(*data))
    assert one == points(images(*data, batch=7)) == points(unknown) == points(images(net.images.numpy(), net.labels))
    assert one != points(images(*data), seed=1)


def test_truncations_that_are_the_same_share_a_pass_and_every_image_of_all_passes_is_told(digits):
    net, found, _ = digits
    runs, told = [], []
    handle = net.model.register_forward_hook(lambda _module, args, _output: runs.append(len(args[0])))
    result = curve(
        net.model,
        images(net.images[:70], net.labels[:70], batch=32),
        found.survey,
        found.bases,
        shares=(0.5, 0.5, 1.0),
        which=("top", "bottom"),
        layers=("2",),
        progress=lambda task, done, total: told.append((task, done, total)),
    )
    handle.remove()
    assert len(result.points) == 12
    assert runs == [32, 32, 6] * 5  # the whole, and top and bottom halves of one layer and of all
    assert told[-1] == ("truncation", 280, 280)
    assert [done for _, done, _ in told] == np.cumsum([32, 32, 6] * 4).tolist()


def test_a_network_without_classes_gives_the_reason_in_words():
    found = looked_at(*LAYERS["convolution"])
    before = state(found.model)
    result = curve(found.model, images(np.ones((4, 3, 7, 6))), found.survey, found.bases)
    assert result.points == ()
    assert "got Tensor of shape (4, 5, 4, 3) for 4 images" in result.status
    assert state(found.model) == before


def test_an_answer_that_is_not_a_number_is_never_right():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(self.a(x)) / (x[:, :1] > 0)  # 0 / 0 or infinities

    found = looked(chain(Net()), 2)
    x = np.array([[1.0, 1], [1, 2], [-1, 0]])
    model = found.model
    with torch.no_grad():
        model[0].a.bias.zero_(), model[0].a.weight[:, 0].zero_(), model[0].b.bias.zero_()
    result = curve(model, images(x, [0, 1, 0]), found.survey, found.bases, shares=(1.0,), which=("top",))
    answers = model(torch.tensor(x)).detach()
    assert answers[2].isnan().all()
    assert result.hits == int((answers[:2].argmax(1).numpy() == [0, 1]).sum())


def test_the_network_is_given_back_when_a_pass_is_interrupted(digits):
    net, found, _ = digits
    before = state(net.model)

    def interrupt(_task, _done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curve(net.model, images(net.images, net.labels), found.survey, found.bases, progress=interrupt)
    assert state(net.model) == before


@pytest.mark.parametrize(
    "given", [{"shares": (0.0,)}, {"shares": (1.5,)}, {"which": ("best",)}, {"draws": 0}, {"most": 0}, {"layers": ("x",)}]
)
def test_arguments_out_of_range_are_refused(digits, given):
    net, found, _ = digits
    with pytest.raises(UsageError, match="expected"):
        curve(net.model, images(net.images), found.survey, found.bases, **given)


def test_truncations_that_nobody_asked_for_are_made_only_where_they_are_quick(digits, monkeypatch):
    net, found, _ = digits
    given = (net.model, images(net.images[:20], net.labels[:20]), found.survey, found.bases)
    assert truncations(*given, wanted=False) == "not asked for"
    monkeypatch.setattr(truncation, "SECONDS", 0)
    assert "ask for it by truncation=True" in truncations(*given)
    asked = truncations(*given, wanted=True)
    assert asked.images == 20
    assert {point.layers for point in asked.points} == {("0",), ("2",), ("5",), ("9",), ("11",), asked.together}


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (3, 10), (480, 497), (2.5, 11)])
def test_ends_of_the_interval_are_shares_that_the_hits_lie_just_within_two_deviations_of(hits, count):
    low, high = interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(hits / count - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / count), rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_is_cut_validated_and_given_back(name):
    model, data = made(name)
    found = looked(model, *data.shape[1:])
    before = state(model)
    result = curve(model, images(data), found.survey, found.bases, shares=(0.5, 1.0), which=("top", "bottom"))
    groups = {one.layer: one.groups for one in found.bases.values()}
    judged = validations(found.survey, found.bases)
    norms = operator_norms(model, data[:2], found.survey, found.bases)
    assert state(model) == before
    assert judged.keys() == found.bases.keys()
    assert all(len(ones) in {1, groups[ones[0].layer]} for ones in judged.values())
    assert all(one.holds for one in norms)
    if name == "ResNet-50 blocks":  # which ends in a map
        assert "expected an output (images, classes)" in result.status
        return
    assert result.left_out == ()
    assert {point.layers for point in result.points} == {*((one.layer,) for one in found.survey.sites), result.together}
    assert all(set(point.hits) == {6} for point in result.points if point.share == 1.0)
    with torch.no_grad():
        whole = model(data)
        for one in found.survey.sites:
            with truncated(model, found.survey, found.bases, {one.layer: []}):
                assert not torch.equal(model(data), whole), one.layer


def test_the_time_it_takes_to_put_wide_layers_together_counts_for_the_estimate(digits, monkeypatch):
    net, found, _ = digits
    given = (net.model, images(net.images[:2], net.labels[:2]), found.survey, found.bases)
    monkeypatch.setattr(truncation, "_each", lambda *_: 0.0)
    monkeypatch.setattr(truncation, "_composing", lambda basis: 61.0)
    assert truncations(*given) == "it would take about 5 minutes here; ask for it by truncation=True"


def test_a_network_that_is_clearly_too_slow_is_timed_on_few_images_only(digits, monkeypatch):
    net, found, _ = digits
    given = (net.model, images(net.images[:64], net.labels[:64]), found.survey, found.bases)
    timed = []
    monkeypatch.setattr(truncation, "_each", lambda _, few: timed.append(len(few)) or 100.0)
    assert "ask for it by truncation=True" in truncations(*given)
    assert timed == [4]


def test_a_last_layer_that_does_not_give_the_classes_is_cut_with_the_others():
    pooled = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.MaxPool1d(4)).double()  # 6 channels, 6 classes
    given = torch.rand(8, 1, 6, 6, dtype=torch.float64)
    for model, together in ((pooled, ("0",)), (nn.Sequential(*pooled, nn.AvgPool1d(2)), ("0", "1"))):
        found = looked(model, 1, 6, 6)
        assert curve(model, images(given), found.survey, found.bases, layers=(), shares=(0.5,)).together == together


def test_an_interrupt_of_the_last_step_is_told_and_the_network_is_given_back():
    found = looked_at(nn.Linear(6, 4), (6,))
    data = images(torch.randn(8, 6, dtype=torch.float64), np.arange(8) % 4)
    before = state(found.model)

    def stop(_task, done, _total):
        if done > 5:
            raise KeyboardInterrupt

    said = truncations(found.model, data, found.survey, found.bases, wanted=True, progress=stop)
    assert said == "interrupted before it was done"
    assert state(found.model) == before
