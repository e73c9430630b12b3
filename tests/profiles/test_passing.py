"""One pass: signals as one image at a time gives them, whatever hooks, modes and exceptions; and the network given back."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from modescope.errors import UsageError
from modescope.profiles.aggregates import AGGREGATES
from modescope.profiles.images import images
from modescope.profiles.passing import bases, maps, passes, signals
from modescope.profiles.survey import survey
from profiles_architectures import NETWORKS, Shared, made, norms_of_use, plain


def opened(model, x, labels=None, *, batch=2, **options):
    data = images(x, labels, batch=batch)
    found = survey(model, data.first())
    return model, data, found, bases(model, found, **options)


def hooks(model):
    return [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("name", NETWORKS)
def test_batches_give_what_single_images_give(name, aggregate):
    model, x = made(name)
    ours = signals(*opened(model.double(), x.double(), batch=4), aggregate_by=aggregate)
    one_by_one = signals(*opened(model, x.double(), batch=1), aggregate_by=aggregate)
    assert len(ours) == NETWORKS[name][2]
    for site, values in ours.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, one_by_one[site], atol=1e-12 * max(np.abs(values).max(), 1))


def test_maps_hold_the_output_of_every_layer():
    model, x = made("Sequential")
    model, x = model.double(), x.double()
    _, _, found, known = opened(model, x)
    outputs = {}
    handles = [
        site.module.register_forward_hook(lambda _m, _a, y, n=site.name: outputs.update({n: y.clone()})) for site in found.sites
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    for name, one in maps(model, x, found, known).items():
        basis = known[name]
        back = np.einsum("dr,nr...->nd...", basis.directions(), one) + basis.bias.reshape(1, -1, *(1,) * (one.ndim - 2))
        np.testing.assert_allclose(back, outputs[name].numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["Sequential", "ResNet-18", "MobileNetV2"])
def test_folded_signals_are_those_of_the_network_with_folded_layers(name):
    model, x = made(name)
    model, x = model.double(), x.double()
    _, data, found, known = opened(model, x, bn="fold")
    ours = signals(model, data, found, known)
    modules = dict(model.named_modules())
    raw = bases(model, found)
    outputs = {}
    handles = [
        modules[s.norm].register_forward_hook(lambda _m, _a, y, n=s.name: outputs.update({n: y.clone()}))
        for s in found.sites
        if s.norm
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    assert set(outputs) == {site.name for site in found.sites if site.norm}
    for site in found.sites:
        basis = known[site.name]
        assert basis.norm == site.norm
        if not site.norm:
            np.testing.assert_array_equal(basis.s, raw[site.name].s)
            continue
        norm = modules[site.norm]
        g = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().numpy()
        constant = (raw[site.name].bias - norm.running_mean.numpy()) * g + norm.bias.detach().numpy()
        mean = outputs[site.name].mean((2, 3)).numpy() - constant
        np.testing.assert_allclose(ours[site.name], mean @ basis.directions(), atol=1e-11)


def test_any_other_word_for_batch_norms_is_refused():
    model, x = made("ResNet-18")
    with pytest.raises(UsageError, match="bn: expected one of ignore, fold, got 'merge'"):
        opened(model, x, bn="merge")


def test_a_layer_called_twice_has_one_decomposition_and_signals_of_each_call():
    model, x = made("shared layers")
    model, x = model.double(), x.double()
    _, data, found, known = opened(model, x)
    assert known["shared@0"] is known["shared@1"]
    ours = signals(model, data, found, known)
    with torch.no_grad():
        first = model.shared(model.stem(x))
        second = model.shared(model.pool(first.relu()))
    for name, y in (("shared@0", first), ("shared@1", second)):
        expected = (y.mean((2, 3)).numpy() - known[name].bias) @ known[name].directions()
        np.testing.assert_allclose(ours[name], expected, atol=1e-13)


@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_an_image_that_gives_no_numbers_is_named_with_its_layer(aggregate):
    model, x = made("Sequential")
    for bad in (float("nan"), float("inf")):
        spoilt = x.clone()
        spoilt[4, 0, 0, 0] = bad
        args = opened(model, spoilt)
        before = hooks(model)
        with pytest.raises(UsageError, match=r"layer '0': expected finite outputs, got 1 of 2 .* the first is image 4"):
            signals(*args, aggregate_by=aggregate)
        assert hooks(model) == before


def test_labels_and_predictions_stand_beside_their_images():
    model, x = made("Sequential")
    labels = [2, 0, 1, 1, 0, 2]
    parts = list(passes(*opened(model, x, labels, batch=4)))
    assert [(one.start, len(one.labels)) for one in parts] == [(0, 4), (4, 2)]
    assert np.concatenate([one.labels for one in parts]).tolist() == labels
    with torch.no_grad():
        assert np.concatenate([one.predicted for one in parts]).tolist() == model(x).argmax(1).tolist()
    assert all(torch.equal(one.inputs, x[one.start : one.start + len(one.inputs)]) for one in parts)


@pytest.mark.parametrize("count", [5, 7])
def test_labels_of_another_number_than_a_loader_gives_images_are_refused(count):
    model, x = made("Sequential")
    args = opened(model, DataLoader(x, batch_size=4), [0] * count)
    before = hooks(model)
    with pytest.raises(UsageError, match=f"labels: expected one for each image, got {count} for"):
        list(passes(*args))
    assert hooks(model) == before


def test_progress_is_told_after_every_batch_and_empty_batches_do_not_count():
    model, x = made("Sequential")
    told = []
    list(passes(*opened(model, [x[:0], x[:4], x[:0], x[4:]]), progress=lambda *said: told.append(said), task="looking"))
    assert told == [("looking", 4, 6), ("looking", 6, 6)]


def _given_back(model, act):
    """Run something that fails or stops, and compare the network with what it was."""
    model.train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, random, grad = hooks(model), torch.get_rng_state(), torch.is_grad_enabled()
    act()
    assert hooks(model) == before
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled() == grad
    assert all(p.grad is None for p in model.parameters())


def _stopped(running):
    for _ in running:
        raise KeyError


def normed():
    torch.manual_seed(0)
    return norms_of_use(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(), nn.Linear(144, 3))
    )


def test_the_network_is_given_back_after_a_whole_pass_and_runs_in_evaluation_during_it():
    model, x = normed(), torch.randn(6, 3, 8, 8)
    ours = signals(*opened(model.eval(), x))
    _given_back(model, lambda: [np.testing.assert_array_equal(v, ours[k]) for k, v in signals(*opened(model, x)).items()])


def test_the_network_is_given_back_when_the_iterator_is_closed_early():
    model, x = normed(), torch.randn(6, 3, 8, 8)

    def act():
        running = passes(*opened(model, x))
        next(running)
        running.close()

    _given_back(model, act)


def test_the_network_is_given_back_after_an_exception_of_data_network_or_user():
    model, x = normed(), torch.randn(6, 3, 8, 8)

    def broken():
        yield x[:2]
        raise OSError("disk")

    def wrong_later():
        with pytest.raises(UsageError, match="got RuntimeError for a batch of shape"):
            list(passes(*opened(model, [x[:2], x[:2, :, :4]])))

    def raised_by_data():
        args = opened(model, x)
        object.__setattr__(args[1], "batches", broken)
        with pytest.raises(OSError, match="disk"):
            list(passes(*args))

    def raised_by_user():
        with pytest.raises(KeyError):
            _stopped(passes(*opened(model, x)))

    for act in (wrong_later, raised_by_data, raised_by_user):
        _given_back(model, act)


def test_two_passes_over_one_network_do_not_disturb_each_other():
    model, x = normed(), torch.randn(6, 3, 8, 8)
    args = opened(model, x)
    alone = [one.signals for one in passes(*args)]

    def act():
        for one, other, expected in zip(passes(*args), passes(*args), alone, strict=True):
            for name, values in expected.items():
                np.testing.assert_array_equal(one.signals[name], values)
                np.testing.assert_array_equal(other.signals[name], values)
        first, second = passes(*args), passes(*args)
        next(first), next(second)
        first.close()
        second.close()

    _given_back(model, act)


def test_between_batches_the_network_and_gradients_are_those_of_the_caller():
    model, x = normed().train(), torch.randn(6, 3, 8, 8)
    for _ in passes(*opened(model, x)):
        assert model.training
        assert torch.is_grad_enabled()
        assert not any(map(sum, hooks(model)))


def test_hooks_of_the_user_stay_and_those_that_change_an_output_do_not_change_signals():
    model, x = made("Sequential")
    args = opened(model, x)
    ours, calls = signals(*args), []
    handle = model[8].register_forward_hook(lambda _m, _a, y: calls.append(1) or y.mul_(2))
    again = signals(*args)
    np.testing.assert_array_equal(again["8"], ours["8"])
    assert (again["10"] != ours["10"]).any()
    assert len(calls) == 3
    assert handle.id in model[8]._forward_hooks


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_give_the_same_to_their_rounding(dtype):
    model, x = made("Sequential")
    expected = signals(*opened(model, x))
    ours = signals(*opened(model.to(dtype), x.numpy()))
    tolerance = 1e-6 if dtype == torch.float64 else 20 * torch.finfo(dtype).eps
    for name, values in expected.items():
        np.testing.assert_allclose(np.abs(ours[name]), np.abs(values), atol=tolerance * max(np.abs(values).max(), 1))


def test_read_only_reversed_and_double_arrays_are_taken():
    model, x = made("Sequential")
    expected = signals(*opened(model, x))
    frozen = x.numpy().astype(np.float64)
    frozen.flags.writeable = False
    for name, values in signals(*opened(model, frozen)).items():
        np.testing.assert_allclose(values, expected[name], atol=1e-6)
    for name, values in signals(*opened(model, x.numpy()[::-1])).items():
        np.testing.assert_allclose(values[::-1], expected[name], atol=1e-6)


def test_a_layer_without_a_basis_is_not_looked_at():
    model, data, found, known = opened(*made("Sequential"))
    only = {"8": known["8"]}
    assert set(signals(model, data, found, only)) == {"8"}
    assert set(maps(model, data.first(), found, only)) == {"8"}


def test_a_network_that_calls_a_layer_more_often_later_is_read_at_the_calls_that_were_seen():
    model, x = made("shared layers")
    args = opened(model, x)
    assert isinstance(model, Shared)
    assert {len(value) for value in signals(*args).values()} == {6}


def test_in_place_activations_change_no_bit():
    torch.manual_seed(0)
    one = plain(inplace=True)
    other = plain(inplace=False)
    other.load_state_dict(one.state_dict())
    x = torch.randn(6, 3, 8, 8)
    for aggregate in AGGREGATES:
        ours = signals(*opened(one, x), aggregate_by=aggregate)
        for name, values in signals(*opened(other, x), aggregate_by=aggregate).items():
            np.testing.assert_array_equal(ours[name], values)


class Choosy(nn.Module):
    """Calls its second layer for dark images only."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        h = self.first(x)
        return self.second(h) if float(x.mean()) < 1 else h


def test_a_layer_that_the_network_leaves_out_for_later_images_is_named_with_the_image():
    x = torch.cat([torch.zeros(4, 4), torch.full((4, 4), 2.0)])
    model, found, surveyed, modes = opened(Choosy(), x)
    with pytest.raises(UsageError, match=r"'second'.*from image 4 on"):
        list(passes(model, found, surveyed, modes))


def test_the_number_of_classes_that_a_network_tells_apart_stands_beside_its_predictions():
    told = [one.outputs for one in passes(*opened(nn.Linear(4, 7), torch.zeros(4, 4)))]
    assert told == [7, 7]
    assert [one.outputs for one in passes(*opened(nn.Linear(4, 1), torch.zeros(4, 4)))] == [0, 0]


def test_a_batch_norm_over_time_is_not_taken_for_one_over_the_channels_of_a_linear_layer():
    class Tokens(nn.Module):
        def __init__(self, time):
            super().__init__()
            self.layer, self.norm = nn.Linear(5, 6), nn.BatchNorm1d(time)

        def forward(self, x):
            return self.norm(self.layer(x)).mean(dim=(1, 2), keepdim=True).flatten(1)

    for time in (4, 6):  # 6 is the number of channels, too
        model = Tokens(time)
        nn.init.normal_(model.norm.weight)
        images = torch.randn(3, time, 5)
        assert survey(model, images).sites[0].norm == ""
        folded = bases(model, survey(model, images), bn="fold")["layer"]
        assert (folded.gain == 1).all()
        assert (folded.s == bases(model, survey(model, images))["layer"].s).all()


def test_progress_is_told_after_every_decomposition():
    told = []
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    bases(model, survey(model, torch.zeros(2, 4)), progress=lambda *step: told.append(step))
    assert told == [("modes", 1, 2), ("modes", 2, 2)]
